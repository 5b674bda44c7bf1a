//! Packets that no honest backend gives: cases 034 to 058, 154 and 155 of the catalogue. Each is dropped and counted by its reason, its pages are
//! used again, and the next packet comes.

use xen_netfront::{Checksum, Dropped, Gso, GsoKind, Options};
use xen_sim::When;
use xen_sim::netback::{Fault, Misdeed, Options as Offer, Packet, Which};

use crate::common::{Rig, SMALL, packet, tcp};
use crate::hostile::OFFLOADS;
use crate::perils::MS;

/// A packet comes by a misdeed, and one as it should.
fn receive(options: Options, misdeed: Misdeed, data: &[u8]) -> Rig {
    let mut rig = Rig::with_misdeed(options, Which::Receive, misdeed);
    rig.port.send(Packet::new(data.to_vec()));
    rig.pass(MS);
    rig.port.send(Packet::new(packet(60, 9)));
    rig.pass(MS);
    rig
}

/// The first packet is dropped for that reason, and nothing else is.
#[track_caller]
fn drops(options: Options, misdeed: Misdeed, data: &[u8], reason: Dropped) {
    let rig = receive(options, misdeed, data);
    let received = rig.front.statistics().received;
    assert_eq!((received.dropped(reason), received.dropped_in_all()), (1, 1), "{misdeed:?}: {received:?}");
    let came: Vec<_> = rig.received.iter().map(|(data, _)| data.clone()).collect();
    assert_eq!(came, [packet(60, 9)], "{misdeed:?}");
    rig.must_go_on();
}

#[test]
fn hc_034_hc_057_an_answer_to_another_buffer_breaks_it() {
    for misdeed in
        [Misdeed::Id(77), Misdeed::Id(255), Misdeed::Id(256), Misdeed::Id(u16::MAX), Misdeed::Skips, Misdeed::Twice]
    {
        receive(SMALL, misdeed, &packet(100, 1)).must_break("wrong id");
    }
}

#[test]
fn hc_001_to_004_an_index_beyond_what_is_outstanding_or_back_breaks_it() {
    for by in [256, 1 << 20, i32::MIN, i32::MAX, -40] {
        receive(SMALL, Misdeed::Producer(by), &packet(100, 1)).must_break("were outstanding");
    }
}

#[test]
fn hc_007_to_009_011_018_what_is_ours_is_never_read_back() {
    receive(SMALL, Misdeed::RewritesIndices, &packet(100, 1)).must_be_left_alone();
    // The backend itself reads them, and answers as they say.
    receive(SMALL, Misdeed::RewritesRequests, &packet(100, 1)).must_break("wrong id");
}

#[test]
fn hc_035_to_038_a_status_or_a_place_that_makes_no_sense() {
    for (misdeed, reason) in [
        (Misdeed::Status(-1), Dropped::Status),
        (Misdeed::Status(-2), Dropped::Status),
        (Misdeed::Status(i16::MIN), Dropped::Status),
        (Misdeed::Status(0), Dropped::Empty),
        (Misdeed::Runt(0), Dropped::Empty),
        (Misdeed::Runt(1), Dropped::Runt),
        (Misdeed::Runt(13), Dropped::Runt),
        (Misdeed::Status(4097), Dropped::OutOfPage),
        (Misdeed::Status(i16::MAX), Dropped::OutOfPage),
        (Misdeed::Offset(4000), Dropped::OutOfPage),
        (Misdeed::Offset(4096), Dropped::OutOfPage),
        (Misdeed::Offset(u16::MAX), Dropped::OutOfPage),
    ] {
        drops(SMALL, misdeed, &packet(100, 1), reason);
    }
}

