//! One queue: its ring, its event channel, and the requests that it is at.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use xen_event_channel::Channel;
use xen_grant_table::Mapping;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::blkif::{Operation, Request, Response, Segment, Status};
use xen_shared_ring::{BackRing, Protocol, Slots};
use zerocopy::{FromZeros, IntoBytes};

use super::control::Fault;
use super::disk::Piece;
use super::engine::Engine;
use super::kept::Kept;
use super::request::{self, Job, SEGMENTS_PER_PAGE};
use super::{Listen, Notify, Order, SECTOR, hostile};
use crate::Domain;
use crate::backend::{self, Bell, Ear, Fate, Mapped};
use crate::oracle::Access;

/// The ring's protocol.
pub(super) enum Blk {}

impl Protocol for Blk {
    type Request = Request;
    type Response = Response;
}

pub(super) type Ring = BackRing<Blk, Mapping<Domain>, Slots>;

/// A queue that is connected.
pub(super) struct Queue {
    pub(super) ring: Ring,
    pub(super) ear: Ear,
    /// The ring's pages, as the front named them.
    pub(super) grefs: Vec<GrantRef>,
    more: bool,
    kept: Kept,
    /// Requests that take their time.
    waiting: Vec<Job>,
    /// Those that are not answered.
    stuck: Vec<Job>,
    /// Pages that stay mapped though nobody agreed to it.
    pub(super) hoard: Vec<Mapped>,
    /// A barrier that waits for those before it.
    held: Option<Request>,
    spare: Vec<Job>,
    bell: Bell,
}

impl Queue {
    pub(super) fn new(ring: Ring, channel: Channel<Domain>, grefs: Vec<GrantRef>) -> Self {
        let (waiting, stuck, hoard, spare) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (ear, kept, held) = (Ear::new(Arc::new(channel)), Kept::default(), None);
        Self { ring, ear, grefs, more: true, kept, waiting, stuck, hoard, held, spare, bell: Bell::default() }
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, engine: &mut Engine) -> bool {
        let taken = self.take(engine);
        let done = self.complete(engine, taken);
        self.answer(engine);
        self.purge(engine);
        taken || done
    }

    /// When the next request is done that takes its time.
    pub(super) fn due(&self) -> Option<Duration> {
        self.waiting.iter().map(|job| job.due).min()
    }

    /// How many pages are mapped for good.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Requests that are not answered yet.
    pub(super) const fn unanswered(&self) -> usize {
        self.waiting.len() + self.stuck.len()
    }

    /// Signals the front, for no reason.
    pub(super) fn signal(&self, times: u32) {
        self.ear.storm(times);
    }

    /// Has those go on that were stuck.
    pub(super) fn go_on(&mut self) {
        self.waiting.append(&mut self.stuck);
    }

    /// Ends the connection. What it was at, is done or not, by the seed, and not answered.
    pub(super) fn close(mut self, engine: &mut Engine, fate: Fate) {
        let mut pages = self.kept.empty();
        pages.append(&mut self.hoard);
        for mut job in self.waiting.drain(..).chain(self.stuck.drain(..)) {
            if fate == Fate::Chance && job.status == Status::OKAY && !job.fills_pages() && engine.rng.random() {
                job.carry_out(&engine.disk, &engine.options);
            }
            pages.append(&mut job.mapped);
        }
        let Self { ring, ear, .. } = self;
        drop(ear);
        engine.part(pages, ring.into_region());
    }
}

/// Requests.
impl Queue {
    fn take(&mut self, engine: &mut Engine) -> bool {
        let event = self.ear.heard();
        if !(event || self.more || self.held.is_some() || engine.options.listen == Listen::Always) {
            return false;
        }
        let mut taken = false;
        while let Some(request) = self.next() {
            taken = true;
            self.begin(&request, engine);
        }
        if event {
            self.ear.settle(engine.now);
        }
        taken
    }

    /// The next request that may be begun.
    fn next(&mut self) -> Option<Request> {
        let request = match self.held.take() {
            Some(request) => Some(request),
            // A front that breaks the ring has nothing more done.
            None => self.ring.pop_or_arm().ok().flatten().map(|request| request.into_unverified()),
        };
        self.more = request.is_some();
        let request = request?;
        if request.operation == Operation::WRITE_BARRIER && !self.waiting.is_empty() {
            self.held = Some(request);
            return None;
        }
        Some(request)
    }

    fn begin(&mut self, request: &Request, engine: &mut Engine) {
        let mut job = self.spare.pop().unwrap_or_default();
        job.begin(engine.number(), request);
        if let Err(status) = self.prepare(request, &mut job, engine) {
            job.status = status;
        }
        engine.count(&job);
        let fault = engine.fault(job.operation);
        job.due = engine.now + engine.latency();
        match fault {
            Some(Fault::Hang) => return self.stuck.push(job),
            Some(Fault::Late(time)) => job.due = engine.now + time,
            Some(Fault::Refuse(status)) => job.status = status,
            Some(Fault::Fail(status)) => job.forced = Some(status),
            Some(Fault::Misdeed(misdeed)) => job.misdeed = Some(misdeed),
            None => {}
        }
        if job.due <= engine.now && engine.options.order == Order::Kept && self.waiting.is_empty() {
            self.finish(job, engine);
        } else {
            self.waiting.push(job);
        }
    }

    /// Checks the request and maps its pages.
    fn prepare(&mut self, request: &Request, job: &mut Job, engine: &mut Engine) -> Result<(), Status> {
        match job.operation {
            Operation::DISCARD => return prepare_discard(request, job, engine),
            Operation::INDIRECT => self.take_indirect(request, job, engine)?,
            Operation::READ | Operation::WRITE => job.take_direct(request)?,
            operation if request::is_flush(operation) => {
                engine.offers(operation)?;
                job.take_direct(request)?;
            }
            _ => return Err(Status::EOPNOTSUPP),
        }
        job.check_segments()?;
        job.check_place(&engine.disk, &engine.options)?;
        self.map(job, engine)
    }

