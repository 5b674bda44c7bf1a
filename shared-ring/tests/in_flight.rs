//! The table of requests in flight, against a peer that answers what it likes.
#![cfg(not(loom))]

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;
use xen_shared_ring::in_flight::{Entry, Id, InFlight};
use xen_shared_ring::{Full, PeerError};

type Table<T, I> = InFlight<T, I, [Entry<T>; 4]>;

fn table<T, I: Id>() -> Table<T, I> {
    InFlight::new([const { Entry::VACANT }; 4])
}

/// A table with two requests that were published, and their ids.
fn with_two<I: Id>() -> (Table<&'static str, I>, I, I) {
    let mut table = table();
    let (first, second) = (table.insert("first").unwrap(), table.insert("second").unwrap());
    table.mark_published();
    (table, first, second)
}

#[test]
fn hc_023_and_hc_059_an_id_out_of_range() {
    let (mut table, ..) = with_two::<u16>();
    for id in [4, 5, 0x8000, u16::MAX] {
        assert_eq!(table.complete(id), Err(PeerError::IdOutOfRange { id: id.into(), capacity: 4 }));
    }
    let (mut table, first, _) = with_two::<u64>();
    for id in [4, 0xffff, u64::MAX, u64::MAX << 16 | 7] {
        assert_eq!(table.complete(id), Err(PeerError::IdOutOfRange { id, capacity: 4 }));
    }
    for bit in 16..64 {
        let id = first ^ 1 << bit;
        assert_eq!(table.complete(id), Err(PeerError::IdStale { id, pending: first }), "high bits are part of the id");
    }
    assert_eq!(table.len(), 2, "nothing changed");
}

#[test]
fn hc_024_an_id_that_was_never_issued() {
    let (mut table, ..) = with_two::<u16>();
    assert_eq!(table.complete(2), Err(PeerError::IdNotPending { id: 2 }));
    let (mut table, ..) = with_two::<u64>();
    assert_eq!(table.complete(3), Err(PeerError::IdNotPending { id: 3 }));
}

#[test]
fn hc_025_and_hc_060_an_id_twice() {
    fn run<I: Id + std::fmt::Debug>() {
        let (mut table, first, second) = with_two::<I>();
        assert_eq!(table.complete(first), Ok(Some("first")));
        assert_eq!(table.complete(first), Err(PeerError::IdNotPending { id: first.into() }));
        assert_eq!((table.complete(second), table.len()), (Ok(Some("second")), 0));
    }
    run::<u16>();
    run::<u64>();
}

/// With 64 bits also when the place is in use again.
#[test]
fn hc_060_an_old_id_is_not_taken_for_the_new_one() {
    let (mut table, first, _) = with_two::<u64>();
    assert_eq!(table.complete(first), Ok(Some("first")));
    let again = table.insert("again").unwrap();
    table.mark_published();
    assert_eq!((first & 0xffff, again == first), (again & 0xffff, false), "the same place");
    assert_eq!(table.complete(first), Err(PeerError::IdStale { id: first, pending: again }));
    assert_eq!(table.complete(again), Ok(Some("again")));
}

#[test]
fn hc_026_an_id_that_was_not_published() {
    fn run<I: Id + std::fmt::Debug>() {
        let (mut table, first, _) = with_two::<I>();
        let hidden = table.insert("hidden").unwrap();
        assert_eq!(table.complete(hidden), Err(PeerError::IdNotPublished { id: hidden.into() }));
        assert_eq!(table.complete(first), Ok(Some("first")), "others are");
        table.mark_published();
        assert_eq!(table.complete(hidden), Ok(Some("hidden")));
    }
    run::<u16>();
    run::<u64>();
}

#[test]
fn hc_031_and_hc_070_answers_in_any_order() {
    let (mut table, first, second) = with_two::<u16>();
    assert_eq!((table.complete(second), table.complete(first)), (Ok(Some("second")), Ok(Some("first"))));
}

#[test]
fn hc_071_an_abandoned_id_is_not_used_until_its_answer_comes() {
    let (mut table, first, _) = with_two::<u16>();
    assert_eq!(table.abandon(first), Some("first"));
    assert_eq!(table.abandon(first), None, "already");
    let others = [table.insert("third").unwrap(), table.insert("fourth").unwrap()];
    assert!(!others.contains(&first));
    assert_eq!(table.insert("fifth"), Err(Full("fifth")), "the place is not free");
}

#[test]
fn hc_072_a_late_answer_frees_the_id_and_completes_nothing() {
    let (mut table, first, _) = with_two::<u16>();
    table.abandon(first);
    assert_eq!(table.complete(first), Ok(None));
    assert_eq!(table.complete(first), Err(PeerError::IdNotPending { id: first.into() }));
    assert_eq!(table.insert("again"), Ok(first));
}

