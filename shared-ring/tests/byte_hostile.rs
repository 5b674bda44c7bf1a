//! A peer that writes what it likes to the shared page.
#![cfg(not(loom))]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use common::{Page, STARTS};
use proptest::prelude::*;
use xen_shared_ring::{Consumer, PeerError, Producer};

/// A producer with 5 bytes outstanding, and a consumer of the same 5 bytes.
fn with_five_bytes(start: u32) -> (Arc<Page>, Producer, Consumer) {
    let page = Page::new(16, start);
    let (mut tx, mut rx) = (page.producer(), page.consumer());
    assert_eq!(tx.write(b"abcde"), Ok(5));
    assert_eq!(rx.available(), Ok(5));
    (page, tx, rx)
}

#[test]
fn hc_001_consumed_beyond_what_was_produced() {
    for start in STARTS {
        let (page, mut tx, _) = with_five_bytes(start);
        page.consumed.store(start.wrapping_add(6), Relaxed);
        let error = PeerError::Consumed { before: start, now: start.wrapping_add(6), unread: 5 };
        assert_eq!(tx.write(b"x"), Err(error));
    }
}

#[test]
fn hc_002_produced_beyond_the_room() {
    for start in STARTS {
        let (page, _, mut rx) = with_five_bytes(start);
        let now = start.wrapping_add(17);
        page.produced.store(now, Relaxed);
        let error = PeerError::Produced { before: start.wrapping_add(5), now, room: 11 };
        assert_eq!(rx.read(&mut [0; 32]), Err(error));
        assert_eq!(page.consumed.load(Relaxed), start, "nothing was consumed");
    }
}

#[test]
fn hc_003_an_index_that_goes_back() {
    for start in STARTS {
        let (page, mut tx, mut rx) = with_five_bytes(start);
        let before = start.wrapping_add(5);
        page.produced.store(start.wrapping_add(3), Relaxed);
        let error = PeerError::Produced { before, now: start.wrapping_add(3), room: 11 };
        assert_eq!(rx.available(), Err(error), "still between our index and the ring size");

        page.consumed.store(before, Relaxed);
        assert_eq!(tx.unread(), Ok(0));
        page.consumed.store(start.wrapping_add(4), Relaxed);
        let error = PeerError::Consumed { before, now: start.wrapping_add(4), unread: 0 };
        assert_eq!(tx.unread(), Err(error));
    }
}

/// A check of the distance against the ring size, which most front-ends make, takes a step back for data.
#[test]
fn hc_003_control_a_check_against_the_ring_size_accepts_a_step_back() {
    let naive_unread = |produced: u32, consumed: u32| Some(produced.wrapping_sub(consumed)).filter(|n| *n <= 16);
    let (page, mut tx, mut rx) = with_five_bytes(100);
    page.consumed.store(99, Relaxed);
    page.produced.store(102, Relaxed);
    assert_eq!(naive_unread(105, 99), Some(6), "of five bytes, six are unread");
    assert_eq!(naive_unread(102, 100), Some(2), "of five bytes already seen, three are gone");
    assert!(tx.unread().is_err() && rx.available().is_err(), "ours refuses both");
}

#[test]
fn hc_004_huge_steps() {
    for step in [1 << 31, (1 << 31) - 1, u32::MAX, u32::MAX - 15] {
        let (page, mut tx, mut rx) = with_five_bytes(100);
        page.consumed.store(100_u32.wrapping_add(step), Relaxed);
        page.produced.store(105_u32.wrapping_add(step), Relaxed);
        assert!(matches!(tx.room(), Err(PeerError::Consumed { .. })), "{step:#x}");
        assert!(matches!(rx.available(), Err(PeerError::Produced { .. })), "{step:#x}");
    }
}

#[test]
fn hc_007_our_index_in_shared_memory_is_not_read_back() {
    let (page, mut tx, mut rx) = with_five_bytes(100);
    page.produced.store(0xdead_beef, Relaxed);
    assert_eq!((tx.unread(), tx.write(b"fg")), (Ok(5), Ok(2)));
    assert_eq!(page.produced.load(Relaxed), 107, "written anew from the private copy");
    page.consumed.store(0xdead_beef, Relaxed);
    let mut got = [0; 4];
    assert_eq!((rx.read(&mut got), &got), (Ok(4), b"abcd"));
    assert_eq!(page.consumed.load(Relaxed), 104);
}

