//! The oracle of packets, with the network backend.

use std::time::Duration;

use xen_hypercall::abi::GrantRef;
use xen_hypercall::abi::io::netif::{ExtraGso, ExtraInfo, ExtraType, GsoType, TxFlags};
use xen_sim::When;
use xen_sim::netback::{
    Checksum, Fault, Form, Gso, Misdeed, NetOracle, Options, Order, Packet, Switch, Way, Which, Wrong,
};

use crate::net::{Front, Rig, Shape};

const GUEST: [u8; 6] = [0, 0x16, 0x3e, 0, 0, 1];
const PEER: [u8; 6] = [0, 0x16, 0x3e, 0, 0, 2];

fn rings(front: &Front) -> Vec<GrantRef> {
    let rings = front.queues.iter().flat_map(|queue| [queue.tx.region().grefs(), queue.rx.region().grefs()]);
    rings.flatten().copied().collect()
}

/// Transmits a packet in pieces of these lengths.
fn send(front: &mut Front, packet: &Packet, pieces: &[usize]) {
    let flags = if packet.checksum == Checksum::Blank { TxFlags::CSUM_BLANK } else { TxFlags::empty() };
    let gso = packet.gso.map(|Gso { kind, size }| -> ExtraInfo {
        zerocopy::transmute!(ExtraGso { kind: ExtraType::GSO, size, gso_type: kind, ..ExtraGso::default() })
    });
    front.send_as(0, &packet.data, pieces, flags, gso.as_slice());
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn the_oracle_is_content_with_an_honest_backend() {
    for seed in 0..4 {
        let latency = Duration::ZERO..Duration::from_micros(50);
        let options = Options { latency, order: Order::Mixed, piece: 1000, offset: 0..200, ..Options::DEFAULT };
        let mut rig = Rig::new(seed, options);
        let mut front = rig.connect(&Shape::PLAIN);
        let (mut oracle, port) = (NetOracle::new(GUEST, PEER), rig.back.port());
        rig.back.control().on(Which::All, When::PerMille(100), Fault::Lose);
        for round in 0..40 {
            let len = 80 + (round * 97 + seed as usize * 31) % 9000;
            let form = [Form::Plain, Form::Ipv4(80), Form::Ipv6(80)][round % 3];
            let packet = oracle.packet(Way::Out, form, len);
            let pieces: Vec<usize> = (0..len).step_by(4000).map(|from| (len - from).min(4000)).collect();
            send(&mut front, &packet, &pieces);
            rig.back.push_packet(oracle.packet(Way::In, form, len));
            oracle.assert_nothing_exposed(&rig.machine, &rig.host, &rings(&front));
            rig.settle();
            rig.machine.advance(Duration::from_micros(50));
            rig.settle();
            front.answers(0);
            while let Some(packet) = port.receive() {
                oracle.assert_arrived(Way::Out, &packet.data);
            }
            for packet in front.receive(0) {
                oracle.assert_arrived(Way::In, &packet.bytes);
            }
            front.refill(0, 64 - front.queues[0].buffers.len());
            oracle.assert_nothing_exposed(&rig.machine, &rig.host, &rings(&front));
        }
        for way in [Way::Out, Way::In] {
            let counts = oracle.counts(way);
            assert_eq!((counts.sent, counts.reordered), (40, 0));
            assert!((1..20).contains(&counts.missing), "{counts:?}");
        }
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn the_oracle_finds_what_a_hostile_backend_does() {
    type Case = (Misdeed, fn(&Wrong) -> bool);
    let cases: [Case; 3] = [
        (Misdeed::Corrupts, |wrong| matches!(wrong, Wrong::Changed { at: 199, .. })),
        (Misdeed::Runt(100), |wrong| matches!(wrong, Wrong::Length { sent: 200, arrived: 100, .. })),
        (Misdeed::Slots(2, 100), |wrong| *wrong == Wrong::Garbage),
    ];
    for (misdeed, expected) in cases {
        let mut rig = Rig::new(1, Options::DEFAULT);
        let mut front = rig.connect(&Shape::PLAIN);
        let mut oracle = NetOracle::new(GUEST, PEER);
        rig.back.control().on(Which::Receive, When::Nth(1), Fault::Misdeed(misdeed));
        rig.back.push_packet(oracle.packet(Way::In, Form::Plain, 200));
        rig.settle();
        let received = front.receive(0).remove(0);
        let found = oracle.arrived(Way::In, &received.bytes).unwrap_err();
        assert!(expected(&found.what), "{found}");
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
#[should_panic(expected = "shows 6 bytes")]
fn a_page_with_a_secret_is_found() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let front = rig.connect(&Shape::PLAIN);
    let mut oracle = NetOracle::new(GUEST, PEER);
    let packet = oracle.packet(Way::Out, Form::Plain, 200);
    let page = front.page(&[packet.data.as_slice(), &[0; 100], b"secret"].concat());
    oracle.assert_nothing_exposed(&rig.machine, &rig.host, &rings(&front));
    drop(page);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_between_two_guests() {
    let mut rig = Rig::new(3, Options::DEFAULT);
    let mut other = Rig::on(&rig.machine, Options { queues: 2, ..Options::DEFAULT });
    let switch = Switch::new();
    switch.plug(rig.back.port());
    switch.plug(other.back.port());
    let (mut front, mut peer) = (rig.connect(&Shape::PLAIN), other.connect(&Shape { queues: 2, ..Shape::PLAIN }));
    let mut oracle = NetOracle::new(GUEST, PEER);
    for round in 0..20_u16 {
        let mut packet = oracle.packet(Way::Out, Form::Ipv4(round), 3000);
        packet.gso = Some(Gso { kind: GsoType::TCPV4, size: 1448 });
        send(&mut front, &packet, &[3000]);
        let packet = oracle.packet(Way::In, Form::Ipv6(round), 1500);
        send(&mut peer, &packet, &[1000, 500]);
        for _ in 0..3 {
            rig.settle();
            other.settle();
        }
        front.answers(0);
        peer.answers(0);
        for packet in peer.receive(0).into_iter().chain(peer.receive(1)) {
            oracle.assert_arrived(Way::Out, &packet.bytes);
        }
        front.receive(0).iter().for_each(|packet| oracle.assert_arrived(Way::In, &packet.bytes));
    }
    assert_eq!([Way::Out, Way::In].map(|way| oracle.counts(way).missing), [0, 0]);
    assert_eq!(switch.counts(), (39, 1), "the first one only goes to all");
    rig.close(front);
    other.close(peer);
}
