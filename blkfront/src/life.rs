//! What the two halves of the device agree upon, from the first sight to the end.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use xen_xenbus::bus::{
    Answer, Attempt, Chore, Device, End, Event as Told, Keys, Manner, Outcome, State, TooLate, Turn, Why,
};
use xen_xenbus::store::{StoreError, Watch};

use crate::Platform;
use crate::connection::{Connection, Written};
use crate::device::Blkfront;
use crate::disk::{Disk, Layout};
use crate::error::IoError;
use crate::event::Event;
use crate::jobs::{Job, NONE, Origin, Seen, Standing};
use crate::options::Vanishing;
use crate::phase::{Life, Pause, Stop};
use crate::question::Question;
use crate::replay::Replay;
use crate::request::Kind;
use crate::sector::Extent;

impl<P: Platform> Blkfront<P> {
    /// Goes on with what is not the ring's: states, deadlines, requests that take too long.
    pub(crate) fn tend(&mut self, now: Duration) {
        self.pilot.heed();
        self.mind_the_clock(now);
        // Bounded: the front half sees to that.
        while let Some(chore) = self.next_chore(self.store.now()) {
            let outcome = chore.run(&self.store);
            self.took(outcome, self.store.now());
        }
    }

    /// What needs no answer of xenstore's.
    pub(crate) fn mind_the_clock(&mut self, now: Duration) {
        self.notice_stalls(now);
        match self.life {
            Life::Detached(until, how) if now >= until => self.end(how),
            Life::Detached(..) | Life::Ended => {}
            _ => self.go_on_stopping(now),
        }
    }

    /// What is to be asked of xenstore next; all else is done. Said again until it was [taken](Self::took).
    pub(crate) fn next_chore(&mut self, now: Duration) -> Option<Chore<Question>> {
        loop {
            if matches!(self.life, Life::Detached(..) | Life::Ended) {
                return None;
            }
            match self.pilot.next(now) {
                Turn::Chore(chore) => return Some(chore),
                Turn::Told(event) => self.told(event),
                Turn::Ended(end) => self.gone(end),
                Turn::Rest => return None,
            }
        }
    }

    /// Here is what came of it.
    pub(crate) fn took(&mut self, outcome: Outcome<Question>, now: Duration) {
        let Some(Answer { question, keys, whole }) = self.pilot.took(outcome, now) else { return };
        let keys = keys.and_then(|mut keys| keys.pop().ok_or_else(|| "there was no answer".into()));
        // An answer that is too late is for a connection that has ended: `Release` follows.
        let _: Result<(), TooLate> = match question {
            Question::Limits(attempt) => self.connect(attempt, keys),
            Question::Disk(attempt) => self.complete(attempt, keys, whole),
            Question::Change => {
                self.review(keys);
                Ok(())
            }
        };
    }

    /// Goes on with another device in the place of the one that has vanished: the one that the enumerator has found now.
    ///
    /// What is owed to the old one, requests and journal, goes to the new one, if that looks the same: size, sectors, kind, and
    /// what the tools call it (`params`). Otherwise it fails, and the next flush says so. Blocks for as long as xenstore takes to
    /// register a watch.
    ///
    /// # Errors
    ///
    /// Xenstore's; the disk is as before. One that has ended stays so.
    pub fn reattach(&mut self, device: Device) -> Result<(), StoreError> {
        if self.life == Life::Ended {
            return Ok(());
        }
        let watch = self.store.watch(&device.backend_key("state")).wait()?;
        drop(self.replace(device, watch));
        Ok(())
    }

    /// The same, with the watch that is registered already. The one that is of no use any more is given back.
    pub(crate) fn replace(&mut self, device: Device, watch: Watch<P>) -> Watch<P> {
        if self.life == Life::Ended {
            return watch;
        }
        // The enumerator may have seen first that the old one is gone.
        self.release(Manner::Vanished);
        self.handle = device.name().id as u16;
        self.written = Written::default();
        let old = self.pilot.replace_with(watch, device, self.options.limits);
        match self.life {
            Life::Closing => self.pilot.front_mut().close(),
            _ if self.known.is_some() => self.life = Life::Up,
            _ => self.life = Life::New,
        }
        old
    }

