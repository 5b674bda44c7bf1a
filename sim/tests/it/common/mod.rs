//! A guest that writes its grant table by hand, so that the simulator is tested apart from the crates above it.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod wire;

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use xen_grant_table::{Memory, TableFrame};
use xen_hypercall::abi::grant_table::{
    Copy, CopyFlags, CopyPtr, GrantFlags, GrantRef, Handle, MapFlags, MapGrantRef, Status, UnmapGrantRef,
};
use xen_hypercall::abi::{DomId, Gfn};
use xen_hypercall::grant_table::{self, Error};
use xen_hypercall::{Frame, Pages};
use xen_sim::{Domain, Machine};

/// Two domains on a machine.
pub(crate) fn pair(machine: &Machine) -> (Domain, Domain) {
    (machine.domain(), machine.domain())
}

/// A page of a domain's.
pub(crate) fn page(domain: &Domain) -> NonNull<Frame> {
    domain.alloc(NonZeroUsize::MIN).expect("there are pages")
}

/// Gives a page back.
pub(crate) fn free(domain: &Domain, page: NonNull<Frame>) {
    // SAFETY: the tests that do this wrongly are about what the simulator says to it.
    unsafe { domain.dealloc(page) };
}

/// A word of a page.
pub(crate) fn word(page: NonNull<Frame>, offset: usize) -> &'static AtomicU32 {
    assert!(offset < size_of::<Frame>());
    // SAFETY: inside the page.
    let at = unsafe { page.cast::<u8>().add(offset) };
    // SAFETY: the tests keep their machine, and reach shared pages by atomics.
    unsafe { AtomicU32::from_ptr(at.cast().as_ptr()) }
}

fn half(page: NonNull<Frame>, offset: usize) -> &'static AtomicU16 {
    assert!(offset < size_of::<Frame>());
    // SAFETY: inside the page.
    let at = unsafe { page.cast::<u8>().add(offset) };
    // SAFETY: as in `word`.
    unsafe { AtomicU16::from_ptr(at.cast().as_ptr()) }
}

/// The first frame of a domain's table, in version 1.
#[derive(Clone, Copy)]
pub(crate) struct Table(NonNull<Frame>);

impl Table {
    pub(crate) fn of(domain: &Domain) -> Self {
        Self(domain.map_table_frame(TableFrame::Shared, 0).expect("the first frame is there"))
    }

    pub(crate) const fn frame(self) -> NonNull<Frame> {
        self.0
    }

    /// Makes an entry, as the header says: domain, frame, then flags.
    pub(crate) fn grant(self, gref: u32, to: DomId, page: Gfn, flags: GrantFlags) -> GrantRef {
        let at = gref as usize * 8;
        half(self.0, at + 2).store(to.0, Ordering::Relaxed);
        word(self.0, at + 4).store(page.0 as u32, Ordering::Relaxed);
        half(self.0, at).store((GrantFlags::PERMIT_ACCESS | flags).bits(), Ordering::Release);
        GrantRef(gref)
    }

    /// The same in version 2.
    pub(crate) fn grant_v2(self, gref: u32, to: DomId, page: Gfn, flags: GrantFlags, part: (u16, u16)) -> GrantRef {
        let at = gref as usize * 16;
        half(self.0, at + 2).store(to.0, Ordering::Relaxed);
        half(self.0, at + 4).store(part.0, Ordering::Relaxed);
        half(self.0, at + 6).store(part.1, Ordering::Relaxed);
        // SAFETY: inside the page, for the entries that tests use.
        let frame = unsafe { self.0.cast::<u8>().add(at + 8) };
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(frame.cast().as_ptr()) }.store(page.0, Ordering::Relaxed);
        half(self.0, at).store(flags.bits(), Ordering::Release);
        GrantRef(gref)
    }

    pub(crate) fn flags(self, gref: GrantRef) -> GrantFlags {
        GrantFlags::from_bits_retain(half(self.0, gref.0 as usize * 8).load(Ordering::Acquire))
    }

    /// Ends an entry without looking whether it is in use.
    pub(crate) fn clear(self, gref: GrantRef) {
        half(self.0, gref.0 as usize * 8).store(0, Ordering::Release);
    }

    pub(crate) fn clear_v2(self, gref: GrantRef) {
        half(self.0, gref.0 as usize * 16).store(0, Ordering::Release);
    }

    /// A status word of version 2, where this is the frame of those.
    pub(crate) fn status(frame: NonNull<Frame>, gref: GrantRef) -> u16 {
        half(frame, gref.0 as usize * 2).load(Ordering::Acquire)
    }
}

/// A page of `owner` granted to `to` by entry 8.
pub(crate) fn granted(owner: &Domain, to: &Domain, flags: GrantFlags) -> (NonNull<Frame>, Table, GrantRef) {
    let (page, table) = (page(owner), Table::of(owner));
    let gref = table.grant(8, to.id(), owner.gfn(page), flags);
    (page, table, gref)
}

/// A page that is mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) handle: Handle,
    pub(crate) address: u64,
    pub(crate) at: NonNull<Frame>,
}

pub(crate) fn map(user: &Domain, owner: DomId, gref: GrantRef, flags: MapFlags) -> Result<Mapped, Status> {
    let at = user.reserve_foreign(NonZeroUsize::MIN).expect("there are addresses");
    let address = user.host_address(at);
    let operation = MapGrantRef { host_addr: address, flags, gref, dom: owner, ..MapGrantRef::default() };
    // SAFETY: a fresh address, and the tests reach what is mapped by atomics.
    let mapped = unsafe { grant_table::map_one(user, operation) }.map_err(status)?;
    Ok(Mapped { handle: mapped.handle, address, at })
}

pub(crate) fn unmap(user: &Domain, mapped: Mapped) -> Result<(), Status> {
    let (host_addr, handle) = (mapped.address, mapped.handle);
    let operation = UnmapGrantRef { host_addr, handle, ..UnmapGrantRef::default() };
    // SAFETY: nothing uses the address any more.
    unsafe { grant_table::unmap_one(user, operation) }.map_err(status)
}

pub(crate) fn copy(user: &Domain, source: CopyPtr, dest: CopyPtr, len: u16, flags: CopyFlags) -> Result<(), Status> {
    let operation = Copy { source, dest, len, flags, ..Copy::default() };
    // SAFETY: own frames in these tests are pages that nobody has a reference to.
    unsafe { grant_table::copy_one(user, operation) }.map_err(status)
}

fn status(error: Error) -> Status {
    match error {
        Error::Status(status) => status,
        error => panic!("the call was refused: {error}"),
    }
}
