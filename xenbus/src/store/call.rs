//! A question to xenstore that is under way.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use xen_event_channel::WaitError;

use super::ask::Ask;
use super::core::{Answered, NotStarted};
use super::error::{Reason, StoreError};
use super::{Platform, Store};
use crate::connection::CallId;

/// How long a call waits for its answer, unless it is told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a wait lasts before the ring is looked at without an event: one may have got lost.
const LOOK: Duration = Duration::from_millis(500);

/// An operation on xenstore that is under way; a `T` comes of it.
///
/// The request takes its place in the queue at once, as far as there is room, and goes out when this call, or another one, or
/// [`poll`](Store::poll) looks at the ring: several go out together, with one notification. The answer is had in one of three ways:
/// [`wait`](Self::wait) blocks, `.await` lets other tasks run (somebody has to [`serve`](Store::serve) the store meanwhile),
/// [`try_wait`](Self::try_wait) only looks. Several calls can be under way at a time, and be waited for in any order.
///
/// A call ends within its time, [`PATIENCE`] or what [`within`](Self::within) says, whatever the daemon does. One that is dropped
/// is sent if there was room for it when it was made or last looked at, and its answer ignored.
#[must_use = "the answer has to be waited for"]
pub struct Call<P: Platform, T> {
    store: Store<P>,
    /// The question; or why there is none.
    ask: Result<Ask<T>, Option<StoreError>>,
    sent: Option<CallId>,
    /// How often there had been room when there was none for the question.
    rooms: u32,
    /// Our number among those who wait for room.
    sleeper: Option<u64>,
    begun: Duration,
    within: Duration,
}

impl<P: Platform, T> Unpin for Call<P, T> {}

impl<P: Platform, T> Call<P, T> {
    pub(super) fn new(store: &Store<P>, operation: &'static str, path: &str, ask: Result<Ask<T>, Reason>) -> Self {
        let ask = ask.map_err(|reason| Some(StoreError::new(operation, path, reason)));
        let begun = store.now();
        let mut call = Self { store: store.clone(), ask, sent: None, rooms: 0, sleeper: None, begun, within: PATIENCE };
        // Without room it is sent at the next look.
        if let Err(reason) = call.send() {
            call.ask = Err(Some(StoreError::new(operation, path, reason)));
        }
        call
    }

