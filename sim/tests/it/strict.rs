//! Each strictness of the simulator finds the mistake that it is for, and lets the correct use pass.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering::Relaxed;

use xen_grant_table::Memory;
use xen_hypercall::abi::grant_table::{GrantFlags, MapFlags, MapGrantRef};
use xen_hypercall::abi::{DomId, Port};
use xen_hypercall::{Pages, event_channel, grant_table};
use xen_sim::{Leniency, Machine, Violation};

use crate::common;
use crate::common::{Table, free, granted, map, page, pair, unmap, word};

const NONE: GrantFlags = GrantFlags::empty();

/// A machine whose violations are looked at.
fn recording() -> Machine {
    Machine::builder(1).record_violations().allow(Leniency::PromptUnmap).build()
}

#[test]
fn pages_are_zeroed_for_their_owner() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().pages(NonZeroUsize::MIN).build();
    let first = page(&domain);
    word(first, 0).store(7, Relaxed);
    free(&domain, first);
    assert_eq!(word(page(&domain), 0).load(Relaxed), 0);
}

#[test]
fn a_page_written_after_it_was_given_back_is_found() {
    for written in [false, true] {
        let machine = recording();
        let domain = machine.domain_builder().pages(NonZeroUsize::MIN).build();
        let page = page(&domain);
        free(&domain, page);
        if written {
            word(page, 12).store(7, Relaxed);
        }
        let _again = common::page(&domain);
        let found = matches!(machine.violations()[..], [Violation::WrittenAfterFree { offset: 12, .. }]);
        assert_eq!(found, written);
        assert_eq!(machine.violations().is_empty(), !written);
    }
}

#[test]
fn freed_pages_are_poisoned() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let page = page(&domain);
    free(&domain, page);
    assert_eq!(word(page, 400).load(Relaxed), 0xd5d5_d5d5);
}

#[test]
fn a_page_given_back_twice_is_found() {
    let machine = recording();
    let domain = machine.domain();
    let page = page(&domain);
    free(&domain, page);
    assert_eq!(machine.violations(), []);
    free(&domain, page);
    assert!(matches!(machine.violations()[..], [Violation::FreedUnallocated { .. }]));
}

#[test]
fn a_page_given_back_while_granted_is_found() {
    let machine = recording();
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, NONE);
    let gfn = front.gfn(page);
    free(&front, page);
    let expected = Violation::FreedWhileGranted { domain: front.id(), page: gfn, gref, to: back.id() };
    assert_eq!(machine.violations(), [expected]);
    table.clear(gref);
    free(&front, page);
    assert_eq!(machine.violations().len(), 1, "with the entry ended it is in order");
}

#[test]
fn a_page_given_back_while_mapped_is_found() {
    let machine = recording();
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, NONE);
    let gfn = front.gfn(page);
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    free(&front, page);
    let expected = Violation::FreedWhileMapped { domain: front.id(), page: gfn, gref, by: back.id() };
    assert_eq!(machine.violations(), [expected]);
    unmap(&back, mapped).unwrap();
    table.clear(gref);
    free(&front, page);
    assert_eq!(machine.violations().len(), 1);
}

#[test]
fn an_entry_that_is_cleared_while_in_use_is_found() {
    let machine = recording();
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, NONE);
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    assert_eq!(machine.violations(), []);
    table.clear(gref);
    unmap(&back, mapped).unwrap();
    let (domain, page) = (front.id(), front.gfn(page));
    assert_eq!(machine.violations(), [Violation::EntryChangedInUse { domain, gref, page, by: back.id() }]);
}

#[test]
fn a_reference_that_is_used_twice_is_found() {
    let machine = recording();
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, NONE);
    map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    let second = common::page(&front);
    table.grant(gref.0, back.id(), front.gfn(second), GrantFlags::READING | GrantFlags::WRITING);
    map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    assert!(matches!(machine.violations()[..], [Violation::EntryChangedInUse { .. }]));
}

