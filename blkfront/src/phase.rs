//! How far a disk, and its connection, have come.

use core::time::Duration;

use xen_xenbus::bus::End;

/// Where a disk is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It was never connected.
    New,
    /// It is connected, or is being connected again.
    Up,
    /// The backend misbehaved; it is connected again after a pause.
    Broken,
    /// The owner wants no more.
    Closing,
    /// The device has vanished in this way, and is waited for until this time.
    Detached(Duration, End),
    /// It is of no use any more.
    Ended,
}

/// Why nothing new is sent, and until when what is under way may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) stop: Stop,
    /// The domain is to be suspended by then.
    pub(crate) suspend: Option<Duration>,
    /// The driver's own flush was sent.
    pub(crate) flushed: bool,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// What is under way, and what waits, is finished until then.
    Draining(Duration),
    /// What is under way is finished until then.
    Finishing(Duration),
    /// Nothing is sent any more.
    Stopped,
}

impl Pause {
    pub(crate) const NONE: Self = Self { stop: Stop::No, suspend: None, flushed: false };
}

impl Stop {
    /// Until when there is time.
    pub(crate) const fn by(self) -> Option<Duration> {
        match self {
            Self::Draining(by) | Self::Finishing(by) => Some(by),
            Self::No | Self::Stopped => None,
        }
    }
}