    /// Has the call end after this time, counted from its beginning, with or without an answer.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        if let Some(call) = self.sent {
            self.store.core().set_deadline(call, self.deadline());
        }
        self
    }

    /// The result, if it is there. After that the call is over: here there is none any more, and [`wait`](Self::wait) or `.await`
    /// end as [`Reason::Taken`].
    pub fn try_wait(&mut self) -> Option<Result<T, StoreError>> {
        let result = self.look();
        self.store.core().tell();
        result
    }

    /// Waits for the result. Nothing but this call and the upcall runs on the vCPU meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`], after [`PATIENCE`] or [`within`](Self::within) at the latest.
    pub fn wait(mut self) -> Result<T, StoreError> {
        loop {
            let channel = self.store.channel();
            let seen = channel.count();
            if let Some(result) = self.look_before_waiting() {
                return result;
            }
            let until = self.deadline().min(self.store.now() + LOOK);
            if let Err(error) = self.store.pause(&channel, seen, until) {
                return Err(self.error(error));
            }
        }
    }

    /// As [`look`](Self::look), for those who wait until there is something.
    fn look_before_waiting(&mut self) -> Option<Result<T, StoreError>> {
        let over = matches!(self.ask, Err(None));
        if over { Some(Err(self.error(Reason::Taken))) } else { self.look() }
    }

    /// Looks once, without telling the daemon what was taken: whoever goes on to ask does that.
    fn look(&mut self) -> Option<Result<T, StoreError>> {
        loop {
            if let Err(error) = &mut self.ask {
                return error.take().map(Err);
            }
            if let Err(reason) = self.send() {
                return Some(self.fail(reason));
            }
            let now = self.store.now();
            let result = {
                let mut core = self.store.core();
                core.pump(now);
                self.sent.and_then(|call| core.collect(call))
            };
            match (result, self.sent) {
                (Some(result), _) => {
                    self.sent = None;
                    if let Some(result) = self.take(result) {
                        return Some(result);
                    }
                    // A daemon that knows the next question beforehand could go on for ever.
                    if now >= self.deadline() {
                        return Some(self.fail(Reason::TimedOut(self.within)));
                    }
                }
                (None, Some(_)) => return None,
                (None, None) if now < self.deadline() => return None,
                (None, None) => return Some(self.fail(Reason::TimedOut(self.within))),
            }
        }
    }

    /// Makes a result of an answer. `None` when another question is asked first.
    fn take(&mut self, (answer, epoch): Answered) -> Option<Result<T, StoreError>> {
        let answer = match answer {
            Err(Reason::TimedOut(_)) => Err(Reason::TimedOut(self.within)),
            answer => answer,
        };
        let Ok(ask) = &mut self.ask else { return None };
        let result = ask.take(answer, epoch)?;
        let result = result.map_err(|reason| self.error(reason));
        self.ask = Err(None);
        Some(result)
    }

    /// Sends the question, if that was not done and there is room.
    fn send(&mut self) -> Result<(), Reason> {
        let deadline = self.deadline();
        if self.sent.is_some() {
            return Ok(());
        }
        let Ok(ask) = &self.ask else { return Ok(()) };
        let mut core = self.store.core();
        match core.start(ask.kind, self.store.transaction, &ask.payload, deadline) {
            Ok(call) => self.sent = Some(call),
            Err(NotStarted::Full) => self.rooms = core.rooms(),
            Err(NotStarted::Never(reason)) => return Err(reason),
        }
        Ok(())
    }

    /// Has a task woken when there is something to look at; `false` if there is already, by another vCPU's look at the ring.
    fn waits(&mut self, waker: &Waker) -> bool {
        let deadline = self.deadline();
        let mut core = self.store.core();
        match self.sent {
            Some(call) => core.wake_with(call, waker),
            None => core.wake_at(self.rooms, &mut self.sleeper, deadline, waker),
        }
    }

    const fn deadline(&self) -> Duration {
        self.begun.saturating_add(self.within)
    }

    /// Ends the call without an answer.
    fn fail(&mut self, reason: Reason) -> Result<T, StoreError> {
        let error = self.error(reason);
        self.ask = Err(None);
        Err(error)
    }

    fn error(&self, reason: impl Into<Reason>) -> StoreError {
        match &self.ask {
            Ok(ask) => StoreError::new(ask.operation, &ask.path, reason),
            Err(_) => StoreError::new("do that", "", reason),
        }
    }
}

impl<P: Platform, T> Future for Call<P, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let result = self.look_before_waiting();
            if result.is_some() || self.waits(context.waker()) {
                self.store.core().tell();
                return result.map_or(Poll::Pending, Poll::Ready);
            }
        }
    }
}

impl<P: Platform, T> Drop for Call<P, T> {
    fn drop(&mut self) {
        if let Some(sleeper) = self.sleeper {
            self.store.core().wake_no_more(sleeper);
        }
        if let Some(sent) = self.sent.take() {
            let now = self.store.now();
            let mut core = self.store.core();
            core.forget(sent);
            core.pump(now);
            core.tell();
        }
    }
}

impl<P: Platform, T> fmt::Debug for Call<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.ask.as_ref().map_or("", |ask| &ask.path);
        f.debug_struct("Call").field("path", &path).field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl<P: Platform> Store<P> {
    /// Sleeps until there is an event, or until a time.
    pub(super) fn pause(
        &self,
        channel: &xen_event_channel::Channel<P>,
        seen: u32,
        until: Duration,
    ) -> Result<(), WaitError> {
        let until = {
            let mut core = self.core();
            core.tell();
            core.next_deadline().map_or(until, |next| until.min(next))
        };
        match channel.wait_poll(seen, until, || self.now()) {
            // The domain was resumed meanwhile, and there is another channel.
            Err(WaitError::Stale) if !core::ptr::eq(channel, &raw const *self.channel()) => Ok(()),
            waited => waited.map(drop),
        }
    }
}
