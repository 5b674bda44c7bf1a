//! Sequences that a review has found to go wrong: each of these tests failed once.

mod common;
#[path = "common/perils.rs"]
mod perils;

use std::time::Duration;

use common::{Rig, SECOND, packet};
use perils::{MS, Traffic};
use xen_hypercall::abi::Port;
use xen_hypercall::abi::io::netif::Status;
use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_netfront::{Channels, Event, Netfront, Options};
use xen_sim::netback::{Carrier as Link, Fault, Options as Offer, Packet, Restart, Which};
use xen_sim::{Domain, Reaction, Requests, When};
use xen_xenbus::control::{Ready, Resumable};

impl Rig {
    fn steps(&mut self, count: u32) {
        let back = self.back.as_mut().expect("there is a backend");
        (0..count).for_each(|_| {
            let _ = back.step();
        });
    }
}

/// How often an owner who only waits comes back within half a second.
fn waits(rig: &mut Rig, mut look: impl FnMut(&mut Netfront<Domain>)) -> usize {
    let (end, mut waits) = (rig.now() + SECOND / 2, 0);
    while rig.now() < end && waits < 2000 {
        while rig.front.poll(rig.store.now()).is_some() {}
        look(&mut rig.front);
        rig.front.wait(end).expect("Xen lets guests wait");
        waits += 1;
    }
    waits
}

/// Everything that waits comes back at once while a watch has fired that nobody looks at.
#[test]
fn an_interface_that_is_gone_does_not_end_waits_at_once() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.machine.xenstore().remove_device(&rig.device);
    assert!(rig.until(SECOND, |rig| rig.front.is_detached()), "{:?}", rig.events);
    rig.machine.xenstore().plug(&rig.device);
    let detached = waits(&mut rig, |_| ());
    assert!(detached < 50, "{detached}");
    rig.front.close();
    assert!(rig.until(SECOND, |rig| rig.front.is_ended()));
    rig.machine.xenstore().write(&format!("{}/state", rig.device.back_path()), "5");
    let ended = waits(&mut rig, |_| ());
    assert!(ended < 50, "{ended}");
}

/// An interface that has made its offer, to a backend that does not answer it.
fn offered(options: Options, before: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::plugged(1, options, Offer::DEFAULT, |device| device);
    let state = format!("{}/state", rig.device.back_path());
    let ready = |rig: &Rig| rig.machine.xenstore().read_text(&state).as_deref() == Some("2");
    while !ready(&rig) {
        rig.steps(1);
    }
    rig.control().hang();
    before(&mut rig);
    let state = format!("{}/state", rig.device.front_path());
    assert!(rig.until(SECOND, |rig| rig.machine.xenstore().read_text(&state).as_deref() == Some("4")));
    rig
}

fn port(rig: &Rig, key: &str) -> Port {
    let text = rig.machine.xenstore().read_text(&format!("{}/{key}", rig.device.front_path()));
    Port(text.and_then(|text| text.parse().ok()).expect("there is one"))
}

#[test]
fn hc_092_a_backend_that_signals_and_does_not_connect_costs_no_processor() {
    let mut rig = offered(Options::DEFAULT, |_| ());
    for key in ["event-channel-tx", "event-channel-rx"] {
        rig.machine.spurious_event(&rig.guest, port(&rig, key));
    }
    let waits = waits(&mut rig, |_| ());
    assert!(waits < 50, "{waits}");
    rig.control().go_on();
    rig.connect();
    rig.assert_works();
}

#[test]
fn fault_16_pages_that_are_missing_while_the_backend_does_not_connect_cost_no_processor() {
    let options = Options { transmit_pages: 18, receive_pages: 256, ..Options::DEFAULT };
    let mut rig = offered(options, |rig| {
        let used = (0..).find(|limit| {
            rig.machine.faults().limit(&rig.guest, xen_sim::Limit::Pages(*limit));
            xen_grant_table::Page::alloc(rig.guest.clone()).is_some()
        });
        rig.machine.faults().limit(&rig.guest, xen_sim::Limit::Pages(used.unwrap() + 100));
    });
    assert!(rig.front.statistics().received.starved > 0);
    let waits = waits(&mut rig, |_| ());
    assert!(waits < 50, "{waits}");
}

/// A stack that answers at once has packets only together with room.
#[test]
fn hc_033_a_packet_without_room_for_an_answer_costs_no_processor() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    while rig.send(&packet(100, 1)) {}
    rig.port.send(Packet::new(packet(100, 2)));
    rig.steps(10);
    let mut came = 0;
    let mut answer = |front: &mut Netfront<Domain>| {
        while let Some((packet, _room)) = front.receive_and_transmit() {
            packet.discard();
            came += 1;
        }
    };
    let waits_in_vain = waits(&mut rig, &mut answer);
    assert!(waits_in_vain < 50, "{waits_in_vain}");
    // It comes as soon as there is room, or as somebody asks for it alone.
    rig.control().clear();
    rig.control().go_on();
    rig.steps(10);
    assert!(waits(&mut rig, &mut answer) < 50);
    assert_eq!(came, 1);
    rig.assert_works();
}

