//! A network backend, for tests of a network front-end.
//!
//! A [`Netback`] has the back half of a `vif`: it follows the device's states as Linux's backend does, maps the front's rings,
//! takes what the front transmits and brings it what it receives, by copies that Xen makes. It works by [`step`](Netback::step)
//! where a test has one thread, or [serves](Netback::serve) as a vCPU's program in a [`Machine::run`]. What it offers is in its
//! [`Options`]; by its [`Control`] a test has it fail, restart, vanish or lie.
//!
//! A backend is at one end of a wire. At the other end is a test, by [`Netback::port`], or a [`Switch`] that several backends share,
//! so that their guests reach each other.

mod control;
mod ctrl;
mod engine;
mod hostile;
mod line;
mod misdeed;
mod offload;
mod options;
mod oracle;
mod packet;
mod port;
mod queue;
mod receive;
mod states;
mod steering;
mod transmit;

use xen_hypercall::abi::io::netif::ExtraType;

pub use crate::backend::{Listen, Notify, Order, Progress, Restart};
pub use control::{Control, Fault, Which};
pub use misdeed::Misdeed;
pub use options::{Carrier, Multicast, Options};
pub use oracle::{Counts, Finding, Form, NetOracle, Way, Wrong};
pub use packet::{Checksum, Gso, Hash, Mac, Packet};
pub use port::{Port, Switch};
pub use receive::{RxAnswer, RxSlot};

use control::Vif;
use ctrl::ControlRing;
use engine::Engine;
use queue::Queue;

use crate::backend::{self, Backend, Half, backend_methods};
use crate::{Device, Domain, Machine};

/// What a slot says of the room before a packet. Xen's header has it no more; Linux's backend uses it.
pub const XDP: ExtraType = ExtraType(5);

/// The back half of a network device. See the [module](self).
pub struct Netback {
    half: Half<Vif>,
    engine: Engine,
    queues: Vec<Queue>,
    ctrl: Option<ControlRing>,
    /// The other end of its wire.
    port: Port,
}

/// What a backend has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Packets that the front has transmitted, and that went out.
    pub transmitted: u64,
    /// Bytes of these.
    pub transmitted_bytes: u64,
    /// Slots of all that it has transmitted, extras apart.
    pub slots: u64,
    /// Extras.
    pub extras: u64,
    /// Packets that were refused for what they are, or since their pages could not be read.
    pub refused: u64,
    /// Those among them that were not agreed on: several slots, or segments to be made.
    pub unagreed: u64,
    /// Packets that it has transmitted with a blank checksum, but that are none of TCP or UDP: they go nowhere.
    pub malformed: u64,
    /// How often the front did what only a hostile one does, and was not served any more.
    pub fatal: u64,
    /// Requests for, and against, packets to a group.
    pub filters: u64,
    /// Packets that the front has received.
    pub received: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// Packets for the front that were lost: too many waited, it was not connected, or by the script.
    pub dropped: u64,
    /// Packets for the front for which no buffers came in time.
    pub expired: u64,
    /// Packets to groups that the front does not want.
    pub filtered: u64,
    /// Packets for the front that it cannot take: too large, or of a kind that it has not agreed to.
    pub unfit: u64,
    /// Packets that were lost since the link was down.
    pub unlinked: u64,
    /// Answers.
    pub responses: u64,
    /// Events that were sent.
    pub notifications: u64,
    /// Requests on the control ring.
    pub controls: u64,
    /// Connections.
    pub connections: u64,
}

impl Netback {
    /// Takes a device's back half in hand, in the domain that the device names. The device may be plugged in before or later.
    ///
    /// A device that another backend has left as it was is closed first.
    ///
    /// # Panics
    ///
    /// If the device's back half is in another domain.
    #[must_use]
    pub fn new(machine: &Machine, back: &Domain, device: &Device, options: Options) -> Self {
        let half = Half::new(machine, back, device, options);
        let rng = backend::stream(machine.seed(), &half.back_path);
        let (port, own) = Port::pair();
        let engine = Engine::new(back, device.front_id(), own, half.control.clone(), rng);
        Self { half, engine, queues: Vec::new(), ctrl: None, port }
    }

    /// The other end of its wire: what the front has transmitted is received there, and what is sent there goes to the front.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port.clone()
    }

    /// Sends the front a packet, at the next step.
    pub fn push_packet(&self, packet: Packet) {
        self.port.send(packet);
    }

    /// What it has done.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.engine.statistics
    }

    /// Whether the front has a control ring.
    #[must_use]
    pub const fn has_control_ring(&self) -> bool {
        self.ctrl.is_some()
    }

    /// Slots that it has taken and not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.queues.iter().map(|queue| queue.transmit.unanswered()).sum()
    }

    /// Packets that wait for the front's buffers.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.queues.iter().map(|queue| queue.receive.waiting()).sum()
    }

    /// Why the front is not served any more, though it is connected: it has done what only a hostile one does.
    #[must_use]
    pub fn disabled(&self) -> Option<&str> {
        self.engine.disabled.as_deref()
    }

    /// Takes what came over the wire; says whether there was anything.
    fn collect(&mut self) -> bool {
        let mut some = false;
        while let Some(packet) = self.engine.port.receive() {
            some = true;
            self.accept(packet);
        }
        some
    }

    /// Takes a packet for the front.
    fn accept(&mut self, packet: Packet) {
        let engine = &mut self.engine;
        if engine.carrier == Carrier::Down {
            engine.statistics.unlinked += 1;
        } else if self.queues.is_empty() || !engine.is_enabled() {
            engine.statistics.dropped += 1;
        } else if !engine.wants(packet.destination()) {
            engine.statistics.filtered += 1;
        } else {
            self.adapt(packet);
        }
    }

    /// Has the front get a packet in a form that it can take.
    fn adapt(&mut self, packet: Packet) {
        let engine = &mut self.engine;
        let Some(packets) = offload::adapt(packet, &engine.agreed) else {
            engine.statistics.unfit += 1;
            return;
        };
        for packet in packets {
            if packet.data.len() > receive::room(engine) {
                engine.statistics.unfit += 1;
                continue;
            }
            let (hash, queue) = engine.steering.steer(&packet, self.queues.len());
            self.queues[queue].receive.hold(packet, hash, engine);
        }
    }
}

backend_methods!(Netback, Control);
