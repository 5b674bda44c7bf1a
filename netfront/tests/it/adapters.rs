//! Interfaces as other crates want them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use embassy_net_driver::{Driver as _, LinkState, RxToken as _, TxToken as _};
use smoltcp::phy::{Device as _, TxToken as _};
use smoltcp::time::Instant;
use xen_netfront::{Checksums, EmbassyDriver, Options};
use xen_sim::netback::{Carrier, Checksum as Told, Options as Offer, Packet};

use crate::common;
use crate::common::{Rig, SECOND, packet, tcp};
use crate::perils::MS;
use crate::shared::{NUMBER, Shared};
use crate::world::Flag;

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

#[test]
fn embassy_net_sends_and_receives() {
    let mut shared = Shared::new(OFFLOAD);
    assert!(EmbassyDriver::new(&shared.interfaces, 0).is_none());
    let mut driver = EmbassyDriver::new(&shared.interfaces, NUMBER).expect("it is connected");
    let mut context = Context::from_waker(Waker::noop());
    assert!(driver.link_state(&mut context) == LinkState::Up);
    assert_eq!(driver.capabilities().max_transmission_unit, 1514);
    for (packet, _) in packets() {
        shared.back().push_packet(packet);
    }
    let mut came = Vec::new();
    for _ in 0..50 {
        shared.turn(MS);
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
    let sent: Vec<_> = std::iter::from_fn(|| shared.back().port().receive()).map(|packet| packet.data).collect();
    assert_eq!(sent, (1..=4).map(|number| packet(60, number)).collect::<Vec<_>>());
    shared.interfaces.with(|interfaces| interfaces.close());
    (0..100).for_each(|_| drop(shared.turn(MS)));
    assert!(driver.link_state(&mut context) == LinkState::Down);
    assert!(driver.transmit(&mut context).is_none());
}

#[test]
fn embassy_net_is_woken_for_what_it_waits_for() {
    let mut shared = Shared::new(Options { transmit_pages: 20, ..Options::DEFAULT });
    let mut driver = EmbassyDriver::new(&shared.interfaces, NUMBER).expect("it is connected");
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let wakes_in = |shared: &mut Shared, turns: u32| {
        (0..turns).for_each(|_| drop(shared.turn(MS)));
        flag.wakes.swap(0, Ordering::Relaxed)
    };
    assert!(driver.receive(&mut context).is_none());
    let _ = driver.link_state(&mut context);
    while let Some(room) = driver.transmit(&mut context) {
        room.consume(60, |into| into.copy_from_slice(&packet(60, 1)));
    }
    assert_eq!(wakes_in(&mut shared, 20), 1, "there is room");
    assert!(driver.transmit(&mut context).is_some());
    assert_eq!(wakes_in(&mut shared, 20), 0);
    shared.back().push_packet(Packet::new(packet(100, 1)));
    assert_eq!(wakes_in(&mut shared, 20), 1, "there is a packet");
    assert!(driver.receive(&mut context).is_some());
    shared.back().control().set_carrier(Carrier::Down);
    assert_eq!(wakes_in(&mut shared, 200), 1, "there is no link");
    assert!(driver.link_state(&mut context) == LinkState::Down);
    // Another device with this number is as good.
    assert!(driver.receive(&mut context).is_none());
    shared.interfaces.with_one(NUMBER, xen_netfront::Netfront::close);
    assert!(wakes_in(&mut shared, 200) > 0);
    shared.unplug();
    (0..20).for_each(|_| drop(shared.turn(MS)));
    shared.plug();
    while driver.link_state(&mut context) != LinkState::Up {
        assert!(shared.now() < SECOND * 100);
        shared.turn(MS);
    }
    assert!(driver.receive(&mut context).is_none());
    wakes_in(&mut shared, 20);
    shared.back().push_packet(Packet::new(packet(100, 2)));
    assert!(wakes_in(&mut shared, 20) > 0);
    assert!(driver.receive(&mut context).is_some());
}
