//! Event channels: Xen's interrupts.

mod fifo;

use super::{DomId, Gfn, VcpuId, Virq};
pub use fifo::{
    EventWord, FIFO_BUSY, FIFO_LINK_BITS, FIFO_LINK_MASK, FIFO_LINKED, FIFO_MASKED, FIFO_MAX_QUEUES, FIFO_NR_CHANNELS,
    FIFO_PENDING, FIFO_PRIORITY_DEFAULT, FIFO_PRIORITY_MAX, FIFO_PRIORITY_MIN, FifoControlBlock,
};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A domain's end of an event channel.
///
/// `evtchn_port_t`, public/event_channel.h
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Port(pub u32);

constants! {
    /// What `event_channel_op` does, each with the argument type of the same name.
    ///
    /// `EVTCHNOP_*`, public/event_channel.h
    pub struct Command: u32 {
        /// `EVTCHNOP_bind_interdomain`, public/event_channel.h
        BIND_INTERDOMAIN = 0;
        /// `EVTCHNOP_bind_virq`, public/event_channel.h
        BIND_VIRQ = 1;
        /// `EVTCHNOP_bind_pirq`, public/event_channel.h
        BIND_PIRQ = 2;
        /// `EVTCHNOP_close`, public/event_channel.h
        CLOSE = 3;
        /// `EVTCHNOP_send`, public/event_channel.h
        SEND = 4;
        /// `EVTCHNOP_status`, public/event_channel.h
        STATUS = 5;
        /// `EVTCHNOP_alloc_unbound`, public/event_channel.h
        ALLOC_UNBOUND = 6;
        /// `EVTCHNOP_bind_ipi`, public/event_channel.h
        BIND_IPI = 7;
        /// `EVTCHNOP_bind_vcpu`, public/event_channel.h
        BIND_VCPU = 8;
        /// `EVTCHNOP_unmask`, public/event_channel.h
        UNMASK = 9;
        /// `EVTCHNOP_reset`, public/event_channel.h
        RESET = 10;
        /// `EVTCHNOP_init_control`, public/event_channel.h
        INIT_CONTROL = 11;
        /// `EVTCHNOP_expand_array`, public/event_channel.h
        EXPAND_ARRAY = 12;
        /// `EVTCHNOP_set_priority`, public/event_channel.h
        SET_PRIORITY = 13;
    }
}

/// Makes a port that a remote domain may bind to.
///
/// `struct evtchn_alloc_unbound`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AllocUnbound {
    /// The domain that gets the port: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
    /// The domain that may bind to it.
    pub remote_dom: DomId,
    /// Out: the new port.
    pub port: Port,
}

/// Binds a new local port to a port that a remote domain offers.
///
/// The new port is pending from the start, so that nothing sent before is lost.
///
/// `struct evtchn_bind_interdomain`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindInterdomain {
    /// The domain that offers the port.
    pub remote_dom: DomId,
    /// Padding before the port.
    pub _pad: u16,
    /// The port it offers.
    pub remote_port: Port,
    /// Out: the new local port.
    pub local_port: Port,
}

/// Binds a new port to a virtual interrupt.
///
/// `struct evtchn_bind_virq`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindVirq {
    /// The interrupt.
    pub virq: Virq,
    /// The vCPU that gets it; zero for one that exists once per domain.
    pub vcpu: VcpuId,
    /// Out: the new port.
    pub port: Port,
}

/// Binds a new port to a physical interrupt, for domains with a device of their own.
///
/// `struct evtchn_bind_pirq`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindPirq {
    /// The interrupt.
    pub pirq: u32,
    /// How it is bound.
    pub flags: BindPirqFlags,
    /// Out: the new port.
    pub port: Port,
}

flags! {
    /// How a physical interrupt is bound.
    ///
    /// `BIND_PIRQ__*`, public/event_channel.h
    pub struct BindPirqFlags: u32 {
        /// Other domains may bind it too.
        ///
        /// `BIND_PIRQ__WILL_SHARE`, public/event_channel.h
        WILL_SHARE = 1;
    }
}

/// Makes a port through which the domain's vCPUs interrupt one of them.
///
/// `struct evtchn_bind_ipi`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindIpi {
    /// The vCPU that is interrupted.
    pub vcpu: VcpuId,
    /// Out: the new port.
    pub port: Port,
}

/// Closes a port; the other end of an interdomain channel becomes unbound.
///
/// `struct evtchn_close`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Close {
    /// The port.
    pub port: Port,
}

/// Makes the other end of a channel pending.
///
/// `struct evtchn_send`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Send {
    /// The local port.
    pub port: Port,
}

/// Asks what a port is bound to.
///
/// `struct evtchn_status`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Status {
    /// The domain that has the port: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
    /// Padding before the port.
    pub _pad: u16,
    /// The port.
    pub port: Port,
    /// Out: the kind of channel.
    pub status: State,
    /// Out: the vCPU that is notified.
    pub vcpu: VcpuId,
    /// Out: the other end; `status` tells what it is, and the methods read it accordingly.
    ///
    /// C: `u.interdomain`
    pub end: StatusEnd,
}

/// The other end of a channel, in the form of an interdomain one.
///
/// `struct evtchn_status.u.interdomain`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatusEnd {
    /// The other domain.
    pub dom: DomId,
    /// Padding before the port.
    pub _pad: u16,
    /// Its port.
    pub port: Port,
}

impl Status {
    /// The domain at the other end, or the one that may bind, of an interdomain or unbound channel.
    #[must_use]
    pub const fn remote_domain(&self) -> Option<DomId> {
        match self.status {
            State::UNBOUND | State::INTERDOMAIN => Some(self.end.dom),
            _ => None,
        }
    }

