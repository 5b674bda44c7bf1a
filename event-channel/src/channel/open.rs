//! How channels are opened.

use xen_hypercall::abi::event_channel::{BindPirqFlags, State};
use xen_hypercall::abi::{DomId, Port, VcpuId, Virq};
use xen_hypercall::{Errno, event_channel};

use super::{Channel, Kind};
use crate::fifo::GrowError;
use crate::slot::{Sender, Slot};
use crate::{Abi, Events, OpenError};

/// Opening. A new channel is unmasked and goes to vCPU 0, or to the vCPU that is named.
///
/// Look once after opening, at what the channel belongs to and by [`Channel::settle`] or a wait: an event that another vCPU
/// dispatched before the port had an owner is not counted for it, and one at the very moment leaves the channel held.
impl<P: Events + Clone> Channel<P> {
    /// Opens a port that `remote` may connect to.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; [`OpenError::NoPeer`] where there is no such domain.
    ///
    /// Source: `EVTCHNOP_alloc_unbound`, public/event_channel.h
    pub fn unbound(platform: &P, remote: DomId) -> Result<Self, OpenError> {
        platform.event_channels().bind()?;
        let port = event_channel::alloc_unbound(platform, DomId::SELF, remote);
        Self::open(platform, Kind::Unbound, port)
    }

    /// Connects to a port that `remote` keeps open for this domain. Xen signals it at once, for what the peer sent before; but
    /// that event may be dispatched before the port has an owner: look once after opening.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; [`OpenError::NoPeer`] where the port is not open for this domain.
    ///
    /// Source: `EVTCHNOP_bind_interdomain`, public/event_channel.h
    pub fn interdomain(platform: &P, remote: DomId, port: Port) -> Result<Self, OpenError> {
        platform.event_channels().bind()?;
        let port = event_channel::bind_interdomain(platform, remote, port);
        Self::open(platform, Kind::Interdomain, port)
    }

    /// Receives a virtual interrupt, on `vcpu` if it is one of each vCPU. Global ones are bound on vCPU 0 first.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; [`OpenError::InUse`] where the interrupt is bound already, [`OpenError::NoVcpu`] where the vCPU
    /// takes no events.
    ///
    /// Source: `EVTCHNOP_bind_virq`, public/event_channel.h
    pub fn virq(platform: &P, virq: Virq, vcpu: VcpuId) -> Result<Self, OpenError> {
        bind_to(platform, vcpu)?;
        Self::open(platform, Kind::Virq(virq), event_channel::bind_virq(platform, virq, vcpu))
    }

    /// Opens a port by which this domain's vCPUs signal `vcpu`.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; [`OpenError::NoVcpu`] where the vCPU takes no events.
    ///
    /// Source: `EVTCHNOP_bind_ipi`, public/event_channel.h
    pub fn ipi(platform: &P, vcpu: VcpuId) -> Result<Self, OpenError> {
        bind_to(platform, vcpu)?;
        Self::open(platform, Kind::Ipi, event_channel::bind_ipi(platform, vcpu))
    }

    /// Receives a physical interrupt. The owner of a level-triggered one calls `PHYSDEVOP_eoi` after each look at the device:
    /// Xen holds the interrupt back until then, and this crate does not say it.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; [`OpenError::Denied`] for an interrupt that is not this domain's.
    ///
    /// Source: `EVTCHNOP_bind_pirq`, public/event_channel.h
    pub fn pirq(platform: &P, pirq: u32, flags: BindPirqFlags) -> Result<Self, OpenError> {
        platform.event_channels().bind()?;
        Self::open(platform, Kind::Pirq(pirq), event_channel::bind_pirq(platform, pirq, flags))
    }

