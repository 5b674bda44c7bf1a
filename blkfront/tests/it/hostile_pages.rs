//! A backend that does with pages what it should not: cases 021, 022, 073 to 078, 083 and 084 of the catalogue.

use std::time::Duration;

use xen_blkfront::{Done, Event, IoError, Options, Persistent, Request, Sector512};
use xen_grant_table::{Access, Account, GrantTable, Limits, Memory as _, Page};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_shared_ring::PeerError;
use xen_sim::blkback::{Fault, Misdeed, Options as Offer, Restart, Which};
use xen_sim::{Held, Limit, When};
use xen_xenbus::bus::Problem;

use crate::common::hostile::{Scene, heal, read_a_page, read_many_pages, take, write_a_page};
use crate::common::{Rig, contents};

const SECOND: Duration = Duration::from_secs(1);

const PERSISTENT: Options = Options { persistent: Persistent::IfOffered, ..Options::DEFAULT };

#[test]
fn hc_021_022_074_a_page_that_is_kept_mapped_breaks_it_and_is_not_handed_back() {
    for misdeed in [Misdeed::KeepsMapped, Misdeed::ChangesLater] {
        for (last, pages) in [(read_a_page as fn(&_) -> _, 1), (write_a_page, 1), (read_many_pages, 32)] {
            let (violation, last) = Scene::new(Options::DEFAULT, misdeed, last).must_break();
            assert!(matches!(violation, PeerError::GrantStillInUse { .. }), "{violation:?}");
            assert_eq!(last.result, Err(IoError::Misbehaved(violation)));
            assert!(last.buffer.capacity() == 0, "{pages} pages are in quarantine: {:?}", last.buffer);
        }
    }
}

