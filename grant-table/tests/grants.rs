//! Granting a page and taking it back, with a peer that does as it likes.
#![cfg(not(loom))]

mod common;

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use common::{World, pages_left};
use xen_grant_table::{Access, Grant, GrantTable, Limits, MapError, Mapping, PageRun, ReadMapping, Refusal};
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef};
use xen_shared_ring::{PeerError, Region};
use xen_sim::Domain;

const LIMITS: Limits = Limits { guaranteed: 4, most: 64, quarantine: 8 };

fn map(world: &World, grant: &Grant<Domain>) -> Mapping<Domain> {
    Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap()
}

#[test]
fn a_page_goes_to_the_peer_and_comes_back() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut page = world.page();
    page.fill(b"from the front").unwrap();
    let grant = page.grant(&account, Access::ReadWrite).unwrap();
    assert_eq!(grant.peer(), world.back.id());
    let mapping = map(&world, &grant);
    let mut seen = [0; 14];
    assert_eq!(mapping.memory().read(0, &mut seen), 14);
    assert_eq!(&seen, b"from the front");
    assert_eq!(mapping.memory().write(5, b"the back!"), 9);
    mapping.unmap().unwrap();
    let page = grant.revoke().unwrap();
    assert_eq!(&page.bytes()[..14], b"from the back!");
}

#[test]
fn hc_021_a_page_is_read_by_copies_until_it_is_revoked() {
    let world = World::new();
    let account = world.account(LIMITS);
    let mut grant = world.grant(&account, Access::ReadWrite);
    let mapping = map(&world, &grant);
    assert_eq!(grant.write(4094, b"end"), 2, "nothing beyond the page");
    assert_eq!(mapping.memory().write(0, b"after the response"), 18);
    let mut copy = [0; 5];
    assert_eq!(grant.read(0, &mut copy), 5);
    assert_eq!(&copy, b"after");
    let grant = grant.revoke().expect_err("no bytes while the peer can write").into_grant();
    drop(mapping);
    let page = grant.revoke().unwrap();
    assert_eq!((&page.bytes()[..5], &page.bytes()[4094..]), (&b"after"[..], &b"en"[..]));
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_022_hc_079_a_page_still_mapped_is_an_error_and_goes_to_quarantine() {
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let world = World::new();
        let account = world.account(LIMITS);
        let grant = world.grant(&account, access);
        let mapping = ReadMapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap();
        let refused = grant.revoke().unwrap_err();
        assert_eq!(refused.to_string(), "the peer still has the page mapped");
        let gref = refused.as_grant().gref().0;
        assert_eq!(
            PeerError::from(&refused),
            PeerError::GrantStillInUse { gref },
            "what a driver gives the device up for"
        );
        let left = pages_left(&world.front);
        drop(refused);
        assert_eq!(pages_left(&world.front), left, "the page is not freed");
        assert_eq!((world.statistics().quarantined, world.reap()), (1, 0));
        drop(mapping);
        assert_eq!(world.reap(), 1);
        assert_eq!(pages_left(&world.front), left + 1);
        assert_eq!(world.statistics().quarantined, 0);
    }
}

