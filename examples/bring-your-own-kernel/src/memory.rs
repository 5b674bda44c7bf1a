//! 4. Memory: which pages are free, what Xen calls them, the heap, and what is mapped in place of a page.
//!
//! The builder maps the image, what it makes itself, its page tables and stack last, and at least 512 KiB of free memory behind them,
//! up to a multiple of 4 MiB: all of it from `VIRT_BASE` on. (public/xen.h, "Start-of-day memory layout") This kernel makes do with
//! that. So it writes no page table, and only has Xen change an entry here and there.

use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use spin::{Mutex, Once};
use talc::TalcLock;
use talc::source::Claim;
use xen_hypercall::abi::mmu::UvmFlags;
use xen_hypercall::abi::x86::start_info::{StartFlags, StartInfo};
use xen_hypercall::abi::{Gfn, Mfn};
use xen_hypercall::{Errno, Frame, mmu};

use crate::entry::{self, VIRT_BASE};
use crate::hypercall::{XEN, Xen};

/// Bytes of a page.
pub(crate) const PAGE: usize = size_of::<Frame>();

/// The machine frame of each page that is mapped: what a PV guest knows of the memory of the machine.
static FRAMES: Once<&'static [u64]> = Once::new();
static POOL: Mutex<Pool> = Mutex::new(Pool { first: 0, free: [false; MOST] });

/// Pages that are looked after at most: those between two multiples of 4 MiB, and half a MiB before.
const MOST: usize = (4 << 20 | 512 << 10) / PAGE;

/// Which pages are free, by their distance from the first.
struct Pool {
    first: usize,
    free: [bool; MOST],
}

/// Finds out what there is, and takes the page below the stack away.
///
/// # Safety
///
/// Called once, with what Xen passed to the first instruction.
pub(crate) unsafe fn start(info: &'static StartInfo, free: usize) {
    let end = VIRT_BASE + info.nr_pages as usize * PAGE;
    let end = end.min((free + (512 << 10)).next_multiple_of(4 << 20));
    let list = ptr::with_exposed_provenance(info.mfn_list as usize);
    // SAFETY: the builder has put a number for each page there, which only a suspend would change.
    FRAMES.call_once(|| unsafe { core::slice::from_raw_parts(list, (end - VIRT_BASE) / PAGE) });
    let mut pool = POOL.lock();
    pool.first = free;
    pool.free.iter_mut().take(end.saturating_sub(free) / PAGE).for_each(|page| *page = true);
    // SAFETY: nothing but an overflow reaches it.
    unsafe { map(entry::guard(), None) }.expect("a page of the kernel's own can go");
}

/// How many pages are free.
pub(crate) fn free() -> usize {
    POOL.lock().free.iter().filter(|free| **free).count()
}

/// The page of a ring that the toolstack made, by its frame. Of none, where the kernel is domain 0.
pub(crate) fn ring(info: &StartInfo, frame: Mfn) -> Option<NonNull<Frame>> {
    if info.flags.contains(StartFlags::INITDOMAIN) {
        return None;
    }
    let page = FRAMES.get()?.iter().position(|&other| other == frame.0)?;
    NonNull::new(ptr::with_exposed_provenance_mut(VIRT_BASE + page * PAGE))
}

// SAFETY: the pool has pages that the builder has mapped writable, and that nothing uses, and gives each to one caller. They lie side
// by side, and the builder's list has their frames.
unsafe impl xen_hypercall::Pages for Xen {
    fn alloc(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        let mut pool = POOL.lock();
        let first = pool.free.windows(count.get()).position(|run| run.iter().all(|free| *free))?;
        pool.free[first..first + count.get()].fill(false);
        let page = NonNull::new(ptr::with_exposed_provenance_mut::<Frame>(pool.first + first * PAGE))?;
        // SAFETY: they are the caller's from here on.
        unsafe { page.write_bytes(0, count.get()) };
        Some(page)
    }

    unsafe fn dealloc(&self, page: NonNull<Frame>) {
        let mut pool = POOL.lock();
        let index = (page.addr().get() - pool.first) / PAGE;
        pool.free[index] = true;
    }

    fn gfn(&self, page: NonNull<Frame>) -> Gfn {
        let index = page.addr().get().wrapping_sub(VIRT_BASE) / PAGE;
        // No machine has the last frame of all, so that Xen refuses it.
        Gfn(FRAMES.get().and_then(|frames| frames.get(index).copied()).unwrap_or(u64::MAX / PAGE as u64))
    }
}

/// The upcall never waits here for what it has interrupted: nobody awaits anything, so there are no wakers, of which it would drop the
/// last. A kernel with tasks holds upcalls back while it locks (`runtime/src/lock.rs`).
#[global_allocator]
// SAFETY: nothing else uses the room.
static HEAP: TalcLock<Mutex<()>, Claim> = TalcLock::new(unsafe { Claim::new(ROOM.page(0).as_ptr().cast(), 64 * PAGE) });
static ROOM: Pages<64> = Pages::new();

/// Pages of the image, which are used for something else than a value; or which lend their address to pages of Xen's.
#[repr(C, align(4096))]
pub(crate) struct Pages<const N: usize>(UnsafeCell<[[u8; PAGE]; N]>);

// SAFETY: it only says where the pages are; who writes there says why nobody else does.
unsafe impl<const N: usize> Sync for Pages<N> {}

impl<const N: usize> Pages<N> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new([[0; PAGE]; N]))
    }

    pub(crate) const fn page(&self, index: usize) -> NonNull<Frame> {
        assert!(index < N);
        // SAFETY: so it is in there.
        unsafe { NonNull::from_ref(self).cast::<Frame>().add(index) }
    }
}

/// Maps a frame in place of a page of the image, to be read and written; or nothing.
///
/// # Safety
///
/// Nothing uses the page that was there; and what uses the frame keeps to what Xen says about it.
pub(crate) unsafe fn map(at: NonNull<Frame>, frame: Option<Mfn>) -> Result<(), Errno> {
    const PRESENT_WRITABLE_NO_EXECUTE: u64 = 1 << 0 | 1 << 1 | 1 << 63;
    let entry = frame.map_or(0, |frame| frame.address() | PRESENT_WRITABLE_NO_EXECUTE);
    // SAFETY: the caller's promise.
    unsafe { mmu::update_va_mapping(&XEN, at.addr().get(), entry, UvmFlags::INVLPG) }
}
