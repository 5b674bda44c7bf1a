//! What can go wrong, by whose fault.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use xen_xenbus::bus::{DeviceError, End};
use xen_xenbus::store::StoreError;

use crate::packet::ETHERNET_HEADER;

/// Why there is no interface.
#[non_exhaustive]
#[derive(Debug)]
pub enum FindError {
    /// Xenstore did not answer.
    Store(StoreError),
    /// The tools have given the domain no such interface in this time.
    Missing {
        /// Which one.
        wanted: String,
        /// Which there are.
        found: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// It is there, and was not connected in this time.
    NotConnected {
        /// What went wrong last, if anything did.
        trouble: Option<Box<DeviceError>>,
        /// How long it was waited for.
        within: Duration,
    },
}

impl From<StoreError> for FindError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "xenstore: {error}"),
            Self::Missing { wanted, found, within } => write!(
                f,
                "no network interface {wanted} came within {within:?} (there are: {found}); \
                 one goes into the guest's configuration as `vif=[\"bridge=...\"]`"
            ),
            Self::NotConnected { trouble: Some(trouble), within } => {
                write!(f, "the network interface was not connected within {within:?}: {trouble}")
            }
            Self::NotConnected { trouble: None, within } => {
                write!(f, "the network interface was not connected within {within:?}; does its hotplug script run?")
            }
        }
    }
}

impl core::error::Error for FindError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::NotConnected { trouble: Some(trouble), .. } => Some(trouble),
            _ => None,
        }
    }
}

/// The interface is of no use any more, for this reason: what a task gets that waits for it, or asks something of it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub End);

/// Why a packet was not sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The interface is of no use any more.
    Ended(End),
    /// The packet is shorter than an Ethernet header, or longer than the interface takes now.
    BadLength {
        /// Bytes that it has.
        len: usize,
        /// Bytes that it may have, its Ethernet header included.
        most: usize,
    },
}

impl From<Ended> for SendError {
    fn from(Ended(end): Ended) -> Self {
        Self::Ended(end)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.0 {
            End::Closed => "was closed",
            End::Vanished(_) => "has vanished",
            End::Suspended => "did not come back after the domain was suspended",
            _ => "has ended",
        };
        write!(f, "the network interface {why}")
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ended(end) => Ended(end).fmt(f),
            Self::BadLength { len, most } => {
                write!(f, "a packet of {len} bytes: it may have {ETHERNET_HEADER} to {most} on this network interface")
            }
        }
    }
}

impl core::error::Error for Ended {}

impl core::error::Error for SendError {}
