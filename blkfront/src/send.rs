//! From requests to the ring.

use core::time::Duration;

use xen_grant_table::Refusal;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::blkif::RequestIndirect;
use xen_hypercall::abi::io::blkif::{DiscardFlags, MAX_SEGMENTS_PER_REQUEST, Operation, RequestDiscard};
use xen_shared_ring::PeerError;
use zerocopy::IntoBytes;

use crate::connection::Connection;
use crate::device::Blkfront;
use crate::error::IoError;
use crate::jobs::{NONE, Seen};
use crate::queue::Part;
use crate::request::{Discard, Kind, RequestId};
use crate::sector::SECTOR;
use crate::share::Share;
use crate::wire::{Discarding, Head, Indirect, One, direct};
use crate::{Platform, replay};

/// When to look again after something ran out.
const STARVED: Duration = Duration::from_millis(10);

/// What came of an attempt to send something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is in the ring, or need not be.
    Yes,
    /// It has to wait: for room, for others, or for memory.
    Blocked,
}

impl<P: Platform> Blkfront<P> {
    /// Sends what there is room for. The backend does not see it before [`publish`](Self::publish).
    pub(crate) fn send(&mut self, now: Duration) {
        if !self.may_send() || self.starved.is_some_and(|until| now < until) {
            return;
        }
        self.starved = None;
        if self.replay.is_some() {
            return replay::go_on(self, now);
        }
        self.send_parked();
        // Each turn sends something or moves on.
        while !self.is_behind_barrier() && self.send_next(now) == Sent::Yes {}
    }

    /// Whether what is to be sent next was submitted after a barrier that is under way.
    fn is_behind_barrier(&self) -> bool {
        let serial = |place| self.jobs.get(place).map(|job| job.serial);
        serial(self.barrier).is_some_and(|barrier| serial(self.cursor).is_none_or(|next| next > barrier))
    }

    /// Shows the backends what was sent.
    #[inline]
    pub(crate) fn publish(&mut self, now: Duration) {
        let Some(connection) = &mut self.connection else { return };
        let mut signals = 0;
        for queue in &mut connection.queues {
            signals += u64::from(queue.publish());
        }
        self.statistics.notifications += signals;
        if connection.outstanding() > 0 {
            self.watchdog.arm(now);
        }
    }

    /// Sends flushes whose time has come.
    fn send_parked(&mut self) {
        let mut index = 0;
        while let Some(id) = self.parked.get(index).copied() {
            let waits = self.jobs.find(id).and_then(|place| self.jobs.get(place)).is_some_and(|job| job.waits_for > 0);
            if waits || (self.jobs.find(id).is_some() && self.send_flush(id.place) == Sent::Blocked) {
                index += 1;
            } else {
                self.parked.swap_remove(index);
            }
        }
    }

    fn send_next(&mut self, now: Duration) -> Sent {
        let place = self.cursor;
        let Some(job) = self.jobs.get_mut(place) else { return Sent::Blocked };
        if !job.has_more() || job.parked {
            self.cursor = job.next();
            return Sent::Yes;
        }
        match job.kind {
            Kind::Barrier if job.waits_for > 0 => Sent::Blocked,
            Kind::Flush if job.waits_for > 0 => {
                job.parked = true;
                self.parked.push(RequestId { place, serial: job.serial });
                Sent::Yes
            }
            Kind::Flush => self.send_flush(place),
            Kind::Discard { sectors, how } => self.send_discard(place, sectors, how),
            Kind::Barrier => {
                self.barrier = place;
                self.send_data(place, now)
            }
            Kind::Read | Kind::Write => self.send_data(place, now),
        }
    }

