//! From the ring to the ends of requests.

use alloc::format;
use core::time::Duration;

use xen_event_channel::Progress;
use xen_hypercall::abi::io::blkif::{Response, Status};
use xen_shared_ring::PeerError;

use crate::Platform;
use crate::device::Blkfront;
use crate::error::IoError;
use crate::jobs::{NONE, Origin, Seen, Standing};
use crate::phase::Life;
use crate::queue::Part;
use crate::replay;
use crate::request::{Completion, Done, Kind, RequestId};

impl<P: Platform> Blkfront<P> {
    /// Takes all responses that are there.
    #[inline]
    pub(crate) fn reap(&mut self, now: Duration) {
        let mut progress = Progress::None;
        for index in 0..self.queue_count() {
            // No more than were outstanding: the ring sees to it.
            while let Some(response) = self.next_response(index) {
                progress = Progress::Made;
                self.answered(index, &response);
            }
        }
        self.watch_over(progress, now);
    }

    /// Takes what is there, and has the backend signal what comes later. Answers whether there was nothing.
    pub(crate) fn reap_and_arm(&mut self, now: Duration) -> bool {
        let mut progress = Progress::None;
        for index in 0..self.queue_count() {
            while let Some(response) = self.next_or_arm(index) {
                progress = Progress::Made;
                self.answered(index, &response);
            }
            let Some(queue) = self.queue_mut(index) else { break };
            // A channel that cannot be settled is looked at by the watchdog.
            let _ = queue.settle(now);
        }
        self.watch_over(progress, now);
        progress == Progress::None
    }

    fn watch_over(&mut self, progress: Progress, now: Duration) {
        if progress == Progress::None && self.watchdog.deadline().is_some_and(|due| due <= now) {
            self.remind();
        }
        match &self.connection {
            Some(connection) if connection.outstanding() > 0 => self.watchdog.looked(progress, now),
            _ => self.watchdog.disarm(),
        }
    }

    /// The backend has done nothing for long: it may not know that it should.
    #[cold]
    fn remind(&mut self) {
        let queues = self.connection.iter().filter(|connection| connection.broken.is_none());
        let idle = queues.flat_map(|connection| &connection.queues).filter(|queue| queue.outstanding() > 0);
        let signals = idle.filter(|queue| queue.remind()).count();
        self.statistics.notifications += signals as u64;
    }

    fn next_response(&mut self, index: usize) -> Option<Response> {
        let result = self.queue_mut(index)?.pop();
        self.checked(result)
    }

    fn next_or_arm(&mut self, index: usize) -> Option<Response> {
        let result = self.queue_mut(index)?.pop_or_arm();
        self.checked(result)
    }

    fn checked(&mut self, result: Result<Option<Response>, PeerError>) -> Option<Response> {
        result.unwrap_or_else(|violation| {
            self.misbehaved(violation);
            None
        })
    }

    #[inline]
    fn answered(&mut self, index: usize, response: &Response) {
        let Some(queue) = self.queue_mut(index) else { return };
        match queue.complete(response) {
            Ok(Some(part)) => self.take_part(part, response.status),
            Ok(None) => {}
            Err(violation) => self.misbehaved(violation),
        }
    }

    /// A request of the ring was answered.
    fn take_part(&mut self, part: Part, status: Status) {
        if let Some(connection) = &mut self.connection {
            connection.lending.segments.put(part.indirect);
        }
        let mut place = part.job;
        for _ in 0..part.jobs {
            let Some(job) = self.jobs.get(place) else { break };
            let next = job.next();
            if let Err(violation) = self.take_share(place, part, status) {
                return self.misbehaved(violation);
            }
            place = next;
        }
    }

    /// The part of one job in it.
    fn take_share(&mut self, place: u32, part: Part, status: Status) -> Result<(), PeerError> {
        let (Some(job), Some(connection)) = (self.jobs.get_mut(place), &mut self.connection) else { return Ok(()) };
        job.open = job.open.saturating_sub(1);
        if job.kind.transfers() {
            let pages = if part.jobs == 1 { part.page..part.page + part.pages } else { 0..job.steps() };
            for page in pages {
                job.buffer.take_back(page as usize, job.kind.purpose(), &mut connection.lending)?;
            }
        }
        if job.kind == Kind::Flush {
            if let Some(disk) = &connection.disk {
                job.tell(self.cache.conclude(job.mark, status, disk), &self.cache);
            }
        } else if status != Status::OKAY && part.jobs > 1 && job.standing == Standing::Live {
            self.send_alone(place);
            return Ok(());
        } else if status != Status::OKAY {
            job.fail(failure(status));
            if status == Status::EOPNOTSUPP {
                let disks = [&mut connection.disk, &mut self.known].into_iter().flatten();
                disks.for_each(|disk| disk.withdraw(job.kind));
            }
        }
        self.finish_if_answered(place);
        Ok(())
    }

