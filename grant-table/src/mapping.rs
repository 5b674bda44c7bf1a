//! Pages of other domains, mapped.

mod batch;

use core::fmt;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{GrantRef, Handle, MapFlags, MapGrantRef, Status, UnmapGrantRef};
use xen_hypercall::{Frame, grant_table};
use xen_shared_ring::{Region, SharedMem};

use crate::platform::Memory;
use crate::retry::{map, unmap};
use crate::run::MAX_RUN;

pub use batch::map_each;

/// Why a foreign page is not mapped.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The caller: no page, or more than [`MAX_RUN`].
    Count,
    /// Resources: the kernel has no addresses to map so many pages at.
    NoAddresses,
    /// The kernel cannot reach the pages as adjacent ones, though it set adjacent addresses aside.
    NotAdjacent,
    /// Xen refused a page. [`Status::BAD_GNTREF`] and [`Status::BAD_DOMAIN`] are the peer's doing, [`Status::EAGAIN`]
    /// too: it kept the page away for all of 256 tries.
    Xen {
        /// Which of the pages.
        index: usize,
        /// What Xen said.
        error: grant_table::Error,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => write!(f, "between 1 and {MAX_RUN} pages can be mapped together"),
            Self::NoAddresses => f.write_str("the kernel has no addresses left for foreign pages"),
            Self::NotAdjacent => f.write_str("the foreign pages are not reached as adjacent ones"),
            Self::Xen { index, error } => write!(f, "foreign page {index} cannot be mapped: {error}"),
        }
    }
}

impl core::error::Error for MapError {}

/// Pages of another domain at adjacent addresses, readable and writable: the memory of a ring that the other domain made.
///
/// The other domain can change what is in them at any time, and cannot take them away: revoking fails as long as they are
/// mapped here. Dropping it unmaps them in one call. Addresses at which Xen would not unmap are never used again; they
/// are counted in [`Statistics::lost_addresses`](crate::Statistics::lost_addresses).
#[derive(Debug)]
pub struct Mapping<P: Memory> {
    memory: SharedMem,
    pages: Pages<P>,
}

// SAFETY: the pages stay mapped for as long as the value lives; only it reaches them in this domain.
unsafe impl<P: Memory> Region for Mapping<P> {
    fn memory(&self) -> &SharedMem {
        &self.memory
    }
}

impl<P: Memory> Mapping<P> {
    /// Maps pages that `peer` granted for writing, in this order. All of them, or none.
    ///
    /// # Errors
    ///
    /// [`MapError`]; pages that Xen had mapped are unmapped again.
    pub fn map(platform: P, peer: DomId, grefs: &[GrantRef]) -> Result<Self, MapError> {
        let pages = Pages::map(platform, peer, grefs, MapFlags::HOST_MAP)?;
        Ok(Self { memory: pages.memory()?, pages })
    }

    /// Unmaps the pages.
    ///
    /// # Errors
    ///
    /// The first refusal of Xen; the addresses of such pages are lost, and those pages stay mapped.
    pub fn unmap(self) -> Result<(), MapError> {
        self.pages.unmap()
    }
}

/// Pages of another domain at adjacent addresses, which can only be copied from.
///
/// Otherwise as a [`Mapping`].
#[derive(Debug)]
pub struct ReadMapping<P: Memory> {
    memory: SharedMem,
    pages: Pages<P>,
}

impl<P: Memory> ReadMapping<P> {
    /// Maps pages that `peer` granted, in this order. All of them, or none.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::map`].
    pub fn map(platform: P, peer: DomId, grefs: &[GrantRef]) -> Result<Self, MapError> {
        let pages = Pages::map(platform, peer, grefs, MapFlags::HOST_MAP | MapFlags::READONLY)?;
        Ok(Self { memory: pages.memory()?, pages })
    }

    /// Copies bytes from `offset` on into `into`, and returns how many there were before the end of the pages. The other
    /// domain may have changed them when the call is back.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        self.memory.read(offset, into)
    }

    /// Unmaps the pages.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::unmap`].
    pub fn unmap(self) -> Result<(), MapError> {
        self.pages.unmap()
    }
}

/// Addresses with foreign pages; those of which the element's status is okay.
struct Pages<P: Memory> {
    platform: P,
    epoch: u32,
    first: NonNull<Frame>,
    count: NonZeroUsize,
    /// A bit for each page that is mapped.
    live: u32,
    handles: [Handle; MAX_RUN],
}

