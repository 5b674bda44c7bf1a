//! A connection to xenstore as pure protocol: bytes in, bytes out, buffers of fixed size, time as an argument.
//!
//! Many requests can be in flight, and their answers come in any order. Whoever has no heap, or an own idea of waiting, uses
//! this; [`Store`](crate::Store) is built on it.
//!
//! # What a hostile daemon can cause
//!
//! * An answer that never comes: the request [expires](Connection::expire) at its deadline.
//! * An answer that comes later: it is [`Incoming::Late`], for whoever has to clean up; its number is not used again before all
//!   2^32 were.
//! * Answers to nobody: dropped and counted.
//! * Answers of another type or transaction: an error of that one request.
//! * A length that cannot be: a [`Violation`], for good. Only [`reset`](Connection::reset) heals it, with a new ring.
//!
//! Nothing is allocated, and nothing loops on what the daemon says. (Tests `hc_130` to `hc_138`, `hc_144`, `hc_145`.)
//!
//! # Example
//!
//! ```
//! use core::time::Duration;
//! use xen_xenbus::connection::{Connection, Incoming};
//! use xen_xenbus::wire::{Header, MessageType};
//! # use zerocopy::IntoBytes;
//!
//! let mut connection: Connection = Connection::new();
//! let deadline = Duration::from_secs(5);
//! let call = connection.send(MessageType::READ, 0, &[b"domid\0"], deadline).unwrap();
//!
//! // A ring takes some of it, and brings the answer.
//! let sent = connection.outgoing().len();
//! connection.sent(sent);
//! # let answer = Header { kind: MessageType::READ, req_id: 1, tx_id: 0, len: 1 };
//! # let answer = [answer.as_bytes(), b"7"].concat();
//! let mut rest = &answer[..];
//! loop {
//!     let space = connection.space();
//!     let (now, later) = rest.split_at(space.len().min(rest.len()));
//!     space[..now.len()].copy_from_slice(now);
//!     rest = later;
//!     match connection.received(now.len()).unwrap() {
//!         Incoming::Partial => {}
//!         Incoming::Answer { call: to, result } => {
//!             assert_eq!((to, result), (call, Ok(&b"7"[..])));
//!             break;
//!         }
//!         other => panic!("{other:?}"),
//!     }
//! }
//! ```

mod error;
mod outbox;
mod token;

use core::time::Duration;

pub use error::{Failure, SendError};
use outbox::Outbox;
pub use token::Token;

use crate::wire::{BadReply, Header, MessageType, PAYLOAD_MAX, Parser, Received, Refusal, Violation, strings};

/// How many requests a [`Connection`] has in flight at a time, unless it is told otherwise.
pub const CALLS: usize = if cfg!(loom) { 4 } else { 64 };

/// One domain's connection to xenstore, with up to `N` requests in flight.
#[derive(Debug)]
pub struct Connection<const N: usize = CALLS> {
    parser: Parser,
    outbox: Outbox,
    slots: [Slot; N],
    /// No request expires before, so that nobody has to look at all of them.
    earliest: Duration,
    /// The number of the last request.
    last: u32,
    dropped: u32,
}

/// A request that was sent, or is about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId {
    /// Its place among those in flight, below `N`: for a table of what belongs to each.
    pub slot: usize,
    id: u32,
}

/// What has come.
#[non_exhaustive]
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// No whole message yet.
    Partial,
    /// The answer to a request, whose slot is free again.
    Answer {
        /// The request.
        call: CallId,
        /// Its payload, or why there is none.
        result: Result<&'a [u8], Failure>,
    },
    /// The answer to a request that nobody waits for any more: it expired or was [abandoned](Connection::abandon).
    Late {
        /// What was asked.
        asked: MessageType,
        /// In which transaction.
        transaction: u32,
        /// What was answered, if that was no error.
        payload: Option<&'a [u8]>,
    },
    /// Something that is watched has changed, or may have.
    Watched {
        /// The watch.
        token: Token,
        /// The node.
        path: &'a [u8],
    },
    /// A message that is nobody's. It is counted.
    Nobodys(Header),
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Free,
    /// Sent, and awaited until the deadline.
    Waiting(Asked, Duration),
    /// Sent, and awaited by nobody: kept for its late answer, until the slot is needed.
    Abandoned(Asked),
}

