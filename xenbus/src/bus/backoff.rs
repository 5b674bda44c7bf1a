//! Trying again, but ever less often.

use core::time::Duration;

/// The pause before the first retry.
pub const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The pause that is not exceeded.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Pauses that double, from [`SHORTEST_PAUSE`] to [`LONGEST_PAUSE`], until something goes well for long enough.
///
/// "Long enough" is [`LONGEST_PAUSE`]: a backend that connects, breaks off and connects again all day long is served once in ten
/// seconds, however short its connections are. Times are those of the kernel's clock.
///
/// ```
/// use core::time::Duration;
/// use xen_xenbus::bus::Backoff;
///
/// let mut backoff = Backoff::new();
/// let pauses: Vec<_> = (0..4).map(|_| backoff.next_pause().as_millis()).collect();
/// assert_eq!(pauses, [10, 20, 40, 80]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pause: Duration,
    /// Since when things go well.
    well_since: Option<Duration>,
}

impl Backoff {
    /// Starts with the shortest pause.
    #[must_use]
    pub const fn new() -> Self {
        Self { pause: SHORTEST_PAUSE, well_since: None }
    }

    /// The pause to make before the next try; the one after it is twice as long.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }

    /// Things go well from `now` on.
    pub const fn went_well(&mut self, now: Duration) {
        self.well_since = Some(now);
    }

    /// They no longer do. Pauses are short again only if they did for [`LONGEST_PAUSE`].
    pub fn went_wrong(&mut self, now: Duration) {
        let since = self.well_since.take();
        if since.is_some_and(|since| now.saturating_sub(since) >= LONGEST_PAUSE) {
            self.pause = SHORTEST_PAUSE;
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let pauses: [u128; 13] = core::array::from_fn(|_| backoff.next_pause().as_millis());
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn hc_103_only_a_long_success_makes_pauses_short_again() {
        let mut backoff = Backoff::new();
        for _ in 0..20 {
            backoff.next_pause();
        }
        backoff.went_well(Duration::ZERO);
        backoff.went_wrong(LONGEST_PAUSE - Duration::from_nanos(1));
        assert_eq!(backoff.next_pause(), LONGEST_PAUSE);
        backoff.went_wrong(LONGEST_PAUSE * 9);
        assert_eq!(backoff.next_pause(), LONGEST_PAUSE, "that success was spent");
        backoff.went_well(LONGEST_PAUSE * 10);
        backoff.went_wrong(LONGEST_PAUSE * 11);
        assert_eq!(backoff.next_pause(), SHORTEST_PAUSE);
    }

    #[test]
    fn fault_21_a_clock_that_went_back_is_no_success() {
        let mut backoff = Backoff::new();
        backoff.next_pause();
        backoff.went_well(LONGEST_PAUSE * 9);
        backoff.went_wrong(Duration::ZERO);
        assert_eq!(backoff.next_pause(), SHORTEST_PAUSE * 2);
    }
}
