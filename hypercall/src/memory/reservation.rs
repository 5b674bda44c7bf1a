//! How much memory the domain has.

use core::fmt;

use super::{Pages, operation};
use crate::abi::memory::{Command, Domain, Exchange, MemFlags, Reservation};
use crate::abi::{DomId, Gfn, Mfn, Pfn};
use crate::{Errno, Hypercall};

/// Adds extents of `2^order` pages each, which have no place in the guest yet, and tells their first frames. Answers
/// with how many extents there were to get: from the start of `frames`, and maybe none.
///
/// # Errors
///
/// [`Errno::INVAL`] for an argument that Xen does not understand. Lack of memory is no error but a short count.
///
/// Source: `XENMEM_increase_reservation`, public/memory.h
pub fn increase_reservation<H: Hypercall>(
    xen: &H,
    frames: &mut [Mfn],
    order: u32,
    flags: MemFlags,
) -> Result<usize, Errno> {
    let mut reservation = extents(frames.as_mut_ptr().cast(), frames.len(), order, flags);
    // SAFETY: Xen writes at most the frames, and takes nothing away.
    let done = unsafe { operation(xen, Command::INCREASE_RESERVATION, &raw mut reservation) }?;
    Ok(done.min(frames.len()))
}

/// Gives extents of `2^order` pages each back to Xen. Answers with how many it took, from the start of `frames`.
///
/// # Errors
///
/// [`Errno::INVAL`] for an argument that Xen does not understand. A frame that it cannot take, because it is not the
/// domain's or is still mapped elsewhere, is no error but ends the work with a short count.
///
/// # Safety
///
/// The pages are gone: nothing may refer to them.
///
/// Source: `XENMEM_decrease_reservation`, public/memory.h
pub unsafe fn decrease_reservation<H: Hypercall>(xen: &H, frames: &[Gfn], order: u32) -> Result<usize, Errno> {
    let list = frames.as_ptr().cast_mut();
    let mut reservation = extents(list, frames.len(), order, MemFlags::empty());
    // SAFETY: Xen reads the frames; the caller answers for the pages.
    let done = unsafe { operation(xen, Command::DECREASE_RESERVATION, &raw mut reservation) }?;
    Ok(done.min(frames.len()))
}

/// Adds extents of `2^order` pages each at the places that `frames` names. Answers with how many it added, from the
/// start of `frames`; a PV guest finds their machine frames in the places' stead.
///
/// # Errors
///
/// [`Errno::INVAL`] for an argument that Xen does not understand. Lack of memory is no error but a short count.
///
/// # Safety
///
/// What was at those places is gone: nothing may refer to it.
///
/// Source: `XENMEM_populate_physmap`, public/memory.h
pub unsafe fn populate_physmap<H: Hypercall>(
    xen: &H,
    frames: &mut [Gfn],
    order: u32,
    flags: MemFlags,
) -> Result<usize, Errno> {
    let mut reservation = extents(frames.as_mut_ptr(), frames.len(), order, flags);
    // SAFETY: Xen reads and writes the frames; the caller answers for what was there.
    let done = unsafe { operation(xen, Command::POPULATE_PHYSMAP, &raw mut reservation) }?;
    Ok(done.min(frames.len()))
}

/// Why an [`exchange`] stopped, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeError {
    /// Why.
    pub errno: Errno,
    /// How many of the given extents are exchanged nevertheless: the first ones. The others are untouched.
    pub exchanged: usize,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exchange stopped after {} extents: {}", self.exchanged, self.errno)
    }
}

impl core::error::Error for ExchangeError {}

/// Exchanges the extents in `given`, of `2^given_order` pages each, for others of `2^taken_order` pages: `taken`
/// names the places they get, and tells their machine frames afterwards. Both come to the same number of pages.
/// PV only, and the way to memory that is contiguous in the machine.
///
/// # Errors
///
/// [`Errno::INVAL`] where the sums differ or a frame is not the domain's to give, [`Errno::NOMEM`] where Xen has no
/// such memory, [`Errno::PERM`] for extents larger than the domain may have. Part of the work may be done: see
/// [`ExchangeError::exchanged`].
///
/// # Safety
///
/// The given pages are gone: nothing may refer to them.
///
/// Source: `XENMEM_exchange`, public/memory.h
pub unsafe fn exchange<H: Hypercall>(
    xen: &H,
    given: &[Gfn],
    given_order: u32,
    taken: &mut [Gfn],
    taken_order: u32,
    flags: MemFlags,
) -> Result<(), ExchangeError> {
    let list = given.as_ptr().cast_mut();
    let mut exchange = Exchange {
        input: extents(list, given.len(), given_order, MemFlags::empty()),
        output: extents(taken.as_mut_ptr(), taken.len(), taken_order, flags),
        nr_exchanged: 0,
    };
    // SAFETY: Xen reads the given frames, and reads and writes the taken ones; the caller answers for the pages.
    let answer = unsafe { operation(xen, Command::EXCHANGE, &raw mut exchange) };
    answer
        .map(drop)
        .map_err(|errno| ExchangeError { errno, exchanged: given.len().min(exchange.nr_exchanged as usize) })
}

const fn extents(frames: *mut Gfn, count: usize, order: u32, flags: MemFlags) -> Reservation {
    Reservation {
        extent_start: frames,
        nr_extents: count as u64,
        extent_order: order,
        mem_flags: flags,
        domid: DomId::SELF,
        _pad: [0; 3],
    }
}

/// How much memory `dom` has. `dom` is [`DomId::SELF`] for all but privileged domains, here and below.
///
/// # Errors
///
/// [`Errno::SRCH`] and [`Errno::PERM`] for other domains.
///
/// Source: `XENMEM_current_reservation`, public/memory.h
pub fn current_reservation<H: Hypercall>(xen: &H, dom: DomId) -> Result<Pages, Errno> {
    ask(xen, Command::CURRENT_RESERVATION, dom).map(Pages)
}

/// How much memory `dom` may have.
///
/// # Errors
///
/// As for [`current_reservation`].
///
/// Source: `XENMEM_maximum_reservation`, public/memory.h
pub fn maximum_reservation<H: Hypercall>(xen: &H, dom: DomId) -> Result<Pages, Errno> {
    ask(xen, Command::MAXIMUM_RESERVATION, dom).map(Pages)
}

/// The last frame in use in `dom`'s own numbering.
///
/// # Errors
///
/// As for [`current_reservation`].
///
/// Source: `XENMEM_maximum_gpfn`, public/memory.h
pub fn maximum_gpfn<H: Hypercall>(xen: &H, dom: DomId) -> Result<Pfn, Errno> {
    ask(xen, Command::MAXIMUM_GPFN, dom).map(|frame| Pfn(frame as u64))
}

fn ask<H: Hypercall>(xen: &H, which: Command, dom: DomId) -> Result<usize, Errno> {
    let mut domain = Domain { domid: dom };
    // SAFETY: Xen reads the structure.
    unsafe { operation(xen, which, &raw mut domain) }
}

/// The last frame of the machine's memory.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENMEM_maximum_ram_page`, public/memory.h
pub fn maximum_ram_page<H: Hypercall>(xen: &H) -> Result<Mfn, Errno> {
    // SAFETY: the command takes no argument.
    let frame = unsafe { operation::<_, ()>(xen, Command::MAXIMUM_RAM_PAGE, core::ptr::null_mut()) }?;
    Ok(Mfn(frame as u64))
}
