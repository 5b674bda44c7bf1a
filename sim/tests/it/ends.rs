//! What is left of a domain that dies or goes elsewhere, and what threads may not do.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use xen_grant_table::{Access, Account, GrantTable, Limits, Mapping, Memory, Page, TableFrame};
use xen_hypercall::abi::grant_table::{GrantFlags, MapFlags};
use xen_hypercall::abi::{DomId, Gfn, Mfn};
use xen_hypercall::memory::{self, Source};
use xen_hypercall::sched::{self, Suspended};
use xen_hypercall::{Errno, Pages, version};
use xen_shared_ring::Region;
use xen_sim::{Domain, Leniency, Machine};

use crate::common::{Table, free, granted, map, page, pair, unmap, word};

const HOST: MapFlags = MapFlags::HOST_MAP;

/// The domain goes elsewhere.
fn migrate(domain: &Domain) {
    domain.migrate_on_suspend();
    // SAFETY: the tests use no memory by a mapping from before.
    assert_eq!(unsafe { sched::suspend(domain, Mfn(0)) }, Ok(Suspended::Resumed));
}

#[test]
fn a_dead_domains_mapping_keeps_its_page() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let account = Account::open(front.clone(), back.id(), Limits::exactly(8)).unwrap();
    let grant = Page::alloc(front.clone()).unwrap().grant(&account, Access::ReadWrite).unwrap();
    let mapping = Mapping::map(back.clone(), front.id(), &[grant.gref()]).unwrap();
    machine.destroy(&back);
    machine.settle();
    let refused = grant.revoke().expect_err("the dead domain's code can still write it");
    assert_eq!(mapping.memory().write(0, &[0xee; 8]), 8);
    drop(refused);
    assert_eq!(GrantTable::reap(&front, 8).freed, 0);
    drop(mapping);
    machine.settle();
    assert_eq!(GrantTable::reap(&front, 8).freed, 1, "it has let go");
}

#[test]
fn memory_that_was_left_behind_is_not_used_again() {
    let machine = Machine::new(1);
    let front = machine.domain_builder().pages(NonZeroUsize::new(4).unwrap()).build();
    let back = machine.domain();
    let (old, _, gref) = granted(&front, &back, GrantFlags::empty());
    let mapped = map(&back, front.id(), gref, HOST).unwrap();
    migrate(&front);
    assert_eq!(machine.readable_by(&back), [], "the domain is out of reach");
    let number = front.gfn(old);
    free(&front, old);
    word(back.mapped(mapped.at), 0).store(7, Relaxed);
    let pages: Vec<_> = (0..4).map(|_| page(&front)).collect();
    assert!(!pages.contains(&old) && pages.iter().any(|page| front.gfn(*page) == number));
    pages.into_iter().for_each(|page| free(&front, page));
    unmap(&back, mapped).unwrap();
    machine.assert_no_leaks();
}

#[test]
fn an_unmap_of_memory_that_was_left_behind_ends_no_new_use() {
    let machine = Machine::builder(1).allow(Leniency::PromptUnmap).build();
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, GrantFlags::empty());
    let before = map(&back, front.id(), gref, HOST).unwrap();
    migrate(&front);
    table.grant(gref.0, back.id(), front.gfn(page(&front)), GrantFlags::empty());
    let after = map(&back, front.id(), gref, HOST).unwrap();
    unmap(&back, before).unwrap();
    assert!(table.flags(gref).contains(GrantFlags::READING | GrantFlags::WRITING));
    unmap(&back, after).unwrap();
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS);
}

#[test]
fn xens_pages_are_found_under_their_new_numbers() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let before = Table::of(&domain);
    // SAFETY: nothing is at that frame.
    unsafe { memory::add_to_physmap(&domain, DomId::SELF, Source::GrantTable(0), Gfn(5)) }.unwrap();
    migrate(&domain);
    assert_eq!(domain.map_table_frame(TableFrame::Shared, 0).unwrap(), before.frame());
    assert_eq!(domain.page_at(Gfn(5)).unwrap(), before.frame());
}

#[test]
fn only_its_own_thread_uses_a_machine_outside_a_run() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let elsewhere = |work: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| scope.spawn(|| catch_unwind(AssertUnwindSafe(work)).is_ok()).join().unwrap())
    };
    assert!(!elsewhere(&|| assert!(version::version(&domain).is_ok())));
    assert!(!elsewhere(&|| drop(machine.readable_by(&domain))));
    assert!(!elsewhere(&|| machine.hostile(&domain).misbehave(1)));
    assert!(!elsewhere(&|| machine.settle()));
    assert!(elsewhere(&|| free(&domain, page(&domain))), "pages are for all");
    machine.run(|vcpus| vcpus.spawn(&domain, |domain| assert!(version::version(domain).is_ok()))).unwrap();
    assert!(version::version(&domain).is_ok(), "and it goes on");
}

#[test]
fn too_much_is_refused() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let _one = page(&domain);
    assert_eq!(domain.alloc(NonZeroUsize::MAX), None);
    assert_eq!(domain.reserve_foreign(NonZeroUsize::MAX), None);
    // SAFETY: it is refused.
    let placed = unsafe { memory::add_to_physmap(&domain, DomId::SELF, Source::GrantTable(u32::MAX), Gfn(5)) };
    assert_eq!(placed, Err(Errno::INVAL));
}
