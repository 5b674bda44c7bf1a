//! Which packets come on which queue, and hashes of them: where the backend has a control ring.

use std::time::Duration;

use xen_netfront::{
    Event, Hash, HashTypes, InvalidSteering, MOST_KEY, MOST_MAPPING, Offer as Yes, Options, Steering, Unsteered,
};
use xen_sim::When;
use xen_sim::netback::{Fault, Options as Offer, Packet, Restart, Which};
use xen_xenbus::bus::Driver;
use xen_xenbus::control::{Ready, Resumable};

use crate::common::{Rig, SECOND, SMALL, packet, tcp};
use crate::perils::{Ending, MS};

/// The ring's indices wrap meanwhile.
pub(crate) const STEERED: Options = Options { queues: 4, control_ring: Yes::Yes, first_index: u32::MAX - 2, ..SMALL };
pub(crate) const TYPES: HashTypes = HashTypes::IPV4.union(HashTypes::IPV4_TCP);
pub(crate) const ALL: HashTypes = TYPES.union(HashTypes::IPV6).union(HashTypes::IPV6_TCP);

/// In this time a backend is told all. In a turn of the rig it answers one request.
pub(crate) const TOLD: Duration = Duration::from_millis(100);

/// Any key.
pub(crate) fn key() -> Vec<u8> {
    (0..MOST_KEY as u8).map(|byte| byte.wrapping_mul(37) ^ 0x6d).collect()
}

pub(crate) fn to(mapping: impl Into<Vec<u32>>) -> Steering {
    Steering { types: TYPES, key: key(), mapping: mapping.into() }
}

/// A packet of another flow each time, and its hash.
fn flow(number: u16) -> (Vec<u8>, Hash) {
    let mut packet = tcp(20, 1);
    packet[34..36].copy_from_slice(&number.to_be_bytes());
    let hash = Hash { value: to([]).hash(&packet[26..38]), kind: HashTypes::IPV4_TCP };
    (packet, hash)
}

