//! What a disk tells its owner.

use core::fmt;

use xen_grant_table::Memory;
use xen_xenbus::bus::{DeviceError, End};

use crate::request::{Completion, RequestId};

/// Something that happened to a disk: what [`poll`](crate::Blkfront::poll) finds.
#[non_exhaustive]
pub enum Event<P: Memory> {
    /// A request has come to its end.
    Completed(Completion<P>),
    /// The disk is connected, for the first time or again. Its [description](crate::Blkfront::disk) may have changed. What was
    /// submitted before is sent again by itself.
    Connected,
    /// The backend is gone, or going, or has misbehaved. Requests wait until it is connected again.
    Disconnected,
    /// The device has vanished. It is waited for as [`Options::vanished`](crate::Options::vanished) says: where it, or what replaced
    /// it, is found, [`reattach`](crate::Blkfront::reattach).
    Detached(End),
    /// The disk has another size, or has become read-only or writable.
    Resized,
    /// A request has had no answer for [`Options::patience`](crate::Options::patience). Said once for each; wait on, or
    /// [`abandon`](crate::Blkfront::abandon) it.
    Stalled(RequestId),
    /// Something went wrong; what to do about it is done already.
    Trouble(DeviceError),
    /// The disk is of no use any more. All requests have come to their ends.
    Ended(End),
}

impl<P: Memory> fmt::Debug for Event<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(completion) => fmt::Debug::fmt(completion, f),
            Self::Connected => f.write_str("Connected"),
            Self::Disconnected => f.write_str("Disconnected"),
            Self::Detached(end) => f.debug_tuple("Detached").field(end).finish(),
            Self::Resized => f.write_str("Resized"),
            Self::Stalled(id) => f.debug_tuple("Stalled").field(id).finish(),
            Self::Trouble(error) => f.debug_tuple("Trouble").field(error).finish(),
            Self::Ended(end) => f.debug_tuple("Ended").field(end).finish(),
        }
    }
}

/// What went through a disk. Each number counts modulo 2^64, over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Requests that were taken.
    pub taken: u64,
    /// Requests that came to their ends.
    pub completed: u64,
    /// Of those: with an error.
    pub failed: u64,
    /// Requests of the ring: what was taken, split and merged.
    pub sent: u64,
    /// Of those: indirect ones.
    pub indirect: u64,
    /// Pages that went along.
    pub segments: u64,
    /// Requests that went along with others in one request of the ring.
    pub merged: u64,
    /// Signals to the backend.
    pub notifications: u64,
    /// Connections.
    pub connections: u64,
    /// Requests that were sent again on another connection.
    pub sent_again: u64,
    /// Changes that were made again out of the journal.
    pub replayed: u64,
    /// Times when a request was held back for want of grants or memory.
    pub starved: u64,
}
