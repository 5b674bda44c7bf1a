//! The table's life: growth, versions, suspend and resume.
// Miri takes minutes for these, and finds the same code in the others.
#![cfg(not(any(loom, miri)))]

mod common;

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use common::{World, exhaust, pages_left};
use xen_grant_table::{Access, Account, GrantTable, Limits, Mapping, Memory, PageRun, ReadMapping, Refusal};
use xen_hypercall::Errno;
use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::grant_table::Command;
use xen_hypercall::grant_table::{Error, Version};
use xen_hypercall::sched;
use xen_sim::{Leniency, Machine};

const LIMITS: Limits = Limits { guaranteed: 4, most: 3000, quarantine: 8 };

/// The domain goes elsewhere: its table, ports and mappings are new ones there.
fn migrate(world: &World) {
    world.front.migrate_on_suspend();
    // SAFETY: the simulator needs no start info.
    unsafe { sched::suspend(&world.front, Mfn(0)) }.unwrap();
    // SAFETY: the domain was resumed, and nobody else uses the table.
    unsafe { GrantTable::resume(&world.front) };
}

#[test]
fn the_table_grows_up_to_what_xen_allows() {
    let world = World::with_frames(3);
    let account = world.account(LIMITS);
    let (grants, reason) = exhaust(&world, &account);
    assert_eq!((grants.len(), reason), (3 * 512 - 8, Refusal::NoGrants));
    assert_eq!((world.statistics().frames, world.statistics().max_frames), (3, 3));
    let last = grants.iter().max_by_key(|grant| grant.gref()).unwrap();
    Mapping::map(world.back.clone(), world.front.id(), &[last.gref()]).unwrap_err();
}

#[test]
fn a_guarantee_makes_the_table_grow_when_it_is_given() {
    let world = World::with_frames(3);
    let _account = world.account(Limits::exactly(1200));
    assert_eq!(world.statistics().frames, 3);
}

#[test]
fn hc_172_a_refusal_to_grow_is_told_and_passes() {
    let world = World::with_frames(3);
    let account = world.account(LIMITS);
    let mut grants: Vec<_> = (0..504).map(|_| world.grant(&account, Access::ReadOnly)).collect();
    let target = xen_sim::Target::grant_table(Command::SETUP_TABLE);
    world.machine.faults().fail(target, xen_sim::When::Nth(1), Errno::NOMEM);
    let refused = world.page().grant(&account, Access::ReadOnly).unwrap_err();
    assert_eq!(refused.reason, Refusal::Table(Error::Call(Errno::NOMEM)));
    grants.push(refused.page.grant(&account, Access::ReadOnly).unwrap());
    assert_eq!(world.statistics().frames, 2);
}

#[test]
fn hc_089_a_smaller_table_after_migration_grants_less() {
    let world = World::with_frames(3);
    let account = world.account(LIMITS);
    let (old, _) = exhaust(&world, &account);
    world.machine.faults().limit(&world.front, xen_sim::Limit::GrantFrames(2));
    migrate(&world);
    let new = world.account(LIMITS);
    assert_eq!(exhaust(&world, &new).0.len(), 2 * 512 - 8);
    for grant in old {
        grant.revoke().expect("old grants give their pages back");
    }
    assert_eq!(world.statistics().max_frames, 2);
}

