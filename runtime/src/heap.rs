//! The global allocator, which grows and shrinks by pages.

use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::{TalcLock, source::Source};

use crate::lock::HoldingUpcalls;
use crate::pages::{self, PAGE};

// A waker's last drop frees memory in the upcall, so that no upcall may come while the allocator is at work.
#[global_allocator]
static HEAP: TalcLock<HoldingUpcalls, FreePages> = TalcLock::new(FreePages { end: None });

/// By how much the heap grows at least, and how much of its free end it keeps. Bytes.
const STEP: usize = 64 << 10;

/// The allocator's source of memory: the guest's free pages.
#[derive(Debug)]
struct FreePages {
    /// The end of the part that was claimed or grew last.
    end: Option<NonNull<u8>>,
}

// SAFETY: an address is not bound to a processor.
unsafe impl Send for FreePages {}

// SAFETY: nothing here allocates from the heap; the pool of pages has its own lock, and calls nobody.
unsafe impl Source for FreePages {
    const TRACK_HEAP_END: bool = true;

    /// Grows the last part of the heap where it can, and claims a new part where it cannot.
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let metadata = if talc.is_metadata_established() { 0 } else { talc::min_first_heap_size::<B>() };
        let needed = [layout.align(), 4 * CHUNK_UNIT, metadata];
        let needed = needed.into_iter().try_fold(layout.size(), usize::checked_add).ok_or(())?;
        let count = NonZeroUsize::new(needed.max(STEP).div_ceil(PAGE)).ok_or(())?;
        let end = match talc.source.end.filter(|end| pages::take_at(end.addr().get(), count)) {
            // SAFETY: the part ends there, and the pages behind it were free and are the heap's now.
            Some(end) => unsafe { talc.extend(end, end.as_ptr().wrapping_add(count.get() * PAGE)) },
            None => {
                let start = pages::take_low(count).ok_or(())?.cast();
                // SAFETY: the pages were free and are the heap's now.
                unsafe { talc.claim(start.as_ptr(), count.get() * PAGE) }.ok_or(())?
            }
        };
        talc.source.end = Some(end);
        Ok(())
    }

    /// Gives the free pages at the end of a part back: all of them if the whole part is free.
    unsafe fn resize(&mut self, free: *mut u8, end: *mut u8, is_whole: bool) -> *mut u8 {
        // The part starts somewhere in the page that holds the byte below.
        let keep = (if is_whole { free.addr() - 1 } else { free.addr() + STEP }) & !(PAGE - 1);
        if keep >= end.addr() {
            return end;
        }
        // SAFETY: nothing is allocated from there on, and the allocator forgets the pages.
        unsafe { pages::put(keep, (end.addr() - keep) / PAGE) };
        let new_end = if is_whole { free } else { free.with_addr(keep) };
        if self.end.is_some_and(|last| last.as_ptr() == end) {
            self.end = NonNull::new(new_end).filter(|_| !is_whole);
        }
        new_end
    }
}
