//! Interfaces that come, go, and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use xen_netfront::{Event, Interfaces, Netfront, Options};
use xen_sim::netback::{Netback, Options as Offer, Packet, Port};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{End, Vanished};
use xen_xenbus::control::Resumable;

use crate::common::{SECOND, kernel, packet, vif};
use crate::drivers;
use crate::suspended;
use crate::suspended::Ending;

const MILLISECOND: Duration = Duration::from_millis(1);

const SMALL: Options = Options { transmit_pages: 32, receive_pages: 32, ..Options::DEFAULT };

/// A guest whose interfaces come and go.
struct Rig {
    machine: Machine,
    guest: Domain,
    domain: Domain,
    store: Store<Domain>,
    interfaces: Interfaces<Domain>,
    backs: BTreeMap<u32, Netback>,
    events: Vec<(u32, Event)>,
    received: Vec<(u32, Vec<u8>)>,
}

impl Rig {
    fn new(seed: u64, options: Options) -> Self {
        let machine = Machine::new(seed);
        let ((guest, store), domain) = (kernel(&machine), machine.domain());
        let interfaces = Interfaces::new(&store, options).unwrap();
        let (backs, events, received) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { machine, guest, domain, store, interfaces, backs, events, received }
    }

    fn plug(&mut self, number: u32, offer: &Offer) -> Device {
        let device = vif(number, &self.guest, &self.domain);
        self.backs.insert(number, Netback::new(&self.machine, &self.domain, &device, offer.clone()));
        self.machine.xenstore().plug(&device);
        device
    }

    /// The tools take a device away without asking, and its backend's program ends.
    fn tear_out(&mut self, device: &Device, number: u32) {
        self.machine.xenstore().remove_device(device);
        self.backs.remove(&number);
    }

    fn turn(&mut self) {
        let before = (self.events.len(), self.received.len());
        for back in self.backs.values_mut() {
            let _ = back.step();
        }
        while let Some(event) = self.interfaces.poll(self.store.now()) {
            self.events.push(event);
        }
        for (number, interface) in self.interfaces.iter_mut() {
            while let Some(packet) = interface.receive() {
                self.received.push((number, packet.consume(<[u8]>::to_vec)));
            }
        }
        if before == (self.events.len(), self.received.len()) {
            let nap = if self.backs.is_empty() { SECOND } else { MILLISECOND };
            self.interfaces.wait(self.store.now() + nap).unwrap();
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.store.now() + 30 * SECOND;
        while !done(self) {
            assert!(self.store.now() < end, "not {what}: {:?} {:?}", self.interfaces, self.events);
            self.turn();
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.store.now() + time;
        while self.store.now() < end {
            self.turn();
        }
    }

    fn is_connected(&self, number: u32) -> bool {
        self.interfaces.get(number).is_some_and(|interface| interface.link().is_some())
    }

    fn connections(&self, number: u32) -> u64 {
        self.interfaces.get(number).map_or(0, |interface| interface.statistics().connections)
    }

    fn is_gone(&self, number: u32) -> bool {
        self.interfaces.get(number).is_none_or(Netfront::is_detached)
    }

    fn port(&self, number: u32) -> Port {
        self.backs[&number].port()
    }

    fn send(&mut self, number: u32, packet: &[u8]) -> bool {
        let room = self.interfaces.get_mut(number).and_then(Netfront::transmit);
        let Some(room) = room else { return false };
        room.consume(packet.len(), |into| into.copy_from_slice(packet));
        self.interfaces.flush_notifications(self.store.now());
        true
    }

    /// Whether packets go both ways.
    #[track_caller]
    fn assert_works(&mut self, number: u32) {
        let port = self.port(number);
        while port.receive().is_some() {}
        self.received.clear();
        let (there, here) = (packet(100, number as usize), packet(1000, number as usize + 1));
        assert!(self.send(number, &there), "there is room");
        port.send(Packet::new(here.clone()));
        self.until("exchanged", |rig| rig.port(number).waiting() > 0 && !rig.received.is_empty());
        assert_eq!(port.receive().map(|packet| packet.data), Some(there));
        assert_eq!(self.received, [(number, here)]);
    }

    fn ended(&self) -> Vec<End> {
        let end = |(_, event): &(u32, Event)| if let Event::Ended(end) = event { Some(*end) } else { None };
        self.events.iter().filter_map(end).collect()
    }

    fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| which(event)).count()
    }

