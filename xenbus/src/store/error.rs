//! What can go wrong, with what the caller needs to know: which operation, which path, what stood there, what to try.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use xen_event_channel::WaitError;

use crate::wire::{BadReply, Excerpt, Refusal, Violation};

/// Why an operation on xenstore failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What was to be done.
    pub operation: &'static str,
    /// To which node; empty where the operation has none.
    pub path: String,
    /// Why it was not.
    pub reason: Reason,
}

/// Why: by the caller's fault, the daemon's, or for the lack of something.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The caller: such a path cannot be.
    BadPath(BadPath),
    /// The caller: path and value together are longer than a message.
    TooLong {
        /// Bytes of both.
        len: usize,
    },
    /// Xenstore refuses it. Which of the names means what, [`Refusal`] says.
    Refused(Refusal),
    /// The node's value is not what was expected.
    Malformed {
        /// What stood there.
        found: Excerpt,
        /// What was expected.
        expected: &'static str,
    },
    /// No answer came in time. A write may take place all the same.
    TimedOut(Duration),
    /// A transaction met others each time.
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The list of children changed each time while it was read in parts.
    Unsteady {
        /// How often it was tried.
        attempts: u32,
    },
    /// The connection was made anew, or the domain was resumed, before the answer came. A write may have taken place.
    Reset,
    /// The domain is about to be suspended.
    Suspending,
    /// The caller: the result of this call was taken already.
    Taken,
    /// The store has as many watches as it can hold.
    TooManyWatches,
    /// The daemon: its answer is none to the question.
    BadReply(BadReply),
    /// The daemon: the connection is broken.
    Broken(Violation),
    /// Xen does not let the guest wait.
    Wait(WaitError),
}

/// What is wrong with a path.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It is empty.
    Empty,
    /// It is longer than [`ABS_PATH_MAX`](crate::wire::ABS_PATH_MAX), or relative and longer than
    /// [`REL_PATH_MAX`](crate::wire::REL_PATH_MAX).
    TooLong,
    /// It has a byte that is not a letter, a digit or one of `-/_@`.
    Character(u8),
    /// It has two slashes in a row, or one at its end.
    Slash,
}

impl StoreError {
    pub(crate) fn new(operation: &'static str, path: &str, reason: impl Into<Reason>) -> Self {
        Self { operation, path: path.into(), reason: reason.into() }
    }

    /// Whether the node, or what else was asked for, does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_refused(Refusal::NOENT)
    }

    /// Whether xenstore refused it with the error of this name, such as [`Refusal::ACCES`].
    #[must_use]
    pub fn is_refused(&self, name: &str) -> bool {
        matches!(self.reason, Reason::Refused(refusal) if refusal.is(name))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "xenstore: cannot {}: {}", self.operation, self.reason),
            path => write!(f, "xenstore: cannot {} \"{}\": {}", self.operation, path.escape_debug(), self.reason),
        }
    }
}

impl core::error::Error for StoreError {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPath(bad) => bad.fmt(f),
            Self::TooLong { len } => write!(f, "path and value have {len} bytes, which is more than a message holds"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Malformed { found, expected } => write!(f, "it holds {found}, not {expected}"),
            Self::TimedOut(after) => write!(f, "no answer within {after:?}; is xenstored alive in its domain?"),
            Self::Contended { attempts } => {
                write!(f, "the transaction met others {attempts} times; make it shorter, or try later")
            }
            Self::Unsteady { attempts } => write!(f, "its children changed {attempts} times while they were read"),
            Self::Reset => {
                f.write_str("the connection was made anew meanwhile; look whether it was done, and try again")
            }
            Self::Suspending => f.write_str("the domain is being suspended; try again after the resume"),
            Self::Taken => f.write_str("its result was taken already"),
            Self::TooManyWatches => f.write_str("there are too many watches; drop one"),
            Self::BadReply(bad) => bad.fmt(f),
            Self::Broken(violation) => write!(f, "the connection is broken: {violation}"),
            Self::Wait(error) => write!(f, "cannot wait: {error}"),
        }
    }
}

impl core::error::Error for Reason {}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the path is empty"),
            Self::TooLong => f.write_str("the path is too long"),
            Self::Character(byte) => write!(f, "the path has a '{}'", byte.escape_ascii()),
            Self::Slash => f.write_str("the path has two slashes in a row, or one at its end"),
        }
    }
}

impl core::error::Error for BadPath {}

macro_rules! reasons {
    ($($from:ty => $reason:ident;)*) => { $(
        impl From<$from> for Reason {
            fn from(cause: $from) -> Self {
                Self::$reason(cause)
            }
        }
    )* };
}

reasons! {
    BadPath => BadPath;
    Refusal => Refused;
    BadReply => BadReply;
    Violation => Broken;
    WaitError => Wait;
}
