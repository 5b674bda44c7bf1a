//! What is asked of a disk, and what it answers.

use core::fmt;

use xen_grant_table::Memory;

use crate::buffer::Buffer;
use crate::error::{IoError, Rejection};
use crate::lending::Purpose;
use crate::sector::{Extent, SECTOR, Sector512};

/// Something to be done by a disk: [`submit`](crate::Blkfront::submit) it.
pub struct Request<P: Memory> {
    pub(crate) kind: Kind,
    pub(crate) at: Sector512,
    pub(crate) buffer: Buffer<P>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Barrier,
    Flush,
    Discard { sectors: u64, how: Discard },
}

/// How a range is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// The backend may do with it what it likes. What is read there later is not defined.
    Plain,
    /// All copies are made unrecoverable first. Nobody can check that a backend does so.
    Secure,
}

impl<P: Memory> Request<P> {
    /// Reads the whole buffer from `at` on.
    ///
    /// What comes back is what the backend put there: who needs to know that it is what was written checks it, by a hash that the
    /// backend cannot make.
    #[must_use]
    pub const fn read(at: Sector512, buffer: Buffer<P>) -> Self {
        Self { kind: Kind::Read, at, buffer }
    }

    /// Writes the whole buffer at `at`. Its success says that the backend has it, and not that it is on the disk: see
    /// [`flush`](Self::flush).
    #[must_use]
    pub const fn write(at: Sector512, buffer: Buffer<P>) -> Self {
        Self { kind: Kind::Write, at, buffer }
    }

    /// Writes the whole buffer after all writes that were submitted before, and before all that are submitted later.
    ///
    /// This is about order only: neither this write nor any other is made durable by it.
    #[must_use]
    pub const fn write_barrier(at: Sector512, buffer: Buffer<P>) -> Self {
        Self { kind: Kind::Barrier, at, buffer }
    }

    /// Has the backend make durable what it acknowledged. It is sent when all writes that were submitted before are answered, and covers
    /// those that succeeded.
    #[must_use]
    pub const fn flush() -> Self {
        Self { kind: Kind::Flush, at: Sector512(0), buffer: Buffer::empty() }
    }

    /// Says that `sectors` units of 512 bytes from `at` on are of no use any more.
    #[must_use]
    pub const fn discard(at: Sector512, sectors: u64, how: Discard) -> Self {
        Self { kind: Kind::Discard { sectors, how }, at, buffer: Buffer::empty() }
    }

    /// The request's memory, given back.
    #[must_use]
    pub fn into_buffer(self) -> Buffer<P> {
        self.buffer
    }

    /// Which sectors it is about; none for a flush.
    pub(crate) const fn extent(&self) -> Extent {
        let sectors = match self.kind {
            Kind::Discard { sectors, .. } => sectors,
            _ => (self.buffer.len() / SECTOR) as u64,
        };
        Extent { at: self.at.0, sectors }
    }
}

impl Kind {
    /// Whether it changes the disk.
    pub(crate) const fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Barrier | Self::Discard { .. })
    }

    /// Whether it waits for the changes before it.
    pub(crate) const fn waits(self) -> bool {
        matches!(self, Self::Barrier | Self::Flush)
    }

    /// What the backend does with its pages.
    pub(crate) const fn purpose(self) -> Purpose {
        match self {
            Self::Read => Purpose::Read,
            _ => Purpose::Write,
        }
    }

    /// Whether it has data.
    pub(crate) const fn transfers(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Barrier)
    }
}

/// Tells the requests of a disk apart. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    pub(crate) place: u32,
    pub(crate) serial: u64,
}

/// A request that was taken, and has come to its end.
pub struct Completion<P: Memory> {
    /// Which one.
    pub id: RequestId,
    /// What came of it.
    pub result: Result<Done, IoError>,
    /// Its memory. Pages that the backend has kept are in quarantine and missing here; the result is an error then.
    pub buffer: Buffer<P>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All bytes were read or written, as the backend says.
    Transferred,
    /// The backend was asked to make writes durable.
    Flushed(Flushed),
    /// The range was discarded, as the backend says.
    Discarded,
}

/// Whether a flush made durable what was written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Every write that was acknowledged before the flush was submitted is durable, as the backend says.
    Durable,
    /// It is certain, or to be feared, that it is not. Said to this flush; what was written before must be written again.
    NotDurable(NotDurable),
    /// The backend offers nothing by which it could be known. Nothing is lost as far as is known.
    Unknown(Unknown),
}

/// Why something is not durable.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDurable {
    /// The backend was replaced, restarted or lost while it had acknowledged writes that no flush had covered. Said
    /// once: to each flush that was submitted before this was said.
    CacheLost,
    /// The backend offers to flush, and answered that it does not. Said to every flush of this connection.
    Refused,
    /// The backend failed to flush, with this status. Said to every flush until [`accept_loss`](crate::Blkfront::accept_loss).
    Failed(i16),
    /// The backend of an earlier connection offered to flush, and this one does not.
    Withdrawn,
}

/// Why nothing is known of durability.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The backend does not offer to flush. Old ones wrote before they answered; that cannot be told from here.
    NotOffered,
    /// It offers barriers only, and took an empty one. That keeps order; some backends flush as well.
    BarrierOnly,
}

/// A request that was not taken.
pub struct Rejected<P: Memory> {
    /// Why.
    pub reason: Rejection,
    /// The request, with its memory.
    pub request: Request<P>,
}

impl fmt::Display for NotDurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CacheLost => {
                f.write_str("the backend was lost with writes that it had acknowledged; write them again")
            }
            Self::Refused => f.write_str("the backend offers to flush, and refuses to"),
            Self::Failed(status) => write!(f, "the backend failed to flush, with status {status}"),
            Self::Withdrawn => f.write_str("the backend does not offer to flush any more"),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOffered => "the backend does not offer to flush",
            Self::BarrierOnly => "the backend offers barriers only",
        })
    }
}

impl fmt::Display for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable => f.write_str("durable"),
            Self::NotDurable(why) => write!(f, "not durable: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl<P: Memory> fmt::Debug for Request<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("kind", &self.kind).field("at", &self.at).field("buffer", &self.buffer).finish()
    }
}

impl<P: Memory> fmt::Debug for Completion<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("id", &self.id).field("result", &self.result).finish_non_exhaustive()
    }
}

impl<P: Memory> fmt::Debug for Rejected<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("reason", &self.reason).field("request", &self.request).finish()
    }
}

impl<P: Memory> fmt::Display for Rejected<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}

impl<P: Memory> core::error::Error for Rejected<P> {}
