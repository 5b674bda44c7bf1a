//! The domain's grant table: its frames, its references, and who uses them.

mod growth;
mod ledger;
mod report;

use core::ptr::NonNull;

use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::grant_table::Version;
use xen_hypercall::{Frame, grant_table};

use crate::entry::{Entry, EntryV1, EntryV2, InUse};
use crate::order;
use crate::platform::Memory;
use crate::references::{PER_WORD, References, Taken};
use crate::slot::Slot;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, Ordering, constructor, each};

pub(crate) use ledger::Quarantined;
pub use report::{AccountReport, Accounts, Statistics};

/// As many references as a table has here at most: Xen's default length of 64 frames in version 1, 128 in version 2.
pub const MAX_REFERENCES: u32 = 1 << 15;

/// As many accounts as can be open at a time.
pub const MAX_ACCOUNTS: usize = 64;

const WORDS: usize = (MAX_REFERENCES / PER_WORD) as usize;
const V1_PER_FRAME: u32 = (size_of::<Frame>() / 8) as u32;
const V2_PER_FRAME: u32 = (size_of::<Frame>() / 16) as u32;
const STATUS_PER_FRAME: u32 = (size_of::<Frame>() / 2) as u32;
const MAX_FRAMES: usize = (MAX_REFERENCES / V2_PER_FRAME) as usize;
const MAX_STATUS_FRAMES: usize = (MAX_REFERENCES / STATUS_PER_FRAME) as usize;

/// A domain's own grant table.
///
/// A kernel has one, as a static, and names it in [`Memory::grant_table`]. Nothing in it is locked: granting and revoking take
/// a few atomic operations, from any CPU and from interrupts. The table gets longer when references run out, up to what Xen
/// allows. Where that is all, [`NoGrants`](crate::Refusal::NoGrants) tells a driver to wait for references of its own to come
/// back, which its guarantee ([`Limits`](crate::Limits)) says that it has.
///
/// The entries below [`NR_RESERVED_ENTRIES`](xen_hypercall::abi::grant_table::NR_RESERVED_ENTRIES), which the toolstack filled,
/// are never touched, nor are those that an earlier kernel of the same domain left in use.
#[derive(Debug)]
pub struct GrantTable {
    shared: [AtomicPtr<Frame>; MAX_FRAMES],
    status: [AtomicPtr<Frame>; MAX_STATUS_FRAMES],
    references: References<WORDS>,
    slots: [Slot; MAX_ACCOUNTS],
    /// References that are free and guaranteed to no account.
    common: AtomicU32,
    ledger: ledger::Ledger,
    /// 0 as long as the table is not in use.
    version: AtomicU32,
    /// The version that was asked for.
    preferred: AtomicU32,
    frames: AtomicU32,
    max_frames: AtomicU32,
    growing: AtomicBool,
    /// Counts resumes.
    epoch: AtomicU32,
    /// Counts accounts.
    opened: AtomicU32,
    counters: report::Counters,
}

impl GrantTable {
    constructor! {
        /// A table that is not in use yet. The first account that is opened finds out how long it may become.
        #[must_use]
        #[allow(clippy::new_without_default, reason = "there is one for a domain")]
        pub fn new() -> Self {
            Self {
                shared: each!(AtomicPtr::new(core::ptr::null_mut())),
                status: each!(AtomicPtr::new(core::ptr::null_mut())),
                references: References::new(),
                slots: each!(Slot::new()),
                common: AtomicU32::new(0),
                ledger: ledger::Ledger::new(),
                version: AtomicU32::new(0),
                preferred: AtomicU32::new(Version::V1.0),
                frames: AtomicU32::new(0),
                max_frames: AtomicU32::new(0),
                growing: AtomicBool::new(false),
                epoch: AtomicU32::new(0),
                opened: AtomicU32::new(0),
                counters: report::Counters::new(),
            }
        }
    }

    /// Chooses the form of the entries, and answers with the one that they have. Version 1, which needs no choice, is right
    /// unless frames have numbers above 32 bits.
    ///
    /// A Xen, or a domain, without version 2 gives version 1 instead.
    ///
    /// # Errors
    ///
    /// [`grant_table::Error::Call`] with [`Errno::BUSY`](xen_hypercall::Errno::BUSY) when the table is in use already, and as Xen
    /// refuses.
    pub fn start<P: Memory>(platform: &P, version: Version) -> Result<Version, grant_table::Error> {
        platform.grant_table().begin(platform, version)
    }

    /// Tries to free up to `budget` pages in quarantine, each once; for the idle loop, or a timer.
    pub fn reap<P: Memory>(platform: &P, budget: u32) -> Reaped {
        let table = platform.grant_table();
        let mut reaped = Reaped::default();
        for _ in 0..budget.min(table.ledger.len()) {
            let Some(held) = table.ledger.claim(table.references_in_use()) else { break };
            reaped.tried += 1;
            if table.reap_one(held) {
                // SAFETY: the page came from this domain's `alloc`, and its entry gives no leave any more.
                unsafe { platform.dealloc(held.page) };
                reaped.freed += 1;
            }
        }
        reaped
    }

