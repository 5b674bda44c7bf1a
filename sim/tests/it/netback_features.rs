//! The network backend, honest: what is agreed with its front.

use xen_hypercall::abi::io::netif::{
    CtrlStatus, CtrlType, ExtraHash, ExtraInfo, ExtraMcast, ExtraType, GsoType, Status, TxFlags, TxRequest,
};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::netback::{Checksum, Gso, Multicast, Options, Packet, XDP};

use crate::net::{Front, Rig, Shape, Slot, bytes};

fn statuses(front: &mut Front) -> Vec<Status> {
    front.answers(0).iter().map(|answer| answer.status).collect()
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn what_is_not_offered_is_refused() {
    let mut rig = Rig::new(5, Options::BARE);
    let mut front = rig.connect(&Shape::PLAIN);
    for key in ["feature-sg", "feature-gso-tcpv4", "feature-ctrl-ring", "feature-split-event-channels"] {
        assert_eq!(rig.back_key(key).as_deref(), Some("0"));
    }
    let ids = front.send(0, &bytes(100, 1), &[50, 50]);
    rig.settle();
    assert_eq!(statuses(&mut front), vec![Status::ERROR; ids.len()]);
    assert_eq!(rig.back.statistics().unagreed, 1);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn what_the_front_cannot_take_does_not_come() {
    let mut rig = Rig::new(6, Options::DEFAULT);
    let mut front = rig.connect(&Shape::BARE);
    let gso = Some(Gso { kind: GsoType::TCPV4, size: 1000 });
    rig.back.push_packet(Packet::new(bytes(4097, 1)));
    rig.back.push_packet(Packet { gso, checksum: Checksum::Blank, ..Packet::new(bytes(2000, 1)) });
    rig.back.push_packet(Packet::new(bytes(4096, 1)));
    rig.settle();
    assert_eq!(front.receive(0).len(), 1);
    assert_eq!(rig.back.statistics().unfit, 2);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn groups_are_filtered_where_the_front_asks_for_it() {
    let mut rig = Rig::new(11, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let to = |group: [u8; 6]| {
        let mut bytes = bytes(60, 1);
        bytes[..6].copy_from_slice(&group);
        Packet::new(bytes)
    };
    let (wanted, other) = ([1, 0, 0x5e, 0, 0, 1], [1, 0, 0x5e, 0, 0, 2]);
    let receive = |rig: &mut Rig, front: &mut Front| {
        [wanted, other, [0xff; 6]].into_iter().for_each(|group| rig.back.push_packet(to(group)));
        rig.settle();
        front.receive(0).iter().map(|packet| packet.bytes[5]).collect::<Vec<_>>()
    };
    let ask = |rig: &mut Rig, front: &mut Front, kind| {
        let extra: ExtraInfo = zerocopy::transmute!(ExtraMcast { kind, addr: wanted, ..ExtraMcast::default() });
        front.push(0, TxRequest { size: 0, flags: TxFlags::EXTRA_INFO, ..TxRequest::default() }, None);
        front.push_extra(0, extra);
        front.publish(0);
        rig.settle();
        statuses(front)
    };
    assert_eq!(receive(&mut rig, &mut front), [1, 2, 255]);
    assert_eq!(ask(&mut rig, &mut front, ExtraType::MCAST_ADD), [Status::OKAY, Status::NULL]);
    assert_eq!(receive(&mut rig, &mut front), [1, 2, 255], "not asked for yet");
    rig.write("request-multicast-control", 1);
    rig.settle();
    assert_eq!(receive(&mut rig, &mut front), [1, 255]);
    assert_eq!(ask(&mut rig, &mut front, ExtraType::MCAST_DEL), [Status::OKAY, Status::NULL]);
    assert_eq!(receive(&mut rig, &mut front), [255]);
    for _ in 0..64 {
        assert_eq!(ask(&mut rig, &mut front, ExtraType::MCAST_ADD), [Status::OKAY, Status::NULL]);
    }
    assert_eq!(ask(&mut rig, &mut front, ExtraType::MCAST_ADD), [Status::ERROR, Status::NULL]);
    assert_eq!(rig.back.port().receive(), None, "these are no packets");
    rig.close(front);

    let mut rig = Rig::new(11, Options { multicast: Multicast::Static, ..Options::DEFAULT });
    let mut front = rig.connect(&Shape::PLAIN);
    rig.write("request-multicast-control", 1);
    assert_eq!(receive(&mut rig, &mut front), [1, 2, 255], "too late");
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hashes_choose_queues() {
    let mut rig = Rig::new(12, Options::DEFAULT);
    let mut front = rig.connect(&Shape { queues: 3, split: true, ..Shape::CONTROL });
    assert!(rig.back.has_control_ring());
    let back = &mut rig.back;
    let all = 0b1111;
    assert_eq!(front.ask(back, CtrlType::GET_HASH_FLAGS, [0; 3]), Err(CtrlStatus::NOT_SUPPORTED), "no algorithm yet");
    assert_eq!(front.ask(back, CtrlType::SET_HASH_FLAGS, [all, 0, 0]), Err(CtrlStatus::INVALID_PARAMETER));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_ALGORITHM, [2, 0, 0]), Err(CtrlStatus::INVALID_PARAMETER));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_ALGORITHM, [1, 0, 0]), Ok(0));
    assert_eq!(front.ask(back, CtrlType::GET_HASH_FLAGS, [0; 3]), Ok(all));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_FLAGS, [all << 1, 0, 0]), Err(CtrlStatus::INVALID_PARAMETER));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_FLAGS, [all, 0, 0]), Ok(0));
    let key = front.page(&[0x80; 40]);
    assert_eq!(front.ask(back, CtrlType::SET_HASH_KEY, [key.gref().0, 41, 0]), Err(CtrlStatus::BUFFER_OVERFLOW));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_KEY, [599, 40, 0]), Err(CtrlStatus::INVALID_PARAMETER));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_KEY, [key.gref().0, 40, 0]), Ok(0));
    assert_eq!(front.ask(back, CtrlType::GET_HASH_MAPPING_SIZE, [0; 3]), Ok(128));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_MAPPING_SIZE, [129, 0, 0]), Err(CtrlStatus::INVALID_PARAMETER));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_MAPPING_SIZE, [4, 0, 0]), Ok(0));
    let table: Vec<u8> = [2_u32, 1, 3].iter().flat_map(|queue| queue.to_le_bytes()).collect();
    let table = front.page(&table);
    let set = |entries, from| [table.gref().0, entries, from];
    assert_eq!(front.ask(back, CtrlType::SET_HASH_MAPPING, set(3, 0)), Err(CtrlStatus::INVALID_PARAMETER), "queue 3");
    assert_eq!(front.ask(back, CtrlType::SET_HASH_MAPPING, set(2, 3)), Err(CtrlStatus::INVALID_PARAMETER));
    assert_eq!(front.ask(back, CtrlType::SET_HASH_MAPPING, set(2, 0)), Ok(0));
    assert_eq!(front.ask(back, CtrlType::GET_GREF_MAPPING_SIZE, [0; 3]), Err(CtrlStatus::NOT_SUPPORTED));

    let mut packet = bytes(60, 1);
    packet[12..14].copy_from_slice(&[8, 0]);
    packet[14] = 0x45;
    // Any key of ones and zeros gives something; the address of zeros gives zero, which is the table's first entry.
    packet[26..34].fill(0);
    packet[23] = 17;
    rig.back.push_packet(Packet::new(packet.clone()));
    rig.settle();
    let received = front.receive(2).remove(0);
    assert_eq!((received.bytes, received.extras.len()), (packet, 1));
    let hash: ExtraHash = zerocopy::transmute!(received.extras[0]);
    assert_eq!((hash.kind, hash.hash_type, hash.algorithm, hash.value), (ExtraType::HASH, 0, 1, [0; 4]));
    for queue in 0..3 {
        front.send(queue, &bytes(60, queue as u8), &[60]);
    }
    rig.settle();
    assert_eq!(rig.back.port().waiting(), 3);
    drop((key, table));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn room_before_packets() {
    let mut rig = Rig::new(13, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    rig.write("xdp-headroom", 256);
    rig.set_state(State::RECONFIGURING);
    assert_eq!(rig.state(), State::RECONFIGURED);
    rig.set_state(State::CONNECTED);
    rig.back.push_packet(Packet::new(bytes(60, 1)));
    rig.settle();
    let slots = front.slots(0);
    let Slot::Data { offset, status, bytes: received, .. } = &slots[0] else { panic!("data first") };
    assert_eq!((*offset, *status), (0, 316), "as from Linux's backend");
    assert_eq!(received[256..], bytes(60, 1));
    let Slot::Extra(extra) = slots[1] else { panic!("then what was left") };
    assert_eq!((extra.kind, extra.data), (XDP, [0, 1, 0, 0, 0, 0]));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn fronts_that_are_refused() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("request-rx-copy", "0")], "request-rx-copy"),
        (&[("multi-queue-num-queues", "5")], "exceeding the maximum of 4"),
        (&[("tx-ring-ref", "x")], "tx-ring-ref"),
        (&[("ctrl-ring-ref", "9")], "event-channel-ctrl"),
        (&[("event-channel", "")], "event-channel(-tx/rx)"),
    ];
    for (keys, expected) in cases {
        let mut rig = Rig::new(14, Options::DEFAULT);
        let front = rig.connect(&Shape::PLAIN);
        rig.close(front);
        rig.set_state(State::INITIALISING);
        keys.iter().for_each(|(key, value)| rig.write(key, value));
        rig.set_state(State::CONNECTED);
        assert_eq!(rig.state(), State::CLOSING);
        assert!(rig.back.last_error().unwrap().contains(expected), "{:?}", rig.back.last_error());
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_starts_anew_without_a_word() {
    let mut rig = Rig::new(15, Options::DEFAULT);
    let front = rig.connect(&Shape::PLAIN);
    rig.set_state(State::INITIALISING);
    assert_eq!(rig.state(), State::INIT_WAIT);
    front.end();
    let front = rig.connect(&Shape::PLAIN);
    rig.machine.xenstore().unplug(&rig.device);
    rig.settle();
    assert_eq!(rig.state(), State::CLOSING);
    rig.set_state(State::CLOSING);
    rig.set_state(State::CLOSED);
    assert_eq!(rig.back_key("state"), None);
    front.end();
}
