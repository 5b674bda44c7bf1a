//! What a suspend asks of a PV guest.
//!
//! The toolstack saves the guest's pages, and rewrites all that names a machine frame: it reads page tables, whose entries
//! must be frames of the guest's own; the start info, in which two pages go by their own numbers meanwhile; and the map of
//! frames, which it finds by [`FrameLists`](super::p2m::FrameLists), and writes anew for a restored guest.

use xen_event_channel::Events as _;
use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::mmu::UvmFlags;
use xen_hypercall::sched::{self, Suspended};
use xen_hypercall::{Errno, mmu};

use super::memory::Memory;
use super::tables::READ_WRITE;
use super::{crash, shared_info, window};
use crate::suspend::SuspendError;
use crate::xen::XEN;

/// Suspends the guest. When it is back, shared info is mapped again, and the toolstack can find the map of frames for the
/// next time.
///
/// # Safety
///
/// Upcalls are held back, this is the only vCPU, and who is told [`Suspended::Resumed`] starts event channels and grant table
/// anew before anything uses them.
pub(crate) unsafe fn suspend(memory: &Memory) -> Result<Suspended, SuspendError> {
    let info = memory.info();
    let start_info = memory.frame_at(info.address()).ok_or(SuspendError::Refused(Errno::NOENT))?;
    // SAFETY: the memory's table of the window; the caller sees to the grant table.
    let closed = unsafe { window::close(memory.window_table()) }.map_err(SuspendError::Mapped)?;
    let (before, frames) = (info.shared_info(), info.name_pages(memory));
    part_with_shared_info(memory);
    // SAFETY: what changes with it, is taken care of below and by the caller.
    let answer = unsafe { sched::suspend(&XEN, start_info) };
    let after = info.shared_info();
    map_shared_info(after);
    if answer == Ok(Suspended::Resumed) && !is_same_domain(before, after) {
        window::forget(closed);
        memory.publish();
        return Ok(Suspended::Resumed);
    }
    info.set_frames(frames);
    // SAFETY: the guest is the same as before.
    unsafe { window::reopen(&closed) };
    answer.map(|_| Suspended::Cancelled).map_err(SuspendError::Refused)
}

/// Whether the guest still has the page that it shared with Xen before. A toolstack can call a suspend off without telling (it
/// was made for guests that do not know of that); grants and event channels are then as they were.
fn is_same_domain(before: Mfn, after: Mfn) -> bool {
    // A restored guest can find the same frame again, but not what it wrote there: the toolstack takes it out.
    before == after && shared_info().has_p2m()
}

/// Maps the page of the image in the place of Xen's, with upcalls held back there as well: whoever looks, also on the way to
/// a panic, finds a page.
fn part_with_shared_info(memory: &Memory) {
    let own = memory.frame_at(shared_info().address());
    map_shared_info(own.unwrap_or_default());
    XEN.hold_upcalls();
}

/// Maps a page at the address of shared info.
fn map_shared_info(frame: Mfn) {
    let entry = frame.address() | READ_WRITE;
    // SAFETY: the address is that of shared info, which is reached through atomics and volatile only, and what is mapped is a
    // page with room for it, which nothing else uses.
    if unsafe { mmu::update_va_mapping(&XEN, shared_info().address(), entry, UvmFlags::INVLPG) }.is_err() {
        // Without the page there is no way on, and none to tell.
        crash();
    }
}
