//! A window of addresses at which pages are mapped that are not among the guest's own: the frames of its grant table, and
//! pages that other domains grant to it.
//!
//! Its last-level table is linked at boot, so that Xen finds a place for whatever it is asked to map there.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_grant_table::TableFrame;
use xen_hypercall::abi::mmu::UvmFlags;
use xen_hypercall::abi::{DomId, Gfn};
use xen_hypercall::grant_table::{self, Error};
use xen_hypercall::{Errno, Frame, mmu};

use super::tables::READ_WRITE;
use super::{PAGE, VIRT_BASE};
use crate::bitmap::Bitmap;
use crate::lock::Mutex;
use crate::xen::XEN;

/// Pages of the window: as many as one last-level table maps.
pub(super) const PAGES: usize = 512;

/// Where it is: at the end of the GiB that begins with the image.
pub(super) const START: usize = VIRT_BASE + (1 << 30) - PAGES * PAGE;

static FREE: Mutex<Bitmap<[u64; PAGES / 64]>> = Mutex::new(Bitmap::full());

/// Whether an address lies in the window.
pub(super) fn contains(address: usize) -> bool {
    (START..START + PAGES * PAGE).contains(&address)
}

/// Sets adjacent page addresses aside.
pub(crate) fn reserve_foreign(count: NonZeroUsize) -> Option<NonNull<Frame>> {
    let page = FREE.lock().take_first(count.get())?;
    NonNull::new(core::ptr::with_exposed_provenance_mut(START + page * PAGE))
}

/// Gives one page address back.
///
/// # Safety
///
/// [`reserve_foreign`] gave it, and nothing is mapped there.
pub(crate) unsafe fn release_foreign(at: NonNull<Frame>) {
    let own = contains(at.addr().get());
    debug_assert!(own, "{at:?} is not in the window");
    if own {
        FREE.lock().put((at.addr().get() - START) / PAGE, 1);
    }
}

/// Maps a frame of the domain's grant table, for good. The table grows where it is not so long yet.
pub(crate) fn map_table_frame(kind: TableFrame, index: u32) -> Result<NonNull<Frame>, Error> {
    let frame = table_frame(kind, index as usize)?;
    let at = reserve_foreign(NonZeroUsize::MIN).ok_or(Errno::NOMEM)?;
    let entry = frame.0 << PAGE.ilog2() | READ_WRITE;
    // SAFETY: nothing is mapped at the address, and it is this call's.
    match unsafe { mmu::update_va_mapping(&XEN, at.addr().get(), entry, UvmFlags::INVLPG) } {
        Ok(()) => Ok(at),
        Err(refused) => {
            // SAFETY: it was reserved above, and Xen has mapped nothing.
            unsafe { release_foreign(at) };
            Err(refused.into())
        }
    }
}

/// The machine frame that holds a frame of the table. Xen tells those of all frames up to it.
fn table_frame(kind: TableFrame, index: usize) -> Result<Gfn, Error> {
    let mut frames = [Gfn(0); PAGES];
    let frames = frames.get_mut(..=index).ok_or(Errno::NOMEM)?;
    match kind {
        TableFrame::Shared => grant_table::setup_table(&XEN, DomId::SELF, frames)?,
        TableFrame::Status => grant_table::get_status_frames(&XEN, DomId::SELF, frames)?,
    }
    frames.last().copied().ok_or(Errno::NOMEM.into())
}