    /// Sends a flush, unless the answer is known.
    pub(crate) fn send_flush(&mut self, place: u32) -> Sent {
        let (Some(job), Some(connection)) = (self.jobs.get_mut(place), &mut self.connection) else { return Sent::Yes };
        let Some(disk) = &connection.disk else { return Sent::Blocked };
        if let Some(verdict) = self.cache.verdict(disk) {
            (job.sent, job.parked) = (1, false);
            job.tell(verdict, &self.cache);
            self.finish(place);
            return Sent::Yes;
        }
        let operation = if disk.has_flush() { Operation::FLUSH_DISKCACHE } else { Operation::WRITE_BARRIER };
        job.mark = self.cache.mark();
        let part = Part { operation, job: place, jobs: 1, page: 0, pages: 0, indirect: NONE };
        let handle = self.handle;
        let sent = push(connection, part, |id, connection, queue| {
            let head = Head { operation, nr_segments: 0, handle, pad: 0, id, sector_number: 0 };
            connection.queues.get_mut(queue).is_some_and(|queue| queue.ring.push(head).is_ok())
        });
        self.sent_whole(place, sent)
    }

    fn send_discard(&mut self, place: u32, nr_sectors: u64, how: Discard) -> Sent {
        let (Some(job), Some(connection)) = (self.jobs.get_mut(place), &mut self.connection) else { return Sent::Yes };
        let flag = if how == Discard::Secure { DiscardFlags::SECURE } else { DiscardFlags::empty() };
        let (operation, sector_number, handle) = (Operation::DISCARD, job.at, self.handle);
        let part = Part { operation, job: place, jobs: 1, page: 0, pages: 0, indirect: NONE };
        let sent = push(connection, part, |id, connection, queue| {
            let request = RequestDiscard { operation, flag, handle, id, sector_number, nr_sectors, _pad: 0 };
            connection.queues.get_mut(queue).is_some_and(|queue| queue.ring.push(Discarding(request)).is_ok())
        });
        self.sent_whole(place, sent)
    }

    fn sent_whole(&mut self, place: u32, sent: Sent) -> Sent {
        if sent == Sent::Yes {
            self.statistics.sent += 1;
            // One that is still in the list of those that wait would leave its place there when it is given up.
            if let Some(job) = self.jobs.get_mut(place) {
                job.parked = false;
            }
            self.mark_sent(Share { job: place, jobs: 1, page: 0, pages: 1 });
        }
        sent
    }

    /// Sends a change of the journal.
    pub(crate) fn send_job(&mut self, place: u32, now: Duration) -> Sent {
        match self.jobs.get(place).map(|job| job.kind) {
            Some(Kind::Discard { sectors, how }) => self.send_discard(place, sectors, how),
            _ => self.send_data(place, now),
        }
    }

    /// Sends as many pages as one request of the ring takes; of several jobs, if they are adjacent.
    fn send_data(&mut self, place: u32, now: Duration) -> Sent {
        let Some(connection) = &mut self.connection else { return Sent::Blocked };
        if connection.queues.iter().all(|queue| queue.ring.room() == 0) {
            return Sent::Blocked;
        }
        let Some(share) = self.share(place) else { return Sent::Yes };
        match self.lend(share).and_then(|share| self.push_data(share)) {
            Ok(sent) => sent,
            Err(refusal) => self.refused(place, refusal, now),
        }
    }

    /// Pages could not be granted.
    fn refused(&mut self, place: u32, refusal: Refusal, now: Duration) -> Sent {
        match refusal {
            // Those of a connection that is about to end.
            Refusal::Stale => Sent::Blocked,
            Refusal::NoGrants | Refusal::NoMemory | Refusal::Contended | Refusal::Table(_) | Refusal::NoAccounts => {
                self.starved = Some(now.saturating_add(STARVED));
                self.statistics.starved += 1;
                Sent::Blocked
            }
            Refusal::QuarantineFull => {
                let kept =
                    self.connection.as_ref().map_or(0, |connection| connection.lending.account.limits().quarantine);
                self.misbehaved(PeerError::PagesKept { most: kept });
                Sent::Blocked
            }
            refusal => {
                if let Some(job) = self.jobs.get_mut(place) {
                    job.fail(IoError::NotGranted(refusal));
                }
                self.finish_if_answered(place);
                Sent::Yes
            }
        }
    }

