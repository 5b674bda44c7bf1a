//! From which phase to which.

use alloc::string::String;
use core::time::Duration;

use super::event::{Attempt, DeviceError, End, Event, Manner, Problem, Why};
use super::timer::Timer;
use super::{Frontend, Wish};
use crate::bus::switch::States;
use crate::bus::{Offer, Reaction, State, reaction};

/// Where a front half is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was seen yet.
    Fresh,
    /// We are there, or are about to say so, and the backend is to make its offer.
    Waiting,
    /// The driver is to make an offer.
    Offering,
    /// The backend is to agree to it.
    Offered,
    /// The driver is to say that it is ready.
    Completing,
    Connected,
    /// The driver is to say that it has stopped.
    Stopping,
    /// The backend is to agree that we close.
    Closing,
    /// The backend is to be closed.
    Closed,
    /// The driver is to say that it has given everything back.
    Releasing,
    /// The backend has closed, and is to start again.
    Parked,
    /// It is not yet time to start again.
    Pausing,
    Ended(End),
}

/// What follows when a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait until the backend starts again.
    Park,
    /// The same, and not from the state in which it is.
    Shun,
    /// Start again, after a pause.
    Retry,
    End(End),
}

/// What others do.
impl Frontend {
    /// The first look: an earlier kernel may have left anything behind.
    pub(super) fn begin(&mut self, ours: State, now: Duration) {
        self.ours = Some(ours);
        self.enter(Phase::Waiting, Some(self.limits.connect), now);
        if ours == State::INITIALISING && self.theirs == State::CLOSED {
            // It may have closed after we were made, and is waiting for a change.
            self.write = Some(Offer::bare(State::INITIALISING));
        }
        self.react(now);
    }

    pub(super) fn review_or_react(&mut self, now: Duration) {
        let connected = self.phase == Phase::Connected && self.write.is_none();
        if !connected || self.reaction() != Reaction::Complete {
            self.react(now);
        } else if self.events.is_empty() {
            self.events.push_back(Event::Review(self.attempt));
        }
    }

    /// Does what the two states call for. Nothing is done twice.
    pub(super) fn react(&mut self, now: Duration) {
        match self.phase {
            Phase::Waiting if self.write.is_none() => self.react_waiting(now),
            Phase::Offering => self.react_unoffered(now),
            Phase::Offered if self.write.is_some() => self.react_unoffered(now),
            Phase::Offered => self.react_offered(now),
            Phase::Completing => self.react_completing(now),
            Phase::Connected => self.react_connected(now),
            Phase::Closing => self.react_closing(now),
            Phase::Closed if self.write.is_none() => self.react_closed(now),
            Phase::Parked => self.react_parked(now),
            _ => {}
        }
    }

    fn react_waiting(&mut self, now: Duration) {
        match self.reaction() {
            Reaction::Negotiate => self.connect(now),
            Reaction::Ignore => {}
            Reaction::Wait if self.ours == Some(State::INITIALISING) => {}
            Reaction::Reopen | Reaction::Release => self.start_over(now),
            _ => self.begin_close(Next::Retry, now),
        }
    }

    /// Our offer does not stand there yet, and the backend's may not stand there any more.
    fn react_unoffered(&mut self, now: Duration) {
        match reaction(State::INITIALISING, self.theirs) {
            Reaction::Negotiate | Reaction::Ignore => {}
            Reaction::Wait => self.withdraw(Next::Retry, now),
            _ => self.begin_close(Next::Retry, now),
        }
    }

    fn react_offered(&mut self, now: Duration) {
        match self.reaction() {
            Reaction::Complete => {
                self.events.push_back(Event::Complete(self.attempt));
                self.enter(Phase::Completing, Some(self.limits.connect), now);
            }
            Reaction::Wait | Reaction::WaitOrClose | Reaction::Ignore => {}
            _ => self.begin_close(Next::Retry, now),
        }
    }

