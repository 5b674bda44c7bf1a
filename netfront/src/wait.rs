//! Sleeping until there is something to do.

use core::time::Duration;

use xen_event_channel::{Channel, WaitError};

use crate::Platform;
use crate::connection::Connection;
use crate::control::Control;
use crate::device::Netfront;
use crate::life::Life;
use crate::queue::Queue;

impl<P: Platform> Netfront<P> {
    /// Sees to it that an event ends the next wait, and answers whether there is nothing to do before: poll and receive again where
    /// there is.
    #[must_use]
    pub fn prepare_to_wait(&mut self, now: Duration) -> bool {
        self.go_on_steering(now);
        self.flush_notifications();
        let Some(connection) = self.live() else { return self.notes.is_empty() };
        let arm = |queue: &mut Queue<P>| {
            queue.post();
            queue.arm(now)
        };
        let quiet = connection.queues.iter_mut().fold(true, |quiet, queue| arm(queue) & quiet);
        let quiet = connection.control.iter_mut().fold(quiet, |quiet, control| control.arm(now) & quiet);
        quiet && self.notes.is_empty()
    }

    /// Sleeps until something may have happened, or until a time. Blocks; a kernel with other things to do waits for its events
    /// itself.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn wait(&mut self, until: Duration) -> Result<(), WaitError> {
        if !self.prepare_to_wait(self.store.now()) {
            return Ok(());
        }
        let until = self.next_deadline().map_or(until, |next| until.min(next));
        match self.store.wait_with(self.waits(), until) {
            // The domain was suspended: the front half hears of it.
            Err(WaitError::Stale) => Ok(()),
            waited => waited,
        }
    }

    /// Nobody wants packets for now: those that have come do not end a wait until they are [received](Self::receive).
    pub(crate) fn leave_packets(&mut self) {
        let Some(connection) = self.live() else { return };
        connection.queues.iter_mut().for_each(|queue| queue.leaves_packet |= queue.receive.is_ready());
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.notes.is_empty() {
            return Some(Duration::ZERO);
        }
        let front = match self.life {
            Life::Detached(until, _) => Some(until),
            Life::Ended => None,
            _ => self.pilot.next_deadline(),
        };
        let queues = self.queues().filter_map(Queue::next_deadline).min();
        let control = self.control().and_then(Control::held);
        let unanswered = self.helm.deadline(self.options.patience);
        let of_link = [self.stall(), self.sentry.deadline(), unanswered];
        let of_link = self.link().and_then(|_| of_link.into_iter().flatten().min());
        let times = [front, queues, control, of_link, self.watchdog.deadline(), self.stop.by(), self.suspend.by()];
        times.into_iter().flatten().min()
    }

    /// When to tell that the backend does nothing.
    fn stall(&self) -> Option<Duration> {
        let since = self.progress.since.filter(|_| !self.progress.told)?;
        Some(since.saturating_add(self.options.patience))
    }

    /// What to wait for: channels, with the counts of their events that were seen.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (&Channel<P>, u32)> + Clone {
        self.queues().flat_map(Queue::waits).chain(self.control().map(Control::waits))
    }

    /// The queues whose backend has agreed, and is believed. Nobody looks at the others, whatever it signals.
    fn queues(&self) -> impl Iterator<Item = &Queue<P>> + Clone {
        self.believed().flat_map(|connection| &connection.queues)
    }

    fn control(&self) -> Option<&Control<P>> {
        self.believed().find_map(|connection| connection.control.as_ref())
    }

    fn believed(&self) -> impl Iterator<Item = &Connection<P>> + Clone {
        self.connection.iter().filter(|connection| connection.is_live())
    }
}