    /// Begins a new life of the table after the domain was resumed from a suspend, where Xen has a new, empty one.
    ///
    /// Grants, reservations and accounts from before are stale: they touch nothing any more, and give their pages back. The
    /// table grows again as it is used, up to what Xen allows now, which may be less. Pages in quarantine are freed.
    ///
    /// # Safety
    ///
    /// The domain was really resumed (`SCHEDOP_shutdown` answered 0, not 1), so that no domain has a page of this one any more.
    /// No other CPU uses the table during the call, and no [`Mapping`](crate::Mapping) from before is used after it.
    pub unsafe fn resume<P: Memory>(platform: &P) {
        let table = platform.grant_table();
        while let Some(held) = table.ledger.claim(table.references_in_use()) {
            // SAFETY: the page came from this domain's `alloc`; nobody else has it, as the caller promises.
            unsafe { platform.dealloc(held.page) };
        }
        table.references.clear();
        table.slots.iter().for_each(Slot::clear);
        table
            .shared
            .iter()
            .chain(&table.status)
            .for_each(|frame| frame.store(core::ptr::null_mut(), Ordering::Relaxed));
        table.common.store(0, Ordering::Relaxed);
        table.frames.store(0, Ordering::Relaxed);
        table.version.store(0, Ordering::Relaxed);
        table.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// How many times the domain was resumed.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) const fn common(&self) -> &AtomicU32 {
        &self.common
    }

    #[inline]
    pub(crate) fn slot(&self, index: u16) -> &Slot {
        // The mask cuts nothing off: indices are below the number of slots. It spares a panic.
        &self.slots[usize::from(index) % MAX_ACCOUNTS]
    }

    pub(crate) const fn slots(&self) -> &[Slot; MAX_ACCOUNTS] {
        &self.slots
    }

    /// A number for a new account, which no other one had for a long time.
    pub(crate) fn serial(&self) -> u32 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_v2(&self) -> bool {
        self.version.load(Ordering::Relaxed) == Version::V2.0
    }

    /// Takes up to `count` free references, for as many as an account was charged.
    #[inline]
    pub(crate) fn take(&self, count: u32) -> Option<Taken> {
        self.references.take(|| (self.references_in_use() / PER_WORD) as usize, count)
    }

    /// Takes references back whose entries are blank.
    #[inline]
    pub(crate) fn put(&self, taken: Taken, slot: u16) {
        self.references.put(taken);
        self.slot(slot).repay(taken.count(), &self.common);
    }

    /// An entry within the table.
    #[inline]
    pub(crate) fn entry(&self, gref: GrantRef) -> Option<Entry<'_>> {
        if self.is_v2() { self.entry_v2(gref.0) } else { self.entry_v1(gref.0) }
    }

    /// Makes an entry invalid, and counts what may not happen.
    #[inline]
    pub(crate) fn withdraw(&self, gref: GrantRef, known: u16) -> Result<(), InUse> {
        let entry = self.entry(gref).ok_or(InUse { flags: known })?;
        entry.withdraw(known).inspect_err(|in_use| self.counters.refused(known, *in_use))
    }

    /// Keeps a page that a peer has not given back.
    #[cold]
    pub(crate) fn quarantine(&self, held: Quarantined) {
        self.slot(held.slot).quarantined();
        self.counters.quarantined();
        self.ledger.insert(held);
    }

    /// Counts page addresses that can never be used again, since Xen would not remove what is mapped there.
    pub(crate) fn lose_addresses(&self, count: u32) {
        self.counters.lose_addresses(count);
    }

    #[inline]
    fn references_in_use(&self) -> u32 {
        let per_frame = if self.is_v2() { V2_PER_FRAME } else { V1_PER_FRAME };
        self.frames.load(Ordering::Relaxed) * per_frame
    }

    fn reap_one(&self, held: Quarantined) -> bool {
        let Some(entry) = self.entry(held.gref) else { return false };
        if entry.withdraw(held.flags).is_err() {
            self.ledger.insert(held);
            return false;
        }
        self.counters.reaped();
        self.references.put(taken(held.gref));
        self.slot(held.slot).reaped(&self.common);
        true
    }

    #[inline]
    fn entry_v1(&self, gref: u32) -> Option<Entry<'_>> {
        let frame = place(&self.shared, gref / V1_PER_FRAME)?;
        // SAFETY: the entry is in the frame, which the platform keeps mapped; it is reached through atomics only.
        Some(Entry::V1(unsafe { element::<EntryV1>(frame, gref % V1_PER_FRAME) }))
    }

    #[inline]
    fn entry_v2(&self, gref: u32) -> Option<Entry<'_>> {
        let frame = place(&self.shared, gref / V2_PER_FRAME)?;
        // SAFETY: as for version 1.
        let entry = unsafe { element::<EntryV2>(frame, gref % V2_PER_FRAME) };
        let frame = place(&self.status, gref / STATUS_PER_FRAME)?;
        // SAFETY: as for version 1.
        let status = unsafe { element::<AtomicU16>(frame, gref % STATUS_PER_FRAME) };
        Some(Entry::V2(entry, status))
    }
}

/// What [`GrantTable::reap`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Pages that were looked at.
    pub tried: u32,
    /// Pages that went back to the kernel.
    pub freed: u32,
}

/// One reference, as the free ones are kept.
#[inline]
pub(crate) const fn taken(gref: GrantRef) -> Taken {
    Taken { word: gref.0 / PER_WORD, bits: 1 << (gref.0 % PER_WORD) }
}

#[inline]
fn place(frames: &[AtomicPtr<Frame>], index: u32) -> Option<NonNull<Frame>> {
    NonNull::new(frames.get(index as usize)?.load(Ordering::Relaxed))
}

/// Element `index` of a table frame.
///
/// # Safety
///
/// The frame stays mapped for as long as `'a`, has such an element, and is only reached through atomics of these sizes.
#[inline]
const unsafe fn element<'a, T>(frame: NonNull<Frame>, index: u32) -> &'a T {
    // SAFETY: the element is in the frame.
    let element = unsafe { frame.cast::<T>().add(index as usize) };
    // SAFETY: the caller's promise.
    unsafe { element.as_ref() }
}