    /// The backend was connected. There is no way back from there.
    fn react_completing(&mut self, now: Duration) {
        match self.reaction() {
            Reaction::Complete | Reaction::Ignore => {}
            _ => self.begin_close(Next::Retry, now),
        }
    }

    fn react_connected(&mut self, now: Duration) {
        match self.reaction() {
            Reaction::Complete | Reaction::Ignore => {}
            Reaction::Close if self.theirs != State::INITIALISING => self.stop(Why::BackendCloses, Next::Park, now),
            _ => self.stop(Why::BackendRestarted, Next::Retry, now),
        }
    }

    fn react_closing(&mut self, now: Duration) {
        if reaction(State::CLOSING, self.theirs) == Reaction::Finish {
            self.finish_close(now);
        }
    }

    fn react_closed(&mut self, now: Duration) {
        if matches!(reaction(State::CLOSED, self.theirs), Reaction::Release | Reaction::Reopen) {
            self.let_go(Manner::Clean, now);
        }
    }

    fn react_parked(&mut self, now: Duration) {
        if self.shunned == Some(self.theirs) {
            return;
        }
        self.shunned = None;
        if self.theirs == State::CLOSING && self.ours != Some(State::CLOSED) {
            // Nothing was agreed upon, and it waits for us nonetheless, as do the tools.
            return self.begin_close(Next::Park, now);
        }
        // One that is closed and not to be removed may be waiting for us: Linux's backends go on from there when we initialise.
        let waits = self.theirs == State::CLOSED || reaction(State::CLOSED, self.theirs) == Reaction::Reopen;
        if waits && self.online {
            self.start_over(now);
        }
    }

    /// Time is up.
    pub(super) fn expire(&mut self, now: Duration) {
        let limits = self.limits;
        self.timer = Timer::OFF;
        match self.phase {
            // A backend that comes late is welcome.
            Phase::Waiting => self.trouble(Problem::ConnectTimeout(limits.connect)),
            Phase::Offering => {
                self.trouble(Problem::DriverTimeout(limits.connect));
                self.withdraw(Next::Retry, now);
            }
            Phase::Offered => {
                self.trouble(Problem::ConnectTimeout(limits.connect));
                self.begin_close(Next::Retry, now);
            }
            Phase::Completing => {
                self.trouble(Problem::DriverTimeout(limits.connect));
                self.begin_close(Next::Retry, now);
            }
            Phase::Stopping => {
                self.trouble(Problem::DriverTimeout(limits.stop));
                self.begin_close(self.next, now);
            }
            Phase::Closing => self.finish_close(now),
            Phase::Closed => {
                self.trouble(Problem::CloseTimeout(limits.close));
                self.let_go(Manner::Forced, now);
            }
            Phase::Pausing => {
                self.write = Some(Offer::bare(State::INITIALISING));
                self.enter(Phase::Waiting, Some(limits.connect), now);
            }
            _ => {}
        }
    }

    /// The owner wants no more. Where closing is under way, it does not matter why.
    pub(super) fn heed_wish(&mut self, now: Duration) {
        if self.wish == Wish::Open {
            return;
        }
        match self.phase {
            Phase::Fresh => self.phase = Phase::Ended(End::Closed),
            Phase::Parked if self.ours == Some(State::CLOSED) => self.phase = Phase::Ended(End::Closed),
            Phase::Waiting | Phase::Offering | Phase::Offered | Phase::Completing | Phase::Parked | Phase::Pausing => {
                self.begin_close(Next::End(End::Closed), now);
            }
            Phase::Connected => self.stop(Why::Asked, Next::End(End::Closed), now),
            _ => {}
        }
    }

    /// It is not there any more: nothing is written, and nobody is waited for but the driver.
    pub(super) fn vanish(&mut self, end: End, manner: Manner) {
        (self.write, self.doubts, self.timer) = (None, States::NONE, Timer::OFF);
        match self.phase {
            Phase::Ended(_) => {}
            Phase::Releasing => self.next = Next::End(end),
            _ if self.held => self.release(manner, Next::End(end)),
            _ => self.phase = Phase::Ended(end),
        }
    }

