//! What drives a disk.

use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;

use xen_xenbus::bus::{Chore, End, Outcome};

use super::AsyncDisk;
use crate::Platform;
use crate::event::Event;
use crate::question::Question;
use crate::queue::Queue;

/// So many events are taken at a time; then other tasks have their turn.
const BURST: usize = 256;

impl<P: Platform> AsyncDisk<P> {
    /// Drives the disk at its events: those of its queues' channels, and of its watch in xenstore. To be run as a task of its own,
    /// beside one that [serves the store](xen_xenbus::Store::serve); deadlines are the executor's business, by
    /// [`next_deadline`](Self::next_deadline) and [`poll`](Self::poll). Ends when the disk does.
    ///
    /// A second task that serves waits for nothing and does no good.
    pub async fn serve(&self) -> End {
        let mut life = pin!(self.live());
        poll_fn(|context| {
            self.0.server.register(context.waker());
            self.drive(self.0.store.now());
            let end = life.as_mut().poll(context);
            let is_due = self.next_deadline().is_some_and(|next| next.is_zero());
            if !self.arm(context) || is_due {
                // Something came meanwhile, and others have their turn first.
                context.waker().wake_by_ref();
            }
            end
        })
        .await
    }

    /// Goes on with what is due, and hands out what has come. Never waits. For the executor's timer.
    pub fn poll(&self, now: Duration) {
        self.drive(now);
        self.0.server.wake();
        if self.lock().search_at.take_if(|time| *time <= now).is_some() {
            self.wake_all();
        }
    }

    /// When to [`poll`](Self::poll) at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let is_asking = self.is_asking();
        let core = self.lock();
        // What xenstore is being asked for has its own deadlines, and before a suspend it is not asked for anything.
        let rests = is_asking || core.disk.pause.suspend.is_some();
        let front = if rests { None } else { core.disk.front_deadline() };
        [core.disk.ring_deadline(), front, core.search_at].into_iter().flatten().min()
    }

    /// Takes what has come, and wakes who waits for it.
    pub(super) fn drive(&self, now: Duration) {
        for _ in 0..BURST {
            let mut core = self.lock();
            let Some(event) = core.disk.poll_rings(now) else { return };
            let completion = match event {
                Event::Completed(completion) => Some(completion),
                Event::Stalled(id)
                    if core.waiting.get(&id.serial).is_some_and(|ticket| Arc::strong_count(ticket) > 1) =>
                {
                    core.disk.abandon(id)
                }
                event => {
                    core.keep(event);
                    None
                }
            };
            let ticket = completion.as_ref().and_then(|done| core.waiting.remove(&done.id.serial));
            let sleepers = core.sleepers.take();
            drop(core);
            // Wakers are somebody else's code, and memory that nobody wants goes back to Xen: neither with the lock held.
            if let (Some(ticket), Some(completion)) = (ticket, completion) {
                ticket.complete(completion);
            }
            sleepers.into_iter().for_each(|(_, waker)| waker.wake());
        }
        self.0.server.wake();
    }

    /// Does what is to be done in xenstore, one thing after the other.
    async fn live(&self) -> End {
        loop {
            while let Some(chore) = self.next_chore() {
                let asking = Asking(&self.0.is_asking);
                let outcome = chore.run_async(&self.0.store).await;
                drop(asking);
                self.took(outcome);
            }
            if let Some(end) = self.end() {
                return end;
            }
            self.news().await;
        }
    }

    fn next_chore(&self) -> Option<Chore<Question>> {
        let now = self.0.store.now();
        let mut core = self.lock();
        if core.disk.pause.suspend.is_some() || self.is_asking() {
            return None;
        }
        let chore = core.disk.next_chore(now);
        self.0.is_asking.store(chore.is_some(), Ordering::Relaxed);
        drop(core);
        // What was told to the disk may have had ends, and events.
        self.drive(now);
        chore
    }

    fn took(&self, outcome: Outcome<Question>) {
        let now = self.0.store.now();
        self.lock().disk.took(outcome, now);
        self.drive(now);
    }

    fn end(&self) -> Option<End> {
        self.lock().end
    }

    /// Ready when the backend's state may have changed, or when the task was woken for anything.
    async fn news(&self) {
        let mut is_woken = false;
        poll_fn(|context| {
            let has_changed = self.lock().disk.pilot.poll_changed(context).is_ready();
            if core::mem::replace(&mut is_woken, true) || has_changed { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Has the task woken at the next event of a queue; answers whether there is nothing to do before.
    fn arm(&self, context: &mut Context<'_>) -> bool {
        let now = self.0.store.now();
        let mut core = self.lock();
        if !core.disk.prepare_to_wait(now) {
            return false;
        }
        // A stale channel is one of before a resume: the front half hears of that.
        let has_come = |queue: &Queue<P>| {
            let (channel, seen) = queue.waits();
            matches!(channel.poll_event(context, seen), Poll::Ready(Ok(_)))
        };
        !core.disk.queues().map(has_come).fold(false, |any, has_come| any | has_come)
    }
}

/// Xenstore is being asked for something, or nobody waits for the answer any more.
pub(super) struct Asking<'a>(pub(super) &'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
