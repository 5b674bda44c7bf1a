//! The guest's clock, as the crates above this one ask a kernel for it.

use core::time::Duration;

/// A kernel's clock, in which deadlines are given. It never goes back, not over a suspend either.
///
/// Most kernels answer with Xen's system time. One whose clock goes on over a suspend from where it stood converts deadlines where
/// they go to Xen (`Events::system_time` of `xen-event-channel`).
pub trait Clock {
    /// The time by that clock.
    fn now(&self) -> Duration;
}
