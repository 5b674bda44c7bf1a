//! Two honest ends of a typed ring: every message arrives once and in order, wherever the indices start.
#![cfg(not(loom))]

mod common;

use std::num::NonZeroU32;

use common::STARTS;
use common::slots::{
    Answer, Ask, HEADER, Memory, Narrow, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, Wide, answer, ask, some,
};
use xen_shared_ring::{BackRing, Entries, FrontRing, Full, Notify, OnePage, Prefix, Protocol, RegionTooSmall, Slots};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Messages of these sizes.
struct Sizes<const REQUEST: usize, const RESPONSE: usize>;

impl<const REQUEST: usize, const RESPONSE: usize> Protocol for Sizes<REQUEST, RESPONSE> {
    type Request = [u8; REQUEST];
    type Response = [u8; RESPONSE];
}

/// As many as `__RING_SIZE` gives for the messages of netif.h, blkif.h, fbif.h and others.
#[test]
fn a_ring_has_as_many_slots_as_xens_macro_gives() {
    fn slots<const REQUEST: usize, const RESPONSE: usize>(order: u32) -> Option<u32> {
        Slots::in_pages::<Sizes<REQUEST, RESPONSE>>(order).map(Slots::count)
    }
    assert_eq!([slots::<12, 4>(0), slots::<8, 8>(0), slots::<112, 16>(0)], [Some(256), Some(256), Some(32)]);
    assert_eq!([slots::<112, 16>(1), slots::<112, 16>(4), slots::<12, 4>(4)], [Some(64), Some(512), Some(4096)]);
    assert_eq!([slots::<4, 4>(0), slots::<4032, 4>(0), slots::<2016, 4>(0)], [Some(512), Some(1), Some(2)]);
    assert_eq!(slots::<4036, 4>(0), None, "not even one");
    assert_eq!([slots::<4, 4>(18), slots::<4, 4>(19), slots::<4, 4>(64)], [Some(1 << 27), None, None], "hc_118");
    assert_eq!([0, 3, u32::MAX].map(Slots::new), [None; 3]);
}

#[test]
fn a_region_that_is_too_small_comes_back() {
    let slots = Slots::in_pages::<Narrow>(1).unwrap();
    let (error, memory) = FrontRing::<Narrow, _, _>::init(Memory::new(4096), slots).unwrap_err();
    assert_eq!(error, RegionTooSmall { needed: 64 + 512 * 12, len: 4096 });
    assert_eq!(memory.contents(), [0; 1024], "nothing was written");
    let (error, memory) = BackRing::<Narrow, _, _>::attach(memory, slots).unwrap_err();
    assert!(error.to_string().contains("the ring needs 6208 aligned bytes, the region has 4096"));
    let memory = BackRing::<Narrow, _, _>::attach(memory, OnePage).unwrap().into_region();
    drop(memory);
    assert!(FrontRing::<Narrow, _, _>::init(Memory::new(64 + 11), Slots::new(1).unwrap()).is_err());
    assert!(FrontRing::<Narrow, _, _>::init(Memory::new(64 + 16), Slots::new(1).unwrap()).is_ok());
    assert!(FrontRing::<Narrow, _, _>::init(Memory::new(64), Slots::new(1 << 31).unwrap()).is_err());
}

#[test]
fn a_region_that_does_not_begin_at_a_multiple_of_eight_is_refused() {
    let memory = Memory::new(4096);
    for (offset, fits) in [(0, true), (1, false), (4, false), (8, true)] {
        let region = memory.part(offset, 4096 - 8);
        assert_eq!(FrontRing::<Narrow, _, _>::init(region, Slots::new(256).unwrap()).is_ok(), fits, "at {offset}");
    }
}

