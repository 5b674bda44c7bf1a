//! A peer of a typed ring that writes what it likes to the shared page: messages.
#![cfg(not(loom))]

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use common::STARTS;
use common::slots::{Ask, HEADER, Memory, Narrow, REQ_PROD, RSP_PROD, Wide, answer, ask, some};
use xen_shared_ring::in_flight::{Entry, InFlight};
use xen_shared_ring::{OnePage, PeerError, Slots, Untrusted};

/// Where the words of a slot of [`Narrow`] begin.
const fn slot(index: usize) -> usize {
    HEADER + 3 * index
}

#[test]
fn hc_016_what_was_popped_does_not_change_any_more() {
    for start in STARTS {
        let memory = Memory::page_at(start);
        let (mut front, mut back) = memory.ends::<Narrow, _>(OnePage);
        front.push_all([ask(1), ask(2)]);
        let _ = front.publish();
        let first: Untrusted<Ask> = back.pop().unwrap().unwrap();
        (HEADER..memory.len()).for_each(|place| memory.set(place, 0x6666_6666));
        assert_eq!(first.into_unverified(), ask(1));
        assert_eq!(some(back.pop()).value, [0x6666_6666; 2], "not yet popped");
        back.push_all([answer(1)]);
        let _ = back.publish();
        let response = front.pop().unwrap().unwrap();
        (HEADER..memory.len()).for_each(|place| memory.set(place, 0));
        assert_eq!(response.into_unverified(), answer(1));
    }
}

/// Each word is from one moment, while another thread changes them all the time.
#[test]
fn hc_016_a_copy_has_whole_words() {
    const PATTERNS: [u32; 2] = [0x1111_1111, 0x2222_2222];
    let memory = Memory::page_at(0);
    (slot(0)..slot(8)).for_each(|place| memory.set(place, PATTERNS[0]));
    memory.set(REQ_PROD, 8);
    let (stop, rounds) = (AtomicBool::new(false), if cfg!(miri) { 2 } else { 2000 });
    let strange = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                for pattern in PATTERNS {
                    (slot(0)..slot(8)).for_each(|place| memory.set(place, pattern));
                }
            }
        });
        let whole = |ask: &Ask| {
            let first = u32::from(ask.id) | u32::from(ask.flags) << 16;
            [first, ask.value[0], ask.value[1]].iter().all(|word| PATTERNS.contains(word))
        };
        let back = |_| memory.back::<Narrow, _>(Slots::new(8).unwrap());
        let strange = (0..rounds)
            .map(back)
            .find_map(|mut back| back.drain().unwrap().map(Untrusted::into_unverified).find(|ask| !whole(ask)));
        stop.store(true, Relaxed);
        strange
    });
    assert_eq!(strange, None);
}

#[test]
fn hc_017_what_was_validated_is_what_is_used() {
    let memory = Memory::page_at(0);
    let (mut front, mut back) = memory.ends::<Narrow, _>(OnePage);
    front.push_all([ask(7), ask(8)]);
    let _ = front.publish();
    let check = |ask: &Ask| {
        memory.set(slot(0), u32::MAX);
        if ask.flags == !ask.id { Ok((ask.id, ask.value)) } else { Err("flags") }
    };
    assert_eq!(back.pop().unwrap().unwrap().validate(check), Ok((7, ask(7).value)));
    memory.set(slot(1), 0);
    assert_eq!(back.pop().unwrap().unwrap().validate(check), Err("flags"));
}

#[test]
fn hc_018_our_messages_in_shared_memory_are_not_read_back() {
    let memory = Memory::page_at(u32::MAX);
    let (mut front, mut requests) =
        (memory.front::<Narrow, _>(OnePage), InFlight::<_, u16, _>::new([const { Entry::VACANT }; 4]));
    let id = requests.insert("the shadow").unwrap();
    front.push(Ask { id, ..ask(1) }).unwrap();
    let _ = front.publish();
    requests.mark_published();
    let ours = slot(255);
    assert_eq!(memory.get(ours) as u16, id);
    (HEADER..memory.len()).for_each(|place| memory.set(place, 0xffff_ffff));
    front.push(ask(2)).unwrap();
    assert_eq!(memory.contents()[slot(0)..slot(1)], [2 | 0xfffd << 16, 2, !2]);
    assert!(memory.contents()[slot(1)..].iter().all(|word| *word == 0xffff_ffff), "only the new one was written");
    memory.set(ours, u32::from(id));
    memory.set(RSP_PROD, 0);
    assert_eq!(requests.complete(some(front.pop()).id), Ok(Some("the shadow")));
}

#[test]
fn hc_019_what_is_behind_a_message_is_neither_read_nor_written() {
    let memory = Memory::page_at(0);
    let (mut front, mut back) = memory.ends::<Wide, _>(OnePage);
    (HEADER..memory.len()).for_each(|place| memory.set(place, 0xffff_ffff));
    front.push([0; 5]).unwrap();
    assert_eq!(
        memory.contents()[HEADER..HEADER + 11],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xffff_ffff],
        "zeros are written"
    );
    let _ = front.publish();
    assert_eq!(some(back.pop()), [0; 5]);
    back.push([1, 2]).unwrap();
    assert_eq!(memory.contents()[HEADER..HEADER + 11], [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xffff_ffff]);
    (HEADER + 4..memory.len()).for_each(|place| memory.set(place, 0x7777_7777));
    let _ = back.publish();
    assert_eq!(some(front.pop()), [1, 2]);
}

#[test]
#[cfg_attr(miri, ignore = "safe code only; too slow interpreted")]
fn hc_020_an_id_of_two_halves_is_none() {
    let mut requests = InFlight::<_, u64, _>::new([const { Entry::VACANT }; 4]);
    let mut issue = || {
        let id = requests.insert(()).unwrap();
        requests.mark_published();
        requests.complete(id).unwrap();
        id
    };
    // Far enough for the generations to reach the high half.
    let first = issue();
    (0..(1 << 16) + 5).for_each(|_| _ = issue());
    let id = requests.insert(()).unwrap();
    requests.mark_published();
    for torn in [id & 0xffff_ffff | first >> 32 << 32, id >> 32 << 32 | first & 0xffff_ffff] {
        assert_eq!(requests.complete(torn), Err(PeerError::IdStale { id: torn, pending: id }));
    }
    assert_eq!(requests.complete(id), Ok(Some(())));
}
