//! What a front half and its driver say to each other.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::bus::{Device, State, Switch, Vanished};

/// How long a front half waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the backend to offer something, for the driver to answer, and for the backend to agree: each.
    pub connect: Duration,
    /// For the driver to stop.
    pub stop: Duration,
    /// For the backend to let go, in all. Together with [`stop`](Self::stop) it should be less than the ten seconds after which the
    /// tools take a device away by force (`LIBXL_DESTROY_TIMEOUT`, tools/libs/light/libxl_internal.h).
    pub close: Duration,
}

/// Counts the connections of one front half, from 1 on: what belongs to one is not taken for the next one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// What to do next. What was to be done before is done, or is said again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take a [`Sight`](crate::bus::Sight), and hand it to [`saw`](super::Frontend::saw).
    Look,
    /// [`apply`](Switch::apply) this in a transaction, and hand what came of it to [`wrote`](super::Frontend::wrote).
    Write(Switch),
    /// Tell the driver. It is not said again.
    Tell(Event),
    /// Nothing, until the backend's state changes, the driver answers, or the deadline comes.
    Rest,
    /// Nothing for ever: drop this front half.
    Ended(End),
}

/// What a driver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The backend's offer is complete. Read its keys, make rings and channels, and answer with
    /// [`offer`](super::Frontend::offer) or [`refuse`](super::Frontend::refuse).
    Connect(Attempt),
    /// The backend has agreed. Read the keys that it wrote last, check that the others still say the same, and answer with
    /// [`ready`](super::Frontend::ready) or [`refuse`](super::Frontend::refuse).
    Complete(Attempt),
    /// Connected, and the backend's state was written again: something may have changed, such as the size of a disk.
    Review(Attempt),
    /// Begin nothing new, finish what is under way, and answer with [`stopped`](super::Frontend::stopped). There is time until then.
    Stop(Why, Duration),
    /// Give back what the connection used, now, and answer with [`released`](super::Frontend::released). Nothing is waited for: what
    /// the backend still holds goes to quarantine.
    Release(Manner),
    /// Something went wrong. What to do about it is done already; this is to be read.
    Trouble(DeviceError),
}

/// Why a connection ends.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The owner asked for it.
    Asked,
    /// The backend is closing, or is closed. The tools may be taking the device away.
    BackendCloses,
    /// The backend has started again without having closed.
    BackendRestarted,
}

/// What is known of the other half when a driver gives back what a connection used.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The backend has closed, or has started again, and should have let go of everything.
    Clean,
    /// The backend was never offered anything.
    Unused,
    /// The backend has not closed in time.
    Forced,
    /// The device, or its backend, is not there any more.
    Vanished,
    /// The domain was suspended. Grants and channels of before are gone; there is nothing to give back to Xen.
    Suspended,
}

/// How a front half ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The owner asked for it.
    Closed,
    /// The device is not there any more. For [`Vanished::Replaced`], have the enumerator
    /// [`forget`](crate::bus::Enumerator::forget) it and look again.
    Vanished(Vanished),
    /// The domain was suspended. Look for the device again.
    Suspended,
}

/// An answer that came when it was not asked for: the connection that it was for has ended meanwhile. Drop what it was about when
/// [`Event::Release`] comes, if it has not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate;

/// What went wrong with a device, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError {
    /// The device.
    pub device: Device,
    /// Our state.
    pub ours: State,
    /// The backend's, as it was last seen.
    pub theirs: State,
    /// What went wrong.
    pub problem: Problem,
}

/// What can go wrong with a device.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The peer: the backend did not do its part of connecting in this time.
    ConnectTimeout(Duration),
    /// The caller: the driver did not answer in this time.
    DriverTimeout(Duration),
    /// The peer: the backend did not close in this time. What it still holds is in quarantine.
    CloseTimeout(Duration),
    /// The driver cannot use what the backend offers, for this reason.
    Refused(String),
    /// The driver gave up a connection, for this reason.
    Broken(String),
    /// The store refused to write our keys or our state, for this reason.
    Store(String),
}

impl Limits {
    /// 30 s to connect, 4 s to stop, 5 s to close.
    pub const DEFAULT: Self =
        Self { connect: Duration::from_secs(30), stop: Duration::from_secs(4), close: Duration::from_secs(5) };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Problem {
    /// What the reader can do.
    const fn hint(&self) -> &'static str {
        match self {
            Self::ConnectTimeout(_) => {
                "is a backend of this kind running in that domain? `xenstore-ls -f` there shows its nodes"
            }
            Self::DriverTimeout(_) => "the driver must answer each event",
            Self::CloseTimeout(_) => "the backend may hang; detach the device with force, or restart its domain",
            Self::Refused(_) => "the device is tried again when its backend restarts",
            Self::Broken(_) => "the device is connected again, after a pause",
            Self::Store(_) => "is the domain's quota in xenstore used up, or the device's directory not the domain's?",
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, problem) = (&self.device, &self.problem);
        write!(f, "{device}: {problem}; {}/state is {:?}, ", device.path(), self.ours)?;
        write!(f, "{}/state is {:?}; {}", device.backend().path, self.theirs, problem.hint())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTimeout(time) => write!(f, "the backend did not connect within {time:?}"),
            Self::DriverTimeout(time) => write!(f, "the driver did not answer within {time:?}"),
            Self::CloseTimeout(time) => write!(f, "the backend did not close within {time:?}"),
            Self::Refused(reason) => write!(f, "the backend's offer is of no use: {reason}"),
            Self::Broken(reason) => write!(f, "the driver gave up the connection: {reason}"),
            Self::Store(reason) => write!(f, "xenstore refused our keys: {reason}"),
        }
    }
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection that this answer is for has ended")
    }
}

impl core::error::Error for DeviceError {}
impl core::error::Error for TooLate {}