    /// There is no page for segments: what goes without one is sent.
    fn push_fewer(&mut self, share: Share) -> Result<Sent, Refusal> {
        self.unlend_share(share);
        let fewer = Share { jobs: 1, pages: MAX_SEGMENTS_PER_REQUEST as u32, ..share };
        let left = self.jobs.get(share.job).map_or(0, |job| job.steps() - job.sent);
        let fewer = self.lend(Share { pages: fewer.pages.min(left), ..fewer })?;
        self.push_data(fewer)
    }

    fn push_data(&mut self, share: Share) -> Result<Sent, Refusal> {
        let (Some(connection), Some(job)) = (&mut self.connection, self.jobs.get(share.job)) else {
            return Ok(Sent::Yes);
        };
        let operation = match job.kind {
            Kind::Read => Operation::READ,
            Kind::Barrier => Operation::WRITE_BARRIER,
            _ => Operation::WRITE,
        };
        let sector_number = job.at + u64::from(share.page) * (PAGE_SIZE / SECTOR) as u64;
        let (segments, handle) = (&*self.segments, self.handle);
        let Share { job, jobs, page, pages } = share;
        let mut part = Part { operation, job, jobs, page, pages, indirect: NONE };
        let sent = if segments.len() <= MAX_SEGMENTS_PER_REQUEST {
            push(connection, part, |id, connection, queue| {
                let head = Head { operation, nr_segments: segments.len() as u8, handle, pad: 0, id, sector_number };
                let Some(queue) = connection.queues.get_mut(queue) else { return false };
                match segments {
                    [segment] => queue.ring.push(One { head, segment: *segment }).is_ok(),
                    segments => queue.ring.push(direct(head, segments)).is_ok(),
                }
            })
        } else {
            let (held, gref) = match connection.lending.hold_segments(segments.as_bytes()) {
                Ok(held) => held,
                Err(_) => return self.push_fewer(share),
            };
            part.indirect = held;
            push(connection, part, |id, connection, queue| {
                let mut request = RequestIndirect {
                    operation: Operation::INDIRECT,
                    indirect_op: operation,
                    ..RequestIndirect::default()
                };
                (request.nr_segments, request.id) = (segments.len() as u16, id);
                (request.sector_number, request.handle) = (sector_number, handle);
                let [first, ..] = &mut request.indirect_grefs;
                *first = gref;
                connection.queues.get_mut(queue).is_some_and(|queue| queue.ring.push(Indirect(request)).is_ok())
            })
        };
        if sent == Sent::Blocked {
            connection.lending.segments.put(part.indirect);
            self.unlend_share(share);
            return Err(Refusal::Contended);
        }
        self.statistics.segments += segments.len() as u64;
        self.statistics.indirect += u64::from(part.uses_indirect());
        self.statistics.merged += u64::from(jobs) - 1;
        self.statistics.sent += 1;
        self.mark_sent(share);
        Ok(sent)
    }

    fn mark_sent(&mut self, share: Share) {
        let mut place = share.job;
        for _ in 0..share.jobs {
            let Some(job) = self.jobs.get_mut(place) else { break };
            job.sent = if share.jobs == 1 { share.page + share.pages } else { job.steps() };
            job.open += 1;
            job.parked = false;
            job.seen = Seen::Perhaps;
            place = job.next();
        }
    }
}

/// Puts a request into the ring of a queue that has room, under an id of its own.
#[inline]
fn push<P: Platform>(
    connection: &mut Connection<P>,
    part: Part,
    write: impl FnOnce(u64, &mut Connection<P>, usize) -> bool,
) -> Sent {
    let Some(index) = connection.queue_with_room() else { return Sent::Blocked };
    let Some(queue) = connection.queues.get_mut(index) else { return Sent::Blocked };
    let Ok(id) = queue.parts.insert(part) else { return Sent::Blocked };
    if write(id, connection, index) {
        return Sent::Yes;
    }
    if let Some(queue) = connection.queues.get_mut(index) {
        let _ = queue.parts.withdraw(id);
    }
    Sent::Blocked
}
