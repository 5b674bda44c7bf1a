//! What an interface does with an honest backend.

use xen_hypercall::abi::io::netif::GsoType;
use xen_netfront::{Carrier, Channels, Checksum, Checksums, Event, Gso, GsoKind, Made, Offer as Yes, Options, Order};
use xen_sim::netback::{Carrier as Link, Checksum as Told, Gso as ToCut, Options as Offer, Packet, Restart};

use crate::common::{MAC, Rig, SECOND, SMALL, packet, tcp};

const OFFLOADS: Options = Options { checksums: Checksums::Offload, segmentation: Yes::Yes, ..SMALL };

/// Ways to lay a connection out.
fn layouts() -> Vec<(Options, Offer)> {
    let mut layouts = Vec::new();
    for queues in [1, 4] {
        for channels in [Channels::One, Channels::Split] {
            for (offer, options) in [(Offer::DEFAULT, SMALL), (Offer::BARE, SMALL), (Offer::DEFAULT, OFFLOADS)] {
                layouts.push((Options { queues, channels, first_index: u32::MAX - 40, ..options }, offer));
            }
        }
    }
    layouts.push((Options { transmit_pages: 18, receive_pages: 32, ..SMALL }, Offer::DEFAULT));
    layouts
}

#[test]
fn packets_of_all_sizes_go_both_ways_in_every_layout() {
    for (seed, (options, offer)) in (1..).zip(layouts()) {
        let mut rig = Rig::new(seed, options, offer);
        for len in [14, 15, 60, 255, 256, 257, 1000, 1513, 1514] {
            let data = packet(len, len);
            assert_eq!(rig.sends(&data).data, data, "{options:?}");
            assert_eq!(rig.receives(Packet::new(data.clone())).0, data, "{options:?}");
        }
    }
}

#[test]
fn many_packets_go_both_ways_in_order_and_none_is_lost() {
    for (seed, (options, offer)) in (100..).zip(layouts()) {
        let mut rig = Rig::new(seed, options, Offer { backlog: 4096, ..offer });
        let (mut sent, mut came) = (0, Vec::new());
        while came.len() < 300 {
            while sent < 300 && rig.send(&packet(60 + sent % 1400, sent)) {
                sent += 1;
            }
            rig.turn();
            came.extend(rig.sent());
        }
        assert!(came.iter().enumerate().all(|(number, came)| came.data == packet(60 + number % 1400, number)));
        (0..300).for_each(|number| rig.port.send(Packet::new(packet(60 + number % 1400, number))));
        assert!(rig.until(60 * SECOND, |rig| rig.received.len() == 300), "{:?}", rig.front.statistics());
        let mut received: Vec<_> = rig.received.drain(..).map(|(data, _)| data).collect();
        let mut expected: Vec<_> = (0..300).map(|number| packet(60 + number % 1400, number)).collect();
        if options.queues > 1 {
            // Those of different queues overtake each other.
            received.sort();
            expected.sort();
        }
        assert!(received == expected, "{options:?}");
    }
}

#[test]
fn what_was_agreed_upon_is_told() {
    let mut rig = Rig::with_mtu(1, Options { queues: 16, ..OFFLOADS }, Offer::DEFAULT, 9000);
    let link = *rig.front.link().unwrap();
    assert_eq!((link.mac(), link.mtu(), link.carrier(), link.queues()), (MAC, 9000, Carrier::Up, 4));
    assert_eq!(link.channels(), Channels::Split);
    assert!(link.sends_scattered());
    assert_eq!((link.sends_blank(), link.sends_segments()), ((true, true), (true, true)));
    rig.close();
    let rig = Rig::with_mtu(1, OFFLOADS, Offer::BARE, 9000);
    let link = rig.front.link().unwrap();
    assert_eq!((link.mtu(), link.queues(), link.channels()), (1500, 1, Channels::One));
    assert!(!link.sends_scattered());
    assert_eq!(link.sends_segments(), (false, false));
}

#[test]
fn jumbo_packets_go_both_ways() {
    for offer in [Offer::DEFAULT, Offer { piece: 100, ..Offer::DEFAULT }, Offer { offset: 0..4000, ..Offer::DEFAULT }] {
        let mut rig = Rig::with_mtu(1, Options::DEFAULT, offer.clone(), 9000);
        for len in [4095, 4096, 4097, 8192, 8193, 9014] {
            let data = packet(len, len);
            assert_eq!(rig.sends(&data).data, data);
            if len < 18 * 100 || offer.piece > 100 {
                assert_eq!(rig.receives(Packet::new(data.clone())).0, data);
            }
        }
        let data = packet(1500, 3);
        assert_eq!(rig.receives(Packet::new(data.clone())).0, data);
    }
}

#[test]
fn a_blank_checksum_is_left_to_the_backend_or_made() {
    let mut rig = Rig::new(1, OFFLOADS, Offer::DEFAULT);
    let (right, blank) = (tcp(500, 3), Order { checksum: Made::No, gso: None });
    let mut wrong = right.clone();
    wrong[50] = !wrong[50];
    let came = rig.sends_as(&wrong, blank);
    assert_eq!(came.checksum, Told::Blank);
    assert_ne!(came.data, right, "what stands there is the sum of the pseudo-header");
    let mut rig = Rig::new(1, OFFLOADS, Offer { csum: false, ..Offer::DEFAULT });
    let came = rig.sends_as(&wrong, blank);
    assert_eq!((came.checksum, came.data), (Told::Unknown, right));
}

