//! Answers that no honest backend gives.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::blkif::{Operation, Response, Status};
use zerocopy::IntoBytes;

use super::engine::Engine;
use super::queue::Queue;
use super::request::Job;

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
        Misdeed::Overruns => {
            for (piece, gref) in job.pieces.iter().zip(&job.grefs) {
                engine.forge().scribble_around(*gref, piece.offset, piece.len);
            }
        }
        Misdeed::RewritesIndirect => job.indirect.iter().for_each(|gref| engine.forge().scribble(*gref)),
        Misdeed::RewritesRequests => engine.forge().scribble_slots(&queue.grefs),
        Misdeed::RewritesIndices => engine.forge().rewrite_indices(&queue.grefs),
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
        Misdeed::Producer(by) => {
            queue.answer(engine);
            engine.forge().move_producer(&queue.grefs, by as u32);
            // The front may have closed its end.
            let _ = queue.ear.channel().notify();
        }
        Misdeed::ChangesLater => {
            queue.answer(engine);
            job.pieces.iter().for_each(|piece| engine.forge().fill(piece.page));
        }
        Misdeed::Junk => {
            queue.answer(engine);
            queue.grefs.iter().for_each(|gref| engine.forge().scribble(*gref));
        }
        Misdeed::Storm(events) => {
            queue.answer(engine);
            queue.signal(events.into());
        }
        _ => {}
    }
}

/// Bytes from one slot to the next.
const SLOT: usize = 112;

/// An answer that the ring has no room for: it is put there all the same.
fn force(queue: &mut Queue, job: &Job, id: u64, engine: &mut Engine) {
    queue.answer(engine);
    let response = Response { id, operation: job.operation, status: Status::OKAY, ..Response::default() };
    engine.forge().force(&queue.grefs, SLOT, response.as_bytes());
    let _ = queue.ear.channel().notify();
}