/// A queue that is full keeps nobody from what came in another one.
#[test]
fn hc_033_a_packet_without_room_does_not_keep_those_of_other_queues() {
    let mut rig = Rig::new(1, Options { queues: 2, ..Options::DEFAULT }, Offer::DEFAULT);
    // The first packet goes to the second queue, and as long as it is there all others do so, too.
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    while rig.send(&packet(100, 1)) {}
    (0..32).for_each(|seed| rig.port.send(Packet::new(flow(seed))));
    rig.steps(10);
    let mut came = 0;
    while let Some((packet, _room)) = rig.front.receive_and_transmit() {
        packet.discard();
        came += 1;
    }
    assert!((4..28).contains(&came), "about half of them: {came}");
    assert_eq!(std::iter::from_fn(|| rig.front.receive().map(|packet| packet.discard())).count(), 32 - came);
}

/// Whoever polls once more between the try to send and the sleep is told of the room nonetheless.
#[test]
fn room_that_was_found_meanwhile_ends_the_next_wait() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    while rig.send(&packet(100, 1)) {}
    rig.steps(10);
    while rig.front.poll(rig.store.now()).is_some() {}
    let start = rig.now();
    rig.front.wait(start + SECOND).unwrap();
    assert!(rig.now() - start < MS, "{:?}", rig.now() - start);
    assert!(rig.front.transmit().is_some());
    // Once it was told, it is not told again.
    rig.front.wait(start + SECOND / 20).unwrap();
    assert!(rig.now() - start >= SECOND / 20);
}

#[test]
fn hc_156_a_packet_that_comes_before_a_suspend_costs_no_processor() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    assert!(rig.send(&packet(100, 1)));
    rig.port.send(Packet::new(packet(100, 2)));
    rig.steps(1);
    let now = rig.now();
    assert_eq!(rig.front.prepare(now), Ready::NotYet);
    let waits = waits(&mut rig, |front| assert!(front.receive_and_transmit().is_none()));
    assert!(waits < 50, "{waits}");
    let now = rig.now();
    rig.front.cancelled(now);
    rig.front.wait(now + SECOND).unwrap();
    assert!(rig.now() - now < MS, "it is there");
    assert_eq!(rig.front.receive_and_transmit().expect("it has stayed").0.len(), 100);
}

/// What is received says nothing of what is sent.
#[test]
fn hc_033_a_backend_that_only_receives_is_told_of_in_time() {
    let patience = SECOND * 3;
    let mut rig = Rig::new(1, Options { patience, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    assert!(rig.send(&packet(100, 1)));
    let start = rig.now();
    while rig.count(|event| *event == Event::Stalled) == 0 {
        rig.port.send(Packet::new(packet(100, 2)));
        rig.pass(MS * 20);
        assert!(rig.now() - start < patience * 2, "{:?}", rig.events);
    }
    assert!(rig.now() - start >= patience);
    rig.control().go_on();
    rig.pass(patience * 2);
    assert_eq!(rig.count(|event| *event == Event::Stalled), 1);
}

/// Its pages never come back. That is known when there are none left.
#[test]
fn hc_027_answers_that_name_no_request_are_a_stall_and_no_silence() {
    for (silent, pages) in [(18, 18), (1000, 128)] {
        let patience = SECOND * 3;
        let options = Options { patience, transmit_pages: pages, ..Options::DEFAULT };
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        for number in 1..=silent {
            rig.control().on(Which::Transmit, When::Nth(number), Fault::Refuse(Status::NULL));
        }
        while rig.send(&packet(100, 1)) {
            rig.pass(MS);
        }
        assert_eq!(rig.front.statistics().sent.unnamed, u64::from(pages));
        assert!(rig.until(patience * 2, |rig| rig.count(|event| *event == Event::Stalled) == 1), "{:?}", rig.front);
        rig.control().clear();
        rig.control().restart(Restart::Orderly);
        rig.connected(2, SECOND * 10);
        rig.assert_works();
        rig.close();
        rig.assert_given_back();
    }
}

/// A key that an earlier connection has written says nothing to a backend that does not know it.
#[test]
fn hc_121_a_backend_that_has_one_channel_now_is_told_its_number() {
    let old = Offer { split_event_channels: false, ..Offer::DEFAULT };
    for first in [Offer::DEFAULT, old.clone()] {
        for queues in [1, 3] {
            let mut rig = Rig::new(1, Options { queues, ..Options::DEFAULT }, first.clone());
            for round in 2..6 {
                let split = round % 2 == 0;
                rig.control().offer(if split { Offer::DEFAULT } else { old.clone() });
                rig.control().restart(Restart::Orderly);
                rig.connected(round, SECOND * 10);
                let prefix = if queues == 1 { "" } else { "queue-1/" };
                let [one, sends, receives] =
                    ["event-channel", "event-channel-tx", "event-channel-rx"].map(|key| format!("{prefix}{key}"));
                if !split {
                    let one = port(&rig, &one);
                    assert!(rig.guest.open_ports().contains(&one), "round {round}");
                    assert_eq!((port(&rig, &sends), port(&rig, &receives)), (one, one));
                }
                let expected = if split { Channels::Split } else { Channels::One };
                assert_eq!(rig.front.link().unwrap().channels(), expected);
                Traffic::default().flows(&mut rig);
            }
        }
    }
}

/// A burst in one queue does not keep what came in the others.
#[test]
fn each_queue_has_its_turn() {
    let mut rig = Rig::new(1, Options { queues: 4, ..Options::DEFAULT }, Offer { backlog: 1000, ..Offer::DEFAULT });
    // Other flows go to other queues; what has no flow goes to the first one.
    (0..64).for_each(|seed| rig.port.send(Packet::new(flow(seed))));
    (0..500).for_each(|seed| rig.port.send(Packet::new(packet(100, seed))));
    let mut place = 0;
    let last = loop {
        rig.steps(1);
        let Some(packet) = rig.front.receive() else { break place };
        let is_flow = packet.consume(|bytes| bytes[12..14] == [0x08, 0x00]);
        rig.received.push((
            vec![u8::from(is_flow)],
            xen_netfront::Meta { checksum: xen_netfront::Checksum::Unverified, gso: None },
        ));
        place += 1;
    };
    assert_eq!(last, 564, "all came");
    let last_flow = rig.received.iter().rposition(|(is_flow, _)| is_flow == &[1]).unwrap();
    assert!(last_flow < 300, "{last_flow}");
}

fn flow(seed: u8) -> Vec<u8> {
    let mut packet = common::tcp(100, 1);
    packet[29] = seed;
    packet
}

/// The watch does not fire again.
#[test]
fn fault_24_a_link_of_which_xenstore_says_nothing_is_asked_for_again() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer { carrier: Some(Link::Up), ..Offer::DEFAULT });
    let refuse = |when| {
        let path = format!("{}/carrier", rig.device.back_path());
        rig.machine.xenstore().script(Requests::of(MessageType::READ).on(&path), when, Reaction::refuse("EAGAIN"));
    };
    refuse(When::Nth(1));
    refuse(When::Nth(2));
    rig.control().set_carrier(Link::Down);
    let start = rig.now();
    assert!(rig.until(SECOND, |rig| rig.count(|event| *event == Event::LinkDown) == 1), "{:?}", rig.events);
    assert!(rig.now() - start >= MS * 20, "not at once");
}

