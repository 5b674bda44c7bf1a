//! The store while the domain is suspended, resumed, or not suspended after all.

use std::num::NonZeroUsize;
use std::time::Duration;

use xen_grant_table::{Access, Account, Limits, Page, ReadMapping};
use xen_hypercall::{Frame, Pages};
use xen_sim::{Domain, Machine, Xenstore};
use xen_xenbus::Store;
use xen_xenbus::control::Resumed;
use xen_xenbus::store::{Reason, StoreError};

use crate::common::{attach, guest};
use crate::suspended::suspend_domain;

const SECOND: Duration = Duration::from_secs(1);

fn suspend(domain: &Domain, store: &Store<Domain>) -> Result<Resumed, StoreError> {
    Ok(suspend_domain(domain, store.quiesce(SECOND)?))
}

#[test]
fn fault_07_after_a_resume_calls_transactions_and_watches_work() -> Result<(), StoreError> {
    for seed in 0..20 {
        let (machine, domain, store) = guest(seed);
        domain.migrate_on_suspend();
        let watch = store.watch("data").wait()?;
        for round in 1..=5 {
            let _ = watch.take();
            assert_eq!(suspend(&domain, &store)?, Resumed::Anew);
            assert_eq!(store.epoch(), round);
            assert!(watch.take(), "hc_141");
            store.write("data/x", "y").wait()?;
            store.transaction(|t| t.write("data/z", "y").wait())?;
            let _ = watch.wait(store.now() + SECOND)?;
            let _ = watch.take();
            machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "z");
            assert!(watch.wait(store.now() + SECOND)?, "seed {seed}, round {round}");
            assert_eq!(machine.xenstore().watches(&domain), 1);
        }
        assert_eq!(store.statistics().broken, 0);
    }
    Ok(())
}

#[test]
fn hc_141_watches_are_registered_again_after_a_resume_and_have_all_fired() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    domain.migrate_on_suspend();
    let watches = ["data", "device", "control/shutdown"].map(|path| store.watch(path).wait().unwrap());
    let gone = store.watch("memory").wait()?;
    store.read("domid").wait()?;
    watches.iter().for_each(|watch| assert!(watch.take()));
    assert!(watches.iter().all(|watch| !watch.take()));
    drop(gone);
    suspend(&domain, &store)?;
    assert!(watches.iter().all(|watch| watch.take()), "something may have been missed");
    store.read("domid").wait()?;
    assert_eq!(machine.xenstore().watches(&domain), 3, "and the one that was dropped is not");
    Ok(())
}

#[test]
fn hc_157_fault_08_after_a_suspend_that_was_called_off_nothing_is_made_anew() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + SECOND)?);
    let before = store.statistics();
    assert_eq!(suspend(&domain, &store)?, Resumed::AsBefore);
    assert!(!watch.take(), "nothing was missed");
    assert_eq!((store.statistics(), store.epoch()), (before, 0), "nothing was asked");
    machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "z");
    assert!(watch.wait(store.now() + SECOND)?);
    Ok(())
}

/// A checkpoint: the same memory is resumed once more, before anything of the first resume was said.
#[test]
fn fault_10_two_resumes_in_a_row_are_as_one() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    domain.migrate_on_suspend();
    let watch = store.watch("data").wait()?;
    machine.xenstore().hang();
    for _ in 0..3 {
        // With a daemon that says nothing in between, the watch is asked for and never answered.
        let quiet = match store.quiesce(6 * SECOND) {
            Ok(quiet) => quiet,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(suspend_domain(&domain, quiet), Resumed::Anew);
    }
    machine.xenstore().go_on();
    store.read("domid").wait()?;
    store.read("domid").wait()?;
    assert_eq!(machine.xenstore().watches(&domain), 1, "once");
    let _ = watch.take();
    machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "z");
    assert!(watch.wait(store.now() + SECOND)?);
    Ok(())
}

#[test]
fn hc_156_a_suspend_waits_for_open_transactions_and_not_for_ever() -> Result<(), StoreError> {
    let (_machine, domain, store) = guest(1);
    domain.migrate_on_suspend();
    store.transaction(|t| {
        let error = suspend(&domain, &store).unwrap_err();
        assert_eq!(error.reason, Reason::TimedOut(SECOND), "it is open");
        t.write("data/x", "y").wait()
    })?;
    assert_eq!(store.read("data/x").wait()?, b"y", "called off, and everything went on");
    assert_eq!(suspend(&domain, &store)?, Resumed::Anew);
    Ok(())
}

#[test]
fn a_store_at_rest_lets_nothing_begin() -> Result<(), StoreError> {
    let (_machine, _domain, store) = guest(1);
    let call = store.read("domid");
    let quiet = store.quiesce(SECOND)?;
    assert_eq!(call.wait()?, b"1", "what was under way has ended");
    assert_eq!(store.read("domid").wait().unwrap_err().reason, Reason::Suspending);
    assert_eq!(store.transaction(|_| Ok(())).unwrap_err().reason, Reason::Suspending);
    assert_eq!(store.quiesce(SECOND).unwrap_err().reason, Reason::Suspending, "by somebody else");
    assert_eq!(store.read("domid").wait().unwrap_err().reason, Reason::Suspending, "and that has changed nothing");
    drop(quiet);
    store.read("domid").wait().map(drop)
}

/// No frame number is kept over a suspend: what is granted afterwards is the page that was meant.
#[test]
fn fault_09_pages_are_granted_by_the_frames_that_they_have_after_a_resume() -> Result<(), StoreError> {
    let machine = Machine::new(1);
    let (domain, peer) = (machine.domain(), machine.domain());
    machine.xenstore().introduce(&domain);
    let store = attach(&domain);
    domain.migrate_on_suspend();
    let frame = domain.alloc(NonZeroUsize::MIN).unwrap();
    let mut page = Page::alloc(domain.clone()).unwrap();
    page.fill(b"of before").unwrap();
    let before = domain.gfn(frame);
    suspend(&domain, &store)?;
    assert_ne!(domain.gfn(frame), before, "it has another number");
    let account = Account::open(domain.clone(), peer.id(), Limits::exactly(8)).unwrap();
    let grant = page.grant(&account, Access::ReadOnly).unwrap();
    let mapping = ReadMapping::map(peer, domain.id(), &[grant.gref()]).unwrap();
    let mut bytes = [0; 9];
    assert_eq!((mapping.read(0, &mut bytes), &bytes), (9, b"of before"));
    drop(mapping);
    give_back(&domain, frame);
    Ok(())
}

fn give_back(domain: &Domain, frame: std::ptr::NonNull<Frame>) {
    // SAFETY: the page was taken above, and nothing uses it.
    unsafe { domain.dealloc(frame) };
}

/// What came before the channel had an owner is found by the first look, without an event.
#[test]
fn fault_19_what_came_before_the_store_was_attached_is_found() -> Result<(), StoreError> {
    let machine = Machine::new(1);
    let domain = machine.domain();
    machine.xenstore().introduce(&domain);
    machine.xenstore().flood(&domain, "data", b"0-1", 3);
    machine.advance(SECOND);
    let store = attach(&domain);
    store.poll();
    assert_eq!(store.statistics().dropped, 3, "the ring was looked at");
    store.read("domid").wait().map(drop)
}
