//! How often something may happen.

use core::time::Duration;

/// So many at once, and one more each period: a bound on work that somebody else asks for.
///
/// It is the token bucket of console's `LogBudget`, for work instead of lines: nothing is dropped, it is done later. Times are
/// times of the kernel's clock.
///
/// ```
/// use core::time::Duration;
/// use xen_xenbus::bus::Allowance;
///
/// let ms = Duration::from_millis;
/// let mut looks = Allowance::new(2, ms(10));
/// assert!(looks.take(ms(0)) && looks.take(ms(0)) && !looks.take(ms(0)));
/// assert_eq!(looks.next(), ms(10));
/// assert!(looks.take(ms(10)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    burst: u32,
    period: Duration,
    /// By when all that was taken is made up for.
    full: Duration,
}

impl Allowance {
    /// A full allowance.
    #[must_use]
    pub const fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, full: Duration::ZERO }
    }

    /// Whether it may happen now; it has, if so.
    pub fn take(&mut self, now: Duration) -> bool {
        self.follow(now);
        let may = now >= self.next();
        if may {
            self.full = self.full.max(now).saturating_add(self.period);
        }
        may
    }

    /// From when on it may happen; a time that has passed says now.
    #[must_use]
    pub const fn next(&self) -> Duration {
        self.full.saturating_sub(self.period.saturating_mul(self.burst.saturating_sub(1)))
    }

    /// A clock that went back, as it may at a resume, makes nobody wait for longer than all periods.
    fn follow(&mut self, now: Duration) {
        self.full = self.full.min(now.saturating_add(self.period.saturating_mul(self.burst)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn fault_21_a_clock_that_jumps_neither_floods_nor_stops() {
        let mut allowance = Allowance::new(2, MS);
        let mut taken = |now| (0..9).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(MS * 1000), 2);
        assert_eq!(taken(MS), 0, "back");
        assert_eq!(taken(MS * 3), 2, "from there on as ever");
        assert_eq!(taken(MS * u32::MAX), 2, "forth");
    }

    proptest! {
        #[test]
        fn no_more_than_the_burst_and_one_a_period(steps in proptest::collection::vec(0_u32..5, 0..200)) {
            let (mut allowance, mut now, mut taken) = (Allowance::new(3, MS * 2), Duration::ZERO, 0);
            for step in steps {
                now += MS * step;
                taken += u128::from(allowance.take(now));
                prop_assert!(taken <= 3 + now.as_millis() / 2);
                prop_assert!(allowance.next() <= now + MS * 2);
            }
        }
    }
}
