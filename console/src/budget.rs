//! A bound on the log lines that a peer can cause.

use core::time::Duration;

/// A token bucket for log lines about what a peer does.
///
/// Each line takes a token; the bucket holds a burst of them, and one comes back per period. A peer that makes
/// mistakes all day gets that many lines and no more; the rest is counted. Time is an argument, as elsewhere:
/// any clock that counts from a fixed moment will do.
///
/// ```
/// use core::time::Duration;
/// use xen_console::LogBudget;
///
/// let mut budget = LogBudget::new(2, Duration::from_secs(1));
/// let boot = Duration::ZERO;
/// let lines = (0..100).filter(|_| budget.take(boot).is_some()).count();
/// assert_eq!(lines, 2);
/// let permit = budget.take(Duration::from_secs(1)).unwrap();
/// assert_eq!(permit.suppressed, 98);
/// ```
#[derive(Clone, Debug)]
pub struct LogBudget {
    burst: u32,
    period: Duration,
    tokens: u32,
    /// When the last token came back.
    refilled: Duration,
    suppressed: u64,
}

/// The permission to log one line.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// How many lines were suppressed since the last permitted one; worth a mention in this one.
    pub suppressed: u64,
}

impl LogBudget {
    /// A full bucket of `burst` lines, which gets one back per `period`; none ever if `period` is zero.
    #[must_use]
    pub const fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, tokens: burst, refilled: Duration::ZERO, suppressed: 0 }
    }

    /// Asks to log one line at `now`; without a permit it is to be left out, and is counted.
    pub fn take(&mut self, now: Duration) -> Option<Permit> {
        self.refill(now);
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Some(Permit { suppressed: core::mem::take(&mut self.suppressed) })
            }
            None => {
                self.suppressed = self.suppressed.saturating_add(1);
                None
            }
        }
    }

    /// Adds the tokens of the whole periods that have passed, and keeps the rest of the time for later.
    fn refill(&mut self, now: Duration) {
        let Some(passed) = now.checked_sub(self.refilled) else {
            // The clock went back, as it may at a resume: count from here.
            self.refilled = now;
            return;
        };
        let periods = passed.as_nanos().checked_div(self.period.as_nanos()).unwrap_or(0);
        let missing = self.burst - self.tokens;
        if periods >= u128::from(missing) {
            (self.tokens, self.refilled) = (self.burst, now);
        } else {
            self.tokens += periods as u32;
            self.refilled += self.period * periods as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lines(budget: &mut LogBudget, now: Duration, asked: usize) -> usize {
        (0..asked).filter(|_| budget.take(now).is_some()).count()
    }

    #[test]
    fn hc_155_a_peer_cannot_flood_the_log() {
        let mut budget = LogBudget::new(5, SECOND);
        let millis = (0..60_000).map(Duration::from_millis);
        let lines = millis.filter(|now| budget.take(*now).is_some()).count();
        assert_eq!(lines, 5 + 59, "the burst, and one per further second");
    }

    #[test]
    fn hc_155_every_suppressed_line_is_counted_once() {
        let mut budget = LogBudget::new(1, SECOND);
        let mut reported = 0;
        for milli in 0..=10_000 {
            reported += budget.take(Duration::from_millis(milli)).map_or(0, |permit| 1 + permit.suppressed);
        }
        assert_eq!(reported, 10_001, "permitted and suppressed lines are all lines");
    }

    #[test]
    fn fractions_of_a_period_are_not_lost() {
        let mut budget = LogBudget::new(2, SECOND);
        assert_eq!(lines(&mut budget, Duration::ZERO, 9), 2);
        assert_eq!(lines(&mut budget, SECOND * 3 / 2, 9), 1);
        assert_eq!(lines(&mut budget, SECOND * 2, 9), 1, "the half second before counts");
    }

    #[test]
    fn fault_21_a_clock_that_jumps_neither_floods_nor_silences() {
        let mut budget = LogBudget::new(3, SECOND);
        assert_eq!(lines(&mut budget, SECOND * 1_000_000, 9), 3);
        assert_eq!(lines(&mut budget, SECOND, 9), 0, "back: no tokens for it");
        assert_eq!(lines(&mut budget, SECOND * 2, 9), 1, "but time goes on from there");
        assert_eq!(lines(&mut budget, Duration::MAX, 9), 3, "forth: never more than the burst");
        assert_eq!(lines(&mut budget, Duration::MAX, 9), 0);
    }

    #[test]
    fn a_period_of_zero_and_a_burst_of_none_stay_bounded() {
        assert_eq!(lines(&mut LogBudget::new(2, Duration::ZERO), SECOND, 9), 2);
        assert_eq!(lines(&mut LogBudget::new(0, SECOND), SECOND * 9, 9), 0);
    }
}
