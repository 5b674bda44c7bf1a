//! Addresses, and the foreign pages that are mapped there.

use core::fmt;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{GrantRef, Handle, MapFlags, MapGrantRef, UnmapGrantRef};
use xen_hypercall::{Errno, Frame};
use xen_shared_ring::SharedMem;

use super::MapError;
use crate::platform::Memory;
use crate::retry::{self, BATCH, outcome};
use crate::run::MAX_RUN;

/// Adjacent addresses that the platform set aside, and what is mapped there.
pub(super) struct Pages<P: Memory> {
    platform: P,
    epoch: u32,
    first: NonNull<Frame>,
    count: usize,
    handles: [Option<Handle>; MAX_RUN],
}

// SAFETY: the addresses are the value's alone, on whatever CPU that is.
unsafe impl<P: Memory + Send> Send for Pages<P> {}

impl<P: Memory> Pages<P> {
    /// Maps pages in this order: all, or none.
    pub(super) fn map(platform: P, peer: DomId, grefs: &[GrantRef], flags: MapFlags) -> Result<Self, MapError> {
        let mut pages = Self::reserve(platform, grefs.len())?;
        let mut operations = [MapGrantRef::default(); MAX_RUN];
        for (index, (operation, gref)) in operations.iter_mut().zip(grefs).enumerate() {
            *operation = pages.operation(index, peer, *gref, flags);
        }
        let (operations, _) = operations.split_at_mut(grefs.len().min(MAX_RUN));
        // SAFETY: the addresses were set aside for this; what is there is reached through `SharedMem` only.
        let call = unsafe { retry::map(&pages.platform, operations) };
        let mut all = Ok(());
        for (index, operation) in operations.iter().enumerate() {
            all = all.and(pages.keep(index, operation, call));
        }
        all.map(|()| pages)
    }

    /// The pages as one memory, which is there as long as `self`.
    pub(super) fn memory(&self) -> Result<SharedMem, MapError> {
        let first = self.platform.mapped(self.first);
        let expected = |index| first.addr().get().wrapping_add(index * PAGE_SIZE);
        let adjacent = |index| self.platform.mapped(self.address(index)).addr().get() == expected(index);
        if !(0..self.count).all(adjacent) {
            return Err(MapError::NotAdjacent);
        }
        // SAFETY: the pages are mapped, adjacent, and reached here only. Those that are mapped for reading are a `ReadMapping`'s,
        // which only loads.
        Ok(unsafe { SharedMem::new(first.cast(), self.count * PAGE_SIZE) })
    }

    /// Unmaps what is mapped, in one call.
    pub(super) fn unmap(&mut self) -> Result<(), MapError> {
        if self.platform.grant_table().epoch() != self.epoch {
            return Ok(());
        }
        let mut operations = [UnmapGrantRef::default(); MAX_RUN];
        let live = self.handles.iter().enumerate().filter_map(|(index, handle)| handle.map(|handle| (index, handle)));
        let mut count = 0;
        for (operation, (index, handle)) in operations.iter_mut().zip(live) {
            let host_addr = self.platform.host_address(self.address(index));
            *operation = UnmapGrantRef { host_addr, handle, ..UnmapGrantRef::default() };
            count += 1;
        }
        let (operations, _) = operations.split_at_mut(count);
        if operations.is_empty() {
            return Ok(());
        }
        // SAFETY: nobody uses the addresses any more: who calls this gives the memory up.
        let call = unsafe { retry::unmap(&self.platform, operations) };
        self.unmapped(operations, call)
    }

    /// Sets addresses aside.
    fn reserve(platform: P, count: usize) -> Result<Self, MapError> {
        let wanted = NonZeroUsize::new(count).filter(|_| count <= MAX_RUN).ok_or(MapError::Count)?;
        let first = platform.reserve_foreign(wanted).ok_or(MapError::NoAddresses)?;
        let epoch = platform.grant_table().epoch();
        Ok(Self { platform, epoch, first, count, handles: [None; MAX_RUN] })
    }