#[test]
fn a_grant_of_a_page_that_is_free_is_found() {
    let machine = recording();
    let (front, back) = pair(&machine);
    let (freed, table) = (page(&front), Table::of(&front));
    let gfn = front.gfn(freed);
    free(&front, freed);
    let gref = table.grant(9, back.id(), gfn, NONE);
    map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    assert_eq!(machine.violations(), [Violation::GrantOfFreePage { domain: front.id(), gref, page: gfn }]);
    front.gfn(freed);
    assert!(matches!(machine.violations()[1..], [Violation::NumberOfFreePage { .. }]));
}

#[test]
fn foreign_addresses_are_checked() {
    let machine = recording();
    let (front, back) = pair(&machine);
    let (_, _, gref) = granted(&front, &back, NONE);
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    back.mapped(mapped.at);
    assert_eq!(machine.violations(), []);
    // SAFETY: it is refused.
    unsafe { back.release_foreign(mapped.at) };
    assert!(matches!(machine.violations()[..], [Violation::BadForeignAddress { .. }]), "something is mapped there");
    unmap(&back, mapped).unwrap();
    // SAFETY: reserved, and nothing is mapped.
    unsafe { back.release_foreign(mapped.at) };
    assert_eq!(machine.violations().len(), 1);
}

#[test]
fn input_fields_are_overwritten() {
    for lenient in [false, true] {
        let builder = Machine::builder(1);
        let machine = if lenient { builder.allow(Leniency::KeepArguments) } else { builder }.build();
        let (front, back) = pair(&machine);
        let (_, _, gref) = granted(&front, &back, NONE);
        let at = back.reserve_foreign(NonZeroUsize::MIN).unwrap();
        let host_addr = back.host_address(at);
        let flags = MapFlags::HOST_MAP;
        let mut operations = [MapGrantRef { host_addr, flags, gref, dom: front.id(), ..MapGrantRef::default() }];
        // SAFETY: a fresh address, which nobody uses.
        unsafe { grant_table::map(&back, &mut operations) }.unwrap();
        assert_eq!(operations[0].host_addr == host_addr && operations[0].gref == gref, lenient);
        operations[0].status.check().unwrap();
    }
}

#[test]
fn an_unmap_is_seen_later() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, NONE);
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    unmap(&back, mapped).unwrap();
    assert!(table.flags(gref).contains(GrantFlags::READING), "not yet");
    for _ in 0..8 {
        let _ = back.now();
    }
    assert!(!table.flags(gref).contains(GrantFlags::READING), "but soon");
}

#[test]
#[should_panic(expected = "seed 5: domain 1 gave back frame")]
fn a_violation_panics_with_the_seed() {
    let machine = Machine::new(5);
    let (front, back) = pair(&machine);
    let (page, ..) = granted(&front, &back, NONE);
    free(&front, page);
}

#[test]
fn leaks_are_found_and_named() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let kept = page(&front);
    let before = machine.checkpoint();
    let (page, table, gref) = granted(&front, &back, NONE);
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    let port = event_channel::alloc_unbound(&front, DomId::SELF, back.id()).unwrap();
    let leaks = machine.leaks_since(&before);
    let (domain, frame) = (front.id(), front.gfn(page));
    let expected = [
        Violation::LeakedPage { domain, page: frame },
        Violation::LeakedGrant { domain, gref, to: back.id() },
        Violation::LeakedMapping { domain: back.id(), handle: mapped.handle, of: domain },
        Violation::LeakedPort { domain, port },
    ];
    assert_eq!(leaks, expected);
    assert_eq!(port, Port(1));
    event_channel::close(&front, port).unwrap();
    unmap(&back, mapped).unwrap();
    machine.settle();
    table.clear(gref);
    free(&front, page);
    machine.assert_no_leaks_since(&before);
    free(&front, kept);
    machine.assert_no_leaks();
}

#[test]
#[should_panic(expected = "still has frame")]
fn a_leak_fails_the_test() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let _leaked = page(&domain);
    machine.assert_no_leaks();
}
