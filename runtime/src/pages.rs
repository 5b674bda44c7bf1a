//! The guest's free pages, from which the heap and every page that is granted come.
//!
//! The heap takes pages from the low end and gives them back when it needs them no more. Others take them from the high
//! end, so that each finds many adjacent ones for as long as there are any.

use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::NonNull;

use xen_hypercall::Frame;

use crate::bitmap::Bitmap;
use crate::lock::Mutex;

/// Bytes of a page.
pub(crate) const PAGE: usize = size_of::<Frame>();

/// How many separate ranges the platforms have at most.
const RANGES: usize = 2;

static POOL: Mutex<[Option<Pages>; RANGES]> = Mutex::new([const { None }; RANGES]);

/// Adjacent pages of which some are free. Their bits are kept in the first ones.
struct Pages {
    start: usize,
    end: usize,
    free: Bitmap<&'static mut [u64]>,
}

/// Adds free memory. What is too small, or beyond the number of ranges, is left alone.
///
/// # Safety
///
/// The memory consists of whole pages, is mapped, writable, used by nothing else, and stays so.
pub(crate) unsafe fn add(memory: Range<usize>) {
    let words = (memory.len() / PAGE).div_ceil(u64::BITS as usize);
    let start = memory.start + (words * size_of::<u64>()).next_multiple_of(PAGE);
    let mut pool = POOL.lock();
    let Some(free) = pool.iter_mut().find(|pages| pages.is_none()).filter(|_| start < memory.end) else { return };
    let bits = core::ptr::with_exposed_provenance_mut::<u64>(memory.start);
    // SAFETY: the words are at the start of the memory, which the caller gives away; all zeros or not, a bit pattern is a
    // number.
    let words = unsafe { core::slice::from_raw_parts_mut(bits, words) };
    *free = Some(Pages { start, end: memory.end, free: Bitmap::new(words, (memory.end - start) / PAGE) });
}

/// Takes adjacent pages, as high as possible. What is in them is undefined.
pub(crate) fn take_high(count: NonZeroUsize) -> Option<NonNull<Frame>> {
    let mut pool = POOL.lock();
    pool.iter_mut().rev().flatten().find_map(|pages| pages.free.take_last(count.get()).and_then(|page| pages.at(page)))
}

/// Takes adjacent pages, as low as possible. What is in them is undefined.
pub(crate) fn take_low(count: NonZeroUsize) -> Option<NonNull<Frame>> {
    let mut pool = POOL.lock();
    pool.iter_mut().flatten().find_map(|pages| pages.free.take_first(count.get()).and_then(|page| pages.at(page)))
}

/// Takes the pages at `address`, if they are free, and says whether they were.
pub(crate) fn take_at(address: usize, count: NonZeroUsize) -> bool {
    let mut pool = POOL.lock();
    let mut ranges = pool.iter_mut().flatten().filter(|pages| (pages.start..pages.end).contains(&address));
    ranges.any(|pages| pages.free.take_at((address - pages.start) / PAGE, count.get()))
}

/// How many pages are free.
pub(crate) fn count() -> usize {
    POOL.lock().iter().flatten().map(|pages| pages.free.count()).sum()
}

/// Gives adjacent pages back.
///
/// # Safety
///
/// They were taken here, together or one by one, and nothing uses them any more.
pub(crate) unsafe fn put(address: usize, count: usize) {
    let mut pool = POOL.lock();
    let owner = pool.iter_mut().flatten().find(|pages| (pages.start..pages.end).contains(&address));
    debug_assert!(owner.is_some(), "{address:#x} is not in the pool");
    if let Some(pages) = owner {
        pages.free.put((address - pages.start) / PAGE, count);
    }
}

impl Pages {
    const fn at(&self, page: usize) -> Option<NonNull<Frame>> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(self.start + page * PAGE))
    }
}
