//! Pages that a balloon driver gives up and takes back.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use xen_hypercall::abi::grant_table::GrantFlags;
use xen_hypercall::abi::memory::MemFlags;
use xen_hypercall::abi::{DomId, Gfn, Mfn};
use xen_hypercall::{Errno, Pages, memory, sched};
use xen_sim::{Domain, Leniency, Limit, Machine, Violation};

use crate::common::{Table, free, granted, page, pair, word};

fn give_up(domain: &Domain, frames: &[Gfn]) -> Result<usize, Errno> {
    // SAFETY: nothing refers to the pages, or the test is about what the simulator says to it.
    unsafe { memory::decrease_reservation(domain, frames, 0) }
}

fn take_back(domain: &Domain, frames: &[Gfn]) -> Result<usize, Errno> {
    // SAFETY: nothing is there.
    unsafe { memory::populate_physmap(domain, &mut frames.to_vec(), 0, MemFlags::empty()) }
}

#[test]
fn pages_go_and_come_back_empty() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().pages(NonZeroUsize::new(4).unwrap()).build();
    let before = machine.checkpoint();
    let pages = [(); 3].map(|()| page(&domain));
    let frames = pages.map(|page| domain.gfn(page));
    word(pages[0], 0).store(77, Ordering::Relaxed);
    assert_eq!(give_up(&domain, &frames), Ok(3));
    assert_eq!(memory::current_reservation(&domain, DomId::SELF).unwrap().0, 1);
    assert_eq!(give_up(&domain, &frames), Ok(0), "they are gone");
    assert_eq!(domain.gfn(pages[0]), frames[0], "a page's place is known while it is away");
    machine.assert_no_leaks_since(&before);
    assert_eq!(take_back(&domain, &frames[..2]), Ok(2));
    assert_eq!(word(pages[0], 0).load(Ordering::Relaxed), 0);
    assert_eq!(take_back(&domain, &frames), Ok(0), "the first is there already");
    free(&domain, pages[0]);
    free(&domain, pages[1]);
    machine.assert_no_leaks_since(&before);
}

#[test]
fn no_more_comes_back_than_there_is() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let frames = [(); 4].map(|()| domain.gfn(page(&domain)));
    assert_eq!(give_up(&domain, &frames), Ok(4));
    machine.faults().limit(&domain, Limit::Pages(3));
    assert_eq!(take_back(&domain, &frames), Ok(3));
    assert_eq!(take_back(&domain, &frames[3..]), Ok(0));
    machine.faults().limit(&domain, Limit::Pages(4));
    assert_eq!(take_back(&domain, &frames[3..]), Ok(1));
}

#[test]
fn a_granted_page_that_is_given_up_is_found() {
    let machine = Machine::builder(1).record_violations().build();
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, GrantFlags::empty());
    let frame = front.gfn(page);
    assert_eq!(give_up(&front, &[frame]), Ok(0));
    let expected = Violation::FreedWhileGranted { domain: front.id(), page: frame, gref, to: back.id() };
    assert_eq!(machine.violations(), [expected]);
    Table::clear(table, gref);
    assert_eq!(give_up(&front, &[frame]), Ok(1));

    let machine = Machine::builder(1).allow(Leniency::UncheckedGrants).build();
    let (front, back) = pair(&machine);
    let (page, ..) = granted(&front, &back, GrantFlags::empty());
    assert_eq!(give_up(&front, &[front.gfn(page)]), Ok(1));
}

#[test]
fn a_page_written_while_it_is_away_is_found() {
    let machine = Machine::builder(1).record_violations().build();
    let domain = machine.domain();
    let place = page(&domain);
    let frame = domain.gfn(place);
    assert_eq!(give_up(&domain, &[frame]), Ok(1));
    word(place, 8).store(1, Ordering::Relaxed);
    let expected = [Violation::WrittenAfterFree { domain: domain.id(), page: frame, offset: 8 }];
    assert_eq!(machine.leaks_since(&machine.checkpoint()), expected);
    assert_eq!(take_back(&domain, &[frame]), Ok(1));
    assert_eq!(machine.violations(), expected);
}

#[test]
fn pages_that_are_away_stay_so_over_a_migration() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let place = page(&domain);
    let frame = domain.gfn(place);
    assert_eq!(give_up(&domain, &[frame]), Ok(1));
    domain.migrate_on_suspend();
    // SAFETY: nothing is shared.
    assert_eq!(unsafe { sched::suspend(&domain, Mfn(0)) }, Ok(sched::Suspended::Resumed));
    assert_ne!(domain.gfn(place), frame, "under another number");
    assert_eq!(take_back(&domain, &[frame]), Ok(0));
    assert_eq!(take_back(&domain, &[domain.gfn(place)]), Ok(1));
}