#[test]
fn hc_039_to_042_too_long_or_of_too_many_pieces() {
    for (misdeed, reason) in [
        (Misdeed::Status(1519), Dropped::Oversize),
        (Misdeed::Slots(2, 1000), Dropped::Oversize),
        (Misdeed::Slots(18, 4096), Dropped::Oversize),
        (Misdeed::Slots(19, 10), Dropped::TooManySlots),
        (Misdeed::Slots(30, 1), Dropped::TooManySlots),
        (Misdeed::Slots(3, 0), Dropped::Empty),
        (Misdeed::Slots(13, 1), Dropped::Runt),
    ] {
        drops(SMALL, misdeed, &packet(100, 1), reason);
    }
}

/// It is one packet, for all that anybody can tell, until a slot says that it ends.
#[test]
fn hc_040_hc_041_a_packet_that_goes_on_waits_for_the_next_slot_and_no_longer() {
    for (slots, whole) in [(1, true), (17, true), (18, false), (30, false)] {
        let rig = receive(SMALL, Misdeed::Endless(slots), &packet(100, 1));
        let received = rig.front.statistics().received;
        let dropped = u64::from(!whole);
        assert_eq!(
            (rig.received.len(), received.dropped(Dropped::TooManySlots)),
            (usize::from(whole), dropped),
            "{slots}"
        );
        assert!(
            rig.received.iter().all(|(data, _)| data.len() == usize::from(slots) * 60 + 60),
            "nothing is read twice"
        );
        rig.must_go_on();
    }
}

#[test]
fn hc_043_to_047_extra_information_that_is_missing_or_not_agreed_upon() {
    for (misdeed, reason) in [
        (Misdeed::Extra(0), Dropped::ExtraUnknown),
        (Misdeed::Extra(5), Dropped::ExtraUnknown),
        (Misdeed::Extra(255), Dropped::ExtraUnknown),
        (Misdeed::Headroom(u16::MAX), Dropped::ExtraUnknown),
        (Misdeed::Extra(2), Dropped::ExtraUnnegotiated),
        (Misdeed::Extra(3), Dropped::ExtraUnnegotiated),
        (Misdeed::Extra(4), Dropped::ExtraUnnegotiated),
        (Misdeed::Extras(4), Dropped::ExtraUnnegotiated),
        (Misdeed::Extras(40), Dropped::ExtraUnnegotiated),
        (Misdeed::ExtraTwice(1), Dropped::ExtraDuplicate),
    ] {
        drops(OFFLOADS, misdeed, &tcp(2000, 1), reason);
    }
    // What follows is taken for what was said to follow.
    for misdeed in [Misdeed::ExtraMissing, Misdeed::ExtraOpen] {
        let rig = receive(OFFLOADS, misdeed, &packet(100, 1));
        assert_eq!((rig.received.len(), rig.front.statistics().received.dropped_in_all()), (0, 1), "{misdeed:?}");
        rig.must_go_on();
    }
}

#[test]
fn hc_048_extra_information_of_a_later_piece_is_none() {
    let rig = receive(SMALL, Misdeed::ExtraLate, &packet(100, 1));
    assert_eq!(rig.received.iter().map(|(data, _)| data.len()).collect::<Vec<_>>(), [100, 60]);
    assert_eq!(rig.received[0].0, packet(100, 1));
    rig.must_go_on();
}

#[test]
fn hc_049_to_052_segments_that_make_no_sense() {
    for (kind, size) in [(1, 0), (1, 1), (1, 47), (1, 3000), (1, u16::MAX), (0, 1448), (3, 1448), (255, 1448)] {
        drops(OFFLOADS, Misdeed::Gso(kind, size), &tcp(2000, 1), Dropped::Segments);
    }
    drops(SMALL, Misdeed::GsoUnblank, &packet(1000, 1), Dropped::Segments);
    // The checksum of the whole says nothing of its pieces.
    let rig = receive(OFFLOADS, Misdeed::GsoUnblank, &tcp(2000, 1));
    let meta = rig.received[0].1;
    assert_eq!((meta.gso, meta.checksum), (Some(Gso { kind: GsoKind::TcpV4, size: 1448 }), Checksum::Unverified));
    rig.must_go_on();
}

