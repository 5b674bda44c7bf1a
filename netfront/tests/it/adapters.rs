//! Interfaces as other crates want them.

use std::num::NonZeroUsize;
use std::task::{Context, Waker};

use embassy_net_driver::{Driver as _, LinkState, RxToken as _, TxToken as _};
use smoltcp::phy::{Device as _, TxToken as _};
use smoltcp::time::Instant;
use xen_event_channel::Channel;
use xen_netfront::{Checksums, EmbassyDriver, Event, Options, SharedInterfaces};
use xen_sim::netback::{Checksum as Told, Netback, Options as Offer, Packet};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;

use crate::common;
use crate::common::{Rig, SECOND, packet, tcp};

const OFFLOAD: Options = Options { checksums: Checksums::Offload, ..Options::DEFAULT };

/// Packets, and whether a stack that leaves checksums to others is to get them.
fn packets() -> Vec<(Packet, bool)> {
    let (right, mut wrong) = (tcp(300, 1), tcp(300, 2));
    wrong[100] ^= 1;
    let with = |data: &[u8], checksum| Packet { checksum, ..Packet::new(data) };
    vec![
        (with(&right, Told::Unknown), true),
        (with(&right, Told::Validated), true),
        (with(&wrong, Told::Unknown), false),
        (with(&wrong, Told::Validated), false),
        // It never had one.
        (with(&wrong, Told::Blank), true),
        (Packet::new(packet(100, 1)), true),
    ]
}

#[test]
fn a_wrong_checksum_never_reaches_a_stack() {
    let mut rig = Rig::new(1, OFFLOAD, Offer::DEFAULT);
    for (packet, _) in packets() {
        rig.port.send(packet);
    }
    let mut came = Vec::new();
    for _ in 0..100 {
        rig.back.as_mut().unwrap().step();
        while let Some((packet, _room)) = smoltcp::phy::Device::receive(&mut rig.front, Instant::ZERO) {
            came.push(packet.consume(<[u8]>::to_vec));
        }
        let _ = rig.front.prepare_to_wait(rig.store.now());
    }
    let expected: Vec<_> = packets().into_iter().filter(|(_, good)| *good).map(|(packet, _)| packet.data).collect();
    assert_eq!(came, expected);
    assert_eq!(rig.front.statistics().received.wrong_checksum, 2);
}

#[test]
fn smoltcp_sends_with_blank_checksums_or_right_ones() {
    for (offer, told) in [(Offer::DEFAULT, Told::Blank), (Offer { csum: false, ..Offer::DEFAULT }, Told::Unknown)] {
        let mut rig = Rig::new(1, OFFLOAD, offer);
        assert_eq!(rig.front.capabilities().max_transmission_unit, 1514);
        let mut data = tcp(300, 1);
        data[50..52].fill(0);
        let room = smoltcp::phy::Device::transmit(&mut rig.front, Instant::ZERO).expect("there is room");
        room.consume(data.len(), |into| into.copy_from_slice(&data));
        assert!(rig.until(SECOND, |rig| rig.port.waiting() > 0));
        let came = rig.port.receive().unwrap();
        assert_eq!(came.checksum, told);
        if told == Told::Unknown {
            assert_eq!(came.data, tcp(300, 1));
        }
    }
}

/// A guest with an interface that somebody else drives.
struct Shared {
    _machine: Machine,
    store: Store<Domain>,
    back: Netback,
    interfaces: SharedInterfaces<Domain>,
}

impl Shared {
    fn new(options: Options) -> Self {
        let machine = Machine::new(1);
        let guest = machine.domain_builder().pages(NonZeroUsize::new(2000).unwrap()).build();
        let domain = machine.domain();
        machine.xenstore().introduce(&guest);
        let (page, port) = guest.store().expect("it was introduced");
        let channel = Channel::adopt(&guest, port).expect("the port is open");
        let store = Store::attach(page, channel, guest.clone()).expect("the page holds a ring");
        let device = Device::new("vif", 3, guest.id(), domain.id()).front_key("mac", "00:16:3e:00:00:01");
        machine.xenstore().plug(&device);
        let back = Netback::new(&machine, &domain, &device, Offer::DEFAULT);
        let interfaces = SharedInterfaces::new(&store, options).expect("xenstore answers");
        let mut shared = Self { _machine: machine, store, back, interfaces };
        assert!((0..1000).any(|_| shared.turn().contains(&(3, Event::Connected))));
        shared
    }

    fn turn(&mut self) -> Vec<(u32, Event)> {
        self.back.step();
        let events = std::iter::from_fn(|| self.interfaces.poll(self.store.now())).collect();
        self.interfaces.wait(self.store.now() + SECOND / 1000).expect("Xen lets guests wait");
        events
    }
}

#[test]
fn embassy_net_sends_and_receives() {
    let mut shared = Shared::new(OFFLOAD);
    assert!(EmbassyDriver::new(&shared.interfaces, 0).is_none());
    let mut driver = EmbassyDriver::new(&shared.interfaces, 3).expect("it is connected");
    let mut context = Context::from_waker(Waker::noop());
    assert!(driver.link_state(&mut context) == LinkState::Up);
    assert_eq!(driver.capabilities().max_transmission_unit, 1514);
    for (packet, _) in packets() {
        shared.back.push_packet(packet);
    }
    let mut came = Vec::new();
    for _ in 0..50 {
        shared.turn();
        while let Some((packet, room)) = driver.receive(&mut context) {
            // As smoltcp does: it answers while it looks at the packet.
            packet.consume(|bytes| {
                came.push(bytes.to_vec());
                room.consume(60, |into| into.copy_from_slice(&common::packet(60, came.len())));
            });
        }
    }
    let expected: Vec<_> = packets().into_iter().filter(|(_, good)| *good).map(|(packet, _)| packet.data).collect();
    assert_eq!(came, expected);
    let sent: Vec<_> = std::iter::from_fn(|| shared.back.port().receive()).map(|packet| packet.data).collect();
    assert_eq!(sent, (1..=4).map(|number| packet(60, number)).collect::<Vec<_>>());
    shared.interfaces.with(|interfaces| interfaces.close());
    (0..100).for_each(|_| drop(shared.turn()));
    assert!(driver.link_state(&mut context) == LinkState::Down);
    assert!(driver.transmit(&mut context).is_none());
}
