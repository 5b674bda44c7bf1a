//! One port that this domain has open.

mod open;

use xen_hypercall::abi::{DomId, Port, VcpuId, Virq};
use xen_hypercall::{Errno, event_channel};

use crate::slot::Slot;
use crate::table::EventChannels;
use crate::{ChannelError, Events, NotifyError, Stale};

/// What a channel is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Open for another domain to connect to; it may have done so.
    Unbound,
    /// Connected to another domain's port.
    Interdomain,
    /// A virtual interrupt.
    Virq(Virq),
    /// Signalled by this domain's own vCPUs.
    Ipi,
    /// A physical interrupt.
    Pirq(u32),
}

/// The other end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Connected.
    Connected {
        /// To this domain.
        domain: DomId,
        /// To this port of its.
        port: Port,
    },
    /// Nobody has connected yet, or the peer has closed its end, or its domain is gone.
    Unbound {
        /// The domain that may connect.
        domain: DomId,
    },
    /// The channel has no other end.
    None,
}

/// What happened on a channel since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Events, modulo 2^32.
    pub events: u32,
    /// Events after which there was nothing to do, as [`Channel::settle`] was told.
    pub spurious: u32,
    /// How often more than [`BURST`](crate::BURST) events came without being settled.
    pub storms: u32,
}

/// One open port of this domain; closed when dropped, by one hypercall.
///
/// Nothing that a peer does can make a call of this type panic, wait without a bound, or touch another channel. A channel that
/// is [`Stale`] closes nothing.
#[derive(Debug)]
pub struct Channel<P: Events> {
    pub(crate) platform: P,
    pub(crate) port: Port,
    generation: u32,
    kind: Kind,
    /// The port's count when it was opened.
    first: u32,
}

/// Using.
impl<P: Events> Channel<P> {
    /// The port's number, to be told to the peer.
    #[must_use]
    pub const fn port(&self) -> Port {
        self.port
    }

    /// What the channel is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How often the port was signalled, modulo 2^32 and from an arbitrary start.
    ///
    /// An event is counted after what the peer did before it can be seen. The count may also move for no event. That of a
    /// stale channel stands still; waiting for it to move fails.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.slot().map_or(self.first, |slot| slot.look().count())
    }

    /// Signals the other end.
    ///
    /// A peer that has closed its end or is gone may still be signalled without an error: Xen forgets such an event.
    /// [`peer`](Self::peer) tells.
    ///
    /// # Errors
    ///
    /// Those of [`NotifyError`]. Nothing is tried twice.
    ///
    /// Source: `EVTCHNOP_send`, public/event_channel.h
    pub fn notify(&self) -> Result<(), NotifyError> {
        self.slot()?;
        if self.kind.has_no_other_end() {
            return Err(NotifyError::NoOtherEnd);
        }
        event_channel::send(&self.platform, self.port).map_err(NotifyError::from_errno)
    }

    /// Who is at the other end, as Xen knows it now.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Stale`], or Xen's refusal.
    ///
    /// Source: `EVTCHNOP_status`, public/event_channel.h
    pub fn peer(&self) -> Result<Peer, ChannelError> {
        self.slot()?;
        let status = event_channel::status(&self.platform, DomId::SELF, self.port).map_err(ChannelError::Refused)?;
        Ok(match (status.remote_domain(), status.remote_port()) {
            (Some(domain), Some(port)) => Peer::Connected { domain, port },
            (Some(domain), None) => Peer::Unbound { domain },
            (None, _) => Peer::None,
        })
    }

    /// Has the channel's events go to `vcpu`. Interrupts of one vCPU and IPIs stay where they are.
    ///
    /// # Errors
    ///
    /// Those of [`ChannelError`].
    ///
    /// Source: `EVTCHNOP_bind_vcpu`, public/event_channel.h
    pub fn bind_vcpu(&self, vcpu: VcpuId) -> Result<(), ChannelError> {
        self.slot()?;
        if !self.table().takes_events(&self.platform, vcpu) {
            return Err(ChannelError::NoVcpu(vcpu));
        }
        event_channel::bind_vcpu(&self.platform, self.port, vcpu).map_err(|errno| match errno {
            Errno::NOENT => ChannelError::NoVcpu(vcpu),
            Errno::INVAL => ChannelError::Unsupported,
            errno => ChannelError::Refused(errno),
        })
    }

    /// Sets how urgent the channel's events are, from 0 (most) to 15; 7 is where they start. FIFO ABI only.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Unsupported`] in the 2-level ABI or for a priority beyond 15, or others of [`ChannelError`].
    ///
    /// Source: `EVTCHNOP_set_priority`, public/event_channel.h
    pub fn set_priority(&self, priority: u32) -> Result<(), ChannelError> {
        self.slot()?;
        event_channel::set_priority(&self.platform, self.port, priority).map_err(|errno| match errno {
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL => ChannelError::Unsupported,
            errno => ChannelError::Refused(errno),
        })
    }

    /// Holds the channel's events back: they become one, which [`unmask`](Self::unmask) lets through, and nothing else. An event
    /// that is being dispatched at this moment may still be counted.
    ///
    /// # Errors
    ///
    /// [`Stale`].
    pub fn mask(&self) -> Result<(), Stale> {
        self.slot()?.mask();
        self.table().mask(&self.platform, self.port.0);
        Ok(())
    }

    /// Lets the channel's events through again, the one included that came meanwhile. Ends a hold as well.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Stale`], or Xen's refusal: the channel is held then, and the next settling or wait tries again.
    ///
    /// Source: `EVTCHNOP_unmask`, public/event_channel.h
    pub fn unmask(&self) -> Result<(), ChannelError> {
        let slot = self.slot()?;
        slot.unmask();
        self.let_through(slot)
    }

    /// What happened since the channel was opened. Zeros for a stale one.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let Ok(slot) = self.slot() else { return Statistics::default() };
        let storms = slot.storms();
        // Each storm has moved the count once by itself.
        let events = slot.look().count().wrapping_sub(self.first).wrapping_sub(storms);
        Statistics { events, spurious: slot.spurious(), storms }
    }

    /// Closes the port. Dropping the channel does the same, and keeps the error to itself.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Stale`], or Xen's refusal.
    ///
    /// Source: `EVTCHNOP_close`, public/event_channel.h
    pub fn close(mut self) -> Result<(), ChannelError> {
        self.end()
    }

    /// The port's slot, as long as it is this channel's.
    pub(crate) fn slot(&self) -> Result<&Slot, Stale> {
        let slot = self.table().slot(self.port.0).ok_or(Stale)?;
        if slot.generation() == self.generation { Ok(slot) } else { Err(Stale) }
    }

    fn table(&self) -> &EventChannels {
        self.platform.event_channels()
    }

    /// First gives up the slot, then the port: once Xen has the port back, it may be another channel's at once.
    fn end(&mut self) -> Result<(), ChannelError> {
        self.slot()?.close(self.generation).map_err(|_| ChannelError::Stale)?;
        event_channel::close(&self.platform, self.port).map_err(ChannelError::Refused)
    }
}

impl<P: Events> Drop for Channel<P> {
    fn drop(&mut self) {
        // A port that Xen does not take back is one that it does not have open.
        let _ = self.end();
    }
}

impl Kind {
    const fn has_no_other_end(self) -> bool {
        matches!(self, Self::Virq(_) | Self::Pirq(_))
    }
}
