//! Devices as they come and go, in a tree in memory.

use alloc::string::ToString;

use proptest::prelude::*;
use xen_hypercall::abi::domain::DomId;

use super::super::tree::Tree;
use super::*;

fn plug(tree: &Tree, name: &str, domain: u16) {
    tree.set(&format!("device/{name}/backend"), format!("/local/domain/{domain}/backend/{name}"));
    tree.set(&format!("device/{name}/backend-id"), domain.to_string());
    tree.set(&format!("device/{name}/state"), "1");
}

fn unplug(tree: &Tree, name: &str) {
    tree.remove(&format!("device/{name}"));
}

fn look(tree: &Tree, enumerator: &mut Enumerator) -> Vec<String> {
    let listing = Listing::read(tree, enumerator).unwrap();
    let tell = |change| match change {
        Change::Added(device) => format!("+{}#{}", device.name(), device.generation().0),
        Change::Removed(device) => format!("-{}#{}", device.name(), device.generation().0),
        Change::Replaced { old, new } => format!("{}#{}>{}", old.name(), old.generation().0, new.generation().0),
    };
    enumerator.update(listing).into_iter().map(tell).collect()
}

#[test]
fn fault_06_devices_come_and_go() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    assert!(look(&tree, &mut enumerator).is_empty(), "no directory, no device");
    plug(&tree, "vif/0", 0);
    plug(&tree, "vbd/51712", 3);
    tree.set("device/suspend/event-channel", "");
    tree.set("device/vbd/51728/state", "1");
    assert_eq!(look(&tree, &mut enumerator), ["+vbd/51712#1", "+vif/0#2"]);
    assert!(look(&tree, &mut enumerator).is_empty(), "a look for nothing");
    unplug(&tree, "vif/0");
    plug(&tree, "vbd/51728", 0);
    assert_eq!(look(&tree, &mut enumerator), ["-vif/0#2", "+vbd/51728#3"]);
}

#[test]
fn fault_06_a_hundred_cycles_leave_nothing_behind() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    for cycle in 1..=100 {
        plug(&tree, "vif/0", 0);
        assert_eq!(look(&tree, &mut enumerator), [format!("+vif/0#{cycle}")]);
        unplug(&tree, "vif/0");
        assert_eq!(look(&tree, &mut enumerator), [format!("-vif/0#{cycle}")]);
    }
    assert_eq!(enumerator.devices().count(), 0);
}

#[test]
fn hc_107_a_device_that_was_replaced_between_two_looks_is_another_one() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    plug(&tree, "vif/0", 3);
    look(&tree, &mut enumerator);
    unplug(&tree, "vif/0");
    plug(&tree, "vif/0", 4);
    assert_eq!(look(&tree, &mut enumerator), ["vif/0#1>2"]);
}

#[test]
fn hc_108_another_backend_under_the_same_name_is_another_device() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    plug(&tree, "vif/0", 3);
    look(&tree, &mut enumerator);
    tree.set("device/vif/0/backend-id", "4");
    assert_eq!(look(&tree, &mut enumerator), ["vif/0#1>2"]);
    assert_eq!(enumerator.devices().next().unwrap().backend().domain, DomId(4));
    tree.set("device/vif/0/backend", "/elsewhere");
    assert_eq!(look(&tree, &mut enumerator), ["vif/0#2>3"]);
}

#[test]
fn hc_108_what_was_forgotten_is_found_anew_unless_it_is_known_by_then() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    plug(&tree, "vif/0", 3);
    look(&tree, &mut enumerator);
    let first = enumerator.devices().next().unwrap().clone();
    enumerator.forget(&first);
    assert_eq!(look(&tree, &mut enumerator), ["+vif/0#2"]);
    enumerator.forget(&first);
    assert!(look(&tree, &mut enumerator).is_empty(), "that was another generation");
}

#[test]
fn fault_25_after_a_resume_every_device_is_another_one_and_some_are_gone() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    plug(&tree, "vif/0", 0);
    plug(&tree, "vif/1", 0);
    look(&tree, &mut enumerator);
    enumerator.resumed();
    unplug(&tree, "vif/0");
    plug(&tree, "vif/2", 0);
    assert_eq!(look(&tree, &mut enumerator), ["-vif/0#1", "vif/1#2>3", "+vif/2#4"]);
    assert!(look(&tree, &mut enumerator).is_empty());
}

#[test]
fn a_flood_of_devices_is_counted_and_pushes_none_out() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::with_most(2));
    plug(&tree, "vif/7", 0);
    plug(&tree, "vif/8", 0);
    look(&tree, &mut enumerator);
    (0..7).for_each(|id| plug(&tree, &format!("vif/{id}"), 0));
    tree.reads.set(0);
    assert!(look(&tree, &mut enumerator).is_empty());
    assert_eq!(enumerator.left_out().too_many, 7);
    assert_eq!(tree.reads.get(), 2 + 2 * 3, "nothing is read of those left out");
    unplug(&tree, "vif/7");
    assert_eq!(look(&tree, &mut enumerator), ["-vif/7#1", "+vif/0#3"]);
}

#[test]
fn a_flood_of_kinds_costs_a_bounded_number_of_requests() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    (0..1000).for_each(|kind| tree.set(&format!("device/kind{kind}/0/state"), "1"));
    look(&tree, &mut enumerator);
    assert!(tree.reads.get() <= 1 + MOST_KINDS + 3 * MOST_DEVICES);
}

#[test]
fn devices_of_one_kind_cost_nothing_for_others() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::of_kind("vif"));
    assert!(look(&tree, &mut enumerator).is_empty());
    assert_eq!(tree.reads.get(), 1);
    plug(&tree, "vif/0", 0);
    plug(&tree, "vbd/51712", 3);
    tree.reads.set(0);
    assert_eq!(look(&tree, &mut enumerator), ["+vif/0#1"]);
    assert_eq!(tree.reads.get(), 1 + 3);
    unplug(&tree, "vif/0");
    assert_eq!(look(&tree, &mut enumerator), ["-vif/0#1"]);
}

#[test]
fn a_malformed_device_is_counted_and_the_others_live() {
    let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
    plug(&tree, "vif/0", 0);
    plug(&tree, "vif/1", 0);
    tree.set("device/vif/0/backend-id", "-1");
    assert_eq!(look(&tree, &mut enumerator), ["+vif/1#1"]);
    assert_eq!(enumerator.left_out().malformed, 1);
}

proptest! {
    /// Whatever comes and goes, what is known is what was there, and no generation comes twice.
    #[test]
    fn fault_06_what_is_known_is_what_is_there(steps in proptest::collection::vec((0_u8..4, 0_u32..6, 0_u16..3), 0..60)) {
        let (tree, mut enumerator, mut last) = (Tree::default(), Enumerator::new(), Generation(0));
        for (step, id, domain) in steps {
            match step {
                0 => plug(&tree, &format!("vif/{id}"), domain),
                1 => unplug(&tree, &format!("vif/{id}")),
                2 => enumerator.resumed(),
                _ => {
                    let listing = Listing::read(&tree, &enumerator).unwrap();
                    for change in enumerator.update(listing) {
                        if let Change::Added(new) | Change::Replaced { new, .. } = change {
                            prop_assert!(new.generation() > last);
                            last = new.generation();
                        }
                    }
                    let known: Vec<_> = enumerator.devices().map(Device::name).cloned().collect();
                    let there = tree.list("device/vif").unwrap().unwrap_or_default();
                    let there: Vec<_> = there.iter().filter_map(|id| Name::of_entry("vif", id)).collect();
                    prop_assert_eq!(known, there);
                }
            }
        }
    }
}