#[test]
fn hc_161_hc_163_grants_from_before_a_suspend_touch_nothing() {
    let world = World::new();
    let account = world.account(LIMITS);
    let old = world.grant(&account, Access::ReadWrite);
    let kept = world.grant(&account, Access::ReadWrite);
    let mut reserved = account.reserve(std::num::NonZeroU32::new(3).unwrap()).unwrap();
    let mapping = Mapping::map(world.back.clone(), world.front.id(), &[kept.gref()]).unwrap();
    drop(kept);
    assert_eq!(world.statistics().quarantined, 1);
    let left = pages_left(&world.front);
    migrate(&world);
    std::mem::forget(mapping);
    assert_eq!(pages_left(&world.front), left + 1, "what was in quarantine is free");
    assert_eq!(world.page().grant(&account, Access::ReadWrite).unwrap_err().reason, Refusal::Stale);
    let new_account = world.account(LIMITS);
    let new: Vec<_> = (0..16).map(|_| world.grant(&new_account, Access::ReadWrite)).collect();
    assert!(new.iter().any(|grant| grant.gref() == old.gref()), "its number belongs to another now");
    old.revoke().unwrap();
    assert_eq!(reserved.grant(world.page(), Access::ReadWrite).unwrap_err().reason, Refusal::Stale);
    drop((reserved, account));
    let report: Vec<_> = world.front.grant_table().accounts().collect();
    assert_eq!((report.len(), report[0].open, report[0].guaranteed), (1, true, 4), "closing it closes no other");
    for grant in &new {
        assert_ne!(world.flags(grant.gref()).load(Ordering::SeqCst), 0, "which lives on");
    }
    assert_eq!(world.front.grant_table().accounts().map(|account| account.held).sum::<u32>(), 16);
}

/// What was mapped before is no more. The addresses are not used again: what is there now nobody knows.
#[test]
fn mappings_from_before_a_suspend_are_not_unmapped() {
    let world = World::new();
    let account = xen_grant_table::Account::open(world.back.clone(), world.front.id(), LIMITS).unwrap();
    let theirs = xen_grant_table::Page::alloc(world.back.clone()).unwrap().grant(&account, Access::ReadWrite).unwrap();
    let mapping = Mapping::map(world.front.clone(), world.back.id(), &[theirs.gref()]).unwrap();
    migrate(&world);
    mapping.unmap().unwrap();
    assert_eq!(world.statistics().lost_addresses, 1);
    let trace = world.machine.trace().to_string();
    assert!(!trace.contains("unmap_grant_ref"), "{trace}");
    theirs.revoke().unwrap();
}

#[test]
fn a_ring_from_before_a_suspend_touches_nothing() {
    let world = World::new();
    let two = NonZeroUsize::new(2).unwrap();
    let account = world.account(LIMITS);
    let old = PageRun::alloc(world.front.clone(), two).unwrap().grant(&account, Access::ReadWrite).unwrap();
    migrate(&world);
    let account = world.account(LIMITS);
    let new: Vec<_> = (0..16).map(|_| world.grant(&account, Access::ReadWrite)).collect();
    assert!(new.iter().any(|grant| old.grefs().contains(&grant.gref())));
    old.revoke().unwrap();
    assert!(new.iter().all(|grant| world.flags(grant.gref()).load(Ordering::SeqCst) != 0));
    assert_eq!(world.front.grant_table().accounts().map(|account| account.held).sum::<u32>(), 16);
}

fn version_2(machine: Machine) -> World {
    let world = World::with(machine, 64, 1000);
    assert_eq!(GrantTable::start(&world.front, Version::V2), Ok(Version::V2));
    world
}

#[test]
fn version_2_grants_revokes_and_quarantines() {
    let world = version_2(Machine::builder(1).allow(Leniency::PromptUnmap).first_frame(1 << 33).build());
    let account = world.account(LIMITS);
    let mut page = world.page();
    page.fill(b"above 32 bits").unwrap();
    let grant = page.grant(&account, Access::ReadWrite).unwrap();
    let mapping = Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
    let grant = grant.revoke().unwrap_err().into_grant();
    Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).expect_err("no new mapping from here on");
    drop(grant);
    assert_eq!((world.statistics().quarantined, world.reap()), (1, 0));
    let mut seen = [0; 13];
    assert_eq!(xen_shared_ring::Region::memory(&mapping).read(0, &mut seen), 13);
    assert_eq!(&seen, b"above 32 bits");
    drop(mapping);
    assert_eq!(world.reap(), 1);
    world.grant(&account, Access::ReadWrite).revoke().unwrap();
}

#[test]
fn version_2_knows_readers() {
    let world = version_2(Machine::builder(1).allow(Leniency::PromptUnmap).build());
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadOnly);
    let mapping = ReadMapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
    let grant = grant.revoke().unwrap_err().into_grant();
    mapping.unmap().unwrap();
    grant.revoke().unwrap();
}

