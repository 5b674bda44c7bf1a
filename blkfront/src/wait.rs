//! Sleeping until there is something to do.

use core::time::Duration;

use xen_event_channel::WaitError;

use crate::Platform;
use crate::device::Blkfront;
use crate::phase::Life;
use crate::queue::Queue;

impl<P: Platform> Blkfront<P> {
    /// Sees to it that an event ends the next wait, and answers whether there is nothing to do before: poll again where there is.
    #[must_use]
    pub fn prepare_to_wait(&mut self, now: Duration) -> bool {
        self.reap_and_arm(now) && !self.has_news()
    }

    /// Sleeps until something may have happened, or until a time. Blocks; a kernel with other things to do waits for its events
    /// itself.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn wait(&mut self, until: Duration) -> Result<(), WaitError> {
        if self.has_news() { Ok(()) } else { self.sleep(until) }
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.has_news() { Some(Duration::ZERO) } else { self.next_time() }
    }

    /// Sleeps until something new may have happened, whatever the owner has not heard of yet.
    pub(crate) fn sleep(&mut self, until: Duration) -> Result<(), WaitError> {
        if !self.reap_and_arm(self.store.now()) {
            return Ok(());
        }
        let until = self.next_time().map_or(until, |next| until.min(next));
        match self.store.wait_with(self.queues().map(Queue::waits), until) {
            // The domain was suspended: the front half hears of it.
            Err(WaitError::Stale) => Ok(()),
            waited => waited,
        }
    }

    /// When there is something to do for which xenstore is not needed.
    pub(crate) fn ring_deadline(&self) -> Option<Duration> {
        let detached = if let Life::Detached(until, _) = self.life { Some(until) } else { None };
        let starved = self.starved.filter(|_| self.may_send());
        let held = self.connection.iter().flat_map(|connection| connection.queues.iter().filter_map(Queue::held)).min();
        let times = [detached, held, self.watchdog.deadline(), self.next_stall, starved, self.pause.stop.by()];
        times.into_iter().flatten().min()
    }

    /// When xenstore is to be asked for something.
    pub(crate) fn front_deadline(&self) -> Option<Duration> {
        match self.life {
            Life::Detached(..) | Life::Ended => None,
            _ => self.pilot.next_deadline(),
        }
    }

    /// The queues whose backend is believed.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Queue<P>> + Clone {
        self.connection
            .iter()
            .filter(|connection| connection.broken.is_none())
            .flat_map(|connection| &connection.queues)
    }

    /// When something is to be done, whatever the owner has not heard of yet.
    fn next_time(&self) -> Option<Duration> {
        [self.ring_deadline(), self.front_deadline()].into_iter().flatten().min()
    }

    /// Whether there is something to tell the owner.
    fn has_news(&self) -> bool {
        !self.done.is_empty() || !self.notes.is_empty() || self.untold_stalls
    }
}
