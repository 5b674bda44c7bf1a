//! Pages that were taken back for a moment, in both versions of the table.
#![cfg(not(loom))]

mod common;

use common::{World, pages_left};
use xen_grant_table::{Access, GrantTable, Limits, Mapping, Memory};
use xen_hypercall::abi::Mfn;
use xen_hypercall::grant_table::Version;
use xen_hypercall::sched;
use xen_shared_ring::Region;

const ONE: Limits = Limits::exactly(1);

fn worlds() -> [World; 2] {
    let second = World::new();
    assert_eq!(GrantTable::start(&second.front, Version::V2), Ok(Version::V2));
    [World::new(), second]
}

#[test]
fn the_peer_has_no_leave_meanwhile_and_the_same_afterwards() {
    for world in worlds() {
        let account = world.account(ONE);
        let grant = world.page().grant_zeroed(&account).unwrap();
        let gref = grant.gref();
        let map = || Mapping::map(world.back.clone(), world.front.id(), &[gref]);
        for round in 0..3_u8 {
            let mapping = map().unwrap();
            assert_eq!(Region::memory(&mapping).write(0, &[round]), 1);
            mapping.unmap().unwrap();
        }
        let mut recalled = grant.recall().unwrap();
        for _ in 0..3 {
            assert_eq!(recalled.bytes()[0], 2);
            map().unwrap_err();
            let grant = recalled.grant_again().unwrap();
            assert_eq!((grant.gref(), grant.peer()), (gref, world.back.id()));
            map().unwrap().unmap().unwrap();
            recalled = grant.recall().unwrap();
        }
    }
}

#[test]
fn a_page_that_is_mapped_is_not_recalled() {
    for world in worlds() {
        let account = world.account(ONE);
        let grant = world.page().grant_zeroed(&account).unwrap();
        let mapping = Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
        let grant = grant.recall().unwrap_err().into_grant();
        mapping.unmap().unwrap();
        grant.recall().unwrap();
    }
}

/// The account has no more than one reference.
#[test]
fn the_reference_is_the_accounts_when_it_is_given_back_and_not_before() {
    for world in worlds() {
        let account = world.account(ONE);
        let left = pages_left(&world.front);
        let recall = || world.page().grant_zeroed(&account).unwrap().recall().unwrap();
        let recalled = recall();
        world.page().grant_zeroed(&account).unwrap_err();
        drop(recalled);
        assert_eq!(pages_left(&world.front), left);
        let page = recall().into_page();
        drop(page.grant(&account, Access::ReadWrite).unwrap());
        let grant = recall().grant_again().unwrap();
        world.page().grant_zeroed(&account).unwrap_err();
        drop(grant);
        recall();
        assert_eq!(pages_left(&world.front), left);
    }
}

#[test]
fn hc_161_after_a_suspend_only_the_page_is_left() {
    for world in worlds() {
        let account = world.account(Limits::exactly(2));
        let recall = || world.page().grant_zeroed(&account).unwrap().recall().unwrap();
        let (first, second) = (recall(), recall());
        let left = pages_left(&world.front);
        world.front.migrate_on_suspend();
        // SAFETY: the simulator needs no start info.
        unsafe { sched::suspend(&world.front, Mfn(0)) }.unwrap();
        // SAFETY: the domain was resumed, and nobody else uses the table.
        unsafe { GrantTable::resume(&world.front) };
        let before = world.front.grant_table().statistics();
        let page = first.grant_again().unwrap_err();
        drop(second);
        assert_eq!(world.front.grant_table().statistics(), before);
        drop(page);
        assert_eq!(pages_left(&world.front), left + 2);
    }
}
