//! Waiting for more events than were seen: by `SCHEDOP_poll`, by `SCHEDOP_block`, by wakers.
//!
//! Each wait ends for one of three reasons: the count has moved, the deadline has come, or the channel is stale. A wake for
//! another reason is looked at and slept over.

use core::future::poll_fn;
use core::slice;
use core::task::{Context, Poll};
use core::time::Duration;

use xen_hypercall::abi::Port;
use xen_hypercall::{Errno, sched};

use crate::{Channel, Events, Settled, Upcalls, WaitError, dispatch};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Waited {
    /// The count is this one, another than was seen.
    Counted(u32),
    /// The deadline came first.
    TimedOut,
}

/// Waiting. What was seen is a [`Channel::count`] from before the last look at what the channel belongs to. A wait ends a hold whose
/// time has come, and takes it as it is otherwise: [`Channel::settle`] before a wait makes the difference. A channel that its owner
/// has masked has no event before [`Channel::unmask`]: a wait for one ends at the deadline.
impl<P: Events> Channel<P> {
    /// Waits with upcalls open, as a kernel with nothing else to do on this vCPU does: events of other channels are served.
    ///
    /// The channel's events must go to the calling vCPU. `deadline` and `now` are system time. Upcalls that were held back before
    /// come through during the wait, and are held back again afterwards.
    ///
    /// # Errors
    ///
    /// Those of [`WaitError`].
    ///
    /// Source: `SCHEDOP_block`, public/sched.h
    pub fn wait_block(&self, seen: u32, deadline: Duration, now: impl Fn() -> Duration) -> Result<Waited, WaitError> {
        self.wait(seen, deadline, now, |_, until| {
            self.platform.wake_at(until)?;
            self.platform.block()
        })
    }

    /// Waits with upcalls held back, for this channel only. Neither a timer nor an upcall handler is needed: for early boot, for
    /// panics, for kernels without interrupts.
    ///
    /// `deadline` and `now` are system time. Events of other channels are counted when this one's are. Upcalls that were held back
    /// stay so.
    ///
    /// # Errors
    ///
    /// Those of [`WaitError`].
    ///
    /// Source: `SCHEDOP_poll`, public/sched.h
    pub fn wait_poll(&self, seen: u32, deadline: Duration, now: impl Fn() -> Duration) -> Result<Waited, WaitError> {
        self.wait(seen, deadline, now, |ports, until| {
            sched::poll(&self.platform, ports, Some(self.platform.system_time(until)))?;
            dispatch(&self.platform, self.platform.vcpu());
            Ok(())
        })
    }

    /// Answers with the count if it is another than `seen`; otherwise has the task woken when it is.
    ///
    /// One task at a time: the last one that asked is the one that is woken. This ends a hold for a storm. The deadline is the
    /// executor's business; a channel that is held until a time ([`Settled::Held`]) wakes nobody before [`lift`](Self::lift) or
    /// [`settle`](Self::settle) is called.
    ///
    /// # Errors
    ///
    /// [`WaitError::Stale`], also for who waited when the channel became so, or Xen's refusal to unmask the port.
    pub fn poll_event(&self, context: &mut Context<'_>, seen: u32) -> Poll<Result<u32, WaitError>> {
        if let Err(count) = self.slot()?.arm(context.waker(), seen) {
            return Poll::Ready(Ok(count));
        }
        // Fails if the channel became stale before it was armed, and nobody wakes the task. A storm has no time to wait for.
        self.lift(Duration::ZERO)?;
        Poll::Pending
    }

    /// The count, as soon as it is another than `seen`. See [`poll_event`](Self::poll_event).
    ///
    /// # Errors
    ///
    /// Those of [`poll_event`](Self::poll_event).
    pub async fn event(&self, seen: u32) -> Result<u32, WaitError> {
        poll_fn(|context| self.poll_event(context, seen)).await
    }

    /// Upcalls are held back from each look to the sleep that follows: what comes between the two ends the sleep at once.
    fn wait(
        &self,
        seen: u32,
        deadline: Duration,
        now: impl Fn() -> Duration,
        sleep: impl Fn(&[Port], Duration) -> Result<(), Errno>,
    ) -> Result<Waited, WaitError> {
        let before = self.platform.hold_upcalls();
        let result = loop {
            match self.look(seen, deadline, now()) {
                Ok(Look::End(waited)) => break Ok(waited),
                Ok(Look::Sleep(ports, until)) => {
                    if let Err(errno) = sleep(ports, until) {
                        break Err(WaitError::Refused(errno));
                    }
                }
                Err(error) => break Err(error),
            }
            // A block lets upcalls through.
            self.platform.hold_upcalls();
        };
        if before == Upcalls::Open {
            self.platform.release_upcalls();
        }
        result
    }

    pub(crate) fn look(&self, seen: u32, deadline: Duration, now: Duration) -> Result<Look<'_>, WaitError> {
        let count = self.slot()?.look().count();
        if count != seen {
            return Ok(Look::End(Waited::Counted(count)));
        }
        if now >= deadline {
            return Ok(Look::End(Waited::TimedOut));
        }
        let settled = self.lift(now)?;
        // A port that is held or masked may be pending all the time, and would end a poll at once.
        let hears = settled == Settled::Open && !self.slot()?.look().is_masked();
        let ports = if hears { slice::from_ref(&self.port) } else { &[] };
        Ok(Look::Sleep(ports, settled.sooner(deadline)))
    }
}

/// What to do after a look at the count.
pub(crate) enum Look<'a> {
    End(Waited),
    /// Until one of the ports has an event, or until a time.
    Sleep(&'a [Port], Duration),
}

impl Settled {
    /// When to look again at the latest.
    fn sooner(self, deadline: Duration) -> Duration {
        match self {
            Self::Open => deadline,
            Self::Held(end) => end.min(deadline),
        }
    }
}
