//! Sequences that a review has found to go wrong: each of these tests failed once.

use std::time::Duration;

use xen_hypercall::abi::Port;
use xen_hypercall::abi::io::netif::Status;
use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_netfront::{Channels, Event, Netfront, Options};
use xen_sim::netback::{Carrier as Link, Fault, Options as Offer, Packet, Restart, Which};
use xen_sim::{Reaction, Requests, When};
use xen_xenbus::control::{Ready, Resumable};

use crate::common;
use crate::common::{Rig, SECOND, SMALL, packet};
use crate::perils::{MS, Traffic};

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
            let mut rig = Rig::new(1, Options { queues, ..SMALL }, first.clone());
            for round in 2..6 {
                let split = round % 2 == 0;
                rig.control().offer(if split { Offer::DEFAULT } else { old.clone() });
                rig.control().restart(Restart::Orderly);
                rig.connected(round, SECOND * 10);
                let prefix = if queues == 1 { "" } else { "queue-1/" };
                let [one, sends, receives] =
                    ["event-channel", "event-channel-tx", "event-channel-rx"].map(|key| format!("{prefix}{key}"));
                if !split {
                    let one = rig.front_number(&one);
                    assert!(rig.guest.open_ports().contains(&Port(one)), "round {round}");
                    assert_eq!((rig.front_number(&sends), rig.front_number(&receives)), (one, one));
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
    // One flow is in one queue; which one that is, the backend decides.
    for burst in 100..104 {
        let mut rig = Rig::new(1, Options { queues: 4, ..SMALL }, Offer { backlog: 1000, ..Offer::DEFAULT });
        (0..64).for_each(|seed| rig.port.send(Packet::new(flow(seed))));
        (0..300).for_each(|_| rig.port.send(Packet::new(flow(burst))));
        let (mut came, mut last) = (0, 0);
        loop {
            rig.steps(1);
            let Some(packet) = rig.front.receive() else { break };
            came += 1;
            last = packet.consume(|bytes| if bytes[29] < 64 { came } else { last });
        }
        assert_eq!(came, 364, "all came");
        assert!(last < 200, "{last}");
    }
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
        let mut rig = Rig::new(1, Options { queues: first, ..SMALL }, Offer::DEFAULT);
        for (queues, channels) in [(then, Channels::Split), (then, Channels::One), (first, Channels::Split)] {
            rig.front.close();
            assert!(rig.until(SECOND * 10, |rig| rig.front.is_ended()));
            let options = Options { queues, channels, ..SMALL };
            rig.front = Netfront::open(&rig.store, rig.front.device().clone(), options).unwrap();
            assert!(rig.until(SECOND * 10, |rig| rig.front.link().is_some()), "{:?}", rig.back().last_error());
            assert_eq!(rig.back().queues(), queues as usize);
            Traffic::default().flows(&mut rig);
        }
    }
}
