//! What drivers answer.

use alloc::string::String;
use core::time::Duration;

use super::event::{Attempt, Problem, TooLate};
use super::phase::{Next, Phase};
use super::timer::Timer;
use super::{Frontend, Offer};
use crate::bus::State;
use crate::control::{Epoch, Ready, Resumable};

/// A driver's answers.
impl Frontend {
    /// To [`Event::Connect`](super::Event::Connect): these keys and this state are to be written.
    ///
    /// # Errors
    ///
    /// The connection has ended meanwhile.
    pub fn offer(&mut self, attempt: Attempt, offer: Offer, now: Duration) -> Result<(), TooLate> {
        self.expect(attempt, &[Phase::Offering])?;
        self.write = Some(offer);
        self.enter(Phase::Offered, Some(self.limits.connect), now);
        Ok(())
    }

    /// To [`Event::Complete`](super::Event::Complete): the driver is at work.
    ///
    /// # Errors
    ///
    /// The connection has ended meanwhile.
    pub fn ready(&mut self, attempt: Attempt, now: Duration) -> Result<(), TooLate> {
        self.expect(attempt, &[Phase::Completing])?;
        if self.ours != Some(State::CONNECTED) {
            self.write = Some(Offer::connected());
        }
        (self.phase, self.timer) = (Phase::Connected, Timer::OFF);
        self.reopens.went_well(now);
        Ok(())
    }

    /// To [`Event::Connect`](super::Event::Connect) or [`Event::Complete`](super::Event::Complete): what the backend offers is of no
    /// use. It is tried again when the backend has gone through another state, or after [`retry`](Self::retry).
    ///
    /// # Errors
    ///
    /// The connection has ended meanwhile.
    pub fn refuse(&mut self, attempt: Attempt, reason: impl Into<String>, now: Duration) -> Result<(), TooLate> {
        self.expect(attempt, &[Phase::Offering, Phase::Completing])?;
        self.trouble(Problem::Refused(reason.into()));
        if self.phase == Phase::Offering {
            self.withdraw(Next::Shun, now);
        } else {
            self.begin_close(Next::Shun, now);
        }
        Ok(())
    }

    /// At any time of a connection: the driver is done with it, for the backend misbehaved, or for the lack of something. It has
    /// stopped already. It is tried again after a pause.
    ///
    /// # Errors
    ///
    /// The connection has ended meanwhile.
    pub fn give_up(&mut self, attempt: Attempt, reason: impl Into<String>, now: Duration) -> Result<(), TooLate> {
        self.expect(attempt, &[Phase::Offering, Phase::Offered, Phase::Completing, Phase::Connected])?;
        self.trouble(Problem::Broken(reason.into()));
        self.reopens.went_wrong(now);
        if self.phase == Phase::Offering {
            self.withdraw(Next::Retry, now);
        } else {
            self.begin_close(Next::Retry, now);
        }
        Ok(())
    }

    /// To [`Event::Stop`](super::Event::Stop): nothing is under way any more.
    ///
    /// # Errors
    ///
    /// It took too long, or the device has vanished.
    pub fn stopped(&mut self, now: Duration) -> Result<(), TooLate> {
        self.expect(self.attempt, &[Phase::Stopping])?;
        self.begin_close(self.next, now);
        Ok(())
    }

    /// To [`Event::Release`](super::Event::Release): nothing of the connection is left.
    ///
    /// # Errors
    ///
    /// It was not asked for.
    pub fn released(&mut self, now: Duration) -> Result<(), TooLate> {
        self.expect(self.attempt, &[Phase::Releasing])?;
        self.after_release(now);
        Ok(())
    }

    fn expect(&self, attempt: Attempt, phases: &[Phase]) -> Result<(), TooLate> {
        if attempt == self.attempt && phases.contains(&self.phase) { Ok(()) } else { Err(TooLate) }
    }
}

/// A suspend is legal in every state: what is under way with the backend is of no use after a resume, and what was cancelled goes on.
impl Resumable for Frontend {
    fn prepare(&mut self, _: Duration) -> Ready {
        Ready::Yes
    }

    fn cancelled(&mut self, now: Duration) {
        self.rearm(now);
    }

    fn resumed(&mut self, _: Epoch, _: Duration) {
        Self::resumed(self);
    }
}
