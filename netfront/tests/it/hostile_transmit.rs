//! Answers to what is sent that no honest backend gives: cases 001 to 033 of the catalogue, as far as they are the driver's.

use xen_netfront::{Gso, GsoKind, Made, Options, Order};
use xen_sim::When;
use xen_sim::netback::{Fault, Misdeed, Options as Offer, Order as Answers, Which};

use crate::common::{Rig, SMALL, packet, tcp};
use crate::hostile::OFFLOADS;
use crate::perils;
use crate::perils::{MS, Traffic};

/// A packet is with the backend, one is answered as it should be, and one by a misdeed.
fn sent(misdeed: Misdeed) -> Rig {
    let mut rig = Rig::new(1, SMALL, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Nth(1), Fault::Hang);
    rig.misdeed(Which::Transmit, 3, misdeed);
    (0..3).for_each(|number| assert!(rig.send(&packet(100, number))));
    rig.pass(MS);
    rig
}

#[test]
fn hc_001_to_004_an_index_beyond_what_is_outstanding_or_back_breaks_it() {
    for by in [2, 300, 1 << 20, i32::MIN, i32::MAX, -4] {
        sent(Misdeed::Producer(by)).must_break("were outstanding");
    }
}

#[test]
fn hc_014_an_index_that_moves_with_nothing_outstanding_breaks_it() {
    let mut rig = Rig::with_misdeed(SMALL, Which::Transmit, Misdeed::Producer(1));
    assert!(rig.send(&packet(100, 1)));
    rig.must_break("were outstanding");
}

#[test]
fn hc_007_to_009_011_our_own_indices_are_never_read_back() {
    sent(Misdeed::RewritesIndices).must_be_left_alone();
}

#[test]
fn hc_018_requests_are_never_read_back() {
    let mut rig = Rig::with_misdeed(SMALL, Which::Transmit, Misdeed::RewritesRequests);
    assert!(rig.send(&packet(100, 1)));
    rig.pass(MS * 10);
    assert_eq!((rig.front.pending(), rig.front.statistics().sent.failed), (0, 0));
    rig.must_go_on();
}

#[test]
fn hc_023_an_id_beyond_all_that_there_can_be_breaks_it() {
    for misdeed in
        [Misdeed::Id(64), Misdeed::Id(255), Misdeed::Id(256), Misdeed::Id(u16::MAX), Misdeed::IdBits(1 << 15)]
    {
        sent(misdeed).must_break("of at most 64");
    }
}

#[test]
fn hc_024_hc_025_an_id_that_is_not_in_flight_breaks_it() {
    for misdeed in [Misdeed::Id(50), Misdeed::Id(63), Misdeed::IdBits(1 << 4), Misdeed::Twice, Misdeed::Unpublished] {
        sent(misdeed).must_break("not in flight");
    }
}

#[test]
fn hc_026_an_id_of_what_was_not_published_breaks_it() {
    let mut rig = Rig::new(1, SMALL, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Nth(1), Fault::Hang);
    rig.misdeed(Which::Transmit, 2, Misdeed::Unpublished);
    (0..2).for_each(|number| assert!(rig.send(&packet(100, number))));
    // It has its number already, and the backend was not shown it.
    rig.front.transmit().expect("there is room").consume(60, |into| into.fill(1));
    rig.steps(3);
    rig.must_break("cannot have seen yet");
}

#[test]
fn hc_027_hc_030_an_answer_may_say_anything() {
    for (status, [failed, unknown, unnamed]) in
        [(-1, [1, 0, 0]), (-2, [1, 0, 0]), (2, [1, 1, 0]), (i16::MIN, [1, 1, 0]), (i16::MAX, [1, 1, 0]), (1, [0, 0, 1])]
    {
        let rig = sent(Misdeed::Status(status));
        let sent = rig.front.statistics().sent;
        assert_eq!([sent.failed, sent.unknown, sent.unnamed], [failed, unknown, unnamed], "hc_029: {status}");
        rig.must_go_on();
    }
}

#[test]
fn hc_028_answers_to_extra_slots_are_counted() {
    let cut = Order { checksum: Made::No, gso: Some(Gso { kind: GsoKind::TcpV4, size: 1000 }) };
    for (nulls, unnamed) in [(0, 0), (-1, 0), (1, 1)] {
        let mut rig = Rig::new(1, OFFLOADS, Offer::DEFAULT);
        rig.control().on(Which::Transmit, When::Nth(1), Fault::Hang);
        rig.misdeed(Which::Transmit, 2, Misdeed::Nulls(nulls));
        assert!(rig.send(&packet(100, 1)) && rig.send_as(&tcp(3000, 1), cut));
        rig.pass(MS * 10);
        assert_eq!(rig.front.statistics().sent.unnamed, unnamed, "{nulls}");
        rig.must_go_on();
    }
    let mut rig = Rig::with_misdeed(OFFLOADS, Which::Transmit, Misdeed::Nulls(20));
    assert!(rig.send_as(&tcp(3000, 1), cut));
    rig.must_break("were outstanding");
}

#[test]
fn hc_031_answers_come_in_any_order() {
    for order in [Answers::Mixed, Answers::Bursts(5)] {
        let offer = Offer { order, latency: MS..MS * 3, ..Offer::DEFAULT };
        let (mut rig, mut traffic) = (Rig::new(2, SMALL, offer), Traffic::default());
        (0..20).for_each(|_| {
            traffic.send(&mut rig, 10);
            rig.pass(MS);
        });
        rig.pass(MS * 20);
        let sent = rig.front.statistics().sent;
        assert_eq!((rig.front.pending(), sent.failed, rig.count(|_| true)), (0, 0, 1));
        rig.must_go_on();
    }
}

/// Each slot has its own answer: the page of one that has none stays with the backend, and the others are used again.
#[test]
fn hc_032_the_head_of_a_packet_is_not_answered_and_the_rest_is() {
    let mut rig = Rig::with_mtu(1, Options { transmit_pages: 18, ..SMALL }, Offer::DEFAULT, 9000);
    rig.misdeed(Which::Transmit, 1, Misdeed::Headless);
    assert!(rig.send(&packet(9000, 1)));
    rig.pass(MS * 10);
    assert_eq!(rig.front.pending(), 1);
    (0..50).for_each(|number| drop(rig.sends(&packet(9000, number)).data));
    assert_eq!(rig.front.pending(), 1);
    rig.must_go_on();
}

#[test]
fn hc_033_a_packet_that_is_never_answered_is_with_the_backend() {
    let rig = sent(Misdeed::Silent);
    assert_eq!(rig.front.pending(), 2);
    rig.must_go_on();
}

#[test]
fn hc_012_a_ring_full_of_junk_breaks_it() {
    let mut rig = sent(Misdeed::Junk);
    let broke = rig.until(perils::MS * 100, |rig| rig.violation().is_some());
    assert!(broke, "the index is one of four billion");
    rig.must_break("");
}