    /// Whether nothing is in use but what the grant table has grown by.
    #[track_caller]
    fn assert_given_back(&self, watches: usize) {
        drivers::assert_given_back(&self.machine, &self.guest);
        assert_eq!(self.machine.xenstore().watches(&self.guest), watches);
    }
}

impl suspended::Guest for Rig {
    fn domain(&self) -> Domain {
        self.guest.clone()
    }

    fn store(&self) -> Store<Domain> {
        self.store.clone()
    }

    fn devices(&mut self) -> &mut dyn Resumable {
        &mut self.interfaces
    }

    fn turn(&mut self) {
        Self::turn(self);
    }
}

#[test]
fn fault_06_a_hundred_rounds_of_attach_and_detach_leave_nothing_behind() {
    for (hold, rounds) in [(Duration::ZERO, 100), (60 * SECOND, 10)] {
        let mut rig = Rig::new(1, Options { hold, ..SMALL });
        let mut checkpoint = None;
        for round in 1..=rounds {
            let device = rig.plug(0, &Offer { queues: 1 + round % 2, ..Offer::DEFAULT });
            rig.until("connected", |rig| rig.is_connected(0));
            rig.assert_works(0);
            if round % 3 == 0 {
                rig.tear_out(&device, 0);
            } else {
                rig.machine.xenstore().unplug(&device);
            }
            rig.until("gone", |rig| rig.is_gone(0));
            rig.backs.clear();
            rig.pass(10 * MILLISECOND);
            // That of the devices, and two of an interface that is waited for.
            rig.assert_given_back(if hold == Duration::ZERO { 1 } else { 3 });
            rig.machine.assert_no_leaks_since(checkpoint.get_or_insert_with(|| rig.machine.checkpoint()));
        }
        let ends = if hold == Duration::ZERO { rounds as usize } else { 0 };
        assert_eq!(rig.ended(), vec![End::Vanished(Vanished::Unplugged); ends]);
        assert_eq!(rig.count(|event| *event == Event::Connected), rounds as usize);
    }
}

#[test]
fn fault_05_an_interface_that_is_torn_out_and_is_back_goes_on() {
    for seed in 0..8 {
        let mut rig = Rig::new(seed, SMALL);
        let offer = Offer { latency: MILLISECOND..5 * MILLISECOND, ..Offer::DEFAULT };
        let mut device = rig.plug(0, &offer);
        rig.until("connected", |rig| rig.is_connected(0));
        for round in 1..4 {
            (0..20).for_each(|number| assert!(rig.send(0, &packet(100, number))));
            rig.pass(Duration::from_micros(100 + seed * 500));
            rig.tear_out(&device, 0);
            if seed % 2 == 0 {
                rig.until("vanished", |rig| rig.is_gone(0));
            }
            device = rig.plug(0, &offer);
            rig.until("connected again", |rig| rig.connections(0) > round && rig.is_connected(0));
            rig.assert_works(0);
        }
        assert!(rig.ended().is_empty());
    }
}

#[test]
fn an_interface_that_does_not_come_back_in_time_is_another_one_afterwards() {
    let mut rig = Rig::new(1, Options { hold: SECOND, ..SMALL });
    let device = rig.plug(0, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(0));
    rig.tear_out(&device, 0);
    rig.until("detached", |rig| rig.interfaces.get(0).is_some_and(Netfront::is_detached));
    rig.until("ended", |rig| rig.interfaces.get(0).is_none());
    rig.plug(0, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(0));
    assert_eq!((rig.interfaces.get(0).unwrap().statistics().connections, rig.ended().len()), (1, 1));
    rig.assert_works(0);
}

