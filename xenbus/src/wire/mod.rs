//! What goes over the ring: messages, and the names of errors.
//!
//! A message is a [`Header`] and up to [`PAYLOAD_MAX`] bytes of payload. Nothing here waits, allocates, or believes a length.
//!
//! Source: public/io/xs_wire.h; docs/misc/xenstore.txt of Xen.

mod parser;
mod refusal;
mod text;

pub use parser::{Parser, Received};
pub use refusal::Refusal;
pub use text::Excerpt;

pub use xen_hypercall::abi::io::xs_wire::{
    ABS_PATH_MAX, ConnectionState, Header, MessageType, PAYLOAD_MAX, REL_PATH_MAX, RING_SIZE, RingError, ServerFeatures,
};

use core::fmt;

/// Bytes of the longest message.
pub const MESSAGE_MAX: usize = size_of::<Header>() + PAYLOAD_MAX;

/// Why a connection to xenstore is of no use any more: what came does not tell where the next message begins, or the daemon has
/// given the connection up.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A message with more payload than there can be.
    TooLong {
        /// The length in its header, in bytes.
        len: u32,
    },
    /// An index that the daemon cannot have reached.
    Ring(xen_shared_ring::PeerError),
    /// The daemon says why it has given the connection up.
    GivenUp(RingError),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { len } => write!(f, "a message of {len} bytes, where {PAYLOAD_MAX} is the most"),
            Self::Ring(error) => write!(f, "the ring: {error}"),
            Self::GivenUp(RingError::COMM) => {
                f.write_str("the daemon gave up: it could not use the ring or its event channel")
            }
            Self::GivenUp(RingError::RINGIDX) => f.write_str("the daemon gave up: it found our indices impossible"),
            Self::GivenUp(RingError::PROTO) => {
                f.write_str("the daemon gave up: it found our message against the rules")
            }
            Self::GivenUp(RingError(other)) => write!(f, "the daemon gave up, for reason {other}"),
        }
    }
}

impl core::error::Error for Violation {}

/// An answer that does not belong to its request. The connection goes on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReply {
    /// It is of another type.
    Type {
        /// What was asked.
        asked: MessageType,
        /// What was answered.
        got: MessageType,
    },
    /// It names another transaction.
    Transaction {
        /// The request's.
        asked: u32,
        /// The answer's.
        got: u32,
    },
    /// Its payload is not what such an answer has.
    Payload(MessageType),
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { asked, got } => write!(f, "an answer of type {} to a request of type {}", got.0, asked.0),
            Self::Transaction { asked, got } => write!(f, "an answer in transaction {got} to a request in {asked}"),
            Self::Payload(kind) => write!(f, "an answer of type {} with a payload that it cannot have", kind.0),
        }
    }
}

impl core::error::Error for BadReply {}

/// The strings of a payload, each ended by a NUL. `None` where the last one has no end.
pub(crate) fn strings(payload: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let ended = matches!(payload.last(), None | Some(0));
    ended.then(|| {
        payload.split_inclusive(|byte| *byte == 0).map(|string| string.split_last().map_or(string, |(_, text)| text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn what_is_wrong_is_told_with_its_numbers() {
        let words = |violation: Violation| violation.to_string();
        assert_eq!(words(Violation::TooLong { len: 4097 }), "a message of 4097 bytes, where 4096 is the most");
        let gave_up = |error| words(Violation::GivenUp(error));
        assert_eq!(gave_up(RingError(9)), "the daemon gave up, for reason 9");
        let reasons = [RingError::COMM, RingError::RINGIDX, RingError::PROTO].map(gave_up);
        assert!(reasons.iter().all(|reason| reason.starts_with("the daemon gave up: it ")), "{reasons:?}");
        assert!(reasons[0] != reasons[1] && reasons[1] != reasons[2] && reasons[0] != reasons[2]);
        let bad = BadReply::Type { asked: MessageType::READ, got: MessageType::WRITE };
        assert_eq!(bad.to_string(), "an answer of type 11 to a request of type 2");
        let bad = BadReply::Transaction { asked: 3, got: 4 };
        assert_eq!(bad.to_string(), "an answer in transaction 4 to a request in 3");
        let bad = BadReply::Payload(MessageType::READ);
        assert_eq!(bad.to_string(), "an answer of type 2 with a payload that it cannot have");
    }

    #[test]
    fn strings_end_with_a_nul_each() {
        let all = |payload: &'static [u8]| strings(payload).map(Iterator::collect::<Vec<_>>);
        assert_eq!(all(b""), Some([].to_vec()));
        assert_eq!(all(b"\0"), Some([&b""[..]].to_vec()));
        assert_eq!(all(b"a\0"), Some([&b"a"[..]].to_vec()));
        assert_eq!(all(b"a\0\0bc\0"), Some([&b"a"[..], b"", b"bc"].to_vec()));
        assert_eq!(all(b"a\0b"), None);
        assert_eq!(all(b"a"), None);
    }
}
