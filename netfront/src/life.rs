//! What the two halves of the device agree upon, from the first sight to the end.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use xen_event_channel::Progress;
use xen_xenbus::bus::{self, Answer, Attempt, Chore, Device, End, Event as Told, Keys, Outcome, State, TooLate, Turn};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::connection::{Connection, Written};
use crate::control::Control;
use crate::device::{Netfront, Seen};
use crate::event::Event;
use crate::link::{BACK_KEYS, CARRIER_KEYS, Carrier, FRONT_KEYS, Layout, Link};
use crate::receive::Look;
use crate::sentry::Sentry;

/// Where an interface is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It was never connected.
    New,
    /// It is connected, or is being connected again.
    Up,
    /// The owner wants no more.
    Closing,
    /// The device has vanished in this way, and is waited for until this time.
    Detached(Duration, End),
    /// It is of no use any more.
    Ended,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// What is under way is waited for until then.
    Draining(Duration),
    /// Nothing is sent any more.
    Stopped,
}

/// What is to be known of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// What the backend offers.
    Offer(Attempt),
    /// What was agreed upon.
    Link(Attempt),
    /// Whether there is a link.
    Carrier,
}

impl bus::Question for Question {
    fn keys(self, device: &Device) -> Vec<(String, &'static [&'static str])> {
        let (back, front) = (device.backend().path.clone(), device.path().to_string());
        match self {
            Self::Offer(_) | Self::Link(_) => [(back, BACK_KEYS), (front, FRONT_KEYS)].into(),
            Self::Carrier => [(back, CARRIER_KEYS)].into(),
        }
    }
}

impl<P: Platform> Netfront<P> {
    /// Goes on with what is not the rings': states, deadlines, violations.
    pub(crate) fn tend(&mut self, now: Duration) {
        self.pilot.heed();
        self.mind_the_rings(now);
        self.go_on_steering(now);
        self.mind_the_carrier(now);
        match self.life {
            Life::Detached(until, how) if now >= until => self.end(how),
            Life::Detached(..) | Life::Ended => return,
            _ => self.go_on_stopping(now),
        }
        // Bounded: the front half sees to that.
        while let Some(chore) = self.next_chore(self.store.now()) {
            let outcome = chore.run(&self.store);
            self.took(outcome, self.store.now());
        }
        self.flush_notifications();
    }

    /// What is to be asked of xenstore next; all else is done. Said again until it was [taken](Self::took).
    pub(crate) fn next_chore(&mut self, now: Duration) -> Option<Chore<Question>> {
        loop {
            if matches!(self.life, Life::Detached(..) | Life::Ended) {
                return None;
            }
            match self.pilot.next(now) {
                Turn::Chore(chore) => return Some(chore),
                Turn::Told(event) => self.told(event, now),
                Turn::Ended(end) => self.gone(end, now),
                Turn::Rest => return None,
            }
        }
    }

    /// Here is what came of it.
    pub(crate) fn took(&mut self, outcome: Outcome<Question>, now: Duration) {
        let Some(Answer { question, keys, .. }) = self.pilot.took(outcome, now) else { return };
        // An answer that is too late is for a connection that has ended: `Release` follows.
        let _: Result<(), TooLate> = match question {
            Question::Offer(attempt) => self.connect(attempt, keys, now),
            Question::Link(attempt) => self.complete(attempt, keys, now),
            Question::Carrier => {
                self.review(&keys, now);
                Ok(())
            }
        };
    }

    /// Goes on with another device in the place of the one that has vanished: the one that the enumerator has found now.
    ///
    /// Blocks for as long as xenstore takes to register two watches.
    ///
    /// # Errors
    ///
    /// Xenstore's; the interface is as before. One that has ended stays so.
    pub fn reattach(&mut self, device: Device) -> Result<(), StoreError> {
        if self.life == Life::Ended {
            return Ok(());
        }
        let sentry = Sentry::new(&self.store, &device)?;
        let store = self.store.clone();
        self.pilot.replace(&store, device, self.options.limits)?;
        self.sentry = sentry;
        // The enumerator may have seen first that the old one is gone.
        self.release();
        match self.life {
            Life::Closing => self.pilot.front_mut().close(),
            _ if self.known.is_some() => self.life = Life::Up,
            _ => self.life = Life::New,
        }
        Ok(())
    }