/// Whatever Xen does between two looks at the entry: there are no two looks.
#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_080_a_mapping_at_the_last_moment_is_seen() {
    let world = World::new();
    let account = world.account(LIMITS);
    for flag in [GrantFlags::READING, GrantFlags::WRITING, GrantFlags::READING | GrantFlags::WRITING] {
        let grant = world.grant(&account, Access::ReadWrite);
        let flags = world.flags(grant.gref());
        flags.fetch_or(flag.bits(), Ordering::SeqCst);
        let grant = grant.revoke().unwrap_err().into_grant();
        assert_eq!(flags.load(Ordering::SeqCst), (GrantFlags::PERMIT_ACCESS | flag).bits(), "the entry is as it was");
        flags.fetch_and(!flag.bits(), Ordering::SeqCst);
        grant.revoke().unwrap();
        assert_eq!(flags.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn hc_081_other_flags_that_move_do_not_matter() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadOnly);
    let flags = world.flags(grant.gref());
    flags.fetch_or((GrantFlags::PWT | GrantFlags::PCD).bits(), Ordering::SeqCst);
    grant.revoke().unwrap();
    assert_eq!(flags.load(Ordering::SeqCst), 0);
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_082_a_revoked_reference_is_invalid_and_not_reused_soon() {
    let world = World::new();
    let account = world.account(LIMITS);
    let old = world.grant(&account, Access::ReadWrite);
    let gref = old.gref();
    old.revoke().unwrap();
    let late = Mapping::map(world.back.clone(), world.front.id(), &[gref]).unwrap_err();
    assert!(matches!(late, MapError::Xen { index: 0, .. }), "{late}");
    for others in 0..400 {
        let next = world.grant(&account, Access::ReadWrite);
        assert_ne!(next.gref(), gref, "after {others} others");
        next.revoke().unwrap();
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_084_a_ring_still_mapped_is_quarantined_page_by_page() {
    let world = World::new();
    let account = world.account(LIMITS);
    let four = std::num::NonZeroUsize::new(4).unwrap();
    let ring = PageRun::alloc(world.front.clone(), four).unwrap().grant(&account, Access::ReadWrite).unwrap();
    let old: HashSet<GrantRef> = ring.grefs().iter().copied().collect();
    assert_eq!(old.len(), 4);
    let kept = Mapping::map(world.back.clone(), world.front.id(), &ring.grefs()[1..3]).unwrap();
    let refused = ring.revoke().unwrap_err();
    let left = pages_left(&world.front);
    drop(refused);
    assert_eq!(pages_left(&world.front), left + 2, "two pages are free, two are in quarantine");
    assert_eq!(world.statistics().quarantined, 2);
    let new = PageRun::alloc(world.front.clone(), four).unwrap().grant(&account, Access::ReadWrite).unwrap();
    assert!(new.grefs().iter().all(|gref| !old.contains(gref)), "the new ring is another one");
    drop(kept);
    assert_eq!(world.reap(), 2);
    assert_eq!(pages_left(&world.front), left);
}

#[test]
fn a_ring_comes_back_whole_when_the_peer_lets_go() {
    let world = World::new();
    let account = world.account(LIMITS);
    let two = std::num::NonZeroUsize::new(2).unwrap();
    let ring = PageRun::alloc(world.front.clone(), two).unwrap().grant(&account, Access::ReadWrite).unwrap();
    let mapping = Mapping::map(world.back.clone(), world.front.id(), ring.grefs()).unwrap();
    assert_eq!(ring.memory().write(4090, b"over the edge"), 13);
    let mut seen = [0; 13];
    assert_eq!(mapping.memory().read(4090, &mut seen), 13);
    assert_eq!(&seen, b"over the edge");
    let ring = ring.revoke().unwrap_err().into_grant();
    mapping.unmap().unwrap();
    let run = ring.revoke().unwrap();
    assert_eq!(&run.bytes()[4090..4103], b"over the edge");
    let again = run.grant(&account, Access::ReadWrite).unwrap();
    let mut seen = [1; 13];
    let _ = again.memory().read(4090, &mut seen);
    assert_eq!(seen, [0; 13], "hc_166: a ring starts with zeros");
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_085_writing_through_a_grant_for_reading_counts_as_use() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadOnly);
    let flags = world.flags(grant.gref());
    flags.fetch_or(GrantFlags::WRITING.bits(), Ordering::SeqCst);
    let grant = grant.revoke().unwrap_err().into_grant();
    assert_eq!((world.statistics().still_mapped, world.statistics().impossible), (1, 1));
    flags.fetch_and(!GrantFlags::WRITING.bits(), Ordering::SeqCst);
    grant.revoke().unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_085_a_peer_cannot_write_what_it_may_only_read() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadOnly);
    let refused = Mapping::map(world.back.clone(), world.front.id(), &[grant.gref()]).unwrap_err();
    assert!(matches!(refused, MapError::Xen { index: 0, .. }));
    grant.revoke().unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn hc_086_reserved_references_are_never_used() {
    let world = World::with_frames(1);
    let account = world.account(Limits { guaranteed: 0, most: 600, quarantine: 1 });
    let grants: Vec<_> = std::iter::from_fn(|| world.page().grant(&account, Access::ReadWrite).ok()).collect();
    let grefs: HashSet<u32> = grants.iter().map(|grant| grant.gref().0).collect();
    assert_eq!(grefs, (8..512).collect());
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn what_an_earlier_kernel_left_is_not_touched() {
    let world = World::with_frames(1);
    let left = GrantFlags::PERMIT_ACCESS.bits() | GrantFlags::READING.bits();
    world.flags(GrantRef(100)).store(left, Ordering::SeqCst);
    let account = world.account(Limits { guaranteed: 0, most: 600, quarantine: 1 });
    let grants: Vec<_> = std::iter::from_fn(|| world.page().grant(&account, Access::ReadWrite).ok()).collect();
    assert_eq!(grants.len(), 503);
    assert!(grants.iter().all(|grant| grant.gref().0 != 100));
    assert_eq!(world.flags(GrantRef(100)).load(Ordering::SeqCst), left);
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn dropping_revokes_and_frees_once() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadWrite);
    let (flags, left) = (world.flags(grant.gref()), pages_left(&world.front));
    drop(grant);
    assert_eq!((flags.load(Ordering::SeqCst), pages_left(&world.front)), (0, left + 1));
    drop(world.grant(&account, Access::ReadWrite).revoke().unwrap());
    assert_eq!(pages_left(&world.front), left + 1);
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn forgetting_leaks_and_shows_in_the_report() {
    let world = World::new();
    let account = world.account(LIMITS);
    let grant = world.grant(&account, Access::ReadWrite);
    let (gref, left) = (grant.gref(), pages_left(&world.front));
    std::mem::forget(grant);
    drop(account);
    assert_eq!(pages_left(&world.front), left, "the page is not freed");
    let mapping = Mapping::map(world.back.clone(), world.front.id(), &[gref]).expect("the peer keeps its leave");
    mapping.unmap().unwrap();
    let report = xen_grant_table::Memory::grant_table(&world.front).accounts().to_string();
    assert_eq!(report, "domain 2, closed: 1 held, 0 in quarantine, 0 guaranteed\n");
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and others reach the same code")]
fn pages_of_another_domain_and_strange_peers_are_refused() {
    let world = World::new();
    let account = world.account(LIMITS);
    let foreign = xen_grant_table::Page::alloc(world.back.clone()).unwrap();
    let refused = foreign.grant(&account, Access::ReadOnly).unwrap_err();
    assert_eq!(refused.reason, Refusal::OtherDomain);
    let mut reserved = account.reserve(std::num::NonZeroU32::MIN).unwrap();
    assert_eq!(reserved.grant(refused.page, Access::ReadOnly).unwrap_err().reason, Refusal::OtherDomain);
    let foreign = PageRun::alloc(world.back.clone(), std::num::NonZeroUsize::MIN).unwrap();
    assert_eq!(foreign.grant(&account, Access::ReadOnly).unwrap_err().reason, Refusal::OtherDomain);
    for peer in [DomId::SELF, DomId::IO, DomId::INVALID] {
        let refused = xen_grant_table::Account::open(world.front.clone(), peer, LIMITS).unwrap_err();
        assert_eq!(refused, Refusal::InvalidPeer);
    }
}

/// The peer's unmapping is seen some steps later, as on a machine with several processors.
#[test]
fn a_slow_unmap_is_waited_for_in_quarantine() {
    let world = World::on(xen_sim::Machine::new(7));
    let account = world.account(LIMITS);
    let grants: Vec<_> = (0..6).map(|_| world.grant(&account, Access::ReadWrite)).collect();
    let mappings: Vec<_> = grants.iter().map(|grant| map(&world, grant)).collect();
    drop(grants);
    drop(mappings);
    world.machine.settle();
    let reaped = GrantTable::reap(&world.front, 4);
    assert_eq!((reaped.tried, reaped.freed), (4, 4), "no more than the budget");
    assert_eq!(world.reap(), 2);
}