#[test]
fn init_makes_the_header_of_a_new_ring() {
    let memory = Memory::new(4096);
    (0..memory.len()).for_each(|place| memory.set(place, 0xdead_beef));
    let front = FrontRing::<Narrow, _>::init(memory.clone(), OnePage).unwrap();
    assert_eq!((front.room(), front.outstanding(), front.unpublished(), front.violation()), (256, 0, 0, None));
    let mut header = [0; HEADER];
    (header[REQ_EVENT], header[RSP_EVENT]) = (1, 1);
    assert_eq!(memory.contents()[..HEADER], header);
    assert!(memory.contents()[HEADER..].iter().all(|word| *word == 0xdead_beef));
}

#[test]
fn hc_010_indices_wrap_in_both_protocols_and_sizes() {
    fn run<P: Protocol, S: Entries<P>>(
        size: S,
        request: impl Fn(u32) -> P::Request,
        response: impl Fn(u32) -> P::Response,
    ) where
        P::Request: PartialEq + std::fmt::Debug,
        P::Response: PartialEq + std::fmt::Debug,
    {
        for start in STARTS {
            let memory = Memory::page_at(start);
            let (mut front, mut back) = memory.ends::<P, S>(size);
            for n in 0..40 {
                front.push(request(n)).unwrap();
                assert_eq!(front.publish(), Notify::Needed);
                assert_eq!(some(back.pop_or_arm()), request(n));
                assert!(back.pop_or_arm().unwrap().is_none());
                back.push(response(n)).unwrap();
                assert_eq!(back.publish(), Notify::Needed);
                assert_eq!(some(front.pop_or_arm()), response(n));
                assert!(front.pop_or_arm().unwrap().is_none());
            }
            let end = start.wrapping_add(40);
            let expected = [end, end.wrapping_add(1), end, end.wrapping_add(1)];
            assert_eq!([REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT].map(|place| memory.get(place)), expected);
            memory.assert_margins_untouched();
        }
    }
    run::<Narrow, _>(OnePage, ask, answer);
    run::<Narrow, _>(Slots::new(1).unwrap(), ask, answer);
    let (request, response) = (|n| [u64::from(n), !u64::from(n), 3, 4, 5], |n| [u64::from(n) << 40, 6]);
    run::<Wide, _>(OnePage, request, response);
    run::<Wide, _>(Slots::new(2).unwrap(), request, response);
}

#[test]
fn the_slots_end_where_the_region_ends() {
    for start in STARTS {
        let memory = Memory::ring_at(start, 64 + 2 * 12);
        let (mut front, mut back) = memory.ends::<Narrow, _>(Slots::new(2).unwrap());
        for n in 0..9 {
            front.push(ask(n)).unwrap();
            let _ = front.publish();
            assert_eq!(some(back.pop()), ask(n));
            back.push(answer(n)).unwrap();
            let _ = back.publish();
            assert_eq!(some(front.pop()), answer(n));
        }
        memory.assert_margins_untouched();
    }
}

#[test]
fn hc_013_a_ring_can_be_filled_to_the_last_slot() {
    for start in STARTS {
        let memory = Memory::page_at(start);
        let (mut front, mut back) = memory.ends::<Narrow, _>(Slots::new(8).unwrap());
        assert_eq!(back.push(answer(0)), Err(Full(answer(0))), "a response needs a request");
        assert_eq!(front.push_all((0..100).map(ask)), 8);
        assert_eq!((front.push(ask(9)), front.room()), (Err(Full(ask(9))), 0));
        assert_eq!((front.outstanding(), front.unpublished()), (0, 8));
        assert_eq!(front.publish(), Notify::Needed);
        assert_eq!((front.outstanding(), front.unpublished()), (8, 0));
        (0..8).for_each(|n| assert_eq!(some(back.pop()), ask(n)));
        assert!(back.pop().unwrap().is_none());
        assert_eq!(back.room(), 8);
        assert_eq!(back.push_all((0..100).map(answer)), 8);
        assert_eq!(back.publish(), Notify::Needed);
        assert_eq!(front.room(), 0, "until it takes the responses");
        (0..8).for_each(|n| assert_eq!(some(front.pop()), answer(n)));
        assert_eq!((front.room(), front.outstanding()), (8, 0));
    }
}