/// Stacks are told that it is a claim: `a_wrong_checksum_never_reaches_a_stack`.
#[test]
fn hc_053_what_is_said_of_a_checksum_is_a_claim() {
    let rig = receive(OFFLOADS, Misdeed::Corrupts, &tcp(500, 1));
    assert_eq!(rig.received[0].1.checksum, Checksum::Claimed);
    assert_ne!(rig.received[0].0, tcp(500, 1));
    rig.must_go_on();
}

#[test]
fn hc_054_hc_055_a_checksum_without_a_place_and_what_is_not_used_any_more() {
    for len in [14, 20, 33, 53] {
        drops(OFFLOADS, Misdeed::Blank(len), &tcp(500, 1), Dropped::Blank);
    }
    drops(OFFLOADS, Misdeed::Blank(60), &packet(60, 1), Dropped::Blank);
    drops(SMALL, Misdeed::Blank(60), &tcp(6, 1), Dropped::Blank);
    drops(OFFLOADS, Misdeed::Prefix, &tcp(500, 1), Dropped::GsoPrefix);
}

/// Buffers that never come back are the backend's, and are no reason to give it more.
#[test]
fn hc_058_a_backend_that_keeps_all_buffers_gets_no_more() {
    let mut rig = Rig::new(1, SMALL, Offer::DEFAULT);
    rig.control().on(Which::Receive, When::Always, Fault::Misdeed(Misdeed::Silent));
    let before = rig.machine.checkpoint();
    for number in 0..300 {
        rig.port.send(Packet::new(packet(100, number)));
        rig.pass(MS);
    }
    rig.machine.assert_no_leaks_since(&before);
    assert_eq!((rig.received.len(), rig.front.statistics().received.starved), (0, 0));
    assert!(rig.send(&packet(100, 1)), "what is sent does not need them");
    rig.must_be_left_alone();
}

/// Each is counted, and nothing else comes of it: no event, no memory.
#[test]
fn hc_154_hc_155_a_flood_of_packets_that_are_dropped_is_no_news() {
    let mut rig = Rig::new(1, SMALL, Offer::DEFAULT);
    rig.control().on(Which::Receive, When::Always, Fault::Misdeed(Misdeed::Runt(13)));
    let before = rig.machine.checkpoint();
    for number in 0..1000 {
        rig.port.send(Packet::new(packet(100, number)));
        if number % 20 == 19 {
            rig.pass(MS);
        }
    }
    assert_eq!((rig.front.statistics().received.dropped(Dropped::Runt), rig.events.len()), (1000, 1));
    rig.machine.assert_no_leaks_since(&before);
    rig.must_go_on();
}

#[test]
fn hc_154_packets_that_nobody_takes_stay_in_the_ring() {
    let mut rig = Rig::new(1, SMALL, Offer { backlog: 1000, ..Offer::DEFAULT });
    let before = rig.machine.checkpoint();
    (0..500).for_each(|number| rig.port.send(Packet::new(packet(100, number))));
    for _ in 0..100 {
        rig.steps(1);
        let now = rig.now();
        assert_eq!(rig.front.poll(now), None);
        rig.machine.advance(MS);
    }
    let now = rig.now();
    assert!(!rig.front.prepare_to_wait(now), "there is something to do");
    rig.machine.assert_no_leaks_since(&before);
    assert!(rig.until(MS * 500, |rig| rig.received.len() == 500), "{}", rig.received.len());
    rig.must_go_on();
}

/// What the rest of a page holds is nobody's.
#[test]
fn hc_037_what_is_written_besides_a_packet_is_none_of_it() {
    let rig = receive(SMALL, Misdeed::Overruns, &packet(100, 1));
    assert_eq!(rig.received[0].0, packet(100, 1));
    rig.must_go_on();
}
