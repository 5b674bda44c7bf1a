//! Accounts: guarantees, limits, back-pressure, and peers that give nothing back.
// Miri takes minutes for these, and finds the same code in the others.
#![cfg(not(any(loom, miri)))]

mod common;

use std::num::{NonZeroU32, NonZeroUsize};

use common::{World, exhaust};
use xen_grant_table::{Access, Account, Grant, GrantTable, Limits, MAX_ACCOUNTS, Mapping, Memory, PageRun, Refusal};
use xen_sim::Domain;

const FREE: u32 = 504;

const fn limits(guaranteed: u32, most: u32, quarantine: u32) -> Limits {
    Limits { guaranteed, most, quarantine }
}

/// Has the peer map pages, and never unmap them.
fn hold(world: &World, grants: Vec<Grant<Domain>>) -> Vec<Mapping<Domain>> {
    let map = |grant: &Grant<Domain>| Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
    let held = grants.iter().map(map).collect();
    drop(grants);
    held
}

#[test]
fn hc_087_out_of_references_is_back_pressure() {
    let world = World::with_frames(1);
    let account = world.account(limits(0, FREE * 2, 1));
    let (mut grants, reason) = exhaust(&world, &account);
    assert_eq!((grants.len() as u32, reason), (FREE, Refusal::NoGrants));
    let refused = world.page().grant(&account, Access::ReadOnly).unwrap_err();
    drop(refused.page);
    grants.pop().unwrap().revoke().unwrap();
    assert!(world.page().grant(&account, Access::ReadOnly).is_ok(), "as soon as one is back");
}

#[test]
fn hc_087_two_directions_never_starve_each_other() {
    let world = World::with_frames(1);
    let (receive, transmit) = (world.account(limits(200, FREE, 1)), world.account(limits(100, FREE, 1)));
    let (held, reason) = exhaust(&world, &receive);
    assert_eq!((held.len() as u32, reason), (FREE - 100, Refusal::NoGrants));
    let (sent, _) = exhaust(&world, &transmit);
    assert_eq!(sent.len(), 100);
    drop(held);
    let (more, _) = exhaust(&world, &transmit);
    assert_eq!(more.len() as u32, FREE - 200 - 100, "all but the other's guarantee");
}

#[test]
fn a_limit_is_the_most_that_an_account_has() {
    let world = World::new();
    let account = world.account(limits(3, 5, 1));
    assert_eq!(account.limits(), limits(3, 5, 1));
    assert_eq!(exhaust(&world, &account).0.len(), 5);
}

#[test]
fn guarantees_that_cannot_be_met_are_refused_and_cost_nothing() {
    let world = World::with_frames(1);
    let open = |limits| Account::open(world.front.clone(), world.back.id(), limits);
    let first = open(Limits::exactly(500)).unwrap();
    assert_eq!(open(Limits::exactly(5)).unwrap_err(), Refusal::NoGrants);
    let second = open(Limits::exactly(4)).unwrap();
    drop((first, second));
    open(Limits::exactly(FREE)).unwrap();
    for invalid in [limits(2, 1, 1), limits(0, 0, 1), limits(0, 1, 0), limits(0, 1 << 16, 1)] {
        assert_eq!(open(invalid).unwrap_err(), Refusal::InvalidLimits);
    }
}

/// A ring of sixteen pages where there are references for four: none is used.
#[test]
fn a_ring_that_cannot_be_granted_whole_takes_nothing() {
    let world = World::with_frames(1);
    let account = world.account(limits(0, FREE, 1));
    let (mut grants, _) = exhaust(&world, &account);
    grants.truncate(FREE as usize - 4);
    let free = world.statistics().free;
    let run = PageRun::alloc(world.front.clone(), NonZeroUsize::new(16).unwrap()).unwrap();
    let refused = run.grant(&account, Access::ReadWrite).unwrap_err();
    assert_eq!((refused.reason, refused.page.count().get()), (Refusal::NoGrants, 16));
    assert_eq!((free, world.statistics().free, world.statistics().common), (4, 4, 4));
    assert!(PageRun::alloc(world.front.clone(), NonZeroUsize::new(17).unwrap()).is_none());
}

