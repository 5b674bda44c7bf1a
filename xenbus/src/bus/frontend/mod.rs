//! The life of a front half.

mod answer;
mod event;
mod phase;
mod timer;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use super::backoff::{Backoff, SHORTEST_PAUSE};
use super::switch::States;
use super::{Allowance, Device, Offer, Sight, State, Switch, Switched, Vanished};
pub use event::{Attempt, DeviceError, End, Event, Limits, Manner, Problem, Step, TooLate, Why};
use phase::{Next, Phase};
use timer::Timer;

/// How many looks at a device may follow each other at once; after them there is one every [`SHORTEST_PAUSE`].
const LOOKS_AT_ONCE: u32 = 8;

/// One front half, from the moment at which its device was found until the device is gone, or the owner wants no more of it.
///
/// It is driven by [`poll`](Self::poll), which says what to do next, until it says [`Step::Rest`]. It does no I/O, knows no driver
/// and reads no clock:
///
/// ```
/// # use core::time::Duration;
/// # use xen_xenbus::bus::*;
/// # fn example<N: Nodes>(nodes: &N, front: &mut Frontend, now: Duration, mut driver: impl FnMut(Event, &mut Frontend)) {
/// loop {
///     match front.poll(now) {
///         Step::Look => match Sight::take(nodes, front.device()) {
///             Ok(sight) => front.saw(sight, now),
///             Err(_) => front.look_failed(now),
///         },
///         Step::Write(switch) => {
///             let written = switch.apply(nodes).map_or(Written::Unanswered, Written::Answered);
///             front.wrote(written, now);
///         }
///         Step::Tell(event) => driver(event, front),
///         Step::Rest | Step::Ended(_) => break,
///     }
/// }
/// # }
/// ```
///
/// It is polled again when the backend's `state` may have changed (call [`look_again`](Self::look_again) then), when the driver
/// has answered, when the owner has asked for something, and at the [`next_deadline`](Self::next_deadline).
///
/// What the backend can do: make it wait for as long as the [`Limits`] say; have it connect and close again, ever less often, up to
/// once in ten seconds; have it look a hundred times a second. After a device has vanished it writes nothing and waits for nothing.
#[derive(Debug)]
pub struct Frontend {
    device: Device,
    limits: Limits,
    /// What stands in the store by our own hand, or was found there at first; nothing was seen yet otherwise.
    ours: Option<State>,
    /// What may stand there instead: writes whose answers were lost.
    doubts: States,
    theirs: State,
    online: bool,
    phase: Phase,
    timer: Timer,
    write: Option<Offer>,
    write_after: Duration,
    write_retries: Backoff,
    look: Look,
    look_after: Duration,
    looks: Allowance,
    look_retries: Backoff,
    events: VecDeque<Event>,
    wish: Wish,
    next: Next,
    /// The backend's state with which a driver could do nothing.
    shunned: Option<State>,
    attempt: Attempt,
    /// Whether a driver has something to release.
    held: bool,
    reopens: Backoff,
}

/// What came of a [`Step::Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The transaction was made.
    Answered(Switched),
    /// There was no answer, or one that says to try again later. It may have been made.
    Unanswered,
    /// It was refused, for this reason, and certainly not made.
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Made,
    Due,
    Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Open,
    Closed,
}

impl Frontend {
    /// A front half for a device that an [`Enumerator`](super::Enumerator) has found. It wants to connect.
    #[must_use]
    pub const fn new(device: Device, limits: Limits) -> Self {
        Self {
            device,
            limits,
            ours: None,
            doubts: States::NONE,
            theirs: State::UNKNOWN,
            online: true,
            phase: Phase::Fresh,
            timer: Timer::OFF,
            write: None,
            write_after: Duration::ZERO,
            write_retries: Backoff::new(),
            look: Look::Due,
            look_after: Duration::ZERO,
            looks: Allowance::new(LOOKS_AT_ONCE, SHORTEST_PAUSE),
            look_retries: Backoff::new(),
            events: VecDeque::new(),
            wish: Wish::Open,
            next: Next::Park,
            shunned: None,
            attempt: Attempt(0),
            held: false,
            reopens: Backoff::new(),
        }
    }

    /// What to do next.
    pub fn poll(&mut self, now: Duration) -> Step {
        self.heed_wish(now);
        if self.timer.is_due(now) {
            self.expire(now);
        }
        if let Some(event) = self.events.pop_front() {
            return Step::Tell(event);
        }
        if let Phase::Ended(end) = self.phase {
            return Step::Ended(end);
        }
        self.store_step(now)
    }