/// What an answer is compared with.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: u32,
    kind: MessageType,
    transaction: u32,
}

impl<const N: usize> Default for Connection<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Connection<N> {
    /// A connection on which nothing was said yet.
    #[must_use]
    pub fn new() -> Self {
        let (parser, outbox, slots) = (Parser::new(), Outbox::new(), [Slot::Free; N]);
        Self { parser, outbox, slots, earliest: Duration::MAX, last: 0, dropped: 0 }
    }

    /// Sends a request, whose payload is the parts one after the other.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then.
    pub fn send(
        &mut self,
        kind: MessageType,
        transaction: u32,
        parts: &[&[u8]],
        deadline: Duration,
    ) -> Result<CallId, SendError> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > PAYLOAD_MAX {
            return Err(SendError::TooLong { len });
        }
        let slot = self.vacancy().ok_or(SendError::Full)?;
        let id = self.next_id();
        self.outbox.put(Header { kind, req_id: id, tx_id: transaction, len: len as u32 }, parts)?;
        self.last = id;
        self.earliest = self.earliest.min(deadline);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Slot::Waiting(Asked { id, kind, transaction }, deadline);
        }
        Ok(CallId { slot, id })
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.outbox.bytes()
    }

    /// Takes note that the first `count` of [`outgoing`](Self::outgoing) were sent.
    pub fn sent(&mut self, count: usize) {
        self.outbox.take(count);
    }

    /// Where bytes that come belong; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.parser.space()
    }

    /// Takes note of `count` bytes that came and were put at the start of [`space`](Self::space).
    ///
    /// # Errors
    ///
    /// The daemon's violation. The connection is of no use until it is [reset](Self::reset).
    pub fn received(&mut self, count: usize) -> Result<Incoming<'_>, Violation> {
        let Some(message) = self.parser.filled(count)? else { return Ok(Incoming::Partial) };
        Ok(sort(message, &mut self.slots, &mut self.dropped))
    }

    /// Moves the deadline of a request in flight.
    pub fn set_deadline(&mut self, call: CallId, to: Duration) {
        if let Some(Slot::Waiting(asked, deadline)) = self.slots.get_mut(call.slot)
            && asked.id == call.id
        {
            *deadline = to;
            self.earliest = self.earliest.min(to);
        }
    }

    /// Stops waiting for an answer.
    pub fn abandon(&mut self, call: CallId) {
        if let Some(place) = self.slots.get_mut(call.slot)
            && let Slot::Waiting(asked, _) = *place
            && asked.id == call.id
        {
            *place = Slot::Abandoned(asked);
        }
    }

    /// Abandons a request whose deadline has come, if there is one, and answers with it.
    pub fn expire(&mut self, now: Duration) -> Option<CallId> {
        if now < self.earliest {
            return None;
        }
        let mut waiting = self.slots.iter().enumerate();
        let call = waiting.find_map(|(slot, place)| match place {
            Slot::Waiting(asked, deadline) if *deadline <= now => Some(CallId { slot, id: asked.id }),
            _ => None,
        });
        match call {
            Some(call) => self.abandon(call),
            None => self.earliest = self.next_deadline().unwrap_or(Duration::MAX),
        }
        call
    }

    /// The next time at which a request expires.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let deadlines = self.slots.iter().filter_map(|place| match place {
            Slot::Waiting(_, deadline) => Some(*deadline),
            _ => None,
        });
        deadlines.min()
    }

    /// How many requests wait for their answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.slots.iter().filter(|place| matches!(place, Slot::Waiting(..))).count()
    }

    /// Whether a message has begun to come and has not ended.
    #[must_use]
    pub const fn is_within_message(&self) -> bool {
        self.parser.is_within()
    }

    /// How many messages were nobody's, since the beginning, modulo 2^32.
    #[must_use]
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Begins anew, on a new ring. Requests in flight are forgotten, their numbers not used again soon.
    pub const fn reset(&mut self) {
        self.parser.reset();
        self.outbox.clear();
        self.slots = [Slot::Free; N];
        self.earliest = Duration::MAX;
    }

    /// A slot that is free, or whose late answer is the one that is longest overdue. The beginning of a transaction is kept longest:
    /// only who hears of its late answer can end it.
    fn vacancy(&self) -> Option<usize> {
        let free = self.slots.iter().position(|place| matches!(place, Slot::Free));
        free.or_else(|| {
            let abandoned = self.slots.iter().enumerate().filter_map(|(slot, place)| match place {
                Slot::Abandoned(asked) => {
                    let needless = asked.kind != MessageType::TRANSACTION_START;
                    Some(((needless, self.last.wrapping_sub(asked.id)), slot))
                }
                _ => None,
            });
            abandoned.max().map(|(_, slot)| slot)
        })
    }

    /// The next number that none of the requests in the slots has. Watch events have the number 0.
    fn next_id(&self) -> u32 {
        let taken = |id| self.slots.iter().filter_map(Slot::asked).any(|asked| asked.id == id);
        // At most `N` numbers are taken.
        (1..=N as u32 + 2).map(|step| self.last.wrapping_add(step)).find(|id| *id != 0 && !taken(*id)).unwrap_or(1)
    }
}

