//! A peer of a typed ring that writes what it likes to the shared page: control words.
#![cfg(not(loom))]

mod common;

use common::STARTS;
use common::slots::{HEADER, Memory, Narrow, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, answer, ask};
use xen_shared_ring::{BackRing, FrontRing, Notify, PeerError, Slots};

type Front = FrontRing<Narrow, Memory, Slots>;
type Back = BackRing<Narrow, Memory, Slots>;

const SIZE: u32 = 16;

const fn slots() -> Slots {
    Slots::new(SIZE).unwrap()
}

/// A front with five requests outstanding and three more that it did not publish.
fn front_with_five(start: u32) -> (Memory, Front) {
    let memory = Memory::page_at(start);
    let mut front: Front = memory.front(slots());
    front.push_all((0..5).map(ask));
    let _ = front.publish();
    front.push_all((5..8).map(ask));
    (memory, front)
}

/// A back that took five requests, and pushed two responses that it did not publish.
fn back_with_five(start: u32) -> (Memory, Back) {
    let memory = Memory::page_at(start);
    let mut back: Back = memory.back(slots());
    memory.set(REQ_PROD, start.wrapping_add(5));
    assert_eq!(back.drain().unwrap().count(), 5);
    assert_eq!(back.push_all((0..2).map(answer)), 2);
    (memory, back)
}

/// What the front says when the back shows a response index so far after the start.
#[track_caller]
fn front_refuses(start: u32, step: u32) {
    let (memory, mut front) = front_with_five(start);
    let now = start.wrapping_add(step);
    memory.set(RSP_PROD, now);
    let error = PeerError::Responses { before: start, now, outstanding: 5 };
    assert_eq!(front.pop().map(|_| ()), Err(error));
    assert_eq!(front.violation(), Some(error));
}

/// What the back says when the front shows a request index so far after the start, having used five of the slots.
#[track_caller]
fn back_refuses(start: u32, step: u32) {
    let (memory, mut back) = back_with_five(start);
    let now = start.wrapping_add(step);
    memory.set(REQ_PROD, now);
    let error = PeerError::Requests { before: start.wrapping_add(5), now, room: SIZE - 5 };
    assert_eq!(back.pop().map(|_| ()), Err(error));
    assert_eq!(back.violation(), Some(error));
}

#[test]
fn hc_001_more_than_is_outstanding() {
    for start in STARTS {
        front_refuses(start, 6);
        front_refuses(start, 8);
        back_refuses(start, SIZE + 1);
        back_refuses(start, SIZE + 2);
    }
}

/// ring.h compares with the size of the ring; so far the peer could go in it, and here it cannot.
#[test]
fn hc_001_control_a_check_against_the_ring_size_accepts_it() {
    let overflow = |producer: u32, consumer: u32| producer.wrapping_sub(consumer) > SIZE;
    assert!(!overflow(100 + 6, 100), "six responses to five requests");
    front_refuses(100, 6);
}

#[test]
fn hc_002_more_than_the_ring_holds() {
    for start in STARTS {
        front_refuses(start, SIZE + 1);
        back_refuses(start, 2 * SIZE);
    }
}

#[test]
fn hc_003_an_index_that_goes_back() {
    for start in STARTS {
        front_refuses(start, u32::MAX);
        back_refuses(start, 4);

        let (memory, mut front) = front_with_five(start);
        memory.set(RSP_PROD, start.wrapping_add(3));
        assert_eq!(front.drain().unwrap().count(), 3);
        memory.set(RSP_PROD, start.wrapping_add(2));
        let error = PeerError::Responses { before: start.wrapping_add(3), now: start.wrapping_add(2), outstanding: 2 };
        assert_eq!(front.pop().map(|_| ()), Err(error));
    }
}

#[test]
fn hc_004_huge_steps() {
    for step in [1 << 31, (1 << 31) - 1, u32::MAX, u32::MAX - SIZE, 1 << 16] {
        front_refuses(100, step);
        back_refuses(100, step);
    }
}

#[test]
fn hc_005_the_index_is_read_once_for_what_is_there() {
    for start in STARTS {
        let (memory, mut front) = front_with_five(start);
        memory.set(RSP_PROD, start.wrapping_add(3));
        assert!(front.pop().unwrap().is_some());
        memory.set(RSP_PROD, start.wrapping_sub(1000));
        assert!(front.pop().unwrap().is_some(), "known before");
        assert_eq!(front.drain().unwrap().count(), 1);
        assert!(front.drain().is_err(), "and now it looks again");

        let (memory, mut back) = back_with_five(start);
        memory.set(REQ_PROD, start.wrapping_add(8));
        assert!(back.pop().unwrap().is_some());
        memory.set(REQ_PROD, start);
        assert_eq!(back.drain().unwrap().count(), 2);
        assert!(back.pop().is_err());
    }
}

