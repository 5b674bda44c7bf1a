//! The other side: mapping and copying what others granted, with a Xen that refuses.
#![cfg(not(loom))]

mod common;

use std::num::NonZeroUsize;

use common::World;
use xen_grant_table::{
    Access, CopyError, ForeignBytes, Grant, GrantCopy, GrantRun, Limits, MAX_RUN, MapError, Mapping, Memory, Page,
    PageRun, ReadMapping, copy,
};
use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::{Command, GrantRef, Status};
use xen_hypercall::grant_table::Error;
use xen_shared_ring::Region;
use xen_sim::{Domain, Target, When};

const LIMITS: Limits = Limits { guaranteed: 40, most: 64, quarantine: 8 };
const NO_SUCH: GrantRef = GrantRef(77);

fn granted(world: &World, count: usize) -> GrantRun<Domain> {
    let run = PageRun::alloc(world.front.clone(), NonZeroUsize::new(count).unwrap()).unwrap();
    run.grant(&world.account(LIMITS), Access::ReadWrite).unwrap()
}

fn fail(world: &World, command: Command, when: When, status: Status) {
    world.machine.faults().fail_element_of(&world.back, command, when, status);
}

fn lost(world: &World) -> u32 {
    world.back.grant_table().statistics().lost_addresses
}

#[test]
fn pages_are_mapped_side_by_side_in_order() {
    let world = World::new();
    let run = granted(&world, 3);
    for page in 0..3 {
        assert_eq!(run.memory().write(page * 4096, &[page as u8 + 1]), 1);
    }
    let mapping = ReadMapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap();
    let mut bytes = [0; 3 * 4096 + 1];
    assert_eq!(mapping.read(0, &mut bytes), 3 * 4096);
    assert_eq!([bytes[0], bytes[4096], bytes[8192]], [1, 2, 3]);
    mapping.unmap().unwrap();
    run.revoke().unwrap();
}

