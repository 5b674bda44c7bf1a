//! The network backend, honest.

use std::time::Duration;

use xen_hypercall::abi::GrantRef;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraGso, ExtraHash, ExtraInfo, ExtraType, GsoType, RxFlags, Status, TxFlags, TxRequest,
};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::netback::{Checksum, Gso, Notify, Options, Order, Packet, Progress, Switch};
use xen_sim::{EventFault, When};

use crate::net::{Rig, SECOND, Shape, Slot, bytes, tcp};

const MORE: TxFlags = TxFlags::MORE_DATA;

/// The statuses of all answers.
fn statuses(answers: &[xen_hypercall::abi::io::netif::TxResponse]) -> Vec<Status> {
    answers.iter().map(|answer| answer.status).collect()
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_go_both_ways() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    rig.settle();
    assert_eq!(rig.state(), State::INIT_WAIT);
    for (key, value) in [
        ("feature-rx-copy", Some("1")),
        ("feature-sg", Some("1")),
        ("feature-gso-tcpv4", Some("1")),
        ("feature-no-csum-offload", None),
        ("multi-queue-max-queues", Some("4")),
        ("feature-split-event-channels", Some("1")),
        ("feature-ctrl-ring", Some("1")),
        ("feature-dynamic-multicast-control", Some("1")),
        ("carrier", None),
    ] {
        assert_eq!(rig.back_key(key).as_deref(), value, "{key}");
    }
    let before = rig.machine.checkpoint();
    for split in [false, true] {
        let mut front = rig.connect(&Shape { split, ..Shape::PLAIN });
        let port = rig.back.port();
        for (number, pieces) in [[60].as_slice(), &[14], &[1514], &[100, 4000, 96], &[4096, 1]].into_iter().enumerate()
        {
            let sent = bytes(pieces.iter().sum(), number as u8);
            let ids = front.send(0, &sent, pieces);
            rig.settle();
            assert_eq!(port.receive(), Some(Packet::new(sent.clone())));
            let answers = front.answers(0);
            assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), ids);
            assert_eq!(statuses(&answers), vec![Status::OKAY; ids.len()]);
            rig.back.push_packet(Packet::new(sent.clone()));
            rig.settle();
            let received = front.receive(0);
            assert_eq!((received.len(), &received[0].bytes), (1, &sent));
            assert_eq!(received[0].statuses.len(), sent.len().div_ceil(4096));
        }
        rig.close(front);
        rig.set_state(State::INITIALISING);
    }
    let statistics = rig.back.statistics();
    assert_eq!((statistics.transmitted, statistics.received, statistics.slots), (10, 10, 16));
    rig.machine.assert_no_leaks_since(&before);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn extras_and_checksums() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let port = rig.back.port();
    let sent = tcp(9000, 1);
    let gso: ExtraInfo = zerocopy::transmute!(ExtraGso {
        kind: ExtraType::GSO,
        flags: ExtraFlags::MORE,
        size: 1448,
        gso_type: GsoType::TCPV4,
        ..ExtraGso::default()
    });
    let hash: ExtraInfo = zerocopy::transmute!(ExtraHash {
        kind: ExtraType::HASH,
        hash_type: 1,
        algorithm: 1,
        value: [1, 2, 3, 4],
        ..ExtraHash::default()
    });
    let ids = front.send_as(0, &sent, &[4096, 4096, 808], TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED, &[gso, hash]);
    rig.settle();
    let packet = port.receive().unwrap();
    assert_eq!((&packet.data, packet.checksum), (&sent, Checksum::Blank));
    assert_eq!(packet.gso, Some(Gso { kind: GsoType::TCPV4, size: 1448 }));
    assert_eq!(packet.hash.unwrap().value, 0x0403_0201);
    let answers = front.answers(0);
    let (okay, null) = (Status::OKAY, Status::NULL);
    assert_eq!(statuses(&answers), [okay, null, null, okay, okay]);
    assert_eq!([answers[0].id, answers[3].id, answers[4].id], ids[..]);

    rig.back.push_packet(packet);
    rig.settle();
    let received = front.receive(0).remove(0);
    assert_eq!(received.bytes, sent);
    let expected = RxFlags::CSUM_BLANK | RxFlags::DATA_VALIDATED | RxFlags::MORE_DATA | RxFlags::EXTRA_INFO;
    assert_eq!(received.flags, expected);
    assert_eq!(received.extras, [ExtraInfo { flags: ExtraFlags::empty(), ..gso }], "no hash was asked for");
    rig.back.push_packet(Packet { checksum: Checksum::Validated, ..Packet::new(bytes(60, 1)) });
    rig.settle();
    assert_eq!(front.receive(0)[0].flags, RxFlags::DATA_VALIDATED);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_are_checked_as_linux_does() {
    let mut rig = Rig::new(3, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let port = rig.back.port();
    let mut refused = |rig: &mut Rig, sizes: &[(u16, u16)], gref: Option<GrantRef>| {
        for (number, (offset, size)) in sizes.iter().enumerate() {
            let page = front.page(&[7; 4096]);
            let flags = if number + 1 < sizes.len() { MORE } else { TxFlags::empty() };
            let gref = gref.filter(|_| number == 0).unwrap_or_else(|| page.gref());
            front.push(0, TxRequest { gref, offset: *offset, flags, size: *size, id: 0 }, Some(page));
        }
        front.publish(0);
        rig.settle();
        assert_eq!(port.receive(), None);
        statuses(&front.answers(0))
    };
    let error = Status::ERROR;
    assert_eq!(refused(&mut rig, &[(0, 13)], None), [error]);
    assert_eq!(refused(&mut rig, &[(0, 100), (0, 90)], None), [error; 2], "the first slot has ten bytes");
    assert_eq!(refused(&mut rig, &[(0, 100), (0, 101), (0, 0)], None), [error; 3], "more than the whole");
    let mut many = [(0, 100); 19];
    many[0].1 = 1900;
    assert_eq!(refused(&mut rig, &many, None), [error; 19], "too many");
    assert_eq!(refused(&mut rig, &[(0, 100), (0, 50)], Some(GrantRef(599))), [error, Status::OKAY], "no such page");
    assert_eq!(rig.back.disabled(), None);
    assert_eq!((rig.back.statistics().refused, rig.back.statistics().fatal), (5, 0));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_hostile_front_is_not_served_any_more() {
    let extra = |kind, flags| ExtraInfo { kind, flags, ..ExtraInfo::default() };
    let (gso, none) = (ExtraType::GSO, ExtraFlags::empty());
    let with = |kind| TxRequest { size: 100, flags: kind, ..TxRequest::default() };
    type Case<'a> = (&'a str, &'a [TxRequest], &'a [ExtraInfo]);
    let cases: [Case<'_>; 7] = [
        ("Cross page boundary", &[TxRequest { offset: 4000, ..with(TxFlags::empty()) }], &[]),
        ("Cross page boundary", &[with(MORE), TxRequest { offset: 4096, size: 1, ..TxRequest::default() }], &[]),
        ("Asked for more", &[with(MORE)], &[]),
        ("Malicious", &[TxRequest { size: 1, ..with(MORE) }; 21], &[]),
        ("Missing extra", &[with(TxFlags::EXTRA_INFO)], &[extra(gso, ExtraFlags::MORE)]),
        ("Invalid extra type: 6", &[with(TxFlags::EXTRA_INFO)], &[extra(ExtraType(6), none)]),
        ("GSO size", &[with(TxFlags::EXTRA_INFO)], &[extra(gso, none)]),
    ];
    for (expected, slots, extras) in cases {
        let mut rig = Rig::new(4, Options::DEFAULT);
        let mut front = rig.connect(&Shape::PLAIN);
        for slot in slots {
            let page = front.page(&[7; 4096]);
            front.push(0, TxRequest { gref: page.gref(), ..*slot }, Some(page));
        }
        extras.iter().for_each(|extra| front.push_extra(0, *extra));
        front.publish(0);
        rig.settle();
        assert!(rig.back.disabled().is_some_and(|why| why.contains(expected)), "{expected}: {:?}", rig.back.disabled());
        front.send(0, &bytes(60, 1), &[60]);
        rig.back.push_packet(Packet::new(bytes(60, 1)));
        rig.settle();
        assert_eq!((front.answers(0).len(), front.receive(0).len(), rig.state()), (0, 0, State::CONNECTED));
        rig.close(front);
        rig.set_state(State::INITIALISING);
        let front = rig.connect(&Shape::PLAIN);
        assert_eq!(rig.back.disabled(), None);
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_wait_for_buffers() {
    let mut rig = Rig::new(7, Options { backlog: 3, ..Options::DEFAULT });
    let mut front = rig.connect(&Shape { buffers: 1, ..Shape::PLAIN });
    for number in 0..6 {
        rig.back.push_packet(Packet::new(bytes(if number == 1 { 5000 } else { 60 }, number)));
        rig.settle();
    }
    assert_eq!((rig.back.backlog(), rig.back.statistics().dropped), (3, 2));
    assert_eq!(front.receive(0)[0].bytes, bytes(60, 0));
    front.refill(0, 1);
    rig.settle();
    assert!(front.slots(0).is_empty(), "one of two buffers");
    front.refill(0, 2);
    rig.settle();
    let received: Vec<usize> = front.receive(0).iter().map(|packet| packet.bytes.len()).collect();
    assert_eq!(received, [5000, 60]);
    rig.machine.faults().disturb_events(&rig.host, When::Always, EventFault::Lose);
    front.refill(0, 1);
    rig.settle();
    assert!(front.slots(0).is_empty(), "nobody has said that there is a buffer, as was agreed");
    rig.machine.advance(11 * SECOND);
    rig.settle();
    assert_eq!((rig.back.backlog(), rig.back.statistics().expired), (0, 1));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn pieces_and_places() {
    let mut rig = Rig::new(8, Options { piece: 700, offset: 0..300, ..Options::DEFAULT });
    let mut front = rig.connect(&Shape::PLAIN);
    let mut offsets = Vec::new();
    for len in [60, 1514, 9000, 65535] {
        rig.back.push_packet(Packet::new(bytes(len, 1)));
        rig.settle();
        let slots = front.slots(0);
        assert!(slots.len() <= 18);
        let mut all: Vec<u8> = Vec::new();
        for slot in &slots {
            let Slot::Data { bytes, offset, .. } = slot else { panic!("no extras") };
            all.extend(bytes);
            offsets.push(*offset);
        }
        assert_eq!(all, bytes(len, 1));
        assert_eq!(slots.len(), len.div_ceil(700).min(18));
        front.refill(0, 18);
    }
    assert!(offsets.iter().any(|offset| *offset > 0));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn answers_out_of_order_and_late() {
    let latency = Duration::from_micros(10)..Duration::from_millis(5);
    for order in [Order::Kept, Order::Mixed, Order::Bursts(4)] {
        let options = Options { latency: latency.clone(), order, notify: Notify::EachAnswer, ..Options::DEFAULT };
        let mut rig = Rig::new(9, options);
        let mut front = rig.connect(&Shape::PLAIN);
        let mut sent: Vec<u16> = (0..10).flat_map(|number| front.send(0, &bytes(100, number), &[50, 50])).collect();
        assert_eq!(rig.back.step(), Progress::Worked);
        assert_eq!((rig.back.unanswered(), rig.back.port().waiting()), (20, 10));
        let mut answered = Vec::new();
        while answered.len() < 20 {
            if let Progress::Until(time) = rig.back.step() {
                let _ = xen_hypercall::sched::poll(&rig.guest, &[], Some(time));
            }
            answered.extend(front.answers(0).iter().map(|answer| answer.id));
        }
        assert_ne!(answered, sent);
        sent.sort_unstable();
        answered.sort_unstable();
        assert_eq!(answered, sent);
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_that_does_not_signal_gets_no_answer() {
    let mut rig = Rig::new(10, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let page = front.page(&[0; 60]);
    front.push(0, TxRequest { gref: page.gref(), size: 60, ..TxRequest::default() }, Some(page));
    let _ = front.queues[0].tx.publish();
    rig.settle();
    assert!(front.answers(0).is_empty());
    front.queues[0].tx_channel.notify().unwrap();
    rig.settle();
    assert_eq!(front.answers(0).len(), 1);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn two_guests_on_a_switch() {
    let mut rig = Rig::new(16, Options::DEFAULT);
    let mut other = Rig::on(&rig.machine, Options { queues: 2, ..Options::DEFAULT });
    let switch = Switch::new();
    switch.plug(rig.back.port());
    switch.plug(other.back.port());
    let (mut front, mut peer) = (rig.connect(&Shape::PLAIN), other.connect(&Shape { queues: 2, ..Shape::PLAIN }));
    let gso: ExtraInfo = zerocopy::transmute!(ExtraGso {
        kind: ExtraType::GSO,
        size: 1448,
        gso_type: GsoType::TCPV4,
        ..ExtraGso::default()
    });
    front.send_as(0, &tcp(20_000, 9), &[4000; 5], TxFlags::CSUM_BLANK, &[gso]);
    rig.settle();
    other.settle();
    let received = [0, 1].map(|queue| peer.receive(queue)).into_iter().flatten().next().unwrap();
    assert_eq!((received.bytes, received.extras), (tcp(20_000, 9), vec![gso]));
    peer.send(1, &bytes(60, 8), &[60]);
    other.settle();
    rig.settle();
    assert_eq!(front.receive(0)[0].bytes, bytes(60, 8));
    assert_eq!(switch.counts(), (0, 2));
    rig.close(front);
    other.close(peer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn backends_serve_in_a_run() {
    let mut rig = Rig::new(17, Options { latency: Duration::ZERO..Duration::from_micros(300), ..Options::DEFAULT });
    let mut front = rig.connect(&Shape { split: true, ..Shape::PLAIN });
    let Rig { machine, guest, host, back, .. } = &mut rig;
    let port = back.port();
    machine
        .run(|vcpus| {
            vcpus.spawn(guest, |guest| {
                for number in 0..10 {
                    let seen = front.queues[0].rx_channel.as_ref().unwrap().count();
                    front.send(0, &bytes(100, number), &[100]);
                    let deadline = guest.now() + SECOND;
                    let channel = front.queues[0].rx_channel.as_ref().unwrap();
                    let _ = channel.wait_poll(seen, deadline, || guest.now()).unwrap();
                    assert_eq!(front.receive(0)[0].bytes, bytes(100, number));
                }
            });
            vcpus.spawn(host, |_| {
                back.serve_until(|back, _| {
                    // All comes back.
                    while let Some(packet) = port.receive() {
                        port.send(packet);
                    }
                    back.statistics().received == 10 && back.unanswered() == 0
                });
            });
        })
        .unwrap();
    assert_eq!(rig.back.statistics().received, 10);
    rig.close(front);
}