#[test]
fn what_is_known_of_a_checksum_is_told() {
    let mut rig = Rig::new(1, OFFLOADS, Offer::DEFAULT);
    for (told, expected) in
        [(Told::Unknown, Checksum::Unverified), (Told::Validated, Checksum::Claimed), (Told::Blank, Checksum::Blank)]
    {
        let packet = Packet { checksum: told, ..Packet::new(tcp(100, 1)) };
        assert_eq!(rig.receives(packet).1.checksum, expected);
    }
}

#[test]
fn large_tcp_packets_go_both_ways() {
    let mut rig = Rig::new(1, OFFLOADS, Offer::DEFAULT);
    for payload in [2000, 8000, 60_000, 65_481] {
        let data = tcp(payload, payload);
        let order = Order { checksum: Made::No, gso: Some(Gso { kind: GsoKind::TcpV4, size: 1448 }) };
        let came = rig.sends_as(&data, order);
        assert_eq!(came.gso, Some(ToCut { kind: GsoType::TCPV4, size: 1448 }));
        assert_eq!((came.checksum, &came.data[54..]), (Told::Blank, &data[54..]));
        let gso = Some(ToCut { kind: GsoType::TCPV4, size: 1448 });
        let (bytes, meta) = rig.receives(Packet { checksum: Told::Blank, gso, ..Packet::new(data.clone()) });
        assert_eq!(bytes, data);
        assert_eq!((meta.checksum, meta.gso), (Checksum::Blank, order.gso));
    }
}

#[test]
fn a_backend_is_never_given_what_it_would_choke_on() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    let cut = |size| Order { checksum: Made::No, gso: Some(Gso { kind: GsoKind::TcpV4, size }) };
    for (packet, order) in [
        (packet(13, 1), Order::PLAIN),
        (Vec::new(), Order::PLAIN),
        (packet(1519, 1), Order::PLAIN),
        (packet(100_000, 1), Order::PLAIN),
        (tcp(1000, 1), cut(0)),
        (tcp(1000, 1), cut(5000)),
        (packet(1000, 1), cut(500)),
    ] {
        assert!(rig.send_as(&packet, order), "it is taken");
    }
    rig.pass(SECOND);
    assert_eq!(rig.front.statistics().sent.refused, 7);
    let back = rig.back().statistics();
    assert_eq!((back.slots, back.refused, back.fatal), (0, 0, 0));
    rig.assert_works();
}

#[test]
fn a_token_that_is_dropped_gives_all_back() {
    let mut rig = Rig::new(1, Options { transmit_pages: 18, ..Options::DEFAULT }, Offer::DEFAULT);
    for _ in 0..1000 {
        assert!(rig.front.transmit().is_some(), "there is room");
    }
    rig.port.send(Packet::new(packet(60, 1)));
    rig.back.as_mut().unwrap().step();
    for _ in 0..3 {
        assert_eq!(rig.front.receive().expect("it stays").len(), 60);
        let (came, _room) = rig.front.receive_and_transmit().expect("it stays");
        assert_eq!(came.bytes(), packet(60, 1));
    }
    rig.front.receive().unwrap().discard();
    assert!(rig.front.receive().is_none());
}

#[test]
fn an_interface_that_is_closed_has_given_everything_back() {
    for (seed, (options, offer)) in (1..).zip(layouts()) {
        let mut rig = Rig::new(seed, options, offer);
        rig.assert_works();
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn fault_24_the_link_goes_down_and_up() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer { carrier: Some(Link::Up), ..Offer::DEFAULT });
    for _ in 0..3 {
        rig.control().set_carrier(Link::Down);
        assert!(rig.until(SECOND, |rig| rig.events.last() == Some(&Event::LinkDown)), "{:?}", rig.events);
        assert_eq!(rig.front.link().unwrap().carrier(), Carrier::Down);
        rig.control().set_carrier(Link::Up);
        assert!(rig.until(SECOND, |rig| rig.events.last() == Some(&Event::LinkUp)), "{:?}", rig.events);
        rig.assert_works();
    }
}

#[test]
fn fault_01_a_backend_that_restarts_is_connected_to_again() {
    for (seed, how) in (1..).zip([Restart::Orderly, Restart::Abrupt, Restart::Orderly]) {
        let mut rig = Rig::new(seed, Options { queues: 2, ..Options::DEFAULT }, Offer::DEFAULT);
        for round in 2..7 {
            (0..40).for_each(|number| assert!(rig.send(&packet(100, number))));
            rig.control().restart(how);
            assert!(
                rig.until(30 * SECOND, |rig| rig.count(|event| *event == Event::Connected) == round),
                "{how:?} {:?}",
                rig.events
            );
            rig.pass(SECOND / 10);
            rig.assert_works();
        }
        rig.close();
        rig.assert_given_back();
    }
}
