//! Event channels, as Xen keeps them.

mod bind;
mod deliver;
mod fifo;

use std::mem::offset_of;
use std::sync::atomic::{AtomicU8, AtomicU64};

use xen_hypercall::Errno;
use xen_hypercall::abi::arch::{LEGACY_MAX_VCPUS, VcpuInfo};
use xen_hypercall::abi::event_channel::{
    FIFO_MAX_QUEUES, FIFO_NR_CHANNELS, FIFO_PRIORITY_DEFAULT, TWO_LEVEL_NR_CHANNELS,
};
use xen_hypercall::abi::{DomId, Port, VcpuId, Virq, virq};

use crate::memory::{Entry, Memory, Page};
use crate::state::State;
use crate::time::Timers;

/// A place inside a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) page: Page,
    pub(crate) offset: usize,
}

/// A vCPU, as Xen sees it.
#[derive(Debug)]
pub(crate) struct Vcpu {
    /// Its `vcpu_info`.
    pub(crate) place: Place,
    pub(crate) registered: bool,
    pub(crate) timers: Timers,
    pub(crate) virqs: [Option<Port>; virq::COUNT as usize],
    /// Its control block of the FIFO form.
    pub(crate) control: Option<Place>,
    /// The last port of each queue of the FIFO form.
    tails: [Option<Port>; FIFO_MAX_QUEUES],
    /// Whether its upcall runs at the moment.
    pub(crate) in_upcall: bool,
    /// How often it ran.
    pub(crate) upcalls: u64,
}

impl Vcpu {
    pub(crate) fn new(number: usize, memory: &mut Memory, shared_info: &Entry) -> Self {
        let place = if number < LEGACY_MAX_VCPUS {
            Place { page: shared_info.page, offset: number * size_of::<VcpuInfo>() }
        } else {
            Place { page: memory.xen_page(shared_info.owner).page, offset: 0 }
        };
        let (timers, virqs) = (Timers::default(), [None; _]);
        Self { place, registered: false, timers, virqs, control: None, tails: [None; _], in_upcall: false, upcalls: 0 }
    }

    /// Not zero while an event may be pending.
    pub(crate) fn upcall_pending(&self) -> &AtomicU8 {
        self.place.page.u8(self.place.offset + offset_of!(VcpuInfo, evtchn_upcall_pending))
    }

    /// Not zero while the guest wants no upcalls. On ARM64, which has the processor's mask instead, the byte is unused;
    /// here it stands for that mask.
    pub(crate) fn upcall_mask(&self) -> &AtomicU8 {
        self.place.page.u8(self.place.offset + offset_of!(VcpuInfo, evtchn_upcall_pending) + 1)
    }

    fn selector(&self) -> &AtomicU64 {
        self.place.page.u64(self.place.offset + offset_of!(VcpuInfo, evtchn_pending_sel))
    }
}

/// The ports of a domain.
#[derive(Debug)]
pub(crate) struct Channels {
    ports: Vec<Channel>,
    pub(crate) max_ports: u32,
    abi: Abi,
}

/// Which form the guest has chosen.
#[derive(Debug)]
enum Abi {
    TwoLevel,
    /// Pages of event words.
    Fifo(Vec<Page>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) kind: Kind,
    pub(crate) vcpu: VcpuId,
    pub(crate) priority: u32,
    /// An event came before there was a word for it.
    unseen: bool,
    /// The queue that it was linked to last.
    queue: Option<(VcpuId, u32)>,
}

/// What a port is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Free,
    /// Port 0, which nobody can have.
    Reserved,
    Unbound {
        remote: DomId,
    },
    Interdomain {
        remote: DomId,
        port: Port,
    },
    Virq(Virq),
    Ipi,
    /// Xenstored, in domain 0.
    Store,
    /// Xenstored was here, and is gone.
    Left,
}

impl Channel {
    const fn new(kind: Kind) -> Self {
        Self { kind, vcpu: VcpuId(0), priority: FIFO_PRIORITY_DEFAULT, unseen: false, queue: None }
    }
}

impl Channels {
    pub(crate) fn new(max_ports: u32) -> Self {
        Self { ports: vec![Channel::new(Kind::Reserved)], max_ports, abi: Abi::TwoLevel }
    }

    /// The port, where its number is one that the domain has had.
    pub(crate) fn get(&self, port: Port) -> Result<&Channel, Errno> {
        self.ports.get(port.0 as usize).ok_or(Errno::INVAL)
    }

    pub(crate) fn get_mut(&mut self, port: Port) -> Result<&mut Channel, Errno> {
        self.ports.get_mut(port.0 as usize).ok_or(Errno::INVAL)
    }

    /// The ports that are open.
    pub(crate) fn open(&self) -> impl Iterator<Item = Port> + '_ {
        let used =
            self.ports.iter().zip(0..).filter(|(channel, _)| !matches!(channel.kind, Kind::Free | Kind::Reserved));
        used.map(|(_, port)| Port(port))
    }

    /// Whether a port leads to xenstored, or did: such a port is the toolstack's gift.
    pub(crate) fn is_to_store(&self, port: Port) -> bool {
        self.get(port).is_ok_and(|channel| matches!(channel.kind, Kind::Store | Kind::Left))
    }

    pub(crate) const fn is_fifo(&self) -> bool {
        matches!(self.abi, Abi::Fifo(_))
    }

    /// The lowest free port takes a new use.
    pub(crate) fn take(&mut self, kind: Kind, vcpu: VcpuId) -> Result<Port, Errno> {
        let port = self.ports.iter().position(|channel| channel.kind == Kind::Free).unwrap_or(self.ports.len());
        self.take_at(port, kind, vcpu)
    }

    /// A free port that is not the lowest takes a new use.
    pub(crate) fn take_beyond(&mut self, count: usize, kind: Kind, vcpu: VcpuId) -> Result<Port, Errno> {
        let free = |channel: &Channel| channel.kind == Kind::Free;
        let missing = (count + 1).saturating_sub(self.ports.iter().filter(|channel| free(channel)).count());
        self.ports.extend(std::iter::repeat_n(Channel::new(Kind::Free), missing));
        let mut all = self.ports.iter().enumerate().filter(|(_, channel)| free(channel));
        let port = all.nth(count).map_or(self.ports.len(), |(port, _)| port);
        self.take_at(port, kind, vcpu)
    }

    fn take_at(&mut self, port: usize, kind: Kind, vcpu: VcpuId) -> Result<Port, Errno> {
        let form = if self.is_fifo() { FIFO_NR_CHANNELS } else { TWO_LEVEL_NR_CHANNELS };
        let number = u32::try_from(port).map_err(|_| Errno::NOSPC)?;
        if number > self.max_ports || number >= form {
            return Err(Errno::NOSPC);
        }
        let queue = self.ports.get(port).and_then(|channel| channel.queue);
        let channel = Channel { vcpu, queue, ..Channel::new(kind) };
        match self.ports.get_mut(port) {
            Some(place) => *place = channel,
            None => self.ports.push(channel),
        }
        Ok(Port(number))
    }
}

impl State {
    /// The ends of channels that lead to a domain.
    pub(crate) fn open_ports(&self, domain: DomId) -> Vec<Port> {
        self.dom(domain).channels.open().collect()
    }
}