#[test]
fn hc_083_a_peer_that_gives_nothing_back_stops_its_own_device_only() {
    let world = World::new();
    let third = world.machine.domain();
    let bad = world.account(limits(8, 64, 3));
    let good = Account::open(world.front.clone(), third.id(), limits(8, 64, 3)).unwrap();
    let mut held = hold(&world, (0..2).map(|_| world.grant(&bad, Access::ReadWrite)).collect());
    assert!(world.page().grant(&bad, Access::ReadWrite).is_ok(), "below the cap");
    held.extend(hold(&world, vec![world.grant(&bad, Access::ReadWrite)]));
    assert_eq!(world.page().grant(&bad, Access::ReadWrite).unwrap_err().reason, Refusal::QuarantineFull);
    assert_eq!(exhaust(&world, &good).0.len(), 64);
    drop(held);
    let common = world.statistics().common;
    assert_eq!(world.reap(), 3);
    assert_eq!(world.statistics().common, common, "they are of the guarantee");
    assert_eq!(exhaust(&world, &bad).0.len(), 64, "it was only slow");
}

/// To be closed and opened again, as in a reconnect, does not clear a peer's account.
#[test]
fn hc_083_reconnecting_does_not_help_the_peer() {
    let world = World::new();
    let mut held = Vec::new();
    for kept in 0..3 {
        let account = world.account(limits(4, 16, 3));
        let report: Vec<_> = world.front.grant_table().accounts().collect();
        assert_eq!((report.len(), report[0].quarantined), (1, kept));
        held.extend(hold(&world, vec![world.grant(&account, Access::ReadWrite)]));
        assert_eq!(world.statistics().common, FREE - 4 - kept, "what was there before is not of the guarantee");
    }
    let account = world.account(limits(4, 16, 3));
    assert_eq!(world.page().grant(&account, Access::ReadWrite).unwrap_err().reason, Refusal::QuarantineFull);
    drop((account, held));
    assert_eq!(world.reap(), 3);
    assert_eq!(world.front.grant_table().accounts().count(), 0);
    assert_eq!(world.statistics().common, world.statistics().free);
}

/// Two devices with one back end domain: what the one left behind when it went away is not the other's.
#[test]
fn hc_087_a_closed_account_leaves_the_guarantee_of_another_alone() {
    let world = World::new();
    let (one, other) = (world.account(limits(8, 8, 8)), world.account(limits(8, 8, 8)));
    let grants: Vec<_> = (0..8).map(|_| world.grant(&one, Access::ReadWrite)).collect();
    drop((one, other));
    let other = world.account(limits(8, 8, 8));
    assert_eq!(exhaust(&world, &other).0.len(), 8);
    let held = hold(&world, grants);
    assert_eq!(exhaust(&world, &other).0.len(), 8, "nor its quarantine, for it was open before");
    drop(other);
    let full = world.account(limits(8, 8, 8));
    assert_eq!(world.page().grant(&full, Access::ReadOnly).unwrap_err().reason, Refusal::QuarantineFull);
    drop(held);
    assert_eq!((world.reap(), exhaust(&world, &full).0.len()), (8, 8));
    drop(full);
    assert_eq!(world.statistics().common, world.statistics().free);
}

/// What is in hand is not charged again, but the peer's pages are looked at again.
#[test]
fn hc_083_references_in_hand_do_not_pass_a_full_quarantine() {
    let world = World::new();
    let account = world.account(limits(8, 8, 1));
    let grant = world.grant(&account, Access::ReadWrite);
    let mut reserved = account.reserve(NonZeroU32::new(4).unwrap()).unwrap();
    let held = hold(&world, vec![grant]);
    assert_eq!(reserved.grant(world.page(), Access::ReadOnly).unwrap_err().reason, Refusal::QuarantineFull);
    assert_eq!(reserved.len(), 4);
    drop(held);
    assert_eq!(world.reap(), 1);
    reserved.grant(world.page(), Access::ReadOnly).unwrap();
}

