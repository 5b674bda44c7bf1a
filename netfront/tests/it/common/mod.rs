//! A guest with a network interface, whose backend is simulated. One thread: the two halves take turns.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::cell::Cell;
use std::time::Duration;

use xen_netfront::{Event, Netfront, Options, Order};
use xen_sim::netback::{Control, Netback, Options as Offer, Packet, Port, Progress};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::Enumerator;

use crate::drivers;
use crate::drivers::look;

pub(crate) const MAC: [u8; 6] = [0x00, 0x16, 0x3e, 0, 0, 1];

/// How many pages the guest has.
const PAGES: usize = 4500;

/// A turn in which nothing happens takes so long, at first and when nothing has happened for a while.
const NAPS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Few pages, for who connects often.
pub(crate) const SMALL: Options = Options { transmit_pages: 64, receive_pages: 64, ..Options::DEFAULT };

pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) guest: Domain,
    pub(crate) store: Store<Domain>,
    pub(crate) domain: Domain,
    pub(crate) device: Device,
    pub(crate) back: Option<Netback>,
    /// The other end of the wire.
    pub(crate) port: Port,
    pub(crate) enumerator: Enumerator,
    pub(crate) front: Netfront<Domain>,
    pub(crate) events: Vec<Event>,
    /// What the front has received.
    pub(crate) received: Vec<(Vec<u8>, xen_netfront::Meta)>,
    /// What the clock says when the domain runs again after a suspend, if that is not the time.
    pub(crate) wakes_at: Cell<Option<Duration>>,
    nap: Duration,
}

impl Rig {
    /// An interface that is connected.
    pub(crate) fn new(seed: u64, options: Options, offer: Offer) -> Self {
        Self::with_mtu(seed, options, offer, 1500)
    }

    pub(crate) fn with_mtu(seed: u64, options: Options, offer: Offer, mtu: u32) -> Self {
        let mut rig = Self::plugged(seed, options, offer, |device| device.front_key("mtu", &mtu.to_string()));
        rig.connect();
        rig
    }

    #[track_caller]
    pub(crate) fn connect(&mut self) {
        assert!(self.until(20 * SECOND, |rig| rig.front.link().is_some()), "{:?}", self.events);
    }

    /// An interface that was found.
    pub(crate) fn plugged(seed: u64, options: Options, offer: Offer, keys: impl FnOnce(Device) -> Device) -> Self {
        let machine = Machine::new(seed);
        let ((guest, store), domain) = (kernel(&machine), machine.domain());
        let device = keys(vif(0, &guest, &domain));
        machine.xenstore().plug(&device);
        let back = Netback::new(&machine, &domain, &device, offer);
        let port = back.port();
        let mut enumerator = Enumerator::new();
        let found = look(&mut enumerator, &store).expect("the device is there");
        let front = Netfront::open(&store, found, options).expect("xenstore answers");
        let (events, received, wakes_at) = (Vec::new(), Vec::new(), Cell::new(None));
        let (back, nap) = (Some(back), NAPS.0);
        Self { machine, guest, store, domain, device, back, port, enumerator, front, events, received, wakes_at, nap }
    }

    pub(crate) const fn back(&self) -> &Netback {
        self.back.as_ref().expect("there is a backend")
    }

    pub(crate) fn control(&self) -> Control {
        self.back().control()
    }

    pub(crate) fn now(&self) -> Duration {
        self.store.now()
    }

    /// Lets both halves do what they can, and time pass if that is nothing.
    pub(crate) fn turn(&mut self) {
        self.turn_until(Duration::MAX);
    }

    fn turn_until(&mut self, end: Duration) {
        let had = (self.received.len(), self.events.len());
        let progress = self.back.as_mut().map_or(Progress::Idle, Netback::step);
        while let Some(event) = self.front.poll(self.store.now()) {
            self.events.push(event);
        }
        while let Some(packet) = self.front.receive() {
            let meta = packet.meta();
            self.received.push((packet.consume(<[u8]>::to_vec), meta));
        }
        let is_quiet = had == (self.received.len(), self.events.len());
        if !is_quiet || progress == Progress::Worked {
            self.nap = NAPS.0;
        }
        if is_quiet {
            let due = if let Progress::Until(due) = progress { due } else { end };
            let until = (self.store.now() + self.nap).min(end).min(due);
            self.front.wait(until).expect("Xen lets guests wait");
            self.nap = NAPS.1.min(self.nap * 2);
        }
    }

    /// Lets the backend alone do what it can.
    pub(crate) fn steps(&mut self, count: u32) {
        let back = self.back.as_mut().expect("there is a backend");
        (0..count).for_each(|_| {
            let _ = back.step();
        });
    }

    /// A number that the front has written.
    #[track_caller]
    pub(crate) fn front_number(&self, key: &str) -> u32 {
        let text = self.machine.xenstore().read_text(&format!("{}/{key}", self.device.front_path()));
        text.and_then(|text| text.parse().ok()).expect("there is one")
    }