    /// A write was refused. Only what makes new nodes can fail for good; our state is tried again.
    pub(super) fn write_refused(&mut self, reason: String, now: Duration) {
        if self.events.is_empty() {
            self.trouble(Problem::Store(reason));
        }
        if self.phase == Phase::Offered {
            self.begin_close(Next::Retry, now);
        }
    }
}

/// What we do.
impl Frontend {
    fn connect(&mut self, now: Duration) {
        self.attempt = Attempt(self.attempt.0.saturating_add(1));
        self.held = true;
        self.events.push_back(Event::Connect(self.attempt));
        self.enter(Phase::Offering, Some(self.limits.connect), now);
    }

    fn stop(&mut self, why: Why, next: Next, now: Duration) {
        (self.next, self.write) = (next, None);
        self.reopens.went_wrong(now);
        self.events.push_back(Event::Stop(why, now.saturating_add(self.limits.stop)));
        self.enter(Phase::Stopping, Some(self.limits.stop), now);
    }

    /// What was to be offered is not. If it may stand there nonetheless, it takes a whole handshake.
    pub(super) fn withdraw(&mut self, next: Next, now: Duration) {
        if !self.doubts.is_empty() {
            return self.begin_close(next, now);
        }
        (self.next, self.write) = (next, None);
        self.let_go(Manner::Unused, now);
    }

    /// Whatever there is of a connection ends now. The driver has stopped, or has not begun.
    pub(super) fn begin_close(&mut self, next: Next, now: Duration) {
        self.next = next;
        if reaction(State::CLOSING, self.theirs) == Reaction::Finish || self.ours == Some(State::CLOSED) {
            return self.finish_close(now);
        }
        self.write = Some(Offer::bare(State::CLOSING));
        self.enter(Phase::Closing, Some(self.limits.close / 2), now);
    }

    fn finish_close(&mut self, now: Duration) {
        let written = self.ours == Some(State::CLOSED) && self.doubts.is_empty();
        self.write = (!written).then(|| Offer::bare(State::CLOSED));
        self.enter(Phase::Closed, Some(self.limits.close / 2), now);
        self.react(now);
    }

    fn let_go(&mut self, manner: Manner, now: Duration) {
        if self.held {
            self.release(manner, self.next);
        } else {
            self.after_release(now);
        }
    }

    fn release(&mut self, manner: Manner, next: Next) {
        (self.held, self.next, self.timer) = (false, next, Timer::OFF);
        self.events.push_back(Event::Release(manner));
        self.phase = Phase::Releasing;
    }

    pub(super) fn after_release(&mut self, now: Duration) {
        match (self.next, self.wish) {
            (Next::End(end), _) => self.phase = Phase::Ended(end),
            (_, Wish::Closed) => self.phase = Phase::Ended(End::Closed),
            (Next::Retry, Wish::Open) if self.online => self.start_over(now),
            (Next::Shun, Wish::Open) => {
                self.shunned = Some(self.theirs);
                self.enter(Phase::Parked, None, now);
            }
            (Next::Park | Next::Retry, Wish::Open) => {
                self.enter(Phase::Parked, None, now);
                self.react(now);
            }
        }
    }

    pub(super) fn start_over(&mut self, now: Duration) {
        let pause = self.reopens.next_pause();
        self.enter(Phase::Pausing, Some(pause), now);
    }

    pub(super) fn enter(&mut self, phase: Phase, limit: Option<Duration>, now: Duration) {
        self.phase = phase;
        self.timer = limit.map_or(Timer::OFF, |limit| Timer::after(limit, now));
    }

    pub(super) fn trouble(&mut self, problem: Problem) {
        let (device, ours, theirs) = (self.device.clone(), self.state(), self.theirs);
        self.events.push_back(Event::Trouble(DeviceError { device, ours, theirs, problem }));
    }

    const fn reaction(&self) -> Reaction {
        reaction(self.state(), self.theirs)
    }
}
