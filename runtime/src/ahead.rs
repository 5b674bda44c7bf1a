//! A clock that stands still now and then: what lies between the system time of Xen and the time of the guest.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// By how much Xen's time is ahead of the guest's, in nanoseconds: all the time for which the guest stood still, and the
/// difference between the machines that it ran on. It wraps, since the second machine may be the younger one.
#[derive(Debug)]
pub(crate) struct Ahead(AtomicU64);

impl Ahead {
    /// Both times are the same.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The guest's time at a system time, both in nanoseconds.
    #[inline]
    pub(crate) fn guest_time(&self, system: u64) -> u64 {
        system.wrapping_sub(self.0.load(Ordering::Relaxed))
    }

    /// The system time at a time of the guest.
    pub(crate) fn system_time(&self, guest: Duration) -> Duration {
        let ahead = self.0.load(Ordering::Relaxed).cast_signed();
        let difference = Duration::from_nanos(ahead.unsigned_abs());
        if ahead < 0 { guest.saturating_sub(difference) } else { guest.saturating_add(difference) }
    }

    /// The guest stood still at `guest`, and goes on from there at a system time of `system` nanoseconds.
    pub(crate) fn go_on(&self, guest: u64, system: u64) {
        self.0.store(system.wrapping_sub(guest), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_guests_time_goes_on_from_where_it_stood_still() {
        let ahead = Ahead::new();
        assert_eq!(ahead.guest_time(7), 7);
        // Suspended for a day; and then on a machine that was started a moment ago; and on an old one.
        for (stopped, system) in [(10, 86_410), (20, 1), (30, 1 << 31)] {
            ahead.go_on(stopped * SECOND, system * SECOND);
            assert_eq!(ahead.guest_time(system * SECOND), stopped * SECOND);
            assert_eq!(ahead.guest_time((system + 5) * SECOND), (stopped + 5) * SECOND);
        }
    }

    #[test]
    fn a_deadline_is_as_far_away_in_both_times() {
        let ahead = Ahead::new();
        assert_eq!(ahead.system_time(Duration::MAX), Duration::MAX);
        for (stopped, system) in [(10, 86_410), (20, 1)] {
            ahead.go_on(stopped * SECOND, system * SECOND);
            let deadline = ahead.system_time(Duration::from_secs(stopped + 3));
            assert_eq!(deadline, Duration::from_secs(system + 3));
            assert!(ahead.system_time(Duration::MAX) >= Duration::from_secs(1 << 60), "far away stays far away");
        }
        assert_eq!(ahead.system_time(Duration::ZERO), Duration::ZERO, "a time from before Xen was started is over");
    }
}
