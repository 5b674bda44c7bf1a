//! A channel with what its owner keeps about it.

use core::time::Duration;

use xen_hypercall::abi::{DomId, Port};

use crate::channel::Channel;
use crate::error::{ChannelError, OpenError};
use crate::hold::{Found, Settled};
use crate::platform::Events;

/// A channel that belongs to one or several rings, for an owner who looks at them, settles, and sleeps.
///
/// [`look`](Self::look) before the last look at the rings, [`found`](Self::found) where there was something, [`settle`](Self::settle)
/// after it, and then wait for [`waits`](Self::waits): no event is lost, and a storm of them is held off.
#[derive(Debug)]
pub struct Line<P: Events> {
    channel: Channel<P>,
    seen: u32,
    found: Found,
    held: Option<Duration>,
}

impl<P: Events + Clone> Line<P> {
    /// A new channel for `remote` to connect to.
    ///
    /// # Errors
    ///
    /// As for [`Channel::unbound`].
    pub fn unbound(platform: &P, remote: DomId) -> Result<Self, OpenError> {
        let channel = Channel::unbound(platform, remote)?;
        let seen = channel.count();
        Ok(Self { channel, seen, found: Found::Nothing, held: None })
    }

    /// What the peer needs to be told.
    #[must_use]
    pub const fn port(&self) -> Port {
        self.channel.port()
    }

    /// Events from before this call are accounted for by the look at the rings that follows.
    #[inline]
    pub fn look(&mut self) {
        self.seen = self.channel.count();
    }

    /// There was something in the rings.
    #[inline]
    pub const fn found(&mut self) {
        self.found = Found::Work;
    }

    /// The rings were looked at. A channel that cannot be settled is left to its owner's watchdog.
    ///
    /// # Errors
    ///
    /// As for [`Channel::settle`].
    pub fn settle(&mut self, now: Duration) -> Result<(), ChannelError> {
        let settled = self.channel.settle(self.found, now)?;
        self.found = Found::Nothing;
        self.held = match settled {
            Settled::Open => None,
            Settled::Held(until) => Some(until),
        };
        Ok(())
    }

    /// When to look because events are held off.
    #[must_use]
    pub const fn held(&self) -> Option<Duration> {
        self.held
    }

    /// What to wait for: the channel, and the count that was seen.
    #[must_use]
    pub const fn waits(&self) -> (&Channel<P>, u32) {
        (&self.channel, self.seen)
    }

    /// Signals the peer. Answers whether it could be; one that cannot is left to the watchdog.
    #[inline]
    pub fn notify(&self) -> bool {
        self.channel.notify().is_ok()
    }
}
