//! Two honest ends: every byte arrives once and in order, wherever the indices start.
#![cfg(not(loom))]

mod common;

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{Page, STARTS, part};
use proptest::prelude::*;
use xen_shared_ring::{ByteRing, PeerError};

#[test]
fn only_powers_of_two_are_ring_sizes() {
    let memory = [const { AtomicU32::new(0) }; 512];
    let part = |start, len| part(NonNull::from(&memory[start..]).cast(), len);
    let ring = |len| ByteRing::new(part(2, len), part(0, 4), part(1, 4));
    assert!([0, 3, 12, 1023].map(ring).iter().all(Option::is_none));
    assert!([1, 4, 1024].map(ring).iter().all(Option::is_some));
}

#[test]
fn an_index_is_an_aligned_word() {
    let memory = [const { AtomicU32::new(0) }; 8];
    let start = NonNull::from(&memory).cast::<u8>();
    let at = |offset: usize, len| part(start.map_addr(|start| start.saturating_add(offset)), len);
    assert!(ByteRing::new(at(16, 4), at(2, 4), at(8, 4)).is_none());
    assert!(ByteRing::new(at(16, 4), at(0, 3), at(8, 4)).is_none());
    assert!(ByteRing::new(at(16, 4), at(0, 4), at(8, 8)).is_none());
    assert!(ByteRing::new(at(16, 4), at(0, 4), at(8, 4)).is_some());
}

#[test]
fn a_split_leaves_no_byte_out_and_none_in_both() {
    let memory = [const { AtomicU32::new(0) }; 4];
    let whole = || part(NonNull::from(&memory).cast(), 16);
    assert!(whole().split_at(17).is_none());
    for at in 0..=16 {
        let (first, second) = whole().split_at(at).unwrap();
        assert_eq!((first.write(0, &[1; 17]), second.write(0, &[2; 17])), (at, 16 - at));
        let mut bytes = [0; 16];
        assert_eq!(whole().read(0, &mut bytes), 16);
        assert!(bytes[..at].iter().all(|&byte| byte == 1) && bytes[at..].iter().all(|&byte| byte == 2));
    }
}

#[test]
fn hc_010_indices_wrap() {
    for start in STARTS {
        let page = Page::new(16, start);
        let (mut tx, mut rx) = (page.producer(), page.consumer());
        for round in 0..8_u8 {
            assert_eq!(tx.write(&[round; 5]), Ok(5));
            let mut got = [0xee; 6];
            assert_eq!(rx.read(&mut got), Ok(5));
            assert_eq!(got, [round, round, round, round, round, 0xee]);
        }
        assert_eq!(page.produced.load(Relaxed), start.wrapping_add(40));
        assert_eq!(page.consumed.load(Relaxed), start.wrapping_add(40));
        page.assert_margins_untouched();
    }
}

#[test]
fn hc_013_a_ring_can_be_filled_to_the_last_byte() {
    for start in STARTS {
        let page = Page::new(16, start);
        let (mut tx, mut rx) = (page.producer(), page.consumer());
        assert_eq!(tx.write(&[1; 20]), Ok(16), "what fits");
        assert_eq!(tx.write(&[2]), Ok(0), "full is not an error");
        assert_eq!((tx.room(), tx.unread(), rx.available()), (Ok(0), Ok(16), Ok(16)));
        let mut got = [0; 20];
        assert_eq!(rx.read(&mut got), Ok(16));
        assert_eq!(got[..16], [1; 16]);
        assert_eq!((tx.room(), tx.unread(), rx.available()), (Ok(16), Ok(0), Ok(0)));
    }
}

#[test]
fn hc_150_a_used_ring_is_taken_over_where_it_stands() {
    for start in STARTS {
        let page = Page::new(16, start);
        assert_eq!(page.producer().write(b"left over"), Ok(9));
        let (mut tx, mut rx) = (page.producer(), page.consumer());
        assert_eq!(tx.room(), Ok(7));
        assert_eq!(tx.write(b", more"), Ok(6));
        let mut got = [0; 15];
        assert_eq!(rx.read(&mut got), Ok(15));
        assert_eq!(&got, b"left over, more");
    }
}

#[test]
fn hc_150_impossible_start_is_broken_and_says_why() {
    let page = Page::new(16, 100);
    page.produced.store(117, Relaxed);
    let error = PeerError::Start { consumed: 100, produced: 117, size: 16 };
    let (mut tx, mut rx) = (page.producer(), page.consumer());
    assert_eq!((tx.write(b"x"), tx.violation()), (Err(error), Some(error)));
    assert_eq!((rx.read(&mut [0]), rx.violation()), (Err(error), Some(error)));
    page.produced.store(116, Relaxed);
    assert_eq!(page.consumer().available(), Ok(16), "one less is a full ring");
}

#[test]
fn an_end_can_be_made_anew_after_the_peer_was_replaced() {
    let page = Page::new(16, 100);
    let mut tx = page.producer();
    page.consumed.store(101, Relaxed);
    assert!(tx.write(b"x").is_err());
    page.consumed.store(0, Relaxed);
    page.produced.store(0, Relaxed);
    let mut tx = xen_shared_ring::Producer::attach(tx.detach());
    assert_eq!((tx.write(b"x"), page.byte(0)), (Ok(1), b'x'));
}

#[test]
fn bytes_cross_between_threads_in_order() {
    const TOTAL: usize = if cfg!(miri) { 500 } else { 20_000 };
    let page = Page::new(64, u32::MAX - 1000);
    let (mut tx, mut rx) = (page.producer(), page.consumer());
    // Only so that it ends: on a machine that is busy with other things each turn may take a while.
    let deadline = Instant::now() + Duration::from_secs(120);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while sent < TOTAL && Instant::now() < deadline {
                let chunk: Vec<u8> = (sent..TOTAL.min(sent + 23)).map(|i| i as u8).collect();
                sent += tx.write(&chunk).unwrap();
                std::thread::yield_now();
            }
        });
        let mut received = 0;
        while received < TOTAL && Instant::now() < deadline {
            let mut chunk = [0; 17];
            let count = rx.read(&mut chunk).unwrap();
            for byte in &chunk[..count] {
                assert_eq!(*byte, received as u8);
                received += 1;
            }
            std::thread::yield_now();
        }
        assert_eq!(received, TOTAL, "in time");
    });
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Write), (0..40_usize).prop_map(Step::Read),]
}

proptest! {
    #![proptest_config(common::proptest_config())]

    /// The ring does what a bounded queue does.
    #[test]
    fn agrees_with_a_queue(
        start in prop_oneof![any::<u32>(), u32::MAX - 64..=u32::MAX],
        order in 0..6_u32,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let size = 1_usize << order;
        let page = Page::new(size as u32, start);
        let (mut tx, mut rx) = (page.producer(), page.consumer());
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    let count = bytes.len().min(size - model.len());
                    model.extend(&bytes[..count]);
                    prop_assert_eq!(tx.write(&bytes), Ok(count));
                }
                Step::Read(len) => {
                    let mut got = vec![0; len];
                    let count = rx.read(&mut got).unwrap();
                    let expected: Vec<u8> = model.drain(..len.min(model.len())).collect();
                    prop_assert_eq!(&got[..count], &expected[..]);
                }
            }
            prop_assert_eq!((tx.unread(), rx.available()), (Ok(model.len()), Ok(model.len())));
        }
        page.assert_margins_untouched();
    }
}
