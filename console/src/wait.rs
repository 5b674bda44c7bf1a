//! Waiting for the backend, never for long.

use core::fmt;

use xen_shared_ring::PeerError;

/// How a console reaches the kernel around it.
///
/// A closure that sends the event is enough; implement [`relax`](Self::relax) where the kernel can do better
/// than to spin.
pub trait Notify {
    /// Tells the backend to look at the page: `EVTCHNOP_send` on the console's port.
    ///
    /// It is called after bytes were published and after room was given back. A failure is not reported: the
    /// bytes are on the ring, and the next notification covers them.
    fn notify(&self);

    /// Gives the backend a moment to run: `SCHEDOP_yield`, for example. The default is one spin hint.
    fn relax(&self) {
        core::hint::spin_loop();
    }
}

impl<F: Fn()> Notify for F {
    fn notify(&self) {
        self();
    }
}

/// How many times one call lets the backend run before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub u32);

impl Patience {
    /// Never waits: for code that must not be held up, such as a panic handler.
    pub const NONE: Self = Self(0);

    /// What a new console has: milliseconds on an idle machine, enough for a daemon that is alive.
    pub const DEFAULT: Self = Self(10_000);

    /// Uses up one turn, and lets the backend run; false when there are none left.
    pub(crate) fn wait<N: Notify>(&mut self, notify: &N) -> bool {
        let Some(left) = self.0.checked_sub(1) else {
            return false;
        };
        self.0 = left;
        notify.relax();
        true
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a call that waits for the backend got nowhere.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// The backend broke this direction of the console for good.
    Peer(PeerError),
    /// The backend did nothing for as long as the [`Patience`] lasted. Trying again is allowed.
    TimedOut,
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => write!(f, "the console is broken: {error}"),
            Self::TimedOut => f.write_str("the console's backend did not answer in time"),
        }
    }
}

impl core::error::Error for ConsoleError {}

impl From<PeerError> for ConsoleError {
    fn from(error: PeerError) -> Self {
        Self::Peer(error)
    }
}
