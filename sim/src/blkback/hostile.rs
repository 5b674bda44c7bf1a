//! Answers that no honest backend gives.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::blkif::{Operation, Response, Status};

use super::engine::Engine;
use super::queue::Queue;
use super::request::Job;
use crate::memory::Page;
use crate::oracle::Access;

/// What a backend does in place of an honest answer. The number in the text is that of the catalogue of hostile inputs, where it has
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misdeed {
    /// The answer names this request. (059, 060)
    Id(u64),
    /// These bits of the answer's id are inverted. (059, 020)
    IdBits(u64),
    /// It is answered twice. (060)
    Twice,
    /// The answer is to another operation. (061)
    Operation(Operation),
    /// An indirect request is answered as `INDIRECT`. (061)
    EchoIndirect,
    /// The status is this one. (063 to 067)
    Status(i16),
    /// A request is answered that the front has not published: the next one. (001, 014, 026)
    Unpublished,
    /// The producer index is so much further than the answers go, or back. (001 to 004)
    Producer(i32),
    /// It is done, and never answered. (071)
    Silent,
    /// It is answered before its pages are unmapped, which they never are. (022, 074)
    KeepsMapped,
    /// All of each page that may be written is, not just what is asked for. (078)
    Overruns,
    /// The answer is `OKAY`, and nothing was done. (062, 068, 069, 077)
    Pretends,
    /// The pages change after the answer. (021, 076)
    ChangesLater,
    /// The pages that hold the segments of an indirect request change, where they may be written. (073)
    RewritesIndirect,
    /// All requests in the ring change, before the answer. (018)
    RewritesRequests,
    /// The front's index and both event indices change. (007 to 009, 011)
    RewritesIndices,
    /// The whole ring is filled with junk. (012)
    Junk,
    /// So many events come with the answer. (090, 092)
    Storm(u16),
}

/// Whether nothing is done.
pub(super) const fn is_idle(misdeed: Option<&Misdeed>) -> bool {
    matches!(misdeed, Some(Misdeed::Pretends))
}

impl Misdeed {
    /// All kinds, for tests that go through them.
    pub const ALL: [Self; 28] = [
        Self::Id(0),
        Self::Id(u64::MAX),
        Self::Id(1 << 32),
        Self::IdBits(1 << 63),
        Self::IdBits(1 << 32),
        Self::IdBits(1),
        Self::Twice,
        Self::Operation(Operation::DISCARD),
        Self::Operation(Operation(255)),
        Self::EchoIndirect,
        Self::Status(1),
        Self::Status(-3),
        Self::Status(i16::MIN),
        Self::Unpublished,
        Self::Producer(1),
        Self::Producer(-1),
        Self::Producer(i32::MIN),
        Self::Producer(1 << 20),
        Self::Silent,
        Self::KeepsMapped,
        Self::Overruns,
        Self::Pretends,
        Self::ChangesLater,
        Self::RewritesIndirect,
        Self::RewritesRequests,
        Self::RewritesIndices,
        Self::Junk,
        Self::Storm(300),
    ];

    /// One of them.
    pub(super) fn any(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..10) {
            0 => Self::Id(rng.random_range(0..64)),
            1 => Self::IdBits(1 << rng.random_range(0..64)),
            2 => Self::Status(rng.random()),
            3 => Self::Producer(rng.random_range(-40..40)),
            4 => Self::Storm(rng.random_range(1..300)),
            _ => *Self::ALL.choose(rng).unwrap_or(&Self::Twice),
        }
    }
}

/// Answers a request badly.
pub(super) fn answer(queue: &mut Queue, job: &mut Job, misdeed: &Misdeed, engine: &mut Engine) {
    let honest = Response { id: job.id, operation: job.operation, status: job.status, ..Response::default() };
    match *misdeed {
        Misdeed::Overruns => overrun(job, engine),
        Misdeed::RewritesIndirect => job.indirect.iter().for_each(|gref| scribble(engine, *gref, 0)),
        Misdeed::RewritesRequests => {
            queue.grefs.iter().for_each(|gref| scribble(engine, *gref, slots_of(queue, *gref)))
        }
        Misdeed::RewritesIndices => rewrite_indices(queue, engine),
        _ => {}
    }
    let keeps = matches!(misdeed, Misdeed::KeepsMapped | Misdeed::ChangesLater);
    if keeps {
        queue.hoard.extend_from_slice(&job.mapped);
    } else {
        engine.window.unmap(&mut job.mapped);
    }
    if let Some(response) = altered(honest, job, misdeed) {
        queue.respond(response, engine);
    }
    afterwards(queue, job, misdeed, engine);
    job.mapped.clear();
}