#[test]
fn hc_173_one_bad_reference_maps_nothing() {
    let world = World::new();
    let run = granted(&world, 3);
    let grefs = [run.grefs()[0], NO_SUCH, run.grefs()[2]];
    let refused = Mapping::map(world.back.clone(), world.front.id(), &grefs).unwrap_err();
    assert!(matches!(refused, MapError::Xen { index: 1, error: Error::Status(_) }), "{refused}");
    run.revoke().expect("what was mapped is not any more");
    assert_eq!(lost(&world), 0);
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_173_independent_pages_each_have_a_result() {
    let world = World::new();
    let run = granted(&world, 16);
    let mut grefs = run.grefs().to_vec();
    grefs.insert(3, NO_SUCH);
    grefs.push(NO_SUCH);
    let mut results = Vec::new();
    Mapping::map_each(&world.back, world.front.id(), &grefs, |index, mapping| results.push((index, mapping.ok())));
    let failed: Vec<usize> = results.iter().filter(|(_, mapping)| mapping.is_none()).map(|(index, _)| *index).collect();
    assert_eq!((results.len(), failed), (18, vec![3, 17]));
    let last = results[16].1.as_ref().unwrap();
    assert_eq!(last.memory().write(0, b"last"), 4);
    drop(results);
    assert_eq!(&run.revoke().unwrap().bytes()[15 * 4096..15 * 4096 + 4], b"last");
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_088_a_page_that_is_away_for_a_while_is_mapped() {
    let world = World::new();
    let run = granted(&world, 1);
    for when in [When::Nth(1), When::Nth(2)] {
        fail(&world, Command::MAP_GRANT_REF, when, Status::EAGAIN);
    }
    Mapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_088_a_page_that_is_away_for_ever_is_an_error() {
    let world = World::new();
    let run = granted(&world, 2);
    fail(&world, Command::MAP_GRANT_REF, When::From(2), Status::EAGAIN);
    let refused = Mapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap_err();
    assert_eq!(refused, MapError::Xen { index: 1, error: Error::Status(Status::EAGAIN) });
    run.revoke().expect("the first page is unmapped again");
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_172_statuses_and_errors_of_any_kind_are_told() {
    for status in [Status::NO_SPACE, Status::BAD_VIRT_ADDR, Status::GENERAL_ERROR, Status(-999), Status(5)] {
        let world = World::new();
        let run = granted(&world, 1);
        fail(&world, Command::MAP_GRANT_REF, When::Always, status);
        let refused = Mapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap_err();
        assert_eq!(refused, MapError::Xen { index: 0, error: Error::Status(status) });
    }
    let world = World::new();
    let run = granted(&world, 1);
    world.machine.faults().fail(Target::grant_table(Command::MAP_GRANT_REF), When::Always, Errno::FAULT);
    let refused = Mapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap_err();
    assert_eq!(refused, MapError::Xen { index: 0, error: Error::Call(Errno::FAULT) });
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_173_addresses_of_pages_that_stay_mapped_are_lost() {
    let world = World::new();
    let run = granted(&world, 3);
    let mapping = Mapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap();
    fail(&world, Command::UNMAP_GRANT_REF, When::From(2), Status::GENERAL_ERROR);
    let refused = mapping.unmap().unwrap_err();
    assert_eq!(refused, MapError::Xen { index: 1, error: Error::Status(Status::GENERAL_ERROR) });
    assert_eq!(lost(&world), 2, "tried once more, and left");
    assert!(run.revoke().is_err());
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn an_unmapping_that_fails_once_is_made_up_for() {
    let world = World::new();
    let run = granted(&world, 2);
    let mapping = Mapping::map(world.back.clone(), world.front.id(), run.grefs()).unwrap();
    fail(&world, Command::UNMAP_GRANT_REF, When::Nth(1), Status::GENERAL_ERROR);
    mapping.unmap().unwrap_err();
    assert_eq!(lost(&world), 0);
    run.revoke().unwrap();
}

/// On a machine without page tables, pages that were not allocated together are not one memory.
#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn pages_that_are_not_adjacent_are_no_region() {
    let world =
        World::on(xen_sim::Machine::builder(1).allow(xen_sim::Leniency::PromptUnmap).record_violations().build());
    let account = world.account(LIMITS);
    let pages: Vec<_> = (0..3).map(|_| world.grant(&account, Access::ReadWrite)).collect();
    let grefs = [pages[0].gref(), pages[2].gref()];
    assert_eq!(Mapping::map(world.back.clone(), world.front.id(), &grefs).unwrap_err(), MapError::NotAdjacent);
    pages.into_iter().for_each(|grant| drop(grant.revoke().expect("unmapped again")));
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn strange_counts_and_domains_are_refused() {
    let world = World::new();
    let map = |grefs: &[GrantRef]| Mapping::map(world.back.clone(), world.front.id(), grefs).unwrap_err();
    assert_eq!(map(&[]), MapError::Count);
    assert_eq!(map(&[NO_SUCH; MAX_RUN + 1]), MapError::Count);
    let refused = Mapping::map(world.back.clone(), DomId(99), &[NO_SUCH]).unwrap_err();
    assert!(matches!(refused, MapError::Xen { index: 0, error: Error::Status(Status::BAD_DOMAIN) }), "{refused}");
}

/// The places of a granted page to copy from and to.
fn at(world: &World, grant: &Grant<Domain>, offset: u16) -> ForeignBytes {
    ForeignBytes { domain: world.front.id(), gref: grant.gref(), offset }
}

#[test]
fn bytes_are_copied_both_ways() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut grant = world.grant(&account, Access::ReadWrite);
    assert_eq!(grant.write(10, b"there"), 5);
    let (mut into, mut from) = (Page::alloc(world.back.clone()).unwrap(), Page::alloc(world.back.clone()).unwrap());
    from.fill(b"..and back, no more").unwrap();
    let mut copies = [
        GrantCopy::read(at(&world, &grant, 10), &mut into, 4091, 5),
        GrantCopy::write(at(&world, &grant, 0), &from, 2, 8),
    ];
    assert!(copies.iter().all(|copy| copy.result() == Err(CopyError::NotDone)));
    copy(&world.back, &mut copies);
    assert!(copies.iter().all(|copy| copy.result().is_ok()));
    assert_eq!(&into.bytes()[4091..], b"there");
    let mut bytes = [0; 10];
    assert_eq!(grant.read(0, &mut bytes), 10);
    assert_eq!(&bytes, b"and back\0\0");
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_173_each_copy_has_a_result() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadOnly);
    let mut pages: Vec<_> = (0..40).map(|_| Page::alloc(world.back.clone()).unwrap()).collect();
    let mut foreign = Page::alloc(world.front.clone()).unwrap();
    let own = Page::alloc(world.back.clone()).unwrap();
    let mut copies: Vec<_> = pages.iter_mut().map(|page| GrantCopy::read(at(&world, &grant, 0), page, 0, 9)).collect();
    let no_such = ForeignBytes { gref: NO_SUCH, ..at(&world, &grant, 0) };
    copies.insert(20, GrantCopy::write(no_such, &own, 0, 9));
    copies.push(GrantCopy::read(at(&world, &grant, 4090), &mut foreign, 0, 9));
    let mut other = Page::alloc(world.front.clone()).unwrap();
    copies.push(GrantCopy::read(at(&world, &grant, 0), &mut other, 0, 9));
    copies.push(GrantCopy::write(at(&world, &grant, 0), &own, 0, 9));
    copies.push(GrantCopy::write(at(&world, &grant, 0), &own, 4090, 9));
    copy(&world.back, &mut copies);
    let results: Vec<_> = copies.iter().map(GrantCopy::result).collect();
    assert!(matches!(results[20], Err(CopyError::Xen(Error::Status(_)))), "no such grant");
    assert_eq!((results[41], results[42]), (Err(CopyError::OutOfPage), Err(CopyError::OtherDomain)));
    assert!(matches!(results[43], Err(CopyError::Xen(Error::Status(_)))), "not to be written");
    assert_eq!(results[44], Err(CopyError::OutOfPage), "on our side");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 40);
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_088_hc_172_copies_are_tried_again_and_refusals_told() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadOnly);
    let mut page = Page::alloc(world.back.clone()).unwrap();
    let mut run = |when, status| {
        world.machine.faults().clear();
        fail(&world, Command::COPY, when, status);
        let mut copies = [GrantCopy::read(at(&world, &grant, 0), &mut page, 0, 9)];
        copy(&world.back, &mut copies);
        copies[0].result()
    };
    assert_eq!(run(When::Nth(1), Status::EAGAIN), Ok(()));
    assert_eq!(run(When::Always, Status::EAGAIN), Err(CopyError::Xen(Error::Status(Status::EAGAIN))));
    assert_eq!(run(When::Always, Status(-77)), Err(CopyError::Xen(Error::Status(Status(-77)))));
}

/// Bytes that came by a copy are not for the next peer.
#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_169_a_page_that_was_copied_to_is_scrubbed() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut grant = world.grant(&account, Access::ReadOnly);
    assert_eq!(grant.write(0, b"from elsewhere"), 14);
    let mut page = Page::alloc(world.back.clone()).unwrap();
    copy(&world.back, &mut [GrantCopy::read(at(&world, &grant, 0), &mut page, 50, 14)]);
    page.fill(b"mine").unwrap();
    assert!(page.bytes()[4..].iter().all(|byte| *byte == 0));
}
