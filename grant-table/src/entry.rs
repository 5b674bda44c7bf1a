//! Entries of the table: memory that this domain and Xen both write.

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::GrantFlags;

use crate::order;
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// How often an entry is tried to be made invalid while Xen changes flags that say nothing about its use.
const TRIES: usize = 64;

const READING: u16 = GrantFlags::READING.bits();
const WRITING: u16 = GrantFlags::WRITING.bits();
const IN_USE: u16 = READING | WRITING;

/// An entry cannot be made invalid now: its page is mapped, or Xen changed the entry too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InUse {
    /// What Xen says about the use.
    pub(crate) flags: u16,
}

impl InUse {
    /// Whether the page is mapped for writing.
    pub(crate) const fn writing(self) -> bool {
        self.flags & WRITING != 0
    }
}

/// An entry of either version.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    V1(&'a EntryV1),
    V2(&'a EntryV2, &'a AtomicU16),
}

impl Entry<'_> {
    /// Gives `peer` leave for a frame.
    #[inline]
    pub(crate) fn permit(self, peer: DomId, frame: u64, flags: u16) {
        match self {
            Self::V1(entry) => entry.permit(peer, frame as u32, flags),
            Self::V2(entry, _) => entry.permit(peer, frame, flags),
        }
    }

    /// Gives leave for the same frame to the same peer as before.
    #[inline]
    pub(crate) fn permit_again(self, flags: u16) {
        match self {
            Self::V1(EntryV1 { flags: word, .. }) | Self::V2(EntryV2 { flags: word, .. }, _) => {
                order::permit(word, flags)
            }
        }
    }

    /// Takes the leave back, if the frame is not in use. `known` is what the flags are expected to be.
    #[inline]
    pub(crate) fn withdraw(self, known: u16) -> Result<(), InUse> {
        match self {
            Self::V1(entry) => entry.withdraw(known),
            Self::V2(entry, status) => entry.withdraw(status),
        }
    }

    /// Whether the entry gives leave for nothing; what an earlier kernel or the tools left does.
    pub(crate) fn is_blank(self) -> bool {
        match self {
            Self::V1(entry) => entry.flags.load(Ordering::Relaxed) == 0,
            Self::V2(entry, status) => {
                entry.flags.load(Ordering::Relaxed) == 0 && status.load(Ordering::Relaxed) & IN_USE == 0
            }
        }
    }
}

/// `struct grant_entry_v1`, public/grant_table.h
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EntryV1 {
    pub(crate) flags: AtomicU16,
    pub(crate) domid: AtomicU16,
    pub(crate) frame: AtomicU32,
}

impl EntryV1 {
    /// In the order that the header asks for: domain, frame, barrier, flags.
    #[inline]
    pub(crate) fn permit(&self, peer: DomId, frame: u32, flags: u16) {
        self.domid.store(peer.0, Ordering::Relaxed);
        self.frame.store(frame, Ordering::Relaxed);
        order::permit(&self.flags, flags);
    }

    /// Looks and clears in one step: a mapping that Xen makes in between would be overlooked by two.
    #[inline]
    pub(crate) fn withdraw(&self, known: u16) -> Result<(), InUse> {
        clear(known, |known| order::withdraw(&self.flags, known))
    }
}

/// Tries to clear flags that are expected to be `known`, as long as only others than those of use have changed.
#[inline]
fn clear(mut known: u16, mut attempt: impl FnMut(u16) -> Result<(), u16>) -> Result<(), InUse> {
    for _ in 0..TRIES {
        match attempt(known) {
            Ok(()) => return Ok(()),
            Err(flags) if flags & IN_USE != 0 => return Err(InUse { flags }),
            Err(flags) => known = flags,
        }
    }
    Err(InUse { flags: known })
}

/// `union grant_entry_v2`, public/grant_table.h, with a whole page.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EntryV2 {
    pub(crate) flags: AtomicU16,
    pub(crate) domid: AtomicU16,
    pub(crate) _pad0: u32,
    pub(crate) frame: AtomicU64,
}

impl EntryV2 {
    #[inline]
    pub(crate) fn permit(&self, peer: DomId, frame: u64, flags: u16) {
        self.domid.store(peer.0, Ordering::Relaxed);
        self.frame.store(frame, Ordering::Relaxed);
        order::permit(&self.flags, flags);
    }

    /// The entry gives no new leave from here on; whether an old mapping is left, the status says.
    #[inline]
    pub(crate) fn withdraw(&self, status: &AtomicU16) -> Result<(), InUse> {
        match order::withdraw_v2(&self.flags, status) & IN_USE {
            0 => Ok(()),
            flags => Err(InUse { flags }),
        }
    }
}

#[cfg(not(loom))]
const _: () = {
    use static_assertions::const_assert_eq;
    use xen_hypercall::abi;

    const_assert_eq!(size_of::<EntryV1>(), size_of::<abi::grant_table::EntryV1>());
    const_assert_eq!(core::mem::offset_of!(EntryV1, domid), core::mem::offset_of!(abi::grant_table::EntryV1, domid));
    const_assert_eq!(core::mem::offset_of!(EntryV1, frame), core::mem::offset_of!(abi::grant_table::EntryV1, frame));
    const_assert_eq!(size_of::<EntryV2>(), size_of::<abi::grant_table::EntryV2>());
    const_assert_eq!(
        core::mem::offset_of!(EntryV2, frame),
        core::mem::offset_of!(abi::grant_table::EntryV2FullPage, frame)
    );
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const GRANTED: u16 = GrantFlags::PERMIT_ACCESS.bits();
    const PCD: u16 = GrantFlags::PCD.bits();

    #[test]
    fn hc_081_flags_that_never_rest_end_the_attempt() {
        let mut attempts = 0;
        let refused = clear(GRANTED, |known| {
            attempts += 1;
            Err(known ^ PCD)
        });
        assert_eq!((refused, attempts), (Err(InUse { flags: GRANTED }), 64));
    }

    #[test]
    fn hc_081_each_attempt_is_with_what_was_seen_last() {
        let mut seen = [GRANTED | PCD, GRANTED, GRANTED | PCD].into_iter();
        let mut expected = GRANTED;
        let cleared = clear(GRANTED, |known| {
            assert_eq!(known, expected);
            seen.next().map_or(Ok(()), |flags| {
                expected = flags;
                Err(flags)
            })
        });
        assert_eq!(cleared, Ok(()));
    }

    #[test]
    fn hc_079_a_use_ends_the_attempt_at_once() {
        for flags in [READING, WRITING, IN_USE].map(|in_use| GRANTED | in_use) {
            let mut attempts = 0;
            let refused = clear(GRANTED, |_| {
                attempts += 1;
                Err(flags)
            });
            assert_eq!((refused, attempts), (Err(InUse { flags }), 1));
        }
    }
}
