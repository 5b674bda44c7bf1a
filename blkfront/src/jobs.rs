//! The requests that a disk has taken and not given back, in the order in which it took them.

use alloc::vec::Vec;
use core::time::Duration;

use xen_grant_table::Memory;
use xen_hypercall::abi::frame::PAGE_SIZE;

use crate::buffer::Buffer;
use crate::cache::{Cache, Mark};
use crate::error::IoError;
use crate::request::{Flushed, Kind, RequestId};
use crate::sector::SECTOR;
use crate::stall::Stall;

/// No job.
pub(crate) const NONE: u32 = u32::MAX;

/// A request, and how far it has come.
pub(crate) struct Job<P: Memory> {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
    pub(crate) buffer: Buffer<P>,
    /// Counts up; what was submitted later has a higher one.
    pub(crate) serial: u64,
    pub(crate) since: Duration,
    /// Pages, of the buffer's, that were sent. Of a request without data: 1 if it was sent.
    pub(crate) sent: u32,
    /// Requests of the ring that are not answered.
    pub(crate) open: u32,
    /// Changes that this one waits for.
    pub(crate) waits_for: u32,
    pub(crate) failure: Option<IoError>,
    /// What a flush has to tell.
    pub(crate) flushed: Option<Flushed>,
    /// Of how many losses it tells.
    pub(crate) losses: u64,
    /// What a flush covers.
    pub(crate) mark: Mark,
    pub(crate) seen: Seen,
    pub(crate) origin: Origin,
    pub(crate) standing: Standing,
    /// It is sent alone: merged with others, it failed.
    pub(crate) alone: bool,
    pub(crate) stall: Stall,
    /// A flush that is in the list of those that wait.
    pub(crate) parked: bool,
    /// Those behind it wait for it.
    counted: bool,
    /// Neighbours in the order.
    previous: u32,
    next: u32,
}

/// Whether a backend knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Never,
    Perhaps,
}

/// How a request and its owner stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The owner waits for it.
    Live,
    /// It has come to its end, and is to be given back.
    Over,
    /// The owner has given it up. Its pages stay until the backend has answered, or is gone.
    GivenUp,
}

/// Who wants something done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Owner,
    /// The driver, before it lets go of a connection.
    Driver,
    /// The journal.
    Journal,
}

enum Place<P: Memory> {
    Vacant { next: u32 },
    Taken(Job<P>),
}

/// All of them.
pub(crate) struct Jobs<P: Memory> {
    places: Vec<Place<P>>,
    vacant: u32,
    first: u32,
    last: u32,
    count: usize,
    /// Of those: the owner's.
    owned: usize,
    serial: u64,
    /// Changes that are not answered.
    changes: u32,
    /// Jobs that wait for changes.
    waiting: u32,
}

impl<P: Memory> Job<P> {
    pub(crate) const fn new(kind: Kind, at: u64, buffer: Buffer<P>, now: Duration, origin: Origin) -> Self {
        Self {
            kind,
            at,
            buffer,
            serial: 0,
            since: now,
            sent: 0,
            open: 0,
            waits_for: 0,
            failure: None,
            flushed: None,
            losses: 0,
            mark: Mark::NOTHING,
            seen: Seen::Never,
            origin,
            standing: Standing::Live,
            alone: false,
            stall: Stall::No,
            parked: false,
            counted: kind.changes(),
            previous: NONE,
            next: NONE,
        }
    }

    /// How many pages, or one for a request without data.
    pub(crate) const fn steps(&self) -> u32 {
        if self.kind.transfers() { self.buffer.len().div_ceil(PAGE_SIZE) as u32 } else { 1 }
    }

    pub(crate) const fn sectors(&self) -> u64 {
        match self.kind {
            Kind::Discard { sectors, .. } => sectors,
            _ => (self.buffer.len() / SECTOR) as u64,
        }
    }

    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// Everything was sent that is to be, and answered.
    pub(crate) const fn is_answered(&self) -> bool {
        self.open == 0 && (self.failure.is_some() || self.sent >= self.steps())
    }

    /// There is something to be sent.
    pub(crate) const fn has_more(&self) -> bool {
        self.failure.is_none() && self.sent < self.steps()
    }

    /// As if nothing had been sent.
    pub(crate) const fn rewind(&mut self) {
        (self.sent, self.open, self.alone, self.parked) = (0, 0, false, false);
    }

    /// A flush has this to tell, and of losses.
    pub(crate) const fn tell(&mut self, verdict: Flushed, cache: &Cache) {
        let (flushed, losses) = cache.judged(verdict, self.serial);
        (self.flushed, self.losses) = (Some(flushed), losses);
    }

    pub(crate) const fn fail(&mut self, error: IoError) {
        if self.failure.is_none() {
            self.failure = Some(error);
        }
    }
}