#[test]
fn the_first_violation_stays_when_the_peer_repairs_its_index() {
    let (page, mut tx, mut rx) = with_five_bytes(100);
    page.consumed.store(99, Relaxed);
    page.produced.store(1000, Relaxed);
    let (tx_error, rx_error) = (tx.room().unwrap_err(), rx.available().unwrap_err());
    page.consumed.store(100, Relaxed);
    page.produced.store(105, Relaxed);
    assert_eq!((tx.write(b"x"), rx.read(&mut [0])), (Err(tx_error), Err(rx_error)));
    assert_eq!((tx.violation(), rx.violation()), (Some(tx_error), Some(rx_error)));
    assert_eq!(page.produced.load(Relaxed), 105, "nothing was published any more");
}

#[derive(Clone, Debug)]
enum Step {
    Consumed(u32),
    Produced(u32),
    Byte(usize, u8),
    Write(usize),
    Read(usize),
}

/// Index values: anything, and steps of a few bytes around where the ring stands.
fn index(start: u32) -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (-40..40_i32).prop_map(move |step| start.wrapping_add_signed(step))]
}

fn step(start: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        index(start).prop_map(Step::Consumed),
        index(start).prop_map(Step::Produced),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Step::Byte(at, byte)),
        (0..40_usize).prop_map(Step::Write),
        (0..40_usize).prop_map(Step::Read),
    ]
}

fn script() -> impl Strategy<Value = (u32, Vec<Step>)> {
    prop_oneof![any::<u32>(), u32::MAX - 40..=u32::MAX]
        .prop_flat_map(|start| (Just(start), proptest::collection::vec(step(start), 0..40)))
}

/// An answer of an end: never more than the ring holds, and an error is the same for ever.
fn assert_sane(answer: Result<usize, PeerError>, first: &mut Option<PeerError>) {
    match (answer, *first) {
        (Ok(count), None) => assert!(count <= 16),
        (Err(error), None) => *first = Some(error),
        (answer, Some(first)) => assert_eq!(answer, Err(first)),
    }
}

proptest! {
    #![proptest_config(common::proptest_config())]

    /// The peer changes any bit of the page between any two calls.
    #[test]
    fn hc_012_any_page_at_any_instant((start, steps) in script()) {
        let page = Page::new(16, start);
        let (mut tx, mut rx) = (page.producer(), page.consumer());
        let (mut tx_error, mut rx_error) = (None, None);
        for step in steps {
            match step {
                Step::Consumed(index) => page.consumed.store(index, Relaxed),
                Step::Produced(index) => page.produced.store(index, Relaxed),
                Step::Byte(at, byte) => page.poke(at, byte),
                Step::Write(len) => assert_sane(tx.write(&vec![7; len]), &mut tx_error),
                Step::Read(len) => assert_sane(rx.read(&mut vec![0; len]), &mut rx_error),
            }
        }
        page.assert_margins_untouched();
    }

    /// Bytes that the peer has not consumed are never overwritten, whatever index it shows.
    ///
    /// The peer may lie about having consumed; the bound is what it ever claimed in legal steps.
    #[test]
    fn unread_bytes_are_not_overwritten(start: u32, claims in proptest::collection::vec(0..20_u32, 1..40)) {
        let page = Page::new(16, start);
        let mut tx = page.producer();
        let (mut produced, mut consumed) = (start, start);
        for claim in claims {
            page.consumed.store(consumed.wrapping_add(claim), Relaxed);
            let Ok(count) = tx.write(&[1; 16]) else {
                prop_assert!(claim > produced.wrapping_sub(consumed), "refused a legal step");
                return Ok(());
            };
            consumed = consumed.wrapping_add(claim);
            produced = produced.wrapping_add(count as u32);
            prop_assert_eq!(produced.wrapping_sub(consumed), 16, "exactly full");
        }
    }
}
