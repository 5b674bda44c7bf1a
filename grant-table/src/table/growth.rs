//! How the table begins and gets longer.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::{GrantRef, NR_RESERVED_ENTRIES};
use xen_hypercall::grant_table::{Error, Version, get_version, query_size, set_version};
use xen_hypercall::{Errno, Frame};

use super::{
    GrantTable, MAX_FRAMES, MAX_REFERENCES, Memory, Ordering, PER_WORD, STATUS_PER_FRAME, Taken, V1_PER_FRAME,
    V2_PER_FRAME, order, place,
};
use crate::error::Refusal;
use crate::platform::TableFrame;

/// How often the lock is looked at: some hundred microseconds, where growth takes some ten.
const SPINS: usize = 10_000;

impl GrantTable {
    /// Chooses the version, and asks how long the table may become.
    pub(super) fn begin<P: Memory>(&self, platform: &P, version: Version) -> Result<Version, Error> {
        let _lock = Lock::take(self).ok_or(Errno::BUSY)?;
        if self.version.load(Ordering::Relaxed) != 0 {
            return Err(Errno::BUSY.into());
        }
        self.preferred.store(version.0, Ordering::Relaxed);
        self.begin_locked(platform)
    }

    /// Finds out what the version is, and how long the table may become, unless that is known.
    pub(crate) fn ensure_begun<P: Memory>(&self, platform: &P) -> Result<(), Refusal> {
        if self.version.load(Ordering::Relaxed) != 0 {
            return Ok(());
        }
        let _lock = Lock::wait(self).ok_or(Refusal::NoGrants)?;
        self.ensure_begun_locked(platform)
    }

    /// Makes the table longer by a frame, unless another CPU just did.
    #[cold]
    pub(crate) fn grow<P: Memory>(&self, platform: &P) -> Result<(), Refusal> {
        let before = self.frames.load(Ordering::Relaxed);
        let _lock = Lock::wait(self).ok_or(Refusal::NoGrants)?;
        self.ensure_begun_locked(platform)?;
        let frame = self.frames.load(Ordering::Relaxed);
        if frame != before {
            return Ok(());
        }
        if frame >= self.max_frames.load(Ordering::Relaxed) {
            return Err(Refusal::NoGrants);
        }
        self.add_places(platform, frame * self.per_frame())?;
        self.map_frame(platform, frame).map_err(Refusal::Table)?;
        self.frames.store(frame + 1, Ordering::Relaxed);
        let added = (frame * self.per_frame()..(frame + 1) * self.per_frame()).step_by(PER_WORD as usize);
        order::pool(&self.common, added.map(|first| self.add_word(first)).sum());
        Ok(())
    }

    fn ensure_begun_locked<P: Memory>(&self, platform: &P) -> Result<(), Refusal> {
        if self.version.load(Ordering::Relaxed) == 0 {
            self.begin_locked(platform).map_err(Refusal::Table)?;
        }
        Ok(())
    }

    fn begin_locked<P: Memory>(&self, platform: &P) -> Result<Version, Error> {
        let version = choose(platform, Version(self.preferred.load(Ordering::Relaxed)))?;
        let size = query_size(platform, DomId::SELF)?;
        self.version.store(version.0, Ordering::Relaxed);
        let max = (MAX_REFERENCES / self.per_frame()).min(MAX_FRAMES as u32);
        self.max_frames.store(size.max_frames.min(max), Ordering::Relaxed);
        Ok(version)
    }

    fn per_frame(&self) -> u32 {
        if self.is_v2() { V2_PER_FRAME } else { V1_PER_FRAME }
    }

    /// Makes places for the pages of a frame's references that go to quarantine.
    fn add_places<P: Memory>(&self, platform: &P, first: u32) -> Result<(), Refusal> {
        if !self.ledger.has_places(first) {
            self.ledger.add_places(first, platform.alloc(NonZeroUsize::MIN).ok_or(Refusal::NoMemory)?);
        }
        Ok(())
    }

    /// Maps a frame, and that of its status words. What a growth before had mapped when it failed is not asked for again.
    fn map_frame<P: Memory>(&self, platform: &P, frame: u32) -> Result<(), Error> {
        if place(&self.shared, frame).is_none() {
            store(&self.shared, frame, platform.map_table_frame(TableFrame::Shared, frame)?);
        }
        let status = frame * V2_PER_FRAME / STATUS_PER_FRAME;
        if self.is_v2() && place(&self.status, status).is_none() {
            store(&self.status, status, platform.map_table_frame(TableFrame::Status, status)?);
        }
        Ok(())
    }

    /// Makes those of a word's references free that can be; tells how many.
    fn add_word(&self, first: u32) -> u32 {
        let usable =
            |gref: u32| gref >= NR_RESERVED_ENTRIES && self.entry(GrantRef(gref)).is_some_and(|entry| entry.is_blank());
        let bits = (0..PER_WORD).filter(|bit| usable(first + bit)).fold(0, |bits, bit| bits | 1 << bit);
        let taken = Taken { word: first / PER_WORD, bits };
        self.references.add(taken);
        taken.count()
    }
}

/// Brings the table into the wanted version if Xen has it. An earlier kernel of the domain may have left it in the other one.
fn choose<P: Memory>(platform: &P, wanted: Version) -> Result<Version, Error> {
    match get_version(platform, DomId::SELF) {
        Ok(version) if version == wanted => return Ok(version),
        Err(Errno::NOSYS) => return Ok(Version::V1),
        _ => {}
    }
    // SAFETY: no frame of the table is mapped yet, so that nobody writes entries in either form.
    match unsafe { set_version(platform, wanted) } {
        Ok(version) => Ok(version),
        Err(Errno::NOSYS) => Ok(Version::V1),
        Err(errno) => Err(errno.into()),
    }
}

fn store(frames: &[super::AtomicPtr<Frame>], index: u32, frame: NonNull<Frame>) {
    if let Some(place) = frames.get(index as usize) {
        place.store(frame.as_ptr(), Ordering::Relaxed);
    }
}

/// The right to change the table's size.
struct Lock<'a>(&'a GrantTable);

impl<'a> Lock<'a> {
    fn take(table: &'a GrantTable) -> Option<Self> {
        order::try_lock(&table.growing).then_some(Self(table))
    }

    /// Gives another CPU the time to finish. Not more: it may be this one, before an interrupt, or not run at all now.
    fn wait(table: &'a GrantTable) -> Option<Self> {
        (0..SPINS).find_map(|_| {
            core::hint::spin_loop();
            Self::take(table)
        })
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        order::unlock(&self.0.growing);
    }
}