impl<P: Memory> Jobs<P> {
    pub(crate) const fn new() -> Self {
        let (vacant, first, last) = (NONE, NONE, NONE);
        Self { places: Vec::new(), vacant, first, last, count: 0, owned: 0, serial: 0, changes: 0, waiting: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// How many are the owner's, those included that were given up.
    pub(crate) const fn owned(&self) -> usize {
        self.owned
    }

    /// The number of the one that was taken last.
    pub(crate) const fn latest(&self) -> u64 {
        self.serial
    }

    /// The one that was taken first.
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    pub(crate) fn get(&self, place: u32) -> Option<&Job<P>> {
        match self.places.get(place as usize)? {
            Place::Taken(job) => Some(job),
            Place::Vacant { .. } => None,
        }
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut Job<P>> {
        match self.places.get_mut(place as usize)? {
            Place::Taken(job) => Some(job),
            Place::Vacant { .. } => None,
        }
    }

    /// The place of a request that is still here.
    pub(crate) fn find(&self, id: RequestId) -> Option<u32> {
        self.get(id.place).filter(|job| job.serial == id.serial).map(|_| id.place)
    }

    /// Takes a job, behind all others.
    pub(crate) fn insert(&mut self, mut job: Job<P>) -> RequestId {
        self.serial += 1;
        let serial = self.serial;
        job.serial = serial;
        job.waits_for = self.changes;
        job.previous = self.last;
        self.changes += u32::from(job.kind.changes());
        self.waiting += u32::from(job.kind.waits());
        self.owned += usize::from(job.origin == Origin::Owner);
        let place = self.place(job);
        self.link(self.last, place);
        self.last = place;
        self.count += 1;
        RequestId { place, serial }
    }

    /// Drops a job where it is, whatever its state, and lets those that waited for it go on. Answers with what it was, and the
    /// next one.
    pub(crate) fn remove(&mut self, place: u32) -> Option<(Kind, u32)> {
        let slot = self.places.get_mut(place as usize)?;
        let Place::Taken(job) = slot else { return None };
        let Job { kind, origin, serial, counted, previous, next, .. } = *job;
        *slot = Place::Vacant { next: self.vacant };
        self.vacant = place;
        self.count -= 1;
        self.owned -= usize::from(origin == Origin::Owner);
        self.unlink(previous, next);
        self.waiting -= u32::from(kind.waits());
        if counted {
            self.one_change_less(serial);
        }
        Some((kind, next))
    }

    /// Nobody waits for this change any more.
    pub(crate) fn change_is_over(&mut self, place: u32) {
        let Some(job) = self.get_mut(place) else { return };
        if core::mem::take(&mut job.counted) {
            let serial = job.serial;
            self.one_change_less(serial);
        }
    }

    /// Nobody waits for anybody any more.
    pub(crate) fn forget_order(&mut self) {
        self.for_each(|_, job| (job.counted, job.waits_for) = (false, 0));
        self.changes = 0;
    }

    /// Counts anew who waits for how many changes.
    pub(crate) fn recount(&mut self) {
        let mut changes = 0;
        self.for_each(|_, job| {
            job.waits_for = changes;
            changes += u32::from(job.counted);
        });
        self.changes = changes;
    }

    /// Does something to each, in order.
    pub(crate) fn for_each(&mut self, mut what: impl FnMut(u32, &mut Job<P>)) {
        let mut place = self.first;
        while let Some(job) = self.get_mut(place) {
            let this = place;
            place = job.next;
            what(this, job);
        }
    }

    fn one_change_less(&mut self, serial: u64) {
        self.changes -= 1;
        if self.waiting == 0 {
            return;
        }
        self.for_each(|_, job| {
            if job.kind.waits() && job.serial > serial {
                job.waits_for = job.waits_for.saturating_sub(1);
            }
        });
    }

    fn place(&mut self, job: Job<P>) -> u32 {
        let place = self.vacant;
        match self.places.get_mut(place as usize) {
            Some(slot) => {
                if let Place::Vacant { next } = *slot {
                    self.vacant = next;
                }
                *slot = Place::Taken(job);
                place
            }
            None => {
                self.places.push(Place::Taken(job));
                (self.places.len() - 1) as u32
            }
        }
    }

    fn link(&mut self, previous: u32, place: u32) {
        match self.get_mut(previous) {
            Some(job) => job.next = place,
            None => self.first = place,
        }
    }

    fn unlink(&mut self, previous: u32, next: u32) {
        match self.get_mut(previous) {
            Some(job) => job.next = next,
            None => self.first = next,
        }
        match self.get_mut(next) {
            Some(job) => job.previous = previous,
            None => self.last = previous,
        }
    }
}
