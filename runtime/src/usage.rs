//! What the guest uses, and how often it and Xen have called each other.

use core::sync::atomic::{AtomicU64, Ordering};

use xen_hypercall::Balloon as _;

use crate::pages;
use crate::xen::XEN;

/// What the guest uses, and what it has done so far. Each number is right at some instant, not all at the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Pages of 4 KiB that belong to the guest.
    pub pages: usize,
    /// Of those: in use for nothing. What is free within the heap does not count.
    pub free_pages: usize,
    /// Calls of Xen since boot. 0 without the feature `counts`.
    pub hypercalls: u64,
    /// Upcalls of Xen since boot. 0 without the feature `counts`.
    pub upcalls: u64,
}

impl Usage {
    pub(crate) fn now() -> Self {
        Self { pages: XEN.held(), free_pages: pages::count(), hypercalls: HYPERCALLS.read(), upcalls: UPCALLS.read() }
    }
}

pub(crate) static HYPERCALLS: Count = Count(AtomicU64::new(0));
pub(crate) static UPCALLS: Count = Count(AtomicU64::new(0));

/// How often something happened: on the guest's one processor, so that an upcall that comes in between costs one at most.
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One instruction, with the feature `counts`.
    #[inline(always)]
    pub(crate) fn add_one(&self) {
        if cfg!(feature = "counts") {
            self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