/// So few that there are never sixteen at once to be given.
#[test]
fn fault_16_an_owner_who_never_waits_receives_the_longest_packets_with_few_pages() {
    let options = Options { receive_pages: 32, ..Options::DEFAULT };
    let mut rig = Rig::with_mtu(1, options, Offer { piece: 500, ..Offer::DEFAULT }, 9000);
    for round in 0..40 {
        let data = packet(8950, round);
        rig.port.send(Packet::new(data.clone()));
        let (end, mut came) = (rig.now() + SECOND, None);
        while came.is_none() && rig.now() < end {
            rig.steps(1);
            assert!(rig.front.poll(rig.store.now()).is_none());
            came = rig.front.receive().map(|packet| packet.consume(<[u8]>::to_vec));
            rig.front.flush_notifications();
        }
        assert!(came == Some(data), "round {round}");
        (0..15).for_each(|number| rig.port.send(Packet::new(packet(60, number))));
        rig.steps(1);
        while let Some(packet) = rig.front.receive() {
            packet.discard();
        }
    }
}

#[test]
fn fault_21_what_is_finished_before_a_close_has_its_time_when_the_clock_jumps() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    assert!(rig.send(&packet(100, 1)));
    rig.pass(MS);
    rig.front.close();
    rig.pass(MS * 10);
    while rig.front.prepare(rig.now()) == Ready::NotYet {
        rig.turn();
    }
    rig.machine.jump_to(rig.machine.now() + Duration::from_secs(3600));
    rig.front.cancelled(rig.now());
    rig.pass(MS * 100);
    rig.control().go_on();
    assert!(rig.until(SECOND * 10, |rig| rig.front.is_ended()));
    assert_eq!(rig.front.statistics().sent.lost, 0, "it was answered in time");
}

/// Another kernel, or another driver, was here before, with other options.
#[test]
fn fault_27_what_an_earlier_front_has_written_is_not_taken_for_ours() {
    for (first, then) in [(4, 1), (1, 4), (4, 2)] {
        let mut rig = Rig::new(1, Options { queues: first, ..Options::DEFAULT }, Offer::DEFAULT);
        for (queues, channels) in [(then, Channels::Split), (then, Channels::One), (first, Channels::Split)] {
            rig.front.close();
            assert!(rig.until(SECOND * 10, |rig| rig.front.is_ended()));
            let options = Options { queues, channels, ..Options::DEFAULT };
            rig.front = Netfront::open(&rig.store, rig.front.device().clone(), options).unwrap();
            assert!(rig.until(SECOND * 10, |rig| rig.front.link().is_some()), "{:?}", rig.back().last_error());
            assert_eq!(rig.back().queues(), queues as usize);
            Traffic::default().flows(&mut rig);
        }
    }
}
