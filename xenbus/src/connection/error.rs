//! What can go wrong with a request.

use core::fmt;

use crate::wire::{BadReply, PAYLOAD_MAX, Refusal};

/// Why a request has no result.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Xenstore refuses it.
    Refused(Refusal),
    /// Its answer is no answer to it.
    BadReply(BadReply),
}

/// Why a request was not sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// For the moment there are too many in flight, or too many bytes wait to be sent. Later there is room.
    Full,
    /// Its payload is longer than [`PAYLOAD_MAX`].
    TooLong {
        /// Bytes of it.
        len: usize,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many requests are in flight"),
            Self::TooLong { len } => write!(f, "a request of {len} bytes, where {PAYLOAD_MAX} is the most"),
        }
    }
}

impl core::error::Error for SendError {}
