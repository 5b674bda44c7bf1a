//! The use of pages that other domains granted.

use super::{Error, batch, call, one};
use crate::abi::grant_table::{CacheFlush, Command, Copy, Handle, MapGrantRef, UnmapAndReplace, UnmapGrantRef};
use crate::{Errno, Hypercall};

/// Maps pages of other domains. Each element gets a status of its own, and a failed one keeps no other from being
/// carried out: look at every [`status`](MapGrantRef::status), and [`unmap`] those that succeeded if all or nothing
/// is wanted.
///
/// # Errors
///
/// [`Errno`] where Xen refused the call as a whole. Elements that it got to have their status, the others
/// [`NOT_REACHED`](super::NOT_REACHED).
///
/// # Safety
///
/// Nothing else may be mapped at the addresses that the elements name, nor any reference point there. What is mapped
/// is another domain's memory, which may change at any time: it is reached through atomics or raw pointers only.
///
/// Source: `GNTTABOP_map_grant_ref`, public/grant_table.h
#[inline]
pub unsafe fn map<H: Hypercall>(xen: &H, operations: &mut [MapGrantRef]) -> Result<(), Errno> {
    // SAFETY: Xen reads and writes the elements; the caller answers for the addresses.
    unsafe { batch(xen, operations) }
}

/// What Xen tells about a page that it mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The mapping's number, which [`unmap`] needs.
    pub handle: Handle,
    /// The page's address for devices, where that was asked for.
    pub dev_bus_addr: u64,
}

/// Maps one page of another domain.
///
/// # Errors
///
/// [`Status`](super::Status) as Xen gave it, [`Errno`] where it refused the call.
///
/// # Safety
///
/// As for [`map`].
///
/// Source: `GNTTABOP_map_grant_ref`, public/grant_table.h
#[inline]
pub unsafe fn map_one<H: Hypercall>(xen: &H, operation: MapGrantRef) -> Result<Mapped, Error> {
    // SAFETY: as for `map`.
    let answer = unsafe { one(xen, operation) }?;
    Ok(Mapped { handle: answer.handle, dev_bus_addr: answer.dev_bus_addr })
}

/// Removes mappings. Each element gets a status of its own. Once the call is back, no processor's translation leads
/// to a page that was unmapped.
///
/// # Errors
///
/// As for [`map`].
///
/// # Safety
///
/// Nothing may use the addresses afterwards. An element's addresses must be those of its handle: what Xen does
/// otherwise is not defined.
///
/// Source: `GNTTABOP_unmap_grant_ref`, public/grant_table.h
#[inline]
pub unsafe fn unmap<H: Hypercall>(xen: &H, operations: &mut [UnmapGrantRef]) -> Result<(), Errno> {
    // SAFETY: Xen reads and writes the elements; the caller answers for the addresses.
    unsafe { batch(xen, operations) }
}

/// Removes one mapping.
///
/// # Errors
///
/// [`Status`](super::Status) as Xen gave it, [`Errno`] where it refused the call. The page is still mapped then.
///
/// # Safety
///
/// As for [`unmap`].
///
/// Source: `GNTTABOP_unmap_grant_ref`, public/grant_table.h
#[inline]
pub unsafe fn unmap_one<H: Hypercall>(xen: &H, operation: UnmapGrantRef) -> Result<(), Error> {
    // SAFETY: as for `unmap`.
    unsafe { one(xen, operation) }.map(drop)
}

/// Removes mappings and puts, in the same step, what is mapped at a second address in the place of each. Nothing is
/// mapped at the second address afterwards. PV only.
///
/// # Errors
///
/// As for [`map`].
///
/// # Safety
///
/// Nothing may use the second addresses afterwards, and what is then at the first ones must be fit for whoever uses
/// those. An element's first address must be that of its handle.
///
/// Source: `GNTTABOP_unmap_and_replace`, public/grant_table.h
#[inline]
pub unsafe fn unmap_and_replace<H: Hypercall>(xen: &H, operations: &mut [UnmapAndReplace]) -> Result<(), Errno> {
    // SAFETY: Xen reads and writes the elements; the caller answers for the addresses.
    unsafe { batch(xen, operations) }
}

/// Copies bytes between pages, granted or the domain's own, without mapping any. Each element gets a status of its
/// own, and a failed one keeps no other from being carried out.
///
/// # Errors
///
/// As for [`map`].
///
/// # Safety
///
/// Where an element copies to a frame of the domain's own, those bytes must be nobody's; where it copies from one,
/// they must be fit for the other domain to see.
///
/// Source: `GNTTABOP_copy`, public/grant_table.h
#[inline]
pub unsafe fn copy<H: Hypercall>(xen: &H, operations: &mut [Copy]) -> Result<(), Errno> {
    // SAFETY: Xen reads and writes the elements; the caller answers for the frames.
    unsafe { batch(xen, operations) }
}

/// Copies bytes between two pages.
///
/// # Errors
///
/// [`Status`](super::Status) as Xen gave it, [`Errno`] where it refused the call. Some of the bytes may be copied.
///
/// # Safety
///
/// As for [`copy`].
///
/// Source: `GNTTABOP_copy`, public/grant_table.h
#[inline]
pub unsafe fn copy_one<H: Hypercall>(xen: &H, operation: Copy) -> Result<(), Error> {
    // SAFETY: as for `copy`.
    unsafe { one(xen, operation) }.map(drop)
}

/// Cleans or invalidates caches over parts of pages, in order, up to the first that Xen refuses. ARM only.
///
/// # Errors
///
/// [`Errno::NOSYS`] elsewhere, [`Errno::INVAL`] for a part beyond its page or an operation that does not exist,
/// [`Errno::PERM`] for a page that is neither the domain's nor granted to it. Elements have no status: Xen does not
/// tell how many it carried out.
///
/// # Safety
///
/// Bytes that are invalidated without being cleaned lose what was written to them last.
///
/// Source: `GNTTABOP_cache_flush`, public/grant_table.h
pub unsafe fn cache_flush<H: Hypercall>(xen: &H, operations: &[CacheFlush]) -> Result<(), Errno> {
    let elements = operations.as_ptr().cast_mut();
    // SAFETY: Xen reads the elements; the caller answers for the bytes.
    unsafe { call(xen, Command::CACHE_FLUSH, elements, operations.len()) }
}
