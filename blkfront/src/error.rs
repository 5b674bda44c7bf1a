//! What can go wrong, by whose fault.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use xen_grant_table::Refusal;
use xen_shared_ring::PeerError;
use xen_xenbus::bus::DeviceError;
use xen_xenbus::store::StoreError;

use crate::sector::Extent;

/// Why a request was not taken. Nothing of it was seen by the backend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The caller: the request is about no bytes.
    Empty,
    /// The caller: it does not begin and end at multiples of the disk's sectors, of this many bytes.
    Misaligned {
        /// Bytes of the disk's sectors.
        sector_size: u32,
    },
    /// The caller: it ends beyond the disk.
    BeyondEnd {
        /// The first sector, in units of 512 bytes.
        at: u64,
        /// How many of them.
        sectors: u64,
        /// How many the disk has.
        capacity: u64,
    },
    /// The caller: the disk can only be read.
    ReadOnly,
    /// The caller: the backend does not offer this.
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// Resources: as many requests as [`Options::depth`](crate::Options::depth) wait or are under way. Poll first.
    Full,
    /// The disk was never connected, or is closing, closed, or broken.
    NotConnected,
}

/// Why a request did not do what was asked.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoError {
    /// The backend says that it failed. How much of it was done is not known. (`BLKIF_RSP_ERROR`)
    Failed,
    /// The backend says that it does not do such a thing. (`BLKIF_RSP_EOPNOTSUPP`)
    Unsupported,
    /// The backend answered with a status that does not exist.
    Status(i16),
    /// The backend broke the protocol. Nothing that it says is believed any more; whether the request was done is not known.
    Misbehaved(PeerError),
    /// The backend is gone, and the request with it. Whether it was done is not known.
    OutcomeUnknown,
    /// The disk was closed, or is gone, before the request was sent. It was not done.
    NotSent,
    /// The owner gave it up. Whether it was, or will be, done is not known.
    Abandoned,
    /// No memory was left, for the call or to send it again after the backend was lost.
    NoMemory,
    /// Its pages cannot be granted, now or later.
    NotGranted(Refusal),
    /// It was not taken in the first place.
    Rejected(Rejection),
}

/// Why a disk was not found.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum FindError {
    /// There was no such disk within the time.
    Missing {
        /// What was looked for.
        wanted: String,
        /// The disks that there are.
        found: String,
        /// How long was waited.
        within: Duration,
    },
    /// It is there, and was not connected within the time. The last trouble tells more.
    NotConnected {
        /// The disk, the states of both halves, and where they stand in xenstore.
        trouble: Option<Box<DeviceError>>,
        /// How long was waited.
        within: Duration,
    },
    /// Xenstore did not answer.
    Store(StoreError),
}

impl Rejection {
    /// A request beyond the end.
    pub(crate) const fn beyond(extent: Extent, capacity: u64) -> Self {
        Self::BeyondEnd { at: extent.at, sectors: extent.sectors, capacity }
    }
}

impl From<Rejection> for IoError {
    fn from(reason: Rejection) -> Self {
        Self::Rejected(reason)
    }
}

impl From<StoreError> for FindError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("the request is about no bytes"),
            Self::Misaligned { sector_size } => {
                write!(f, "the request does not begin and end at multiples of the disk's {sector_size} bytes")
            }
            Self::BeyondEnd { at, sectors, capacity } => {
                write!(f, "{sectors} sectors from {at} on are not all on a disk of {capacity}")
            }
            Self::ReadOnly => f.write_str("the disk is read-only"),
            Self::Unsupported { what } => write!(f, "the backend does not offer {what}"),
            Self::Full => f.write_str("as many requests as there may be wait or are under way; poll first"),
            Self::NotConnected => f.write_str("the disk is not connected"),
        }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("the backend says that it failed (BLKIF_RSP_ERROR); its own log may say why"),
            Self::Unsupported => f.write_str("the backend says that it does not do this (BLKIF_RSP_EOPNOTSUPP)"),
            Self::Status(status) => write!(f, "the backend answered with the unknown status {status}"),
            Self::Misbehaved(error) => write!(f, "the backend broke the protocol: {error}"),
            Self::OutcomeUnknown => f.write_str("the backend is gone; whether the request was done is not known"),
            Self::NotSent => f.write_str("the disk is closed or gone; the request was not sent"),
            Self::Abandoned => f.write_str("the request was given up; whether it is done is not known"),
            Self::NoMemory => f.write_str("no memory was left for the request"),
            Self::NotGranted(refusal) => write!(f, "the request's pages cannot be granted: {refusal}"),
            Self::Rejected(reason) => fmt::Display::fmt(reason, f),
        }
    }
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { wanted, found, within } => {
                write!(
                    f,
                    "no disk {wanted} came within {within:?}; there are: {found}; is it in the guest's `disk` line?"
                )
            }
            Self::NotConnected { trouble: Some(trouble), within } => {
                write!(f, "not connected within {within:?}: {trouble}")
            }
            Self::NotConnected { trouble: None, within } => write!(f, "the disk was not connected within {within:?}"),
            Self::Store(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for Rejection {}
impl core::error::Error for IoError {}
impl core::error::Error for FindError {}
