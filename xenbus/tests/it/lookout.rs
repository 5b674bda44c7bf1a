//! Looking out for devices of one kind, without waiting for xenstore while there are none.

use std::iter::empty;
use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_sim::{Device, Domain, Machine, Reaction, Requests, When};
use xen_xenbus::Store;
use xen_xenbus::bus::{Change, Lookout};
use xen_xenbus::wire::MessageType;

use crate::common::guest;

const SECOND: Duration = Duration::from_secs(1);
/// More than a call that is not waited for takes, and less than one that is, where nobody answers.
const SOON: Duration = Duration::from_millis(1);

fn device(domain: &Domain, kind: &str) -> Device {
    Device::new(kind, 7, domain.id(), DomId(0))
}

/// Looks and waits, for a second, until there are changes.
fn changes(lookout: &mut Lookout<Domain>, store: &Store<Domain>) -> Vec<Change> {
    let end = store.now() + SECOND;
    loop {
        let changes = lookout.look(store, store.now());
        if !changes.is_empty() || store.now() >= end {
            return changes;
        }
        let until = lookout.next_deadline(false).map_or(end, |next| next.min(end));
        store.wait_with(empty(), until).unwrap();
    }
}

fn setup(seed: u64) -> (Machine, Domain, Store<Domain>, Lookout<Domain>) {
    let (machine, domain, store) = guest(seed);
    let lookout = Lookout::new(&store, "vif").unwrap();
    (machine, domain, store, lookout)
}

#[test]
fn nobody_waits_for_an_answer_that_there_is_nothing() {
    let (machine, _domain, store, mut lookout) = setup(1);
    machine.xenstore().script(Requests::of(MessageType::DIRECTORY), When::Always, Reaction::Ignore);
    let start = store.now();
    for _ in 0..10 {
        assert!(lookout.look(&store, store.now()).is_empty());
    }
    assert!(store.now() - start < SOON, "{:?}", store.now() - start);
    assert_eq!(lookout.next_deadline(false), None, "the answer ends a wait");
}

#[test]
fn a_device_is_found_whenever_it_comes() {
    for seed in 0..50 {
        let (machine, domain, store, mut lookout) = setup(seed);
        // Before the question, between it and its answer, or later.
        let turns = seed % 10;
        for _ in 0..turns {
            assert!(lookout.look(&store, store.now()).is_empty());
        }
        machine.xenstore().plug(&device(&domain, "vif"));
        assert!(matches!(&changes(&mut lookout, &store)[..], [Change::Added(_)]), "after {turns} turns");
        machine.xenstore().remove_device(&device(&domain, "vif"));
        assert!(matches!(&changes(&mut lookout, &store)[..], [Change::Removed(_)]), "after {turns} turns");
    }
}

#[test]
fn devices_of_other_kinds_cost_nothing() {
    let (machine, domain, store, mut lookout) = setup(3);
    assert!(changes(&mut lookout, &store).is_empty());
    let before = store.statistics().requests;
    machine.xenstore().plug(&device(&domain, "vbd"));
    assert!(changes(&mut lookout, &store).is_empty());
    assert_eq!(store.statistics().requests, before);
}

/// The answer may have been taken in while something else was waited for.
#[test]
fn an_answer_that_nobody_has_taken_ends_a_wait() {
    let (_machine, _domain, store) = guest(4);
    let mut call = store.read("domid");
    assert!(call.try_wait().is_none());
    // Takes in both answers.
    store.read("name").wait().unwrap_or_default();
    let start = store.now();
    store.wait_with(empty(), start + SECOND).unwrap();
    assert!(store.now() - start < SOON);
    assert!(call.try_wait().is_some());
}

#[test]
fn the_wanted_device_of_the_lowest_number_is_found_or_none_in_time() {
    let (machine, domain, store, mut lookout) = setup(5);
    let until = store.now() + SECOND;
    assert_eq!(lookout.find(&store, |_| true, until).unwrap(), None);
    assert!((until..until + SOON).contains(&store.now()));
    for number in [9, 7, 8] {
        machine.xenstore().plug(&Device::new("vif", number, domain.id(), DomId(0)));
    }
    let mut find = |from: u32| {
        let found = lookout.find(&store, |device| device.name().id >= from, store.now() + SECOND).unwrap();
        found.map(|device| device.name().id)
    };
    assert_eq!((find(0), find(8), find(10)), (Some(7), Some(8), None));
}

/// Something changes with each look, and is known of before it is waited for.
#[test]
fn changes_without_end_do_not_prolong_a_search() {
    let (machine, domain, store, mut lookout) = setup(6);
    machine.xenstore().plug(&device(&domain, "vif"));
    let path = format!("/local/domain/{}/device/vif/7/news", domain.id());
    let until = store.now() + SECOND / 10;
    let refuses = |_: &xen_xenbus::bus::Device| {
        machine.xenstore().write(&path, "some");
        machine.settle();
        store.poll();
        false
    };
    assert_eq!(lookout.find(&store, refuses, until).unwrap(), None);
    assert!((until..until + 10 * SOON).contains(&store.now()), "{:?}", store.now() - until);
}