#[test]
fn hc_022_pages_that_were_let_go_of_come_back() {
    let mut rig = Rig::new(1, Options { segments: 1, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::All, When::Nth(2), Fault::Misdeed(Misdeed::KeepsMapped));
    let buffer = rig.filled(3 * 4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    assert!(rig.until(SECOND, |rig| !rig.completions.is_empty()));
    let done = take(&mut rig, id);
    assert!(matches!(done.result, Err(IoError::Misbehaved(PeerError::GrantStillInUse { .. }))), "{done:?}");
    assert_eq!((done.buffer.capacity(), done.buffer.len()), (2 * 4096, 2 * 4096), "all but the second page");
    assert!((0..2).all(|index| done.buffer.page(index) == Some(&[1; 4096])));
    heal(&mut rig);
}

#[test]
fn hc_074_075_pages_that_stay_mapped_by_agreement_break_nothing() {
    for misdeed in [Misdeed::KeepsMapped, Misdeed::ChangesLater] {
        for last in [read_a_page, write_a_page, read_many_pages] {
            Scene::new(PERSISTENT, misdeed, last).must_go_on();
        }
    }
}

#[test]
fn hc_021_what_came_back_does_not_change_any_more() {
    let mut rig = Rig::new(1, PERSISTENT, Offer::DEFAULT);
    let buffer = rig.front.buffer(8192).unwrap();
    let done = rig.run(Request::read(Sector512(0), buffer));
    let before = contents(&done.buffer);
    let hostile = rig.machine.hostile(&rig.domain);
    for target in hostile.targets() {
        let _ = hostile.write(&target, 64, &[0xff; 4000]);
    }
    assert_eq!(contents(&done.buffer), before);
}

#[test]
fn hc_073_segments_that_are_rewritten_change_nothing() {
    for options in [Options::DEFAULT, PERSISTENT] {
        for last in [read_many_pages, |rig: &Rig| Request::write(Sector512(1024), rig.filled(40 * 4096, 6))] {
            Scene::new(options, Misdeed::RewritesIndirect, last).must_go_on();
        }
    }
}

#[test]
fn hc_075_pages_that_stay_granted_are_no_more_than_were_under_way_at_a_time() {
    let mut rig = Rig::new(1, Options { segments: 16, ..PERSISTENT }, Offer::DEFAULT);
    let mut most = 0;
    for round in 0..15 {
        rig.write(round * 128, 12 * 4096, round as u8 + 1).unwrap();
        assert_eq!(rig.read(round * 128, 12 * 4096), Ok(vec![round as u8 + 1; 12 * 4096]));
        most = most
            .max(rig.machine.hostile(&rig.domain).targets().iter().map(|target| target.page).collect::<Pages>().len());
    }
    assert_eq!(most, 1 + 1 + 12, "a ring, a page of segments, and those of one request");
    rig.close();
    rig.assert_given_back();
}

type Pages = std::collections::BTreeSet<xen_hypercall::abi::Gfn>;

#[test]
fn hc_076_a_page_that_changes_meanwhile_harms_that_request_only() {
    let mut rig = Rig::new(1, PERSISTENT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Nth(1), Fault::Hang);
    let buffer = rig.filled(4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(SECOND / 100);
    let hostile = rig.machine.hostile(&rig.domain);
    for target in hostile.targets() {
        let bytes = hostile.read(&target).unwrap();
        if bytes.iter().all(|byte| *byte == 1) {
            hostile.write(&target, 0, &[9; 4096]).unwrap();
        }
    }
    rig.control().go_on();
    let done = rig.finish(id);
    assert_eq!(done.result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(0, 1), [9], "which its owner finds out by a hash");
    assert_eq!(contents(&done.buffer), vec![1; 4096], "the owner's page is its own");
    assert_eq!(rig.write(8, 512, 2), Ok(Done::Transferred));
}

#[test]
fn hc_078_a_read_brings_what_was_asked_for_and_no_more() {
    for options in [Options::DEFAULT, PERSISTENT] {
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        rig.write(0, 40 * 4096, 5).unwrap();
        rig.control().on(
            Which::Of(xen_hypercall::abi::io::blkif::Operation::READ),
            When::Always,
            Fault::Misdeed(Misdeed::Overruns),
        );
        for bytes in [512, 4096 + 512, 32 * 4096 + 1024] {
            let buffer = rig.filled(bytes, 7);
            let done = rig.run(Request::read(Sector512(0), buffer));
            assert_eq!(done.result, Ok(Done::Transferred));
            assert_eq!(contents(&done.buffer), vec![5; bytes]);
            let mut beyond = [0; 1];
            assert_eq!(done.buffer.copy_out(bytes, &mut beyond), 0);
            if options.persistent == Persistent::IfOffered {
                let last = done.buffer.page(bytes / 4096).unwrap();
                assert!(last[bytes % 4096..].iter().all(|byte| *byte == 0), "the rest was not touched");
            }
        }
    }
}

/// Has the backend's domain map everything that it can, and keep it.
fn hoard(rig: &Rig, held: &mut Vec<Held>, known: &mut Vec<GrantRef>) {
    let hostile = rig.machine.hostile(&rig.domain);
    for target in hostile.targets() {
        if !known.contains(&target.gref)
            && let Ok(page) = hostile.hold(target.owner, target.gref, xen_sim::Access::ReadOnly)
        {
            held.push(page);
            known.push(target.gref);
        }
    }
}

#[test]
fn hc_083_a_backend_that_keeps_everything_runs_into_a_limit() {
    // At most 32 requests of a page, a page of the ring, and one of segments for each.
    let options = Options { segments: 1, ..Options::DEFAULT };
    let mut rig = Rig::new(1, options, Offer::DEFAULT);
    let (mut held, mut known) = (Vec::new(), Vec::new());
    let gave_up = |event: &Event<_>| matches!(event, Event::Trouble(error) if matches!(&error.problem, Problem::Broken(why) if why.contains("ring was not granted")));
    for round in 0..6 {
        rig.control().on(Which::All, When::Nth(30), Fault::Misdeed(Misdeed::Twice));
        for number in 0..30_u64 {
            let buffer = rig.filled(512, 1);
            rig.front.submit(Request::write(Sector512(number * 16), buffer), rig.now()).unwrap();
        }
        rig.front.flush_notifications(rig.now());
        hoard(&rig, &mut held, &mut known);
        assert!(rig.until(SECOND, |rig| rig.completions.len() == 30), "each ends: {:?}", rig.completions.len());
        rig.completions.clear();
        rig.control().clear();
        rig.machine.advance(SECOND * 20);
        if !rig.until(SECOND, |rig| rig.front.disk().is_some()) {
            assert!(round >= 1, "not so soon");
            break;
        }
    }
    assert!(rig.count(gave_up) > 0, "{:?}", rig.events);
    let quarantined = rig.guest.grant_table().statistics().quarantined;
    assert!((65..=130).contains(&quarantined), "{quarantined}");

    // Others are none the worse for it.
    let limits = Limits { guaranteed: 1, most: 1, quarantine: 1 };
    let account = Account::open(rig.guest.clone(), xen_hypercall::abi::DomId(7), limits).unwrap();
    let grant = Page::alloc(rig.guest.clone()).unwrap().grant(&account, Access::ReadOnly).unwrap();
    assert!(grant.revoke().is_ok());
    drop(account);

    // When it lets go, the disk works again.
    let hostile = rig.machine.hostile(&rig.domain);
    held.drain(..).for_each(|page| hostile.let_go(page).unwrap());
    rig.machine.settle();
    let _ = GrantTable::reap(&rig.guest, u32::MAX);
    assert!(rig.until(SECOND * 30, |rig| rig.front.disk().is_some()), "{:?}", rig.events);
    assert_eq!(rig.write(0, 512, 1), Ok(Done::Transferred));
    rig.close();
    rig.assert_given_back();
}

#[test]
fn hc_084_a_ring_that_stays_mapped_is_not_used_again() {
    for ring_order in [0, 2] {
        let mut rig = Rig::new(1, Options { ring_order, ..Options::DEFAULT }, Offer::DEFAULT);
        let ring: Vec<_> = rig.machine.hostile(&rig.domain).targets();
        let mut held = Vec::new();
        hoard(&rig, &mut held, &mut Vec::new());
        rig.control().restart(Restart::Orderly);
        let connected = |rig: &Rig| rig.count(|event| matches!(event, Event::Connected)) == 2;
        assert!(rig.until(SECOND, connected), "{:?}", rig.events);
        assert_eq!(rig.guest.grant_table().statistics().quarantined, 1 << ring_order);
        let _ = GrantTable::reap(&rig.guest, u32::MAX);
        assert_eq!(rig.guest.grant_table().statistics().quarantined, 1 << ring_order, "still mapped");
        let path = rig.device.front_path();
        let key = if ring_order == 0 { "ring-ref".to_owned() } else { "ring-ref0".to_owned() };
        let new = rig.machine.xenstore().read_text(&format!("{path}/{key}")).unwrap();
        assert!(ring.iter().all(|target| target.gref.0.to_string() != new), "a new one");
        assert_eq!(rig.write(0, 512, 1), Ok(Done::Transferred));
        let hostile = rig.machine.hostile(&rig.domain);
        held.drain(..).for_each(|page| hostile.let_go(page).unwrap());
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn hc_105_a_backend_that_does_not_close_keeps_its_pages_and_nothing_else() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffer = rig.filled(2 * 4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(SECOND / 100);
    rig.control().hang();
    let began = rig.now();
    rig.front.close();
    assert!(rig.until(SECOND * 10, |rig| rig.front.is_ended()), "{:?}", rig.events);
    assert!(rig.now() - began < SECOND * 10);
    let done = take(&mut rig, id);
    assert_eq!(done.result, Err(IoError::OutcomeUnknown));
    // What it had is in quarantine; the data was saved.
    assert_eq!(rig.guest.grant_table().statistics().quarantined, 3);
    assert_eq!(contents(&done.buffer), vec![1; 2 * 4096]);
    rig.back = None;
    rig.assert_given_back();
}

#[test]
fn hc_105_a_page_that_is_kept_and_cannot_be_replaced_is_missing() {
    let limits = xen_xenbus::bus::Limits { stop: SECOND / 20, close: SECOND / 20, ..Options::DEFAULT.limits };
    let mut rig = Rig::new(1, Options { limits, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffer = rig.filled(2 * 4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(SECOND / 100);
    rig.control().hang();
    rig.machine.faults().limit(&rig.guest, Limit::Pages(0));
    rig.machine.xenstore().write(&format!("{}/state", rig.device.back_path()), "5");
    assert!(rig.until(SECOND, |rig| !rig.completions.is_empty()), "{:?}", rig.events);
    let done = take(&mut rig, id);
    assert_eq!((done.result, done.buffer.capacity(), done.buffer.len()), (Err(IoError::NoMemory), 0, 0));
}
