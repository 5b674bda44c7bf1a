//! What an interface tells its owner.

use xen_hypercall::abi::io::netif::HashTypes;
use xen_xenbus::bus::{DeviceError, End};

use crate::steering::Unsteered;

/// Something that happened to an interface: what [`poll`](crate::Netfront::poll) finds.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is connected, for the first time or again. Its [description](crate::Netfront::link) may have changed, and other hosts may
    /// have to be told where it is now: [`announcement`](crate::announcement).
    Connected,
    /// The backend is gone, or going, or has misbehaved. What was with it may have been sent or not.
    Disconnected,
    /// The backend has a link again. Other hosts may have to be told where it is now.
    LinkUp,
    /// The backend has no link any more.
    LinkDown,
    /// The backend has taken nothing of what it was given for [`Options::patience`](crate::Options::patience). Said once, until it
    /// takes something.
    Stalled,
    /// What came of a [`steer`](crate::Netfront::steer), at each connection anew: the hashes that the backend makes now, or why it does not
    /// do what it was told. The connection goes on.
    Steering(Result<HashTypes, Unsteered>),
    /// The device has vanished. It is waited for as [`Options::hold`](crate::Options::hold) says: where it, or what replaced it, is
    /// found, [`reattach`](crate::Netfront::reattach).
    Detached(End),
    /// Something went wrong; what to do about it is done already.
    Trouble(DeviceError),
    /// The interface is of no use any more.
    Ended(End),
}