    /// Takes the segments out of the pages that an indirect request names.
    fn take_indirect(&mut self, request: &Request, job: &mut Job, engine: &mut Engine) -> Result<(), Status> {
        let request = request::indirect(request);
        (job.is_indirect, job.operation, job.sector) = (true, request.indirect_op, request.sector_number);
        let pages = request::indirect_pages(&request, &engine.options)?;
        let (mut left, first) = (usize::from(request.nr_segments), job.mapped.len());
        job.segments.resize(left, Segment::new_zeroed());
        job.indirect.extend_from_slice(&request.indirect_grefs[..pages]);
        for (gref, segments) in request.indirect_grefs[..pages].iter().zip(job.segments.chunks_mut(SEGMENTS_PER_PAGE)) {
            left -= segments.len();
            let page = self.page(*gref, Access::ReadOnly, job.number, &mut job.mapped, engine)?;
            page.read(0, segments.as_mut_bytes());
        }
        debug_assert_eq!(left, 0);
        let mut rest = job.mapped.split_off(first);
        engine.window.unmap(&mut rest);
        Ok(())
    }

    fn map(&mut self, job: &mut Job, engine: &mut Engine) -> Result<(), Status> {
        let access = if job.fills_pages() { Access::ReadWrite } else { Access::ReadOnly };
        if engine.persistent {
            for index in 0..job.grefs.len() {
                let page = self.page(job.grefs[index], access, job.number, &mut job.mapped, engine)?;
                job.pieces.push(piece(page, job.segments[index]));
            }
            return Ok(());
        }
        let first = job.mapped.len();
        engine.window.map(&job.grefs, access, &mut job.mapped).map_err(|_| Status::ERROR)?;
        let pages = job.mapped[first..].iter().zip(&job.segments);
        job.pieces.extend(pages.map(|(mapped, segment)| piece(mapped.page, *segment)));
        Ok(())
    }

    /// One page: a kept one, or one that is mapped now, and kept where that is agreed on.
    fn page(
        &mut self,
        gref: GrantRef,
        access: Access,
        number: u64,
        mapped: &mut Vec<Mapped>,
        engine: &mut Engine,
    ) -> Result<crate::memory::Page, Status> {
        if engine.persistent
            && let Some(known) = self.kept.find(gref, number, engine.now)
        {
            return Ok(known.page);
        }
        let access = if engine.persistent { Access::ReadWrite } else { access };
        engine.window.map(&[gref], access, mapped).map_err(|_| Status::ERROR)?;
        let new = *mapped.last().ok_or(Status::ERROR)?;
        if engine.persistent && self.kept.len() < engine.options.persistent_pages {
            mapped.pop();
            self.kept.keep(new, number, engine.now);
        }
        Ok(new.page)
    }

    fn purge(&mut self, engine: &mut Engine) {
        if engine.persistent {
            let oldest = self.waiting.iter().chain(&self.stuck).map(|job| job.number).min().unwrap_or(u64::MAX);
            let (unused, most) = (engine.options.persistent_unused, engine.options.persistent_pages);
            let mut out = self.kept.purge(oldest, engine.now, unused, most);
            engine.window.unmap(&mut out);
        }
    }
}

/// Answers.
impl Queue {
    /// Finishes what is due, in the order that the options ask for.
    fn complete(&mut self, engine: &mut Engine, taken: bool) -> bool {
        let due = backend::due(&mut self.waiting, engine.now, engine.options.order, taken, &mut engine.rng);
        let done = !due.is_empty();
        due.into_iter().for_each(|job| self.finish(job, engine));
        done
    }

    fn finish(&mut self, mut job: Job, engine: &mut Engine) {
        if job.status == Status::OKAY && !hostile::is_idle(job.misdeed.as_ref()) {
            job.carry_out(&engine.disk, &engine.options);
        }
        if let Some(misdeed) = job.misdeed.take() {
            hostile::answer(self, &mut job, &misdeed, engine);
        } else {
            engine.window.unmap(&mut job.mapped);
            let status = job.forced.unwrap_or(job.status);
            self.respond(Response { id: job.id, operation: job.operation, status, ..Response::default() }, engine);
        }
        if job.status == Status::EOPNOTSUPP {
            engine.withdraw(job.operation);
        }
        self.spare.push(job);
    }

    pub(super) fn respond(&mut self, response: Response, engine: &mut Engine) {
        // There is room for each request that was taken; more are a script's, and are cut off.
        if self.ring.push(response).is_ok() {
            engine.statistics.responses += 1;
        }
        if engine.options.notify == Notify::EachAnswer {
            self.answer(engine);
        }
    }

    /// Shows the front the answers.
    pub(super) fn answer(&mut self, engine: &mut Engine) {
        let signalled = self.bell.show(&mut self.ring, engine.options.notify, &self.ear);
        engine.statistics.notifications += u64::from(signalled);
    }
}

fn prepare_discard(request: &Request, job: &mut Job, engine: &Engine) -> Result<(), Status> {
    let request = request::discard(request);
    (job.sector, job.sectors, job.discard) = (request.sector_number, request.nr_sectors, request.flag);
    job.check_place(&engine.disk, &engine.options)?;
    engine.offers(Operation::DISCARD)
}

fn piece(page: crate::memory::Page, segment: Segment) -> Piece {
    let count = usize::from(segment.last_sect - segment.first_sect) + 1;
    Piece { page, offset: usize::from(segment.first_sect) * SECTOR, len: count * SECTOR }
}