    fn told(&mut self, event: Told, now: Duration) {
        match event {
            Told::Connect(attempt) => self.pilot.ask(Question::Offer(attempt)),
            Told::Complete(attempt) => self.pilot.ask(Question::Link(attempt)),
            Told::Review(_) => self.sentry.look_again(),
            Told::Stop(_, by) => {
                self.stop = Stop::Draining(by);
                self.go_on_stopping(now);
            }
            Told::Release(_) => {
                self.release();
                // As in `took`.
                let _: Result<(), TooLate> = self.pilot.front_mut().released(now);
            }
            Told::Trouble(error) => self.note(Event::Trouble(error)),
        }
    }

    /// The backend says what it offers: rings and channels are made for it.
    fn connect(&mut self, attempt: Attempt, keys: Result<Vec<Keys>, String>, now: Duration) -> Result<(), TooLate> {
        let read = read(keys, |back, front| Ok((Layout::read(back, front, &self.options)?, Written::read(front))));
        let (layout, written) = match read {
            Ok(read) => read,
            Err(Unusable::Unanswered(reason)) => return self.pilot.front_mut().give_up(attempt, reason, now),
            Err(Unusable::Refused(reason)) => return self.pilot.front_mut().refuse(attempt, reason, now),
        };
        let peer = self.device().backend().domain;
        match Connection::open(self.store.platform(), peer, attempt, &self.options, layout) {
            Ok(connection) => {
                let offer = connection.offer(&self.options, written);
                self.connection = Some(connection);
                self.pilot.front_mut().offer(attempt, offer, now)
            }
            Err(reason) => self.pilot.front_mut().give_up(attempt, reason, now),
        }
    }

    /// The backend has agreed.
    fn complete(&mut self, attempt: Attempt, keys: Result<Vec<Keys>, String>, now: Duration) -> Result<(), TooLate> {
        let Some(layout) = self.connection.as_ref().map(|connection| *connection.layout()) else {
            return self.pilot.front_mut().give_up(attempt, "there is no connection", now);
        };
        match read(keys, |back, front| Link::read(back, front, layout)) {
            Ok(link) => {
                self.begin(link, now);
                self.pilot.front_mut().ready(attempt, now)
            }
            Err(Unusable::Unanswered(reason)) => self.pilot.front_mut().give_up(attempt, reason, now),
            Err(Unusable::Refused(reason)) => self.pilot.front_mut().refuse(attempt, reason, now),
        }
    }

    /// The interface is there.
    fn begin(&mut self, link: Link, now: Duration) {
        self.known = Some(link);
        if let Some(connection) = &mut self.connection {
            connection.agree(link);
            self.progress = Seen { answers: connection.answers(), ..Seen::default() };
        }
        self.tell_of_groups(link.filters_multicast());
        self.tell_of_steering();
        if self.life != Life::Closing {
            self.life = Life::Up;
        }
        self.held = None;
        self.watchdog.disarm();
        self.watchdog.arm(now);
        self.statistics.connections += 1;
        self.note(Event::Connected);
    }

    /// Whether the backend has a link may have changed.
    fn mind_the_carrier(&mut self, now: Duration) {
        self.sentry.heed();
        if self.link().is_some() && !self.pilot.is_asking() && self.sentry.looks(now) {
            self.pilot.ask(Question::Carrier);
        }
    }

    fn review(&mut self, keys: &Result<Vec<Keys>, String>, now: Duration) {
        let Some(back) = keys.as_ref().ok().and_then(|keys| keys.first()) else { return self.sentry.failed(now) };
        self.sentry.saw();
        let carrier = Carrier::read(back);
        let Some(link) = self.connection.as_mut().and_then(|connection| connection.link.as_mut()) else { return };
        if link.carrier() == carrier {
            return;
        }
        link.set_carrier(carrier);
        self.known = Some(*link);
        self.note(if carrier == Carrier::Up { Event::LinkUp } else { Event::LinkDown });
    }

    /// Looks after the backend: whether it broke the rules, whether it does anything at all, whether it lacks pages.
    pub(crate) fn mind_the_rings(&mut self, now: Duration) {
        let is_due = self.watchdog.deadline().is_some_and(|due| due <= now);
        let Some(connection) = self.live() else {
            self.watchdog.disarm();
            return;
        };
        for queue in &mut connection.queues {
            queue.transmit.reap();
            if queue.receive.lacks_pages(now) {
                queue.receive.find_pages(now);
            }
        }
        connection.control.iter_mut().for_each(|control| control.look(Look::Now));
        let (answers, is_owed) = (connection.answers(), connection.is_owed());
        if is_due {
            connection.control.iter_mut().for_each(Control::remind);
        }
        if let Some(violation) = connection.violation() {
            return self.misbehaved(violation, now);
        }
        let before = core::mem::replace(&mut self.progress.answers, answers);
        // What is received says nothing of what is sent.
        let has_moved = if is_owed { answers.0 != before.0 } else { answers != before };
        let progress = if has_moved { Progress::Made } else { Progress::None };
        let owed = is_owed.then_some(progress);
        if is_due && owed == Some(Progress::None) {
            self.remind();
        }
        self.notice_stall(owed, now);
        self.watchdog.looked(progress, now);
    }