#[test]
fn what_was_not_published_can_be_withdrawn() {
    let (mut table, first, _) = with_two::<u64>();
    let hidden = table.insert("hidden").unwrap();
    assert_eq!(table.withdraw(first), None, "the peer knows of it");
    assert_eq!(table.withdraw(hidden), Some("hidden"));
    assert_eq!((table.withdraw(hidden), table.abandon(hidden), table.len()), (None, None, 2));
    assert_eq!(table.withdraw(9), None);
}

#[test]
fn the_order_of_insertion_is_kept_for_a_replay() {
    let (mut table, first, second) = with_two::<u16>();
    table.complete(first).unwrap();
    let third = table.insert("third").unwrap();
    let fourth = table.insert("fourth").unwrap();
    assert_eq!(third, first, "its place comes before the second's");
    table.abandon(fourth);
    assert_eq!(table.iter().collect::<Vec<_>>(), [(second, &"second"), (third, &"third")]);
    assert_eq!([table.take_oldest(), table.take_oldest(), table.take_oldest()], [Some("second"), Some("third"), None]);
    assert!(table.is_empty(), "abandoned ones too");
    assert_eq!((0..9).filter(|_| table.insert("anew").is_ok()).count(), 4);
}

#[test]
#[cfg_attr(miri, ignore = "safe code only; too slow interpreted")]
fn a_larger_storage_is_used_as_far_as_ids_go() {
    let places = (0..70_000).map(|_| Entry::VACANT).collect::<Vec<_>>();
    let mut table: InFlight<u32, u16, _> = InFlight::new(places);
    assert_eq!((0..).map_while(|n| table.insert(n).ok()).count(), 1 << 16);
    table.mark_published();
    assert_eq!(table.complete(u16::MAX), Ok(Some(65_535)));
    let none: InFlight<(), u64, [Entry<()>; 0]> = InFlight::new([]);
    assert!({ none }.insert(()).is_err());
}

#[test]
fn what_is_left_is_dropped_once() {
    let value = Rc::new(());
    let mut table: Table<Rc<()>, u16> = table();
    let ids = [0; 3].map(|_| table.insert(Rc::clone(&value)).unwrap());
    table.mark_published();
    drop(table.complete(ids[0]));
    drop(table.abandon(ids[1]));
    assert_eq!(Rc::strong_count(&value), 2);
    drop(table);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Publish,
    Complete(u64),
    Abandon(u64),
    Withdraw(u64),
    TakeOldest,
}

/// Ids: often small ones, with the generations and places that occur.
fn step() -> impl Strategy<Value = Step> {
    let id =
        || prop_oneof![any::<u64>(), (0..12_u64, 0..6_u64).prop_map(|(generation, place)| generation << 16 | place)];
    prop_oneof![
        4 => Just(Step::Insert),
        2 => Just(Step::Publish),
        4 => id().prop_map(Step::Complete),
        1 => id().prop_map(Step::Abandon),
        1 => id().prop_map(Step::Withdraw),
        1 => Just(Step::TakeOldest),
    ]
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    number: u32,
    published: bool,
    abandoned: bool,
}

proptest! {
    #![proptest_config(common::proptest_config())]

    /// Each request completes at most once, and only when it may. Ids grow, so that their order is that of insertion.
    #[test]
    fn agrees_with_a_map(steps in proptest::collection::vec(step(), 0..100)) {
        let (mut table, mut model) = (table::<u32, u64>(), BTreeMap::<u64, Known>::new());
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Insert => match table.insert(number) {
                    Ok(id) => prop_assert!(model.insert(id, Known { number, ..Known::default() }).is_none(), "new"),
                    Err(Full(back)) => prop_assert_eq!((back, model.len()), (number, 4)),
                },
                Step::Publish => {
                    table.mark_published();
                    model.values_mut().for_each(|known| known.published = true);
                }
                Step::Complete(id) => {
                    let expected = model.get(&id).filter(|known| known.published).copied();
                    prop_assert_eq!(table.complete(id).ok(), expected.map(|known| (!known.abandoned).then_some(known.number)));
                    expected.map(|_| model.remove(&id));
                }
                Step::Abandon(id) => {
                    let known = model.get_mut(&id).filter(|known| !known.abandoned);
                    prop_assert_eq!(table.abandon(id), known.as_ref().map(|known| known.number));
                    if let Some(known) = known {
                        known.abandoned = true;
                    }
                }
                Step::Withdraw(id) => {
                    let known = model.get(&id).filter(|known| !known.published).copied();
                    let expected = known.and_then(|known| (!known.abandoned).then_some(known.number));
                    prop_assert_eq!(table.withdraw(id), expected);
                    known.map(|_| model.remove(&id));
                }
                Step::TakeOldest => {
                    let oldest = model.iter().find(|(_, known)| !known.abandoned).map(|(id, known)| (*id, known.number));
                    prop_assert_eq!(table.take_oldest(), oldest.map(|(_, number)| number));
                    model.retain(|id, _| oldest.is_some_and(|(oldest, _)| *id > oldest));
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
    }
}