impl Slot {
    const fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Free => None,
            Self::Waiting(asked, _) | Self::Abandoned(asked) => Some(asked),
        }
    }
}

/// Finds out whose a message is.
fn sort<'a>(message: Received<'a>, slots: &mut [Slot], dropped: &mut u32) -> Incoming<'a> {
    let Received { header, payload } = message;
    let found = if header.req_id == 0 { watched(message) } else { answered(message, slots) };
    found.unwrap_or_else(|| {
        *dropped = dropped.wrapping_add(1);
        let _ = payload;
        Incoming::Nobodys(header)
    })
}

fn watched(message: Received<'_>) -> Option<Incoming<'_>> {
    if message.header.kind != MessageType::WATCH_EVENT {
        return None;
    }
    let mut parts = strings(message.payload)?;
    let (path, token) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(Incoming::Watched { token: Token::parse(token)?, path })
}

fn answered<'a>(message: Received<'a>, slots: &mut [Slot]) -> Option<Incoming<'a>> {
    let id = message.header.req_id;
    let (slot, place) =
        slots.iter_mut().enumerate().find(|(_, place)| place.asked().is_some_and(|asked| asked.id == id))?;
    let answer = match *place {
        Slot::Waiting(asked, _) => Incoming::Answer { call: CallId { slot, id }, result: check(message, asked) },
        Slot::Abandoned(asked) => {
            let payload = check(message, asked).ok();
            Incoming::Late { asked: asked.kind, transaction: asked.transaction, payload }
        }
        Slot::Free => return None,
    };
    *place = Slot::Free;
    Some(answer)
}

/// Whether a message is an answer to what was asked.
fn check(message: Received<'_>, asked: Asked) -> Result<&[u8], Failure> {
    let Header { kind, tx_id, .. } = message.header;
    if tx_id != asked.transaction {
        return Err(Failure::BadReply(BadReply::Transaction { asked: asked.transaction, got: tx_id }));
    }
    if kind == MessageType::ERROR {
        return Err(Failure::Refused(Refusal::parse(message.payload)));
    }
    if kind != asked.kind {
        return Err(Failure::BadReply(BadReply::Type { asked: asked.kind, got: kind }));
    }
    Ok(message.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(connection: &mut Connection<3>) -> CallId {
        connection.send(MessageType::READ, 0, &[b"a\0"], Duration::MAX).unwrap()
    }

    #[test]
    fn numbers_begin_anew_without_those_in_flight_and_without_0() {
        let mut connection = Connection::new();
        let (first, second) = (read(&mut connection), read(&mut connection));
        assert_eq!((first.id, second.id), (1, 2));
        connection.last = u32::MAX - 1;
        connection.abandon(second);
        assert_eq!(read(&mut connection).id, u32::MAX);
        connection.slots[2] = Slot::Free;
        assert_eq!(read(&mut connection).id, 3, "0 is for events, 1 is in flight, and 2 may be answered late");
    }

    #[test]
    fn a_call_that_is_over_touches_none_that_came_after_it() {
        let mut connection = Connection::new();
        let over = read(&mut connection);
        connection.slots[0] = Slot::Free;
        let next = read(&mut connection);
        assert_eq!(next.slot, over.slot);
        connection.abandon(over);
        connection.set_deadline(over, Duration::ZERO);
        assert_eq!((connection.in_flight(), connection.next_deadline()), (1, Some(Duration::MAX)));
    }
}