    fn told(&mut self, event: Told) {
        let now = self.store.now();
        match event {
            Told::Connect(attempt) => self.pilot.ask(Question::Limits(attempt)),
            Told::Complete(attempt) => self.pilot.ask(Question::Disk(attempt)),
            Told::Review(_) => self.pilot.ask(Question::Change),
            Told::Stop(why, by) => {
                let stop = if why == Why::Asked { Stop::Draining(by) } else { Stop::Finishing(by) };
                self.pause = Pause { stop, flushed: false, ..self.pause };
                self.go_on_stopping(now);
            }
            Told::Release(manner) => {
                self.release(manner);
                // As in `took`.
                let _: Result<(), TooLate> = self.pilot.front_mut().released(now);
            }
            Told::Trouble(error) => self.note(Event::Trouble(error)),
        }
    }

    /// The backend says how much it can do: rings and channels are made for it.
    fn connect(&mut self, attempt: Attempt, keys: Result<Keys, String>) -> Result<(), TooLate> {
        let connection = keys.and_then(|keys| {
            let (peer, layout) = (self.device().backend().domain, Layout::read(&keys, &self.options));
            Connection::open(self.store.platform(), peer, attempt, &self.options, layout)
        });
        let now = self.store.now();
        match connection {
            Ok(connection) => {
                let offer = connection.offer(&self.options, &mut self.written);
                self.connection = Some(connection);
                self.pilot.front_mut().offer(attempt, offer, now)
            }
            Err(reason) => self.pilot.front_mut().give_up(attempt, reason, now),
        }
    }

    /// The backend has agreed, and says what disk it is.
    fn complete(
        &mut self,
        attempt: Attempt,
        keys: Result<Keys, String>,
        params: Option<Vec<u8>>,
    ) -> Result<(), TooLate> {
        let now = self.store.now();
        // Without an answer of xenstore's it is not the backend's offer that is of no use.
        let keys = match keys {
            Ok(keys) => keys,
            Err(reason) => return self.pilot.front_mut().give_up(attempt, reason, now),
        };
        match self.read_disk(&keys) {
            Ok(disk) => {
                self.begin(disk.with_params(params));
                self.pilot.front_mut().ready(attempt, now)
            }
            Err(reason) => self.pilot.front_mut().refuse(attempt, reason, now),
        }
    }

    fn read_disk(&self, keys: &Keys) -> Result<Disk, String> {
        let connection = self.connection.as_ref().ok_or("there is no connection")?;
        let (layout, slots) = (connection.layout, connection.ring_slots());
        Disk::read(keys, &self.options, layout, slots).map_err(|error| error.to_string())
    }

    /// The disk is there: what it is owed is sent.
    fn begin(&mut self, disk: Disk) {
        if self.known.as_ref().is_some_and(|known| !disk.is_like(known)) {
            self.disown();
        }
        self.cache.begin(&disk);
        self.fail_what_does_not_fit(&disk);
        self.known = Some(disk.clone());
        if let Some(connection) = &mut self.connection {
            connection.agree(disk);
        }
        if self.life != Life::Closing {
            self.life = Life::Up;
        }
        (self.starved, self.held, self.cursor) = (None, None, self.jobs.first());
        self.statistics.connections += 1;
        self.note(Event::Connected);
    }

    /// Another disk stands there: what is owed to the one before is not written to it.
    fn disown(&mut self) {
        self.cache.give_up();
        self.fail_all(IoError::of_lost);
    }

    fn fail_what_does_not_fit(&mut self, disk: &Disk) {
        let mut place = self.jobs.first();
        while let Some(job) = self.jobs.get_mut(place) {
            let (this, next) = (place, job.next());
            let extent = Extent { at: job.at, sectors: job.sectors() };
            if job.standing == Standing::Live
                && let Err(reason) = disk.check(job.kind, extent, job.buffer.len())
            {
                // The backend before this one may have done it.
                let rejected = job.seen == Seen::Never || !job.kind.changes();
                job.fail(if rejected { IoError::Rejected(reason) } else { IoError::OutcomeUnknown });
                self.finish(this);
            }
            place = next;
        }
    }

    /// Something may have changed while connected.
    fn review(&mut self, keys: Result<Keys, String>) {
        // What does not answer, or makes no sense, changes nothing: there is another look when the state is written again.
        let Ok(keys) = keys else { return };
        let Some(disk) = self.connection.as_mut().and_then(|connection| connection.disk.as_mut()) else { return };
        if disk.review(&keys) == Ok(true) {
            self.known = Some(disk.clone());
            self.note(Event::Resized);
        }
    }

    /// The connection is to end: what is under way is finished, and flushed.
    fn go_on_stopping(&mut self, now: Duration) {
        let Some(by) = self.pause.stop.by() else { return };
        // Who has closed answers nothing any more.
        let closed = self.pilot.front().backend_state() == State::CLOSED;
        if closed || now >= by || self.is_at_rest(now) {
            self.pause.stop = Stop::Stopped;
            // Too late, the front half goes on by itself.
            let _ = self.pilot.front_mut().stopped(now);
        }
    }

