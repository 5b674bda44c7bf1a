//! Gives free pages back to Xen, and takes them back.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Mutex;
use xen_hypercall::{Balloon, Errno};

use crate::pages::{self, PAGE};
use crate::platform;
use crate::xen::Xen;

/// How many pages a call deals with at most.
pub(crate) const BATCH: usize = 32;

/// Free pages that the guest keeps: 512 KiB, so that it can do what it takes to ask for more.
const RESERVE: usize = 128;

/// How many pages Xen has.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// No page before this one is among them, by the platform's numbers. Locked by whoever changes how many there are: a waker that
/// finds it so has interrupted the driver, and does nothing.
static FIRST: Mutex<usize> = Mutex::new(usize::MAX);

impl Balloon for Xen {
    fn held(&self) -> usize {
        self.most() - GIVEN.load(Ordering::Relaxed)
    }

    fn most(&self) -> usize {
        platform::memory().map_or(0, platform::Memory::pages)
    }

    fn least(&self) -> usize {
        self.held() - spare()
    }

    fn give_up(&self, pages: usize) -> usize {
        let (Some(memory), Some(mut first)) = (platform::memory(), FIRST.try_lock()) else { return 0 };
        let mut taken = [0; BATCH];
        let taken = take(&mut taken, pages.min(spare()));
        // SAFETY: the pages were free, and are nobody else's.
        let count = unsafe { memory.give_up(taken) };
        for &page in &taken[count..] {
            // SAFETY: it was taken from the pool, and Xen has left it.
            unsafe { pages::put(page, 1) };
        }
        *first = taken[..count].iter().filter_map(|&page| memory.page_at(page)).fold(*first, usize::min);
        GIVEN.fetch_add(count, Ordering::Relaxed);
        count
    }

    fn take_back(&self, pages: usize) -> Result<usize, Errno> {
        let (Some(memory), Some(mut first)) = (platform::memory(), FIRST.try_lock()) else { return Ok(0) };
        let mut addresses = [0; BATCH];
        let wanted = pages.min(GIVEN.load(Ordering::Relaxed)).min(BATCH);
        let count = memory.take_back(&mut first, &mut addresses[..wanted])?;
        for &page in &addresses[..count] {
            // SAFETY: it came from the pool once, is mapped again, and nothing uses it.
            unsafe { pages::put(page, 1) };
        }
        GIVEN.fetch_sub(count, Ordering::Relaxed);
        if count == 0 && wanted > 0 { Err(Errno::NOMEM) } else { Ok(count) }
    }
}

/// Free pages beyond the reserve.
fn spare() -> usize {
    pages::count().saturating_sub(RESERVE)
}

/// Takes up to `count` free pages and wipes them: Xen gives them to others as they are.
fn take(addresses: &mut [usize; BATCH], count: usize) -> &[usize] {
    let mut taken = 0;
    for (place, page) in addresses.iter_mut().zip((0..count).map_while(|_| pages::take_high(NonZeroUsize::MIN))) {
        // SAFETY: the page was free, is mapped writable, and is nobody else's.
        unsafe { page.as_ptr().cast::<u8>().write_bytes(0, PAGE) };
        *place = page.addr().get();
        taken += 1;
    }
    &addresses[..taken]
}