#[test]
fn a_device_without_a_backend_costs_little_and_is_given_up_in_time() {
    let mut rig = Rig::new(1, Options { hold: 20 * SECOND, ..SMALL });
    let device = rig.plug(0, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(0));
    // Its domain has died: nobody has removed our half.
    rig.machine.xenstore().remove(&device.back_path());
    rig.backs.clear();
    let (since, before) = (rig.store.now(), rig.store.statistics().requests);
    rig.until("ended", |rig| rig.interfaces.get(0).is_none());
    let took = rig.store.now() - since;
    assert!((20 * SECOND..25 * SECOND).contains(&took), "{took:?}");
    let requests = rig.store.statistics().requests - before;
    assert!(requests < 800, "{requests} requests to xenstore");
    rig.machine.xenstore().remove_device(&device);
    rig.plug(0, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(0));
    rig.assert_works(0);
}

#[test]
fn several_interfaces_live_side_by_side_and_one_that_is_closed_stays_so() {
    let mut rig = Rig::new(1, SMALL);
    for number in [3, 0, 1] {
        rig.plug(number, &Offer::DEFAULT);
    }
    rig.until("connected", |rig| [0, 1, 3].into_iter().all(|number| rig.is_connected(number)));
    let macs: Vec<_> =
        rig.interfaces.iter().map(|(number, interface)| (number, interface.link().unwrap().mac()[5])).collect();
    assert_eq!(macs, [(0, 1), (1, 2), (3, 4)]);
    for number in [0, 1, 3] {
        rig.assert_works(number);
    }
    // One that hangs keeps none of the others.
    rig.backs[&0].control().hang();
    while rig.send(0, &packet(100, 1)) {}
    rig.assert_works(1);
    rig.assert_works(3);
    rig.backs[&0].control().go_on();
    rig.interfaces.get_mut(0).unwrap().close();
    rig.until("closed", |rig| rig.interfaces.get(0).is_none());
    rig.pass(SECOND);
    assert_eq!((rig.interfaces.iter().count(), rig.ended()), (2, vec![End::Closed]));
    rig.interfaces.close();
    rig.until("closed", |rig| rig.interfaces.iter().count() == 0);
    rig.backs.clear();
    rig.pass(20 * MILLISECOND);
    rig.assert_given_back(1);
}

/// What comes of a device that comes and goes while everything is under way.
#[test]
fn fault_06_a_device_that_comes_and_goes_at_any_moment() {
    let mut rig = Rig::new(2, Options { hold: SECOND / 100, ..SMALL });
    for round in 0..60_u32 {
        let device = rig.plug(0, &Offer::DEFAULT);
        rig.pass(Duration::from_micros(u64::from(round) * 37));
        rig.tear_out(&device, 0);
        rig.pass(Duration::from_micros(u64::from(round % 7) * 300));
    }
    rig.plug(0, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(0));
    rig.assert_works(0);
    rig.interfaces.close();
    rig.until("closed", |rig| rig.interfaces.iter().count() == 0);
    rig.backs.clear();
    rig.pass(20 * MILLISECOND);
    rig.assert_given_back(1);
}

#[test]
fn fault_07_all_interfaces_are_found_again_after_each_migration() {
    for seed in 0..4 {
        let mut rig = Rig::new(seed, SMALL);
        for number in [0, 1] {
            rig.plug(number, &Offer { latency: MILLISECOND..2 * MILLISECOND, ..Offer::DEFAULT });
        }
        rig.guest.migrate_on_suspend();
        let all = |rig: &Rig, times| (0..2).all(|number| rig.is_connected(number) && rig.connections(number) == times);
        rig.until("connected", |rig| all(rig, 1));
        for round in 1..4 {
            assert!((0..20).all(|seed| rig.send(0, &packet(100, seed)) && rig.send(1, &packet(100, seed))));
            assert_eq!(suspended::suspend(&mut rig), Ending::Resumed);
            rig.until("connected", |rig| all(rig, round + 1));
            rig.assert_works(0);
            rig.assert_works(1);
        }
        assert!(rig.ended().is_empty());
    }
}

#[test]
fn fault_08_a_suspend_that_is_called_off_changes_nothing() {
    let mut rig = Rig::new(1, SMALL);
    rig.plug(0, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(0));
    assert!(rig.send(0, &packet(100, 1)));
    let events = rig.events.len();
    assert_eq!(suspended::suspend(&mut rig), Ending::Cancelled);
    rig.assert_works(0);
    assert_eq!((rig.events.len(), rig.interfaces.get(0).unwrap().statistics().connections), (events, 1));
}
