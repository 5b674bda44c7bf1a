//! What a hostile domain can do, and what it cannot.

use std::sync::atomic::Ordering::Relaxed;

use xen_grant_table::Memory;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::event_channel::State;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef, MapFlags, Status};
use xen_hypercall::{Errno, Pages, event_channel, version};
use xen_sim::{Access, Leniency, Machine};

use crate::common::{free, granted, map, page, pair, unmap, word};

#[test]
fn it_reaches_what_was_granted_to_it_and_nothing_else() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let third = machine.domain();
    let (writable, table, gref) = granted(&front, &back, GrantFlags::empty());
    let readable = page(&front);
    table.grant(9, back.id(), front.gfn(readable), GrantFlags::READONLY);
    table.grant(10, third.id(), front.gfn(page(&front)), GrantFlags::empty());
    let hostile = machine.hostile(&back);
    let targets = hostile.targets();
    let found: Vec<_> = targets.iter().map(|target| (target.gref, target.access)).collect();
    assert_eq!(found, [(gref, Access::ReadWrite), (GrantRef(9), Access::ReadOnly)]);
    hostile.write(&targets[0], 4092, &[1; 8]).unwrap();
    assert_eq!(word(writable, 4092).load(Relaxed), 0x0101_0101, "cut at the page's end");
    assert_eq!(hostile.write(&targets[1], 0, &[1]), Err(Status::GENERAL_ERROR));
    word(readable, 0).store(7, Relaxed);
    assert_eq!(hostile.read(&targets[1]).unwrap()[0], 7);
    assert_eq!(hostile.steal(front.id(), GrantRef(9), 0, 4).unwrap(), 7u32.to_ne_bytes());
    assert_eq!(hostile.steal(front.id(), GrantRef(10), 0, 4), Err(Status::GENERAL_ERROR));
    table.clear(gref);
    assert_eq!(hostile.write(&targets[0], 0, &[1]), Err(Status::GENERAL_ERROR), "the leave has ended");
}

#[test]
fn what_it_holds_it_keeps() {
    let machine = Machine::builder(1).allow(Leniency::PromptUnmap).build();
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, GrantFlags::empty());
    let hostile = machine.hostile(&back);
    let held = hostile.hold(front.id(), gref, Access::ReadWrite).unwrap();
    assert!(table.flags(gref).contains(GrantFlags::WRITING));
    let target = hostile.targets()[0];
    hostile.write(&target, 0, &[9]).unwrap();
    assert_eq!(word(page, 0).load(Relaxed), 9);
    hostile.let_go(held).unwrap();
    assert_eq!(hostile.let_go(held), Err(Status::BAD_HANDLE));
    table.clear(gref);
    free(&front, page);
    assert_eq!(hostile.targets(), []);
}

#[test]
fn its_death_closes_ports_and_leaves_it_what_it_has_mapped() {
    let machine = Machine::builder(1).allow(Leniency::PromptUnmap).build();
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, GrantFlags::empty());
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    let open = event_channel::alloc_unbound(&front, DomId::SELF, back.id()).unwrap();
    event_channel::bind_interdomain(&back, front.id(), open).unwrap();
    machine.hostile(&back).die();
    assert_eq!(event_channel::status(&front, DomId::SELF, open).unwrap().status, State::UNBOUND);
    assert_eq!(event_channel::send(&front, open), Ok(()));
    assert!(table.flags(gref).contains(GrantFlags::WRITING), "Xen lets go of a dead domain's pages late");
    let after = event_channel::alloc_unbound(&back, DomId::SELF, front.id());
    assert_eq!(after, Err(Errno::SRCH), "the dead make no calls");
    assert_eq!(version::version(&back), Err(Errno::SRCH));
    assert_eq!(map(&front, back.id(), GrantRef(8), MapFlags::HOST_MAP).unwrap_err(), Status::BAD_DOMAIN);
    unmap(&back, mapped).unwrap();
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS);
}

#[test]
fn misbehaviour_is_replayed_from_the_seed() {
    let run = |seed| {
        let machine = Machine::new(seed);
        let (front, back) = pair(&machine);
        let (page, ..) = granted(&front, &back, GrantFlags::empty());
        let open = event_channel::alloc_unbound(&front, DomId::SELF, back.id()).unwrap();
        event_channel::bind_interdomain(&back, front.id(), open).unwrap();
        machine.hostile(&back).misbehave(if cfg!(miri) { 30 } else { 300 });
        let words: Vec<u32> = (0..1024).map(|i| word(page, 4 * i).load(Relaxed)).collect();
        (words, machine.trace())
    };
    let (words, trace) = run(1);
    assert!(words.iter().any(|word| *word != 0), "it has written something");
    let text = trace.to_string();
    assert!(["writes", "signals", "maps entry", "lets go"].iter().filter(|what| text.contains(**what)).count() >= 3);
    assert_eq!(run(1), (words, trace));
    assert_ne!(run(2).0, run(1).0);
}

#[test]
fn misbehaviour_leaves_nothing_behind() {
    let machine = Machine::new(3);
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, GrantFlags::empty());
    machine.hostile(&back).misbehave(50);
    machine.settle();
    table.clear(gref);
    free(&front, page);
    machine.assert_no_leaks();
}

#[test]
fn a_canary_is_seen_only_where_it_can_be() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (shared, table, gref) = granted(&front, &back, GrantFlags::READONLY);
    let private = page(&front);
    let canary = 0x5ec2_e7ca_u32;
    word(private, 40).store(canary, Relaxed);
    machine.assert_hidden_from(&back, &canary.to_ne_bytes());
    word(shared, 40).store(canary, Relaxed);
    let pages = machine.readable_by(&back);
    assert_eq!((pages.len(), pages[0].gref, pages[0].access), (1, gref, Access::ReadOnly));
    assert_eq!(pages[0].find(&canary.to_ne_bytes()), Some(40));
    let seen = std::panic::catch_unwind(|| machine.assert_hidden_from(&back, &canary.to_ne_bytes()));
    let text = *seen.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("domain 2 can read the secret at 0x28"), "{text}");
    table.clear(gref);
    machine.assert_hidden_from(&back, &canary.to_ne_bytes());
}

#[test]
fn a_canary_is_seen_in_a_page_that_is_still_mapped() {
    let machine = Machine::builder(1).record_violations().build();
    let (front, back) = pair(&machine);
    let (shared, table, gref) = granted(&front, &back, GrantFlags::READONLY);
    let mapped = map(&back, front.id(), gref, MapFlags::HOST_MAP | MapFlags::READONLY).unwrap();
    table.clear(gref);
    word(shared, 0).store(0x1122_3344, Relaxed);
    assert_eq!(machine.readable_by(&back)[0].find(&0x1122_3344u32.to_ne_bytes()), Some(0));
    unmap(&back, mapped).unwrap();
    assert_eq!(machine.readable_by(&back).len(), 0);
    assert_eq!(machine.violations().len(), 1, "and the front's mistake is found");
    let _ = back.reserve_foreign(std::num::NonZeroUsize::MIN);
    let _ = back.alloc(std::num::NonZeroUsize::MIN);
}