    fn operation(&self, index: usize, dom: DomId, gref: GrantRef, flags: MapFlags) -> MapGrantRef {
        let host_addr = self.platform.host_address(self.address(index));
        MapGrantRef { host_addr, flags, gref, dom, ..MapGrantRef::default() }
    }

    /// Notes what is mapped.
    fn keep(&mut self, index: usize, operation: &MapGrantRef, call: Result<(), Errno>) -> Result<(), MapError> {
        outcome(operation, call).map_err(|error| MapError::Xen { index, error })?;
        if let Some(handle) = self.handles.get_mut(index) {
            *handle = Some(operation.handle);
        }
        Ok(())
    }

    /// Notes what is not mapped any more, in the order of the handles; tells the first refusal.
    fn unmapped(&mut self, operations: &[UnmapGrantRef], call: Result<(), Errno>) -> Result<(), MapError> {
        let mut all = Ok(());
        let live = self.handles.iter_mut().enumerate().filter(|(_, handle)| handle.is_some());
        for ((index, handle), operation) in live.zip(operations) {
            match outcome(operation, call) {
                Ok(()) => *handle = None,
                Err(error) => all = all.and(Err(MapError::Xen { index, error })),
            }
        }
        all
    }

    const fn address(&self, index: usize) -> NonNull<Frame> {
        // Not `add`: nothing is there, and the addresses need not be those of an object.
        let address = self.first.as_ptr().wrapping_add(index);
        match NonNull::new(address) {
            Some(address) => address,
            None => self.first,
        }
    }
}

impl<P: Memory> Drop for Pages<P> {
    /// Unmaps what is left, and gives back those addresses at which nothing is mapped for certain.
    fn drop(&mut self) {
        let _ = self.unmap();
        let mut lost = 0;
        for index in 0..self.count {
            match self.handles.get(index) {
                // SAFETY: the address was set aside, nothing is mapped there, and it is used no more.
                Some(None) => unsafe { self.platform.release_foreign(self.address(index)) },
                _ => lost += 1,
            }
        }
        if lost > 0 {
            self.platform.grant_table().lose_addresses(lost);
        }
    }
}

impl<P: Memory> fmt::Debug for Pages<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("first", &self.first).field("count", &self.count).finish_non_exhaustive()
    }
}

/// Maps pages independently of each other, a batch in each call.
pub(super) fn map_each<P: Memory + Clone>(
    platform: &P,
    peer: DomId,
    grefs: &[GrantRef],
    flags: MapFlags,
    mut each: impl FnMut(usize, Result<Pages<P>, MapError>),
) {
    for (batch, grefs) in grefs.chunks(BATCH).enumerate() {
        map_batch(platform, peer, grefs, flags, |index, pages| each(batch * BATCH + index, pages));
    }
}

fn map_batch<P: Memory + Clone>(
    platform: &P,
    peer: DomId,
    grefs: &[GrantRef],
    flags: MapFlags,
    mut each: impl FnMut(usize, Result<Pages<P>, MapError>),
) {
    let mut places: [Option<(usize, Pages<P>)>; BATCH] = [const { None }; BATCH];
    let mut operations = [MapGrantRef::default(); BATCH];
    let mut count = 0;
    for (index, gref) in grefs.iter().enumerate() {
        match (Pages::reserve(platform.clone(), 1), operations.get_mut(count), places.get_mut(count)) {
            (Ok(pages), Some(operation), Some(place)) => {
                *operation = pages.operation(0, peer, *gref, flags);
                *place = Some((index, pages));
                count += 1;
            }
            (Err(error), ..) => each(index, Err(error)),
            _ => each(index, Err(MapError::Count)),
        }
    }
    let (operations, _) = operations.split_at_mut(count.min(BATCH));
    // SAFETY: the addresses were set aside for this; what is there is reached through `SharedMem` only.
    let call = unsafe { retry::map(platform, operations) };
    for ((index, mut pages), operation) in places.into_iter().flatten().zip(operations.iter()) {
        each(index, pages.keep(0, operation, call).map(|()| pages));
    }
}
