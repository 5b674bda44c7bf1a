//! When to look without an event.

use core::time::Duration;

/// What a look at a ring found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The peer did something, or has nothing left to do.
    Made,
    /// The peer owes something and did nothing.
    None,
}

/// Tells when to look at a ring although no event came: a peer may forget to send it, or never send it at all.
///
/// While something is outstanding, the owner looks after the shortest time, and after each look in vain waits twice as long, up
/// to the longest. Times are system time.
///
/// ```
/// use core::time::Duration;
/// use xen_event_channel::{Progress, Watchdog};
///
/// let ms = Duration::from_millis;
/// let mut watchdog = Watchdog::new(ms(100), ms(1000));
/// assert_eq!(watchdog.deadline(), None, "nothing is outstanding");
/// watchdog.arm(ms(5000));
/// assert_eq!(watchdog.deadline(), Some(ms(5100)));
/// watchdog.looked(Progress::None, ms(5100));
/// assert_eq!(watchdog.deadline(), Some(ms(5300)));
/// watchdog.looked(Progress::Made, ms(5150));
/// assert_eq!(watchdog.deadline(), Some(ms(5250)));
/// watchdog.disarm();
/// assert_eq!(watchdog.deadline(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    shortest: Duration,
    longest: Duration,
    pause: Duration,
    deadline: Option<Duration>,
}

impl Watchdog {
    /// A watchdog that looks after `shortest`, and no later than after `longest`.
    #[must_use]
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, pause: shortest, deadline: None }
    }

    /// Something is outstanding from now on. Without effect if something was before.
    pub const fn arm(&mut self, now: Duration) {
        if self.deadline.is_none() {
            self.pause = self.shortest;
            self.deadline = Some(now.saturating_add(self.pause));
        }
    }

    /// Nothing is outstanding any more.
    pub const fn disarm(&mut self) {
        self.deadline = None;
    }

    /// The owner looked, for whatever reason. A look in vain before the deadline changes nothing.
    pub fn looked(&mut self, progress: Progress, now: Duration) {
        let Some(deadline) = self.deadline else { return };
        match progress {
            Progress::Made => self.pause = self.shortest,
            Progress::None if now < deadline => return,
            Progress::None => self.pause = self.pause.saturating_mul(2).min(self.longest),
        }
        self.deadline = Some(now.saturating_add(self.pause));
    }

    /// When to look at the latest.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }
}
