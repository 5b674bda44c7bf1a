//! The guest's clock, as the crates above this one ask a kernel for it.

use core::time::Duration;

/// A kernel's clock: Xen's system time, which timers and `SCHEDOP_poll` count in, too.
///
/// It never goes back while the guest runs. A suspend can set it to anything: whoever keeps a time across one sets it anew.
pub trait Clock {
    /// System time, as [`Pvclock::now`](crate::pvclock::Pvclock::now) tells it.
    fn now(&self) -> Duration;
}