    /// One of several jobs that were merged failed, and it is not known which.
    fn send_alone(&mut self, place: u32) {
        let Some(job) = self.jobs.get_mut(place) else { return };
        job.rewind();
        job.alone = true;
        let serial = job.serial;
        if self.jobs.get(self.cursor).is_none_or(|job| job.serial > serial) {
            self.cursor = place;
        }
    }

    pub(crate) fn finish_if_answered(&mut self, place: u32) {
        if self.jobs.get(place).is_some_and(|job| job.is_answered()) {
            self.finish(place);
        }
    }

    /// A job has come to its end.
    pub(crate) fn finish(&mut self, place: u32) {
        let Some(job) = self.jobs.get_mut(place) else { return };
        if self.barrier == place {
            self.barrier = NONE;
        }
        match (job.standing, job.origin) {
            (Standing::Over, _) => return,
            (Standing::GivenUp, _) => {
                self.take_out(place);
                return;
            }
            (Standing::Live, Origin::Journal) => return replay::written(self, place),
            (Standing::Live, Origin::Driver) => {
                self.take_out(place);
                return;
            }
            (Standing::Live, Origin::Owner) => {}
        }
        job.standing = Standing::Over;
        if job.failure.is_none() && job.kind.changes() {
            self.cache.acknowledge(job);
        }
        self.jobs.change_is_over(place);
        self.done.push_back(place);
    }

    /// Drops a job for good.
    pub(crate) fn take_out(&mut self, place: u32) {
        let Some((kind, next)) = self.jobs.remove(place) else { return };
        if self.cursor == place {
            self.cursor = next;
        }
        if self.barrier == place {
            self.barrier = NONE;
        }
        if kind == Kind::Flush {
            self.parked.retain(|id| id.place != place);
        }
    }

    /// The end of this request, if it has come.
    pub(crate) fn take_done(&mut self, id: RequestId) -> Option<Completion<P>> {
        let index = self.done.iter().position(|place| *place == id.place)?;
        self.done.remove(index).and_then(|place| self.give_back(place))
    }

    /// The next request that has come to its end.
    #[inline]
    pub(crate) fn next_done(&mut self) -> Option<Completion<P>> {
        let place = self.done.pop_front()?;
        self.give_back(place)
    }

    fn give_back(&mut self, place: u32) -> Option<Completion<P>> {
        let job = self.jobs.get_mut(place)?;
        let (id, losses) = (RequestId { place, serial: job.serial }, job.losses);
        let result = match (job.failure, job.kind, job.flushed) {
            (Some(error), ..) => Err(error),
            (None, Kind::Flush, Some(flushed)) => Ok(Done::Flushed(flushed)),
            (None, Kind::Flush, None) => Err(IoError::OutcomeUnknown),
            (None, Kind::Discard { .. }, _) => Ok(Done::Discarded),
            (None, ..) => Ok(Done::Transferred),
        };
        let buffer = core::mem::replace(&mut job.buffer, crate::Buffer::empty());
        self.take_out(place);
        self.statistics.completed += 1;
        self.statistics.failed += u64::from(result.is_err());
        self.cache.told(losses, self.jobs.latest());
        Some(Completion { id, result, buffer })
    }

    /// The backend broke the protocol: nothing of what it says is believed from here on, and all that it was asked has an end.
    #[cold]
    pub(crate) fn misbehaved(&mut self, violation: PeerError) {
        let Some(connection) = &mut self.connection else { return };
        if connection.broken.is_some() {
            return;
        }
        connection.set_broken(violation);
        let attempt = connection.attempt;
        if self.life != Life::Closing {
            self.life = Life::Broken;
        }
        self.cache.give_up();
        self.fail_all(|_| IoError::Misbehaved(violation));
        // Where the connection has ended already, the front half knows.
        let _ = self.pilot.front_mut().give_up(attempt, format!("{violation}"), self.store.now());
        self.note(crate::Event::Disconnected);
    }

    /// Ends all jobs.
    pub(crate) fn fail_all(&mut self, error: impl Fn(Seen) -> IoError) {
        (self.replay, self.barrier, self.cursor) = (None, NONE, NONE);
        self.parked.clear();
        self.jobs.forget_order();
        let mut place = self.jobs.first();
        while let Some(job) = self.jobs.get_mut(place) {
            let (this, next) = (place, job.next());
            (job.open, job.parked) = (0, false);
            if job.standing != Standing::Over {
                job.fail(error(job.seen));
                job.buffer.release();
            }
            if job.origin == Origin::Journal {
                self.take_out(this);
            } else {
                self.finish(this);
            }
            place = next;
        }
    }
}

const fn failure(status: Status) -> IoError {
    match status {
        Status::ERROR => IoError::Failed,
        Status::EOPNOTSUPP => IoError::Unsupported,
        Status(status) => IoError::Status(status),
    }
}