    /// When to poll at the latest; a time that has passed says now, and `None` that only somebody else can change something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.events.is_empty() {
            return Some(Duration::ZERO);
        }
        if matches!(self.phase, Phase::Ended(_)) {
            return None;
        }
        let write = self.write.as_ref().map(|_| self.write_after);
        let look = match self.look {
            Look::Made => None,
            Look::Due => Some(self.looks.next().max(self.look_after)),
            Look::Asked => Some(Duration::ZERO),
        };
        [self.timer.at(), write, look].into_iter().flatten().min()
    }

    /// The backend's state may have changed. A thousand calls are as good as one.
    pub const fn look_again(&mut self) {
        self.look = Look::Due;
    }

    /// Here is what [`Step::Look`] has found.
    pub fn saw(&mut self, sight: Sight, now: Duration) {
        self.looked();
        self.look_retries = Backoff::new();
        match sight {
            Sight::Pair { ours, theirs, online } => {
                (self.theirs, self.online) = (theirs, online);
                self.notice(ours, now);
            }
            Sight::Vanished(how) => self.vanish(End::Vanished(how), Manner::Vanished),
        }
    }

    /// [`Step::Look`] has found nothing: the store did not answer. It is asked again, after a pause.
    pub fn look_failed(&mut self, now: Duration) {
        self.look = Look::Due;
        self.look_after = now.saturating_add(self.look_retries.next_pause());
    }

    /// Here is what came of [`Step::Write`].
    pub fn wrote(&mut self, written: Written, now: Duration) {
        match written {
            Written::Answered(Switched::Done) => self.settle(now),
            Written::Answered(Switched::Vanished(how)) => self.vanish(End::Vanished(how), Manner::Vanished),
            Written::Unanswered => {
                self.doubts = self.doubts.with(self.write.as_ref().map(Offer::state));
                self.write_after = now.saturating_add(self.write_retries.next_pause());
            }
            Written::Refused(reason) => {
                self.write_after = now.saturating_add(self.write_retries.next_pause());
                self.write_refused(reason, now);
            }
        }
    }

    /// Close, whatever it takes: [`Step::Ended`] comes no later than the [`Limits`] for stopping and closing allow, if the driver
    /// answers [`Event::Release`]. Legal at any time, and any number of times.
    pub const fn close(&mut self) {
        self.wish = Wish::Closed;
    }

    /// Try again now with a backend whose offer was [refused](Self::refuse).
    pub fn retry(&mut self, now: Duration) {
        self.shunned = None;
        if self.phase == Phase::Parked {
            self.start_over(now);
        }
    }

    /// The domain was suspended, and has resumed: this front half ends. Nothing is written.
    pub fn resumed(&mut self) {
        self.vanish(End::Suspended, Manner::Suspended);
    }

    /// A suspend was cancelled. All time limits begin anew, for the clock may have gone on meanwhile.
    pub fn rearm(&mut self, now: Duration) {
        self.timer.rearm(now);
        self.look = Look::Due;
        (self.look_after, self.write_after) = (Duration::ZERO, Duration::ZERO);
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Our state, as it stands in the store as far as is known.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.ours {
            Some(state) => state,
            None => State::UNKNOWN,
        }
    }

    /// The backend's state, as it was last seen.
    #[must_use]
    pub const fn backend_state(&self) -> State {
        self.theirs
    }

    /// Whether the device is connected, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    fn store_step(&mut self, now: Duration) -> Step {
        if let Some(offer) = &self.write
            && now >= self.write_after
        {
            return Step::Write(Switch::new(self.device.clone(), self.doubts.with(self.ours), offer.clone()));
        }
        if self.look == Look::Due && now >= self.look_after && self.looks.take(now) {
            self.look = Look::Asked;
        }
        if self.look == Look::Asked { Step::Look } else { Step::Rest }
    }

    /// A look that was asked for during another one is still due.
    fn looked(&mut self) {
        if self.look == Look::Asked {
            self.look = Look::Made;
        }
    }

    /// What is pending stands in the store.
    fn settle(&mut self, now: Duration) {
        let Some(offer) = self.write.take() else { return };
        (self.ours, self.doubts) = (Some(offer.state()), States::NONE);
        (self.write_after, self.write_retries) = (Duration::ZERO, Backoff::new());
        self.react(now);
    }

    fn notice(&mut self, ours: State, now: Duration) {
        match self.ours {
            None => self.begin(ours, now),
            Some(known) if known == ours => self.review_or_react(now),
            // An answer was lost, but not what it answered.
            Some(_) if self.write.as_ref().is_some_and(|write| self.doubts.has(ours) && write.state() == ours) => {
                self.settle(now);
            }
            Some(_) if self.doubts.has(ours) => {
                self.ours = Some(ours);
                self.react(now);
            }
            Some(_) => self.vanish(End::Vanished(Vanished::Replaced), Manner::Vanished),
        }
    }
}