    /// The port at the other end of an interdomain channel.
    #[must_use]
    pub const fn remote_port(&self) -> Option<Port> {
        match self.status {
            State::INTERDOMAIN => Some(self.end.port),
            _ => None,
        }
    }

    /// The physical interrupt that the port is bound to.
    #[must_use]
    pub const fn pirq(&self) -> Option<u32> {
        match self.status {
            State::PIRQ => Some(self.first_word()),
            _ => None,
        }
    }

    /// The virtual interrupt that the port is bound to.
    #[must_use]
    pub const fn virq(&self) -> Option<Virq> {
        match self.status {
            State::VIRQ => Some(Virq(self.first_word())),
            _ => None,
        }
    }

    /// The other end where it is a single number.
    const fn first_word(&self) -> u32 {
        let [word, _]: [u32; 2] = zerocopy::transmute!(self.end);
        word
    }
}

constants! {
    /// What a port is bound to.
    ///
    /// `EVTCHNSTAT_*`, public/event_channel.h
    pub struct State: u32 {
        /// Nothing: the port is free.
        ///
        /// `EVTCHNSTAT_closed`, public/event_channel.h
        CLOSED = 0;
        /// Nothing yet: it waits for a remote domain.
        ///
        /// `EVTCHNSTAT_unbound`, public/event_channel.h
        UNBOUND = 1;
        /// A port of another domain.
        ///
        /// `EVTCHNSTAT_interdomain`, public/event_channel.h
        INTERDOMAIN = 2;
        /// A physical interrupt.
        ///
        /// `EVTCHNSTAT_pirq`, public/event_channel.h
        PIRQ = 3;
        /// A virtual interrupt.
        ///
        /// `EVTCHNSTAT_virq`, public/event_channel.h
        VIRQ = 4;
        /// Interrupts between the domain's own vCPUs.
        ///
        /// `EVTCHNSTAT_ipi`, public/event_channel.h
        IPI = 5;
    }
}

/// Chooses the vCPU that a port notifies; not for ports that were bound to one.
///
/// `struct evtchn_bind_vcpu`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindVcpu {
    /// The port.
    pub port: Port,
    /// The vCPU.
    pub vcpu: VcpuId,
}

/// Unmasks a port and notifies its vCPU where an event is pending.
///
/// `struct evtchn_unmask`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Unmask {
    /// The port.
    pub port: Port,
}

/// Closes all ports of a domain and returns it to the 2-level form.
///
/// `struct evtchn_reset`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reset {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
}

/// Gives a vCPU's control block to Xen and switches the domain to the FIFO form.
///
/// Events that are pending at that moment are lost.
///
/// `struct evtchn_init_control`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InitControl {
    /// The frame that holds the control block.
    pub control_gfn: Gfn,
    /// Where in the frame, in bytes.
    pub offset: u32,
    /// The vCPU.
    pub vcpu: VcpuId,
    /// Out: how many bits a link has.
    pub link_bits: u8,
    /// Padding to the structure's alignment.
    ///
    /// C: `_pad`
    pub _pad: [u8; 7],
}

/// Adds a page of event words.
///
/// `struct evtchn_expand_array`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExpandArray {
    /// The page's frame.
    pub array_gfn: Gfn,
}

/// Sets the priority of a port's events.
///
/// `struct evtchn_set_priority`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetPriority {
    /// The port.
    pub port: Port,
    /// The priority, from [`FIFO_PRIORITY_MAX`] to [`FIFO_PRIORITY_MIN`].
    pub priority: u32,
}

/// How many ports the 2-level form has.
///
/// `EVTCHN_2L_NR_CHANNELS`, public/event_channel.h
pub const TWO_LEVEL_NR_CHANNELS: u32 = 4096;

const_assert_eq!(size_of::<AllocUnbound>(), 8);
const_assert_eq!(size_of::<BindInterdomain>(), 12);
const_assert_eq!(size_of::<BindVirq>(), 12);
const_assert_eq!(size_of::<BindPirq>(), 12);
const_assert_eq!(size_of::<BindIpi>(), 8);
const_assert_eq!(size_of::<Close>(), 4);
const_assert_eq!(size_of::<Send>(), 4);
const_assert_eq!(size_of::<Status>(), 24);
const_assert_eq!(size_of::<StatusEnd>(), 8);
const_assert_eq!(size_of::<BindVcpu>(), 8);
const_assert_eq!(size_of::<Unmask>(), 4);
const_assert_eq!(size_of::<Reset>(), 2);
const_assert_eq!(size_of::<InitControl>(), 24);
const_assert_eq!(size_of::<ExpandArray>(), 8);
const_assert_eq!(size_of::<SetPriority>(), 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_the_other_end_in_the_form_of_its_state() {
        let end = StatusEnd { dom: DomId(7), _pad: 1, port: Port(9) };
        let status = |status| Status { status, end, ..Status::default() };
        assert_eq!(status(State::INTERDOMAIN).remote_port(), Some(Port(9)));
        assert_eq!(status(State::UNBOUND).remote_domain(), Some(DomId(7)));
        assert_eq!(status(State::UNBOUND).remote_port(), None);
        assert_eq!(status(State::VIRQ).virq(), Some(Virq(0x1_0007)));
        assert_eq!(status(State::PIRQ).pirq(), Some(0x1_0007));
        assert_eq!(status(State::CLOSED).remote_domain(), None);
    }
}