#[test]
fn references_in_hand_do_not_fail() {
    let world = World::with_frames(1);
    let (account, other) = (world.account(limits(0, 40, 1)), world.account(limits(0, FREE, 1)));
    let mut reserved = account.reserve(NonZeroU32::new(100).unwrap()).unwrap();
    assert_eq!(reserved.len(), 24, "what is left of the first word of 32");
    assert_eq!(world.front.grant_table().accounts().next().unwrap().held, 24);
    let _all = exhaust(&world, &other);
    let grants: Vec<_> = (0..24).map(|_| reserved.grant(world.page(), Access::ReadOnly).unwrap()).collect();
    assert!(reserved.is_empty());
    assert_eq!(reserved.grant(world.page(), Access::ReadOnly).unwrap_err().reason, Refusal::NoGrants);
    drop(grants);
    assert_eq!(account.reserve(NonZeroU32::MIN).unwrap().len(), 1);
}

#[test]
fn a_reservation_that_is_dropped_gives_all_back() {
    let world = World::new();
    let account = world.account(limits(0, 40, 1));
    let before = world.statistics();
    let mut reserved = account.reserve(NonZeroU32::new(8).unwrap()).unwrap();
    let grant = reserved.grant(world.page(), Access::ReadOnly).unwrap();
    drop(reserved);
    drop(grant.revoke().unwrap());
    let after = world.statistics();
    assert_eq!((after.free, after.common), (FREE, FREE));
    assert_eq!(before.free, 0, "the table was not in use yet");
}

#[test]
fn accounts_are_many_but_not_endless() {
    let world = World::new();
    let mut accounts: Vec<_> = (0..MAX_ACCOUNTS).map(|_| world.account(limits(1, 1, 1))).collect();
    let refused = Account::open(world.front.clone(), world.back.id(), limits(1, 1, 1)).unwrap_err();
    assert_eq!(refused, Refusal::NoAccounts);
    accounts.pop();
    let account = world.account(limits(1, 1, 1));
    assert_eq!(exhaust(&world, &account).0.len(), 1);
}

#[test]
fn the_report_says_who_holds_what() {
    let world = World::new();
    let account = world.account(limits(4, 16, 3));
    let _granted: Vec<_> = (0..5).map(|_| world.grant(&account, Access::ReadWrite)).collect();
    let _held = hold(&world, vec![world.grant(&account, Access::ReadWrite)]);
    let table = world.front.grant_table();
    assert_eq!(table.accounts().to_string(), "domain 2, open: 5 held, 1 in quarantine, 4 guaranteed\n");
    let numbers = world.statistics();
    assert_eq!((numbers.frames, numbers.max_frames, numbers.free), (1, 64, FREE - 6));
    assert_eq!((numbers.quarantined, numbers.ever_quarantined, numbers.still_mapped), (1, 1, 1));
}

/// Real threads on one table, with what the simulator checks as the judge.
#[test]
fn two_cpus_grant_and_revoke_at_once() {
    let world = World::with_frames(1);
    let cycles = 2_000;
    std::thread::scope(|scope| {
        for cpu in 0..2 {
            let (front, account) = (world.front.clone(), world.account(limits(250, 250, 1)));
            scope.spawn(move || {
                let mut held = Vec::new();
                for cycle in 0..cycles {
                    let page = xen_grant_table::Page::alloc(front.clone()).unwrap();
                    held.push(page.grant(&account, Access::ReadOnly).expect("within the guarantee"));
                    if held.len() > 100 + cpu * 149 || cycle % 3 == 0 {
                        drop(held.swap_remove(cycle % held.len()).revoke().unwrap());
                    }
                }
            });
        }
    });
    let numbers = world.statistics();
    assert_eq!((numbers.free, numbers.common), (FREE, FREE));
    assert_eq!(GrantTable::reap(&world.front, 9).tried, 0);
}