    /// Goes on until something is so; says whether it is in time.
    pub(crate) fn until(&mut self, within: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.store.now() + within;
        while !done(self) {
            if self.store.now() >= end {
                return false;
            }
            self.turn_until(end);
        }
        true
    }

    /// Goes on for some time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let _ = self.until(time, |_| false);
    }

    /// Sends a packet; says whether there was room.
    pub(crate) fn send(&mut self, packet: &[u8]) -> bool {
        self.send_as(packet, Order::PLAIN)
    }

    pub(crate) fn send_as(&mut self, packet: &[u8], order: Order) -> bool {
        let room = if order.gso.is_some() { self.front.transmit_to_cut() } else { self.front.transmit() };
        let Some(room) = room else { return false };
        room.consume_as(packet.len(), order, |into| into.copy_from_slice(packet));
        self.front.flush_notifications();
        true
    }

    /// What the front has sent and nobody has looked at.
    pub(crate) fn sent(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.port.receive()).collect()
    }

    /// Sends a packet, and waits until it has come to the other end.
    #[track_caller]
    pub(crate) fn sends(&mut self, packet: &[u8]) -> Packet {
        self.sends_as(packet, Order::PLAIN)
    }

    #[track_caller]
    pub(crate) fn sends_as(&mut self, packet: &[u8], order: Order) -> Packet {
        assert!(self.send_as(packet, order), "there is room");
        assert!(self.until(5 * SECOND, |rig| rig.port.waiting() > 0), "it comes: {:?}", self.back().statistics());
        self.port.receive().expect("it was just there")
    }

    /// Has a packet come.
    #[track_caller]
    pub(crate) fn receives(&mut self, packet: Packet) -> (Vec<u8>, xen_netfront::Meta) {
        let had = self.received.len();
        self.port.send(packet);
        assert!(self.until(5 * SECOND, |rig| rig.received.len() > had), "it comes: {:?}", self.front.statistics());
        self.received.pop().expect("it was just there")
    }

    /// Whether packets go both ways.
    #[track_caller]
    pub(crate) fn assert_works(&mut self) {
        let _ = self.sent();
        let packet = packet(60, 7);
        assert_eq!(self.sends(&packet).data, packet);
        assert_eq!(self.receives(Packet::new(packet.clone())).0, packet);
    }

    /// Has the front take the device that stands in the store now.
    pub(crate) fn reattach(&mut self) {
        self.enumerator.forget(self.front.device());
        let found = look(&mut self.enumerator, &self.store).expect("a device is there");
        self.front.reattach(found).expect("xenstore answers");
    }

    /// Closes the interface, and lets the backend's tools take it away.
    #[track_caller]
    pub(crate) fn close(&mut self) {
        self.front.close();
        assert!(self.until(30 * SECOND, |rig| rig.front.is_ended()), "{:?}", self.front);
    }

    /// Sees to it that nothing of an interface that has ended is left.
    #[track_caller]
    pub(crate) fn assert_given_back(&mut self) {
        // The backend lets go of what it had.
        self.pass(Duration::from_millis(20));
        drivers::assert_given_back(&self.machine, &self.guest);
    }

    pub(crate) fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }
}

/// Seeds of what is random: as many as `DOMU_SEEDS` says, from `DOMU_SEED` on.
pub(crate) fn seeds(few: u64) -> std::ops::Range<u64> {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let first = number("DOMU_SEED", 1);
    first..first + number("DOMU_SEEDS", few)
}

/// A guest that can have interfaces.
pub(crate) fn kernel(machine: &Machine) -> (Domain, Store<Domain>) {
    drivers::kernel(machine, PAGES)
}

/// An interface, as the tools give it to a guest.
pub(crate) fn vif(number: u32, guest: &Domain, domain: &Domain) -> Device {
    Device::new("vif", number, guest.id(), domain.id()).front_key("mac", &format!("00:16:3e:00:00:{:02x}", number + 1))
}

/// A packet of so many bytes, each other than its neighbours.
pub(crate) fn packet(len: usize, seed: usize) -> Vec<u8> {
    let mut packet: Vec<u8> = (0..len).map(|at| (at * 31 + at / 251 + seed * 7) as u8).collect();
    // To one station, of a type that nobody knows.
    packet.iter_mut().zip([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0xb5]).for_each(|(to, from)| *to = from);
    packet
}

/// A packet of TCP over IPv4, its checksum made.
pub(crate) fn tcp(payload: usize, seed: usize) -> Vec<u8> {
    let mut packet = packet(14, seed);
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet.extend([0x45, 0]);
    packet.extend((40 + payload as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend([0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    packet.extend((0..payload).map(|at| (at * 13 + seed) as u8));
    let transport = xen_netfront::Transport::find(&packet).expect("it is one");
    transport.complete(&mut packet);
    packet
}