    /// The backend has done nothing for long: it may not know that it should.
    #[cold]
    fn remind(&mut self) {
        if let Some(connection) = self.live() {
            connection
                .queues
                .iter_mut()
                .filter(|queue| queue.transmit.outstanding() > 0)
                .for_each(|queue| queue.remind());
        }
    }

    /// What the backend owes, if it does, is told of when nothing comes of it for too long.
    fn notice_stall(&mut self, owed: Option<Progress>, now: Duration) {
        let Seen { since, told, .. } = &mut self.progress;
        if owed != Some(Progress::None) {
            (*since, *told) = (owed.map(|_| now), false);
            return;
        }
        let since = *since.get_or_insert(now);
        if !*told && now >= since.saturating_add(self.options.patience) {
            *told = true;
            self.note(Event::Stalled);
        }
    }

    /// The backend broke the protocol: nothing of what it says is believed from here on.
    #[cold]
    fn misbehaved(&mut self, violation: xen_shared_ring::PeerError, now: Duration) {
        let Some(connection) = &mut self.connection else { return };
        connection.set_broken(violation);
        let attempt = connection.attempt;
        // Where the connection has ended already, the front half knows.
        let _ = self.pilot.front_mut().give_up(attempt, format!("{violation}"), now);
        self.watchdog.disarm();
        self.note(Event::Disconnected);
    }

    /// The connection is to end: what was sent is waited for.
    fn go_on_stopping(&mut self, now: Duration) {
        let Stop::Draining(by) = self.stop else { return };
        // Who has closed answers nothing any more.
        let closed = self.pilot.front().backend_state() == State::CLOSED;
        if closed || now >= by || self.is_at_rest() {
            self.stop = Stop::Stopped;
            // Too late, the front half goes on by itself.
            let _ = self.pilot.front_mut().stopped(now);
        }
    }

    /// Whether nothing that was sent is under way.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.flush_notifications();
        let Some(connection) = self.live() else { return true };
        connection.queues.iter_mut().for_each(|queue| {
            queue.transmit.reap();
        });
        connection.outstanding() == 0
    }

    /// The connection has ended: what it used is given back. What was with the backend is not sent again: it may have been sent, and
    /// nobody is to get it twice.
    fn release(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let was_connected = connection.link.is_some() && connection.broken.is_none();
        self.statistics.sent.lost += u64::from(connection.outstanding());
        connection.count(&mut self.statistics);
        // What the backend still maps is in quarantine then.
        drop(connection);
        self.stop = Stop::No;
        self.watchdog.disarm();
        if was_connected {
            self.note(Event::Disconnected);
        }
    }

    /// The front half has ended.
    fn gone(&mut self, end: End, now: Duration) {
        self.release();
        if end == End::Closed || self.life == Life::Closing {
            return self.end(end);
        }
        // One that comes back only to vanish again does not begin anew.
        let until = *self.held.get_or_insert(now.saturating_add(self.options.hold));
        self.life = Life::Detached(until, end);
        self.note(Event::Detached(end));
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self, end: End) {
        self.release();
        self.life = Life::Ended;
        self.note(Event::Ended(end));
    }
}

/// Why there is no connection.
enum Unusable {
    /// Xenstore did not answer: it is not the backend's offer that is of no use.
    Unanswered(String),
    Refused(String),
}

fn read<T>(
    keys: Result<Vec<Keys>, String>,
    of: impl FnOnce(&Keys, &Keys) -> Result<T, xen_xenbus::bus::KeyError>,
) -> Result<T, Unusable> {
    let keys = keys.map_err(Unusable::Unanswered)?;
    let [back, front] = keys.as_slice() else { return Err(Unusable::Unanswered("there was no answer".into())) };
    of(back, front).map_err(|error| Unusable::Refused(error.to_string()))
}

impl Stop {
    /// Until when there is time.
    pub(crate) const fn by(self) -> Option<Duration> {
        match self {
            Self::Draining(by) => Some(by),
            Self::No | Self::Stopped => None,
        }
    }
}