// SAFETY: the addresses are the value's alone, on whatever CPU that is.
unsafe impl<P: Memory + Send> Send for Pages<P> {}

impl<P: Memory> Pages<P> {
    fn map(platform: P, peer: DomId, grefs: &[GrantRef], flags: MapFlags) -> Result<Self, MapError> {
        let count = NonZeroUsize::new(grefs.len()).filter(|count| count.get() <= MAX_RUN).ok_or(MapError::Count)?;
        let first = platform.reserve_foreign(count).ok_or(MapError::NoAddresses)?;
        let epoch = platform.grant_table().epoch();
        let mut pages = Self { platform, epoch, first, count, live: 0, handles: [Handle(0); MAX_RUN] };
        let mut operations = [MapGrantRef::default(); MAX_RUN];
        for (index, (operation, gref)) in operations.iter_mut().zip(grefs).enumerate() {
            let host_addr = pages.host_address(index);
            *operation = MapGrantRef { host_addr, flags, gref: *gref, dom: peer, ..MapGrantRef::default() };
        }
        let (operations, _) = operations.split_at_mut(count.get().min(MAX_RUN));
        // SAFETY: the addresses were set aside for this; what is mapped there is reached by `SharedMem` only.
        let call = unsafe { map(&pages.platform, operations) };
        pages.keep(operations);
        pages.verdict(operations.iter().map(|operation| operation.status), call)?;
        Ok(pages)
    }

    /// Notes which pages are mapped.
    fn keep(&mut self, operations: &[MapGrantRef]) {
        for (index, (operation, handle)) in operations.iter().zip(&mut self.handles).enumerate() {
            if operation.status == Status::OKAY {
                *handle = operation.handle;
                self.live |= 1 << index;
            }
        }
    }

    /// The pages as memory. They stay mapped at least as long as `self`.
    fn memory(&self) -> Result<SharedMem, MapError> {
        let first = self.platform.mapped(self.first);
        let adjacent = |index| {
            let expected = first.addr().get().wrapping_add(index * PAGE_SIZE);
            self.platform.mapped(self.address(index)).addr().get() == expected
        };
        if !(0..self.count.get()).all(adjacent) {
            return Err(MapError::NotAdjacent);
        }
        // SAFETY: they are mapped, adjacent, and reached here only.
        Ok(unsafe { SharedMem::new(first.cast(), self.count.get() * PAGE_SIZE) })
    }

    fn unmap(mut self) -> Result<(), MapError> {
        self.remove()
    }

    /// Unmaps what is mapped, in one call, and gives the addresses back where Xen did so.
    fn remove(&mut self) -> Result<(), MapError> {
        let mut operations = [UnmapGrantRef::default(); MAX_RUN];
        let mut places = [0; MAX_RUN];
        let live = (0..MAX_RUN).filter(|index| self.live & 1 << index != 0);
        let mut count = 0;
        for ((operation, place), index) in operations.iter_mut().zip(&mut places).zip(live) {
            *operation = self.removal(index);
            *place = index;
            count += 1;
        }
        let (operations, _) = operations.split_at_mut(count);
        if self.platform.grant_table().epoch() != self.epoch || operations.is_empty() {
            return Ok(());
        }
        // SAFETY: nobody uses the addresses any more: the memory was the value's alone.
        let call = unsafe { unmap(&self.platform, operations) };
        for (operation, place) in operations.iter().zip(places) {
            if operation.status == Status::OKAY {
                self.live &= !(1 << place);
            }
        }
        self.verdict(operations.iter().map(|operation| operation.status), call)
    }

    fn removal(&self, index: usize) -> UnmapGrantRef {
        let handle = self.handles.get(index).copied().unwrap_or_default();
        UnmapGrantRef { host_addr: self.host_address(index), handle, ..UnmapGrantRef::default() }
    }

    /// The first thing that went wrong.
    fn verdict(
        &self,
        mut statuses: impl Iterator<Item = Status>,
        call: Result<(), xen_hypercall::Errno>,
    ) -> Result<(), MapError> {
        let failed = statuses.position(|status| status != Status::OKAY);
        match (failed, call) {
            (None, _) => Ok(()),
            (Some(index), Err(errno)) => Err(MapError::Xen { index, error: errno.into() }),
            (Some(index), Ok(())) => todo!(),
        }
    }

    fn host_address(&self, index: usize) -> u64 {
        self.platform.host_address(self.address(index))
    }

    const fn address(&self, index: usize) -> NonNull<Frame> {
        todo!()
    }
}
