//! A window of addresses at which pages are mapped that are not among the guest's own: the frames of its grant table, and
//! pages that other domains grant to it.
//!
//! Its last-level table is linked at boot, so that Xen finds a place for whatever it is asked to map there.

use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use xen_grant_table::TableFrame;
use xen_hypercall::abi::mmu::UvmFlags;
use xen_hypercall::abi::{DomId, Gfn};
use xen_hypercall::grant_table::{self, Error};
use xen_hypercall::{Errno, Frame, mmu};

use super::tables::{FRAME_MASK, PRESENT, READ_WRITE};
use super::{PAGE, VIRT_BASE};
use crate::bitmap::Bitmap;
use crate::lock::Mutex;
use crate::xen::XEN;

/// Pages of the window: as many as one last-level table maps.
pub(super) const PAGES: usize = 512;

/// Where it is: at the end of the GiB that begins with the image.
pub(super) const START: usize = VIRT_BASE + (1 << 30) - PAGES * PAGE;

static FREE: Mutex<Bitmap<[u64; PAGES / 64]>> = Mutex::new(Bitmap::full());

/// Which pages hold frames of the grant table: those that a suspend may take away, and nothing else of the window.
static TABLE_FRAMES: [AtomicBool; PAGES] = [const { AtomicBool::new(false) }; PAGES];

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
        Ok(()) => {
            table_frame_at(at).store(true, Ordering::Relaxed);
            Ok(at)
        }
        Err(refused) => {
            // SAFETY: it was reserved above, and Xen has mapped nothing.
            unsafe { release_foreign(at) };
            Err(refused.into())
        }
    }
}

/// Whether the page at an address of the window holds a frame of the grant table.
fn table_frame_at(at: NonNull<Frame>) -> &'static AtomicBool {
    &TABLE_FRAMES[(at.addr().get() - START) / PAGE % PAGES]
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

/// The entries of the window's table.
type Entries = [u64; PAGES];

/// The window while the guest is suspended: nothing is mapped there, and the grant table's frames are noted.
#[derive(Debug)]
pub(super) struct Closed(Entries);

/// Takes everything out of the window: the toolstack refuses page tables with frames that are not the guest's own.
///
/// Answers with how many pages of other domains are mapped, and changes nothing, if there are any.
///
/// # Safety
///
/// `table` is the address of the window's table, and nothing uses the grant table until the window is open again.
pub(super) unsafe fn close(table: usize) -> Result<Closed, usize> {
    let entries = entries(table);
    let is_foreign = |(page, entry): (usize, &u64)| entry & PRESENT != 0 && !TABLE_FRAMES[page].load(Ordering::Relaxed);
    match entries.iter().enumerate().filter(|&element| is_foreign(element)).count() {
        0 => {
            // SAFETY: the caller's promise; nothing else is mapped there.
            unsafe { write(&entries, |_| 0) };
            Ok(Closed(entries))
        }
        foreign => Err(foreign),
    }
}

/// Maps what was mapped before, for a guest whose suspend was called off.
///
/// # Safety
///
/// The guest was not resumed: the frames are still those of its grant table.
pub(super) unsafe fn reopen(closed: &Closed) {
    // SAFETY: the caller's promise.
    unsafe { write(&closed.0, |entry| entry & FRAME_MASK | READ_WRITE) };
}

/// Gives the addresses of the grant table's frames back, for a guest that was resumed and has a new table.
pub(super) fn forget(closed: Closed) {
    let mut free = FREE.lock();
    for page in mapped(&closed.0) {
        TABLE_FRAMES[page].store(false, Ordering::Relaxed);
        free.put(page, 1);
    }
}

/// What Xen has in the table.
fn entries(table: usize) -> Entries {
    let first = core::ptr::with_exposed_provenance::<u64>(table);
    // SAFETY: the table is mapped readable, and written by Xen only, at this guest's calls.
    core::array::from_fn(|page| unsafe { first.wrapping_add(page).read_volatile() })
}

/// # Safety
///
/// The pages with an entry are those of the grant table's frames, and nothing uses them meanwhile.
unsafe fn write(entries: &Entries, entry: impl Fn(u64) -> u64) {
    for page in mapped(entries) {
        // SAFETY: the caller's promise.
        let written =
            unsafe { mmu::update_va_mapping(&XEN, START + page * PAGE, entry(entries[page]), UvmFlags::INVLPG) };
        // Xen refuses neither: what is taken away is there, and what is put back was there before.
        debug_assert_eq!(written, Ok(()), "page {page} of the window");
    }
}

fn mapped(entries: &Entries) -> impl Iterator<Item = usize> {
    entries.iter().enumerate().filter(|(_, entry)| *entry & PRESENT != 0).map(|(page, _)| page)
}
