//! What can go wrong, by whose fault: the caller's, the peer's, or for the lack of something.

use core::fmt;

use xen_hypercall::Errno;
use xen_hypercall::abi::{Port, VcpuId};

/// The handle is from before a [`resume`](crate::resume) or a [`reset`](crate::reset), or its port was given to another channel
/// since. It touches nothing any more; open a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Why a channel was not opened. What had been opened on the way is closed again.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The caller: the interrupt is bound already, or the port has a channel.
    InUse,
    /// The caller: there is no such port, interrupt or vCPU.
    Invalid,
    /// The caller: a policy, or Xen, does not let this domain have it.
    Denied(Errno),
    /// The caller: the vCPU takes no events, see [`start_vcpu`](crate::start_vcpu).
    NoVcpu(VcpuId),
    /// The peer: it is gone, or keeps no such port open for this domain.
    NoPeer,
    /// A lack: the domain has no port left. Close one, or do with a channel less.
    NoPorts,
    /// A lack: no memory, Xen's or ours.
    NoMemory,
    /// A lack: the ABI has no room for this port's events (`EVTCHNOP_expand_array` failed with this error). Ports that are open
    /// keep working.
    NoRoom(Port, Errno),
    /// A lack: another vCPU, or the code that an upcall has interrupted, is making room or choosing the ABI; try again later.
    Busy,
    /// Xen refused for a reason that is none of these.
    Refused(Errno),
}

/// Why a peer was not signalled.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyError {
    /// The caller: the handle is stale.
    Stale,
    /// The caller: nobody is at the other end of a channel of this kind (a virtual or physical interrupt).
    NoOtherEnd,
    /// The peer: it has closed its end, or its domain is gone.
    PeerGone,
    /// Xen refused for another reason. Trying again will not help.
    Refused(Errno),
}

/// Why something was not done to a channel.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// The caller: the handle is stale.
    Stale,
    /// The caller: the channel cannot be moved, or has no priority in the ABI in use.
    Unsupported,
    /// The caller: there is no such vCPU, or it takes no events yet, see [`start_vcpu`](crate::start_vcpu).
    NoVcpu(VcpuId),
    /// Xen refused for another reason.
    Refused(Errno),
}

/// Why a wait ended with neither the event nor the deadline.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// The caller: the handle is stale.
    Stale,
    /// Xen refused to set the timer, to sleep or to unmask the port.
    Refused(Errno),
}

/// Why the ABI was not chosen.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The caller: a port was opened before, or the ABI is chosen already. Events could get lost.
    TooLate,
    /// The caller: there is no such vCPU.
    NoVcpu(VcpuId),
    /// A lack: no page for the vCPU's queues.
    NoMemory,
    /// Xen refused.
    Refused(Errno),
}

impl OpenError {
    /// What Xen's refusal of a new port means; `invalid` is the meaning of `EINVAL`.
    pub(crate) const fn from_errno(errno: Errno, invalid: Self) -> Self {
        match errno {
            Errno::INVAL => invalid,
            Errno::SRCH => Self::NoPeer,
            Errno::NOENT => Self::Invalid,
            Errno::EXIST => Self::InUse,
            Errno::NOSPC => Self::NoPorts,
            Errno::NOMEM => Self::NoMemory,
            Errno::PERM | Errno::ACCES => Self::Denied(errno),
            errno => Self::Refused(errno),
        }
    }
}

impl NotifyError {
    /// What Xen's refusal to signal an open port means.
    pub(crate) const fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::INVAL | Errno::NOENT | Errno::SRCH | Errno::BADF | Errno::NXIO | Errno::NOTCONN => Self::PeerGone,
            errno => Self::Refused(errno),
        }
    }
}

macro_rules! from_stale {
    ($($error:ty)*) => { $(
        impl From<Stale> for $error {
            fn from(Stale: Stale) -> Self {
                Self::Stale
            }
        }
    )* };
}

from_stale!(NotifyError ChannelError WaitError);

impl From<ChannelError> for WaitError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Refused(errno) => Self::Refused(errno),
            ChannelError::NoVcpu(_) => Self::Refused(Errno::NOENT),
            ChannelError::Unsupported => Self::Refused(Errno::OPNOTSUPP),
            ChannelError::Stale => Self::Stale,
        }
    }
}

const STALE: &str = "the channel is from before a resume or a reset";

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STALE)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("the interrupt or port is in use"),
            Self::Invalid => f.write_str("there is no such port, interrupt or vCPU"),
            Self::Denied(errno) => write!(f, "this domain may not have it: {errno}"),
            Self::NoVcpu(vcpu) => write!(f, "vCPU {} takes no events", vcpu.0),
            Self::NoPeer => f.write_str("the other domain keeps no such port open"),
            Self::NoPorts => f.write_str("the domain has no port left"),
            Self::NoMemory => f.write_str("there is no memory for the port"),
            Self::NoRoom(port, errno) => write!(f, "there is no room for the events of port {}: {errno}", port.0),
            Self::Busy => f.write_str("another vCPU is making room for ports, or choosing the ABI"),
            Self::Refused(errno) => errno.fmt(f),
        }
    }
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str(STALE),
            Self::NoOtherEnd => f.write_str("an interrupt has no other end to signal"),
            Self::PeerGone => f.write_str("the other end of the channel is gone"),
            Self::Refused(errno) => errno.fmt(f),
        }
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str(STALE),
            Self::Unsupported => f.write_str("a channel of this kind, or this ABI, does not allow it"),
            Self::NoVcpu(vcpu) => write!(f, "vCPU {} takes no events", vcpu.0),
            Self::Refused(errno) => errno.fmt(f),
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str(STALE),
            Self::Refused(errno) => errno.fmt(f),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate => f.write_str("a port was opened before the ABI was chosen"),
            Self::NoVcpu(vcpu) => write!(f, "there is no vCPU {}", vcpu.0),
            Self::NoMemory => f.write_str("there is no page for the queues"),
            Self::Refused(errno) => errno.fmt(f),
        }
    }
}

impl core::error::Error for Stale {}
impl core::error::Error for OpenError {}
impl core::error::Error for NotifyError {}
impl core::error::Error for ChannelError {}
impl core::error::Error for WaitError {}
impl core::error::Error for StartError {}