    /// Takes over a port that is open already: the toolstack opens those of console and xenstore before the guest starts. Where
    /// this fails, the port stays open.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] where the port has a channel, [`OpenError::Invalid`] where Xen says that it is not open.
    pub fn adopt(platform: &P, port: Port) -> Result<Self, OpenError> {
        platform.event_channels().bind()?;
        let kind = adoptable(platform, port)?;
        let slot = make_room(platform, port)?;
        let generation = slot.adopt(kind.sender()).ok_or(OpenError::InUse)?;
        let channel = Self::with(platform, port, kind, slot, generation);
        channel.let_in().inspect_err(|_| {
            // A channel that has no slot any more closes nothing when it is dropped.
            let _ = slot.close(generation);
        })?;
        Ok(channel)
    }

    /// Makes a channel of what Xen has answered.
    #[inline(never)]
    fn open(platform: &P, kind: Kind, port: Result<Port, Errno>) -> Result<Self, OpenError> {
        let port = port.map_err(|errno| OpenError::from_errno(errno, kind.when_invalid()))?;
        match make_room(platform, port) {
            Ok(slot) => {
                let channel = Self::with(platform, port, kind, slot, slot.open(kind.sender()));
                channel.let_in().map(|()| channel)
            }
            Err(error) => {
                // Nobody has seen the port; there is nothing to do about one that cannot be closed.
                let _ = event_channel::close(platform, port);
                Err(error)
            }
        }
    }

    fn with(platform: &P, port: Port, kind: Kind, slot: &Slot, generation: u32) -> Self {
        Self { platform: platform.clone(), port, generation, kind, first: slot.look().count() }
    }

    /// A port of this number may have been masked before, or an event may have come before it had an owner.
    fn let_in(&self) -> Result<(), OpenError> {
        if self.table().is_masked(&self.platform, self.port.0) {
            event_channel::unmask(&self.platform, self.port).map_err(OpenError::Refused)?;
        }
        Ok(())
    }
}

/// Fixes the ABI, for a port whose events go to `vcpu`.
fn bind_to<P: Events>(platform: &P, vcpu: VcpuId) -> Result<(), OpenError> {
    let table = platform.event_channels();
    table.bind()?;
    if table.takes_events(platform, vcpu) { Ok(()) } else { Err(OpenError::NoVcpu(vcpu)) }
}

/// What a port that is open already is.
fn adoptable<P: Events>(platform: &P, port: Port) -> Result<Kind, OpenError> {
    let status = event_channel::status(platform, DomId::SELF, port)
        .map_err(|errno| OpenError::from_errno(errno, OpenError::Invalid))?;
    match (status.status, status.virq(), status.pirq()) {
        (State::UNBOUND, ..) => Ok(Kind::Unbound),
        (State::INTERDOMAIN, ..) => Ok(Kind::Interdomain),
        (State::IPI, ..) => Ok(Kind::Ipi),
        (State::VIRQ, Some(virq), _) => Ok(Kind::Virq(virq)),
        (State::PIRQ, _, Some(pirq)) => Ok(Kind::Pirq(pirq)),
        _ => Err(OpenError::Invalid),
    }
}

/// Memory for a port's count and, in the FIFO ABI, for its event word.
#[inline(never)]
fn make_room<P: Events>(platform: &P, port: Port) -> Result<&Slot, OpenError> {
    let table = platform.event_channels();
    if table.abi() == Abi::Fifo {
        table.fifo.grow(platform, port.0).map_err(|error| match error {
            GrowError::NoMemory => OpenError::NoMemory,
            GrowError::Busy => OpenError::Busy,
            GrowError::Refused(errno) => OpenError::NoRoom(port, errno),
        })?;
    }
    table.make_slot(platform, port).ok_or(OpenError::NoMemory)
}

impl Kind {
    const fn sender(self) -> Sender {
        match self {
            Self::Unbound | Self::Interdomain | Self::Pirq(_) => Sender::Peer,
            Self::Virq(_) | Self::Ipi => Sender::Trusted,
        }
    }

    /// Whose fault it is that Xen finds the arguments invalid.
    const fn when_invalid(self) -> OpenError {
        match self {
            Self::Interdomain => OpenError::NoPeer,
            _ => OpenError::Invalid,
        }
    }
}