/// The peer adds a message whenever one was taken.
#[test]
fn hc_006_a_drain_ends_although_the_peer_goes_on() {
    for start in STARTS {
        let (memory, mut front) = front_with_five(start);
        let mut taken = 0;
        let error = loop {
            memory.set(RSP_PROD, start.wrapping_add(taken + 1));
            match front.pop_or_arm() {
                Ok(_) if taken > 5 => panic!("more than were outstanding"),
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(taken, 5);
        assert!(matches!(error, PeerError::Responses { outstanding: 0, .. }));

        let (memory, mut back) = back_with_five(start);
        let mut taken = 5;
        while taken <= SIZE {
            memory.set(REQ_PROD, start.wrapping_add(SIZE.min(taken + 1)));
            if back.pop().unwrap().is_none() {
                break;
            }
            taken += 1;
        }
        assert_eq!(taken, SIZE, "a legal peer has no room for more until an answer is published");
    }
}

#[test]
fn hc_007_our_index_in_shared_memory_is_not_read_back() {
    for start in STARTS {
        for lie in [start, start.wrapping_add(8), 0xdead_beef] {
            let (memory, mut front) = front_with_five(start);
            memory.set(REQ_EVENT, start.wrapping_add(6));
            memory.set(REQ_PROD, lie);
            assert_eq!(front.publish(), Notify::Needed, "from 5 to 8, past 6");
            assert_eq!((memory.get(REQ_PROD), front.outstanding()), (start.wrapping_add(8), 8));
            memory.set(RSP_PROD, start.wrapping_add(8));
            memory.set(REQ_PROD, lie);
            assert_eq!(front.drain().unwrap().count(), 8);

            let (memory, mut back) = back_with_five(start);
            memory.set(RSP_EVENT, start.wrapping_add(2));
            memory.set(RSP_PROD, lie);
            assert_eq!(back.publish(), Notify::Needed);
            memory.set(RSP_PROD, lie);
            assert!(back.pop().unwrap().is_none());
            back.push(answer(2)).unwrap();
            assert_eq!(back.publish(), Notify::NotNeeded, "2 was passed before");
            assert_eq!(memory.get(RSP_PROD), start.wrapping_add(3));
        }
    }
}

#[test]
fn hc_008_any_event_index_only_decides_about_the_peers_wake_up() {
    for start in STARTS {
        for event in (0..12).chain([1 << 31, (1 << 31) + 5, u32::MAX, u32::MAX - 20]) {
            let (memory, mut front) = front_with_five(start);
            memory.set(REQ_EVENT, start.wrapping_add(event));
            let expected = if (6..=8).contains(&event) { Notify::Needed } else { Notify::NotNeeded };
            assert_eq!((front.publish(), front.outstanding()), (expected, 8));

            let (memory, mut back) = back_with_five(start);
            memory.set(RSP_EVENT, start.wrapping_add(event));
            let expected = if (1..=2).contains(&event) { Notify::Needed } else { Notify::NotNeeded };
            assert_eq!((back.publish(), back.room()), (expected, 3));
        }
    }
}

#[test]
fn hc_009_our_event_index_is_written_anew_before_each_sleep() {
    for start in STARTS {
        let (memory, mut front) = front_with_five(start);
        let (_, mut back) = (memory.set(REQ_PROD, start), memory.back::<Narrow, _>(slots()));
        for lie in [0, start.wrapping_sub(1), 0xdead_beef] {
            memory.set(RSP_EVENT, lie);
            assert!(front.pop().unwrap().is_none());
            assert_eq!(memory.get(RSP_EVENT), lie, "pop does not arm");
            assert!(front.drain().unwrap().next().is_none());
            assert_eq!(memory.get(RSP_EVENT), lie, "nor does drain");
            assert!(front.pop_or_arm().unwrap().is_none());
            assert_eq!(memory.get(RSP_EVENT), start.wrapping_add(1));
            memory.set(RSP_EVENT, lie);
            assert!(front.drain_or_arm().unwrap().is_none());
            assert_eq!(memory.get(RSP_EVENT), start.wrapping_add(1));
            memory.set(REQ_EVENT, lie);
            assert!(back.pop_or_arm().unwrap().is_none());
            assert_eq!(memory.get(REQ_EVENT), start.wrapping_add(1));
        }
    }
}

#[test]
fn hc_011_the_rest_of_the_header_is_ignored() {
    let (memory, mut front) = front_with_five(100);
    (4..HEADER).for_each(|place| memory.set(place, 0xffff_ffff));
    memory.set(RSP_PROD, 105);
    assert_eq!(front.drain().unwrap().count(), 5);
    assert!((4..HEADER).all(|place| memory.get(place) == 0xffff_ffff), "and not written");
}

/// What is behind the pages that the back did not map is what the front put there, which is no violation of any kind.
#[test]
fn hc_015_a_back_that_maps_only_some_pages() {
    for start in STARTS {
        let memory = Memory::ring_at(start, 4 * 4096);
        let slots = Slots::in_pages::<Narrow>(2).unwrap();
        let mut front: Front = memory.front(slots);
        assert_eq!(front.push_all((0..).map(ask)), slots.count());
        assert!(front.publish().is_needed());
        memory.set(RSP_PROD, start.wrapping_add(slots.count()));
        let responses = front.drain().unwrap().map(|response| response.into_unverified());
        assert_eq!(responses.filter(|response| response.status == !(response.id as i16)).count() as u32, slots.count());
        assert_eq!(front.violation(), None);
        memory.assert_margins_untouched();
    }
}

/// As a network's receive ring needs it.
#[test]
fn messages_have_their_index() {
    for start in STARTS {
        let (memory, mut front) = front_with_five(start);
        assert_eq!((front.next_push(), front.next_pop()), (start.wrapping_add(8), start));
        memory.set(RSP_PROD, start.wrapping_add(2));
        assert!(front.pop().unwrap().is_some());
        assert_eq!(front.next_pop(), start.wrapping_add(1));
        assert_eq!(front.drain().unwrap().count(), 1);
        assert_eq!(front.next_pop(), start.wrapping_add(2));
    }
}

#[test]
fn hc_013_all_that_is_possible_is_accepted() {
    for start in STARTS {
        let (memory, mut front) = front_with_five(start);
        memory.set(RSP_PROD, start.wrapping_add(5));
        assert_eq!(front.drain().unwrap().count(), 5);
        let (memory, mut back) = back_with_five(start);
        let _ = back.publish();
        memory.set(REQ_PROD, start.wrapping_add(SIZE + 2));
        assert_eq!(back.drain().unwrap().count() as u32, SIZE - 3, "two answers made room for two");
    }
}

#[test]
fn hc_014_a_response_to_nothing_and_a_request_into_a_full_ring() {
    for start in STARTS {
        let memory = Memory::page_at(start);
        let mut front: Front = memory.front(slots());
        let now = start.wrapping_add(1);
        memory.set(RSP_PROD, now);
        assert_eq!(front.pop_or_arm().map(|_| ()), Err(PeerError::Responses { before: start, now, outstanding: 0 }));

        let mut back: Back = memory_with_requests(start, SIZE).back(slots());
        assert_eq!(back.drain().unwrap().count() as u32, SIZE);
        let mut front_goes_on: Back = memory_with_requests(start, SIZE + 1).back(slots());
        let error = PeerError::Requests { before: start, now: start.wrapping_add(SIZE + 1), room: SIZE };
        assert_eq!(front_goes_on.violation(), Some(error), "broken from the start");
        assert_eq!(front_goes_on.pop().map(|_| ()), Err(error));
    }
}

fn memory_with_requests(start: u32, count: u32) -> Memory {
    let memory = Memory::page_at(start);
    memory.set(REQ_PROD, start.wrapping_add(count));
    memory
}

/// A front that takes its ring over with nothing outstanding.
#[test]
fn a_front_that_reconnects_to_unanswered_requests_is_told() {
    let memory = Memory::page_at(100);
    memory.set(REQ_PROD, 103);
    let front: Front = memory.front(slots());
    assert_eq!(front.violation(), Some(PeerError::Responses { before: 103, now: 100, outstanding: 0 }));
    memory.set(RSP_PROD, 103);
    assert_eq!(memory.front::<Narrow, _>(slots()).violation(), None);
}

#[test]
fn the_first_violation_stays_when_the_peer_repairs_its_index() {
    for start in STARTS {
        let (memory, mut front) = front_with_five(start);
        memory.set(RSP_PROD, start.wrapping_sub(1));
        let error = front.pop().map(|_| ()).unwrap_err();
        for index in [0, 1, 3, 5] {
            memory.set(RSP_PROD, start.wrapping_add(index));
            let before = memory.contents();
            assert_eq!(front.pop().map(|_| ()), Err(error));
            assert_eq!(front.pop_or_arm().map(|_| ()), Err(error));
            assert_eq!(front.drain().map(|_| ()), Err(error));
            assert_eq!(front.drain_or_arm().map(|_| ()), Err(error));
            assert!(front.push(ask(9)).is_err());
            assert_eq!((front.publish(), front.violation()), (Notify::NotNeeded, Some(error)));
            assert_eq!((front.room(), front.unpublished(), front.outstanding()), (0, 0, 0));
            assert_eq!(memory.contents(), before, "nothing is written any more");
        }
    }
}

#[test]
fn a_violation_that_the_driver_found_breaks_the_ring_and_the_first_one_stays() {
    let (memory, mut back) = back_with_five(100);
    memory.set(REQ_PROD, 107);
    assert!(back.pop().unwrap().is_some());
    let (first, second) = (PeerError::IdNotPending { id: 1 }, PeerError::IdNotPending { id: 2 });
    back.set_broken(first);
    back.set_broken(second);
    assert_eq!((back.violation(), back.pop().map(|_| ())), (Some(first), Err(first)), "the one known of is not taken");
    assert_eq!((back.room(), back.push(answer(9)).is_err(), back.publish()), (0, true, Notify::NotNeeded));
    assert_eq!(memory.get(RSP_PROD), 100, "the two answers stay hidden");
}