#[test]
fn version_2_grows_with_its_status_frames() {
    let world = version_2(Machine::builder(1).allow(Leniency::PromptUnmap).build());
    let account = world.account(Limits { guaranteed: 0, most: 3000, quarantine: 1 });
    let grants: Vec<_> = (0..800).map(|_| world.grant(&account, Access::ReadOnly)).collect();
    assert_eq!(world.statistics().frames, 4, "256 entries in each");
    for grant in &grants {
        let mapping = xen_grant_table::ReadMapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
        mapping.unmap().unwrap();
    }
    grants.into_iter().for_each(|grant| drop(grant.revoke().unwrap()));
}

#[test]
fn version_2_stays_after_a_resume() {
    let world = version_2(Machine::builder(1).allow(Leniency::PromptUnmap).first_frame(1 << 33).build());
    drop(world.account(LIMITS));
    migrate(&world);
    let account = world.account(LIMITS);
    world.grant(&account, Access::ReadWrite).revoke().unwrap();
}

/// The version is known before anything is granted, whatever the account's guarantee.
#[test]
fn version_2_is_known_to_the_first_account_after_a_resume() {
    let world = version_2(Machine::builder(1).allow(Leniency::PromptUnmap).first_frame(1 << 33).build());
    migrate(&world);
    let account = world.account(Limits { guaranteed: 0, ..LIMITS });
    world.grant(&account, Access::ReadWrite).revoke().unwrap();
}

#[test]
fn hc_172_a_frame_that_is_mapped_is_not_asked_for_again() {
    let world = version_2(Machine::builder(1).allow(Leniency::PromptUnmap).build());
    let target = xen_sim::Target::grant_table(Command::GET_STATUS_FRAMES);
    world.machine.faults().fail(target, xen_sim::When::Nth(1), Errno::NOMEM);
    let open = || Account::open(world.front.clone(), world.back.id(), LIMITS);
    assert_eq!(open().unwrap_err(), Refusal::Table(Error::Call(Errno::NOMEM)));
    world.grant(&open().unwrap(), Access::ReadWrite).revoke().unwrap();
    let trace = world.machine.trace().to_string();
    let calls = |name| trace.matches(name).count();
    assert_eq!((calls("GNTTABOP_setup_table"), calls("GNTTABOP_get_status_frames")), (1, 2), "{trace}");
}

#[test]
fn high_frames_do_not_fit_version_1() {
    let world = World::on(Machine::builder(1).first_frame(1 << 33).build());
    let account = world.account(LIMITS);
    let refused = world.page().grant(&account, Access::ReadOnly).unwrap_err();
    assert_eq!(refused.reason, Refusal::FrameTooHigh);
    assert_eq!(world.statistics().free, 504);
}

#[test]
fn hc_171_without_version_2_there_is_version_1() {
    let world = World::new();
    let target = xen_sim::Target::grant_table(Command::SET_VERSION);
    world.machine.faults().fail(target, xen_sim::When::Always, Errno::NOSYS);
    assert_eq!(GrantTable::start(&world.front, Version::V2), Ok(Version::V1));
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadWrite);
    assert_eq!(world.flags(grant.gref()).load(Ordering::SeqCst), 1);
}

/// What an earlier kernel of the same domain may leave.
#[test]
fn a_table_found_in_version_2_is_brought_to_version_1() {
    let world = World::new();
    // SAFETY: nobody writes entries yet.
    unsafe { xen_hypercall::grant_table::set_version(&world.front, Version::V2) }.unwrap();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadWrite);
    Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
}

#[test]
fn hc_172_a_refused_version_is_told() {
    let world = World::new();
    let target = xen_sim::Target::grant_table(Command::SET_VERSION);
    world.machine.faults().fail(target, xen_sim::When::Nth(1), Errno::PERM);
    assert_eq!(GrantTable::start(&world.front, Version::V2), Err(Error::Call(Errno::PERM)));
    assert_eq!(GrantTable::start(&world.front, Version::V2), Ok(Version::V2));
    assert_eq!(GrantTable::start(&world.front, Version::V1), Err(Error::Call(Errno::BUSY)), "too late");
}