/// Where these packets come, and with which hash.
pub(crate) fn coming(rig: &mut Rig, packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<(u32, Option<Hash>)> {
    rig.pass(TOLD);
    let mut came = Vec::new();
    for packet in packets {
        rig.port.send(Packet::new(packet));
        rig.steps(3);
        while let Some(packet) = rig.front.receive() {
            came.push((packet.queue(), packet.meta().hash));
            packet.discard();
        }
    }
    came
}

/// What came of it, each time that the backend was told.
pub(crate) fn outcomes(rig: &Rig) -> Vec<Result<HashTypes, Unsteered>> {
    let outcome = |event: &Event| if let Event::Steering(outcome) = event { Some(*outcome) } else { None };
    rig.events.iter().filter_map(outcome).collect()
}

/// Which queues get the packets of 64 flows, each of which comes on the one that `queue` says for its hash.
#[track_caller]
fn assert_steered(rig: &mut Rig, queue: impl Fn(u32) -> u32) {
    let flows: Vec<_> = (0..64).map(flow).collect();
    let expected: Vec<_> = flows.iter().map(|(_, hash)| (queue(hash.value), Some(*hash))).collect();
    assert_eq!(coming(rig, flows.into_iter().map(|(packet, _)| packet)), expected);
}

#[test]
fn packets_come_on_the_queue_of_their_hash() {
    let mut rig = Rig::new(1, STEERED, Offer::DEFAULT);
    assert!(rig.front.link().is_some_and(|link| link.steers()));
    assert!(coming(&mut rig, [flow(1).0]).iter().all(|(_, hash)| hash.is_none()), "nobody has asked for hashes");
    rig.front.steer(to([2])).unwrap();
    assert_steered(&mut rig, |_| 2);
    assert_eq!(coming(&mut rig, [packet(60, 1)]), [(2, None)], "it has none");
    let table: Vec<u32> = (0..128).map(|entry| entry * 7 % 4).collect();
    rig.front.steer(to(table.clone())).unwrap();
    assert_steered(&mut rig, |hash| table[hash as usize % 128]);
    // What was in the table longer than this one is of no interest.
    rig.front.steer(to([3, 1, 1])).unwrap();
    assert_steered(&mut rig, |hash| [3, 1, 1][hash as usize % 3]);
    rig.front.steer(to([])).unwrap();
    assert_steered(&mut rig, |hash| hash % 4);
    rig.front.steer(Steering::default()).unwrap();
    assert!(coming(&mut rig, [flow(1).0]).iter().all(|(_, hash)| hash.is_none()));
    assert_eq!(outcomes(&rig), [Ok(TYPES), Ok(TYPES), Ok(TYPES), Ok(TYPES), Ok(HashTypes::empty())]);
    assert_eq!(rig.back().statistics().controls, 3 * 7 + 5 + 1);
    rig.assert_works();
    rig.close();
    rig.assert_given_back();
}

#[test]
fn a_queue_that_there_is_not_is_one_that_there_is() {
    let mut rig = Rig::new(2, STEERED, Offer { queues: 3, ..Offer::DEFAULT });
    rig.front.steer(to([5, u32::MAX, 1])).unwrap();
    assert_steered(&mut rig, |hash| [2, u32::MAX % 3, 1][hash as usize % 3]);
    // With one queue there are hashes nonetheless.
    let mut rig = Rig::new(3, Options { queues: 1, ..STEERED }, Offer::DEFAULT);
    rig.front.steer(to([5, 3])).unwrap();
    assert_steered(&mut rig, |_| 0);
}

/// A packet that is cut into segments and has a hash, too.
#[test]
fn a_hash_and_segments_come_together() {
    let options = Options { ..crate::hostile::OFFLOADS };
    let mut rig = Rig::new(4, Options { queues: 4, control_ring: Yes::Yes, ..options }, Offer::DEFAULT);
    rig.front.steer(to([2])).unwrap();
    rig.pass(TOLD);
    let gso = xen_sim::netback::Gso { kind: xen_hypercall::abi::io::netif::GsoType::TCPV4, size: 500 };
    let mut large = tcp(2000, 1);
    xen_netfront::Transport::find(&large).unwrap().leave_blank(&mut large);
    let checksum = xen_sim::netback::Checksum::Blank;
    let (data, meta) = rig.receives(Packet { checksum, gso: Some(gso), ..Packet::new(large.clone()) });
    assert_eq!((data, meta.gso.map(|gso| gso.size), meta.checksum), (large, Some(500), xen_netfront::Checksum::Blank));
    assert_eq!(meta.hash.map(|hash| hash.kind), Some(HashTypes::IPV4_TCP));
}

#[test]
fn each_backend_is_told_anew() {
    let mut rig = Rig::plugged(5, STEERED, Offer::DEFAULT, |device| device);
    rig.front.steer(to([1])).unwrap();
    rig.connect();
    assert_steered(&mut rig, |_| 1);
    for (count, restart) in [(2, Restart::Orderly), (3, Restart::Abrupt)] {
        rig.control().restart(restart);
        rig.connected(count, SECOND * 20);
        assert_steered(&mut rig, |_| 1);
        assert_eq!(outcomes(&rig).len() as u64, count);
    }
    // One that cannot do it chooses by itself, and the next one is told.
    for (count, ctrl_ring) in [(4, false), (5, true)] {
        rig.control().offer(Offer { ctrl_ring, ..Offer::DEFAULT });
        rig.control().restart(Restart::Orderly);
        rig.connected(count, SECOND * 20);
        assert_eq!(rig.front.link().is_some_and(|link| link.steers()), ctrl_ring);
        assert_eq!(coming(&mut rig, [flow(1).0])[0].1.is_some(), ctrl_ring);
    }
    assert_eq!(outcomes(&rig), [Ok(TYPES); 4]);
    rig.migrate();
    rig.connected(6, SECOND * 20);
    assert_steered(&mut rig, |_| 1);
    // What is not wanted any more no backend is told.
    rig.front.steer(Steering::default()).unwrap();
    rig.pass(TOLD);
    let told = rig.back().statistics().controls;
    rig.control().restart(Restart::Orderly);
    rig.connected(7, SECOND * 20);
    assert!(coming(&mut rig, [flow(1).0])[0].1.is_none());
    assert_eq!(rig.back().statistics().controls, told);
}

#[test]
fn a_backend_without_a_control_ring_and_an_owner_without_a_wish_go_on_as_ever() {
    for (options, ctrl_ring) in [(STEERED, false), (Options { control_ring: Yes::No, ..STEERED }, true)] {
        let mut rig = Rig::new(6, options, Offer { ctrl_ring, ..Offer::DEFAULT });
        rig.front.steer(to([1])).unwrap();
        assert!(coming(&mut rig, [flow(1).0])[0].1.is_none());
        let stands = |key: &str| rig.machine.xenstore().read(&format!("{}/{key}", rig.device.front_path())).is_some();
        assert!(!stands("ctrl-ring-ref") && !stands("event-channel-ctrl"));
        assert!(!rig.back().has_control_ring() && rig.front.link().is_some_and(|link| !link.steers()));
        assert_eq!(outcomes(&rig), []);
        rig.assert_works();
    }
}

/// The backend would take it for ours.
#[test]
fn a_control_ring_that_another_kernel_left_behind_is_replaced() {
    let keys = |device: xen_sim::Device| device.front_key("ctrl-ring-ref", "999").front_key("event-channel-ctrl", "99");
    for text in ["999", "junk"] {
        let mut rig = Rig::plugged(7, SMALL, Offer::DEFAULT, |device| keys(device).front_key("ctrl-ring-ref", text));
        rig.connect();
        assert!(rig.back().has_control_ring());
        rig.assert_works();
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn what_no_backend_can_be_told_is_refused() {
    let mut rig = Rig::new(8, STEERED, Offer { hash_mapping: 5, ..Offer::DEFAULT });
    rig.front.steer(to([1])).unwrap();
    assert_eq!(rig.front.steer(Steering { key: vec![1; MOST_KEY + 1], ..to([2]) }), Err(InvalidSteering::Key));
    assert_eq!(rig.front.steer(to(vec![0; MOST_MAPPING + 1])), Err(InvalidSteering::Mapping));
    assert_steered(&mut rig, |_| 1);
    // This one can be told less than others, and knows no such hash.
    rig.front.steer(to([2; 6])).unwrap();
    assert_steered(&mut rig, |_| 1);
    rig.front.steer(to([3; 5])).unwrap();
    assert_steered(&mut rig, |_| 3);
    let unknown = HashTypes::from_bits_retain(1 << 9);
    rig.front.steer(Steering { types: unknown, ..to([3]) }).unwrap();
    rig.pass(TOLD);
    rig.front.steer(Steering { types: ALL | unknown, ..to([1]) }).unwrap();
    assert_steered(&mut rig, |_| 1);
    let unsteered = [Unsteered::Mapping { most: 5 }, Unsteered::Types].map(Err);
    assert_eq!(outcomes(&rig), [Ok(TYPES), unsteered[0], Ok(TYPES), unsteered[1], Ok(ALL)]);
}

#[test]
fn the_last_word_counts() {
    let mut rig = Rig::new(9, STEERED, Offer::DEFAULT);
    rig.control().on(Which::Control, When::Nth(3), Fault::Hang);
    rig.front.steer(to([1])).unwrap();
    rig.pass(TOLD);
    rig.front.steer(to([2])).unwrap();
    rig.front.steer(Steering { types: ALL, ..to([3, 3]) }).unwrap();
    rig.pass(TOLD);
    assert_eq!((rig.back().statistics().controls, outcomes(&rig)), (3, vec![]), "one thing at a time");
    rig.control().go_on();
    assert_steered(&mut rig, |_| 3);
    assert_eq!((rig.back().statistics().controls, outcomes(&rig)), (3 + 7, vec![Ok(ALL)]));
}

#[test]
fn nothing_is_told_before_a_suspend_and_all_of_it_after_one() {
    let mut rig = Rig::new(10, STEERED, Offer::DEFAULT);
    assert_eq!(rig.front.prepare(rig.now()), Ready::Yes);
    rig.front.steer(to([1])).unwrap();
    rig.pass(TOLD);
    assert_eq!(rig.back().statistics().controls, 0);
    rig.front.cancelled(rig.now());
    assert_steered(&mut rig, |_| 1);
    rig.control().on(Which::Control, When::Nth(1), Fault::Hang);
    rig.front.steer(to([2])).unwrap();
    rig.pass(TOLD);
    // The clock goes on meanwhile, which is not the backend's fault.
    rig.wakes_at.set(Some(rig.now() + SECOND * 60));
    assert_eq!(rig.suspend(), Ending::Cancelled);
    rig.pass(TOLD);
    rig.control().go_on();
    assert_steered(&mut rig, |_| 2);
    assert_eq!(outcomes(&rig), [Ok(TYPES); 2]);
}

/// Who sleeps hears of each answer at once.
#[track_caller]
pub(crate) fn answers_end_waits(rig: &mut Rig) {
    rig.front.steer(to([1])).unwrap();
    for _ in 0..7 {
        while rig.front.poll(rig.store.now()).is_some() {}
        assert!(rig.front.prepare_to_wait(rig.now()), "it was asked");
        rig.steps(1);
        let start = rig.now();
        rig.store.wait_with(Driver::waits(&rig.front), start + SECOND / 20).unwrap();
        assert!(rig.now() - start < MS, "{:?}", rig.now() - start);
    }
    assert!(matches!(rig.front.poll(rig.now()), Some(Event::Steering(Ok(_)))));
}

#[test]
fn an_answer_ends_a_wait() {
    let mut rig = Rig::new(12, STEERED, Offer::DEFAULT);
    rig.pass(SECOND * 5);
    answers_end_waits(&mut rig);
    rig.pass(STEERED.patience * 2);
    assert_eq!(outcomes(&rig), [], "nothing is waited for any more");
    // Who never sleeps hears of it, too.
    rig.front.steer(to([1])).unwrap();
    let heard = (0..30).find_map(|_| {
        rig.steps(1);
        rig.front.poll(rig.store.now())
    });
    assert_eq!(heard, Some(Event::Steering(Ok(TYPES))));
}

/// Room before packets is for who rewrites their headers in place: we ask for none, whatever a backend offers.
#[test]
fn a_backend_that_offers_room_before_packets_gives_none() {
    for xdp_headroom in [true, false] {
        let mut rig = Rig::new(11, STEERED, Offer { xdp_headroom, ..Offer::DEFAULT });
        for value in ["1", "0", "256", "junk"] {
            rig.control().set_key("feature-xdp-headroom", value);
            rig.control().restart(Restart::Abrupt);
            rig.pass(SECOND);
            rig.connect();
            rig.assert_works();
            let path = format!("{}/xdp-headroom", rig.device.front_path());
            assert_eq!(rig.machine.xenstore().read(&path), None);
            assert_eq!(rig.front.statistics().received.dropped_in_all(), 0);
        }
    }
}