#[test]
fn a_drain_that_is_dropped_early_leaves_the_rest() {
    let memory = Memory::page_at(u32::MAX - 1);
    let (mut front, mut back) = memory.ends::<Narrow, _>(OnePage);
    assert_eq!(front.push_all((0..5).map(ask)), 5);
    let _ = front.publish();
    let mut drain = back.drain().unwrap();
    assert_eq!(drain.len(), 5);
    assert_eq!(drain.next().unwrap().into_unverified(), ask(0));
    drop(drain);
    assert_eq!(some(back.pop()), ask(1));
    let rest: Vec<Ask> = back.drain_or_arm().unwrap().unwrap().map(|ask| ask.into_unverified()).collect();
    assert_eq!(rest, [ask(2), ask(3), ask(4)]);
    assert_eq!(back.drain().unwrap().len(), 0);
    assert!(back.drain_or_arm().unwrap().is_none(), "armed");
    assert_eq!(back.room(), 5);
    front.push(ask(5)).unwrap();
    assert_eq!(front.publish(), Notify::Needed);
}

#[test]
fn a_batch_wakes_once_and_never_waits_for_more_than_can_come() {
    let memory = Memory::page_at(u32::MAX - 2);
    let (mut front, mut back) = memory.ends::<Narrow, _>(Slots::new(8).unwrap());
    let count = |n| NonZeroU32::new(n).unwrap();
    assert!(back.pop_or_arm_for(count(3)).unwrap().is_none());
    let publish = |front: &mut FrontRing<_, _, _>, n| {
        front.push(ask(n)).unwrap();
        front.publish().is_needed()
    };
    assert_eq!([0, 1, 2, 3].map(|n| publish(&mut front, n)), [false, false, true, false]);
    assert_eq!(back.drain().unwrap().count(), 4);
    assert!(back.pop_or_arm_for(count(100)).unwrap().is_none());
    assert_eq!([4, 5, 6, 7].map(|n| publish(&mut front, n)), [false, false, false, true], "the ring is full");
    assert_eq!(back.drain().unwrap().count(), 4);
    assert!(back.pop_or_arm_for(count(2)).unwrap().is_none());
    assert_eq!(memory.get(REQ_EVENT), 6, "nothing can come before an answer: the next one");
    assert!(front.pop_or_arm_for(count(100)).unwrap().is_none());
    assert_eq!(memory.get(RSP_EVENT), 5, "eight are outstanding");
}

#[test]
fn nothing_new_asks_for_no_event() {
    for event in [0, 6, 7, 8, 1 << 31, u32::MAX] {
        let memory = Memory::page_at(7);
        let (mut front, _) = memory.ends::<Narrow, _>(OnePage);
        memory.set(REQ_EVENT, event);
        assert_eq!((front.publish(), memory.get(REQ_PROD)), (Notify::NotNeeded, 7));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Short(u32);

impl Prefix<Ask> for Short {}

#[test]
fn a_prefix_leaves_the_rest_of_the_slot() {
    let memory = Memory::page_at(0);
    let (mut front, mut back) = memory.ends::<Narrow, _>(OnePage);
    (HEADER..memory.len()).for_each(|place| memory.set(place, 0x5555_5555));
    front.push(Short(1)).unwrap();
    let _ = front.publish();
    assert_eq!(memory.contents()[HEADER..HEADER + 4], [1, 0x5555_5555, 0x5555_5555, 0x5555_5555]);
    assert_eq!(some(back.pop()).value, [0x5555_5555; 2]);
    back.push(Answer { id: 2, status: 0 }).unwrap();
    assert_eq!(
        memory.contents()[HEADER..HEADER + 3],
        [2, 0x5555_5555, 0x5555_5555],
        "a response is shorter than its slot"
    );
}
