//! A time limit.

use core::time::Duration;

/// How long something may take, and when that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    limit: Duration,
    at: Option<Duration>,
}

impl Timer {
    pub(super) const OFF: Self = Self { limit: Duration::ZERO, at: None };

    pub(super) const fn after(limit: Duration, now: Duration) -> Self {
        Self { limit, at: Some(now.saturating_add(limit)) }
    }

    pub(super) const fn at(&self) -> Option<Duration> {
        self.at
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// The limit begins anew, if there is one.
    pub(super) fn rearm(&mut self, now: Duration) {
        self.at = self.at.map(|_| now.saturating_add(self.limit));
    }
}