    /// Whether nothing is under way, and nothing is left to be flushed. Sends the driver's own flush.
    pub(crate) fn is_at_rest(&mut self, now: Duration) -> bool {
        let outstanding = self.connection.as_ref().map_or(0, Connection::outstanding);
        let waits = self.jobs.len() > self.done.len() || self.replay.is_some();
        let unsent = matches!(self.pause.stop, Stop::Draining(_)) && waits;
        if outstanding > 0 || (unsent && self.disk().is_some()) {
            return false;
        }
        // A flush would seem to cover what is not made again yet.
        let can_flush = self.disk().is_some_and(Disk::has_flush) && self.cache.is_dirty() && self.replay.is_none();
        if self.pause.flushed || !can_flush {
            return true;
        }
        self.pause.flushed = true;
        let id = self.insert(Job::new(Kind::Flush, 0, crate::Buffer::empty(), now, Origin::Driver));
        let _ = self.send_flush(id.place);
        self.publish(now);
        // The answer may have been known.
        self.connection.as_ref().is_none_or(|connection| connection.outstanding() == 0)
    }

    /// The connection has ended: what it used is given back, and what was under way is to be sent again.
    fn release(&mut self, manner: Manner) {
        let Some(connection) = self.connection.take() else { return };
        let was_connected = connection.disk.is_some() && connection.broken.is_none();
        // Rings, channels and pages of segments go first; what the backend still maps is in quarantine then.
        drop(connection);
        self.starved = None;
        self.recover();
        if manner != Manner::Unused && self.cache.backend_lost() {
            self.replay = Some(Replay::START);
        }
        self.pause = Pause { suspend: self.pause.suspend, ..Pause::NONE };
        if was_connected {
            self.note(Event::Disconnected);
        }
    }

    /// Makes all jobs as if they had never been sent; those that were given up, and the driver's own, are over now.
    fn recover(&mut self) {
        (self.barrier, self.replay) = (NONE, self.replay.map(|_| Replay::START));
        self.parked.clear();
        let platform = self.store.platform().clone();
        let mut place = self.jobs.first();
        while let Some(job) = self.jobs.get_mut(place) {
            let (this, next) = (place, job.next());
            self.statistics.sent_again +=
                u64::from(job.open > 0 && job.standing == Standing::Live && job.origin == Origin::Owner);
            job.parked = false;
            if job.standing == Standing::GivenUp || (job.standing == Standing::Live && job.origin != Origin::Owner) {
                self.take_out(this);
            } else if job.standing == Standing::Live {
                job.rewind();
                if job.buffer.recover(&platform).is_err() {
                    job.buffer.release();
                    job.fail(IoError::NoMemory);
                }
                // Or a part of it has failed, and the others are not answered any more.
                if job.failure.is_some() {
                    self.finish(this);
                }
            } else {
                // What it brought is there; its pages are the domain's own again.
                job.buffer.release();
            }
            place = next;
        }
        self.jobs.recount();
        self.cursor = self.jobs.first();
    }

    /// The front half has ended.
    fn gone(&mut self, end: End) {
        let hold = match (end, self.options.vanished) {
            (End::Closed, _) | (End::Vanished(_), Vanishing::Fail) => return self.end(end),
            _ if self.life == Life::Closing => return self.end(end),
            (_, Vanishing::Hold(time)) => time,
            (_, Vanishing::Fail) => Vanishing::SUSPENDED,
        };
        // One that comes back only to vanish again does not begin anew.
        let until = *self.held.get_or_insert(self.store.now().saturating_add(hold));
        self.life = Life::Detached(until, end);
        self.note(Event::Detached(end));
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self, end: End) {
        self.life = Life::Ended;
        (self.connection, self.starved) = (None, None);
        self.cache.give_up();
        self.fail_all(IoError::of_lost);
        self.note(Event::Ended(end));
    }
}

impl Vanishing {
    /// How long a disk is waited for after a suspend in any case.
    const SUSPENDED: Duration = Duration::from_secs(60);
}

impl IoError {
    /// What becomes of a request whose disk is lost.
    pub(crate) const fn of_lost(seen: Seen) -> Self {
        match seen {
            Seen::Never => Self::NotSent,
            Seen::Perhaps => Self::OutcomeUnknown,
        }
    }
}