/// The answer that is given, if any is.
const fn altered(honest: Response, job: &Job, misdeed: &Misdeed) -> Option<Response> {
    let answer = match *misdeed {
        Misdeed::Silent => return None,
        Misdeed::Id(id) => Response { id, ..honest },
        Misdeed::IdBits(bits) => Response { id: honest.id ^ bits, ..honest },
        Misdeed::Operation(operation) => Response { operation, ..honest },
        Misdeed::EchoIndirect if job.is_indirect => Response { operation: Operation::INDIRECT, ..honest },
        Misdeed::Status(status) => Response { status: Status(status), ..honest },
        _ => honest,
    };
    Some(answer)
}

/// What comes after the answer.
fn afterwards(queue: &mut Queue, job: &Job, misdeed: &Misdeed, engine: &mut Engine) {
    match *misdeed {
        Misdeed::Twice => force(queue, job, job.id, engine),
        Misdeed::Unpublished => force(queue, job, job.id.wrapping_add(1), engine),
        Misdeed::Producer(by) => move_producer(queue, by as u32, engine),
        Misdeed::ChangesLater => {
            queue.answer(engine);
            job.pieces.iter().for_each(|piece| fill(piece.page, engine));
        }
        Misdeed::Junk => {
            queue.answer(engine);
            queue.grefs.iter().for_each(|gref| scribble(engine, *gref, 0));
        }
        Misdeed::Storm(events) => {
            queue.answer(engine);
            queue.signal(events.into());
        }
        _ => {}
    }
}

/// Where in the ring's first page the indices are, and the slots begin.
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;
const RSP_PROD: usize = 8;
const RSP_EVENT: usize = 12;
const SLOTS: usize = 64;
const SLOT: usize = 112;

/// An answer that the ring has no room for: it is put there all the same.
fn force(queue: &mut Queue, job: &Job, id: u64, engine: &mut Engine) {
    queue.answer(engine);
    let Some(first) = ring_page(engine, queue.grefs.first().copied()) else { return };
    let index = first.u32(RSP_PROD).load(crate::order::BYTES);
    let slots = 1 << ((queue.grefs.len() * PAGE_SIZE - SLOTS) / SLOT).ilog2();
    let at = SLOTS + index as usize % slots * SLOT;
    let response = Response { id, operation: job.operation, status: Status::OKAY, ..Response::default() };
    let bytes = zerocopy::IntoBytes::as_bytes(&response);
    for (at, byte) in (at..).zip(bytes) {
        if let Some(page) = ring_page(engine, queue.grefs.get(at / PAGE_SIZE).copied()) {
            page.write(at % PAGE_SIZE, &[*byte]);
        }
    }
    move_producer(queue, 1, engine);
}

/// Moves the index of answers, past those that there are.
fn move_producer(queue: &mut Queue, by: u32, engine: &mut Engine) {
    queue.answer(engine);
    if let Some(page) = ring_page(engine, queue.grefs.first().copied()) {
        let word = page.u32(RSP_PROD);
        crate::order::put32(word, crate::order::look32(word).wrapping_add(by));
    }
    let _ = queue.ear.channel().notify();
}

fn rewrite_indices(queue: &Queue, engine: &mut Engine) {
    if let Some(page) = ring_page(engine, queue.grefs.first().copied()) {
        for offset in [REQ_PROD, REQ_EVENT, RSP_EVENT, 16, 20, 60] {
            page.u32(offset).store(engine.rng.random(), crate::order::BYTES);
        }
    }
}

/// Where the slots begin in a page of the ring.
fn slots_of(queue: &Queue, gref: GrantRef) -> usize {
    if queue.grefs.first() == Some(&gref) { SLOTS } else { 0 }
}

/// Fills the pages of a request, as far as they may be written.
fn overrun(job: &Job, engine: &mut Engine) {
    for (piece, gref) in job.pieces.iter().zip(&job.grefs) {
        let Some(page) = ring_page(engine, Some(*gref)) else { continue };
        let mut asked = vec![0; piece.len];
        page.read(piece.offset, &mut asked);
        fill(page, engine);
        page.write(piece.offset, &asked);
    }
}

fn scribble(engine: &mut Engine, gref: GrantRef, from: usize) {
    if let Some(page) = ring_page(engine, Some(gref)) {
        let mut bytes = vec![0; PAGE_SIZE - from];
        engine.rng.fill(bytes.as_mut_slice());
        page.write(from, &bytes);
    }
}

fn fill(page: Page, engine: &mut Engine) {
    let mut bytes = [0; PAGE_SIZE];
    engine.rng.fill(&mut bytes);
    page.write(0, &bytes);
}

/// A page of the front's, where the backend may write it.
fn ring_page(engine: &Engine, gref: Option<GrantRef>) -> Option<Page> {
    let reach = engine.domain.machine().lock().reach(engine.domain.id());
    let is_it = |reach: &&crate::oracle::Reach| {
        reach.owner == engine.front && Some(reach.gref) == gref && reach.access == Access::ReadWrite
    };
    reach.iter().find(is_it).map(|reach| reach.page)
}
