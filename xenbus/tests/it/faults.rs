//! The store while the daemon or the guest's own kernel fails: crashed, restarted, updated, slow, full.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use xen_sim::{Domain, Machine, Word, Xenstore};
use xen_xenbus::Store;
use xen_xenbus::store::{PATIENCE, Reason, StoreError};
use xen_xenbus::wire::Refusal;

use crate::common::{attach, bounded, guest};

const SECOND: Duration = Duration::from_secs(1);

fn read(store: &Store<Domain>) -> Result<Vec<u8>, StoreError> {
    store.read("domid").wait()
}

/// What ran before in the domain has left watches and transactions behind.
#[test]
fn fault_27_what_an_earlier_kernel_left_is_reset() -> Result<(), StoreError> {
    let (machine, domain, first) = guest(1);
    let watch = first.watch("data").wait()?;
    std::mem::forget(watch);
    // The kernel is replaced by another one, in the middle of things.
    std::mem::forget(first);
    xen_event_channel::resume(&domain, xen_event_channel::Preference::TwoLevel).unwrap();
    let second = attach(&domain);
    second.reset_watches().wait()?;
    assert_eq!(machine.xenstore().watches(&domain), 0);
    let watch = second.watch("data").wait()?;
    assert!(watch.wait(second.now() + SECOND)?);
    Ok(())
}

#[test]
fn fault_13_a_ring_that_is_reset_ends_calls_and_registers_watches_again() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let (host, home) = (machine.xenstore(), Xenstore::home(&domain));
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + SECOND)?);
    // An index that cannot be makes the store ask for a reset.
    host.poke(&domain, Word::ResponseProducer, 1 << 20);
    assert!(read(&store).is_err());
    assert!(watch.wait(store.now() + 3 * SECOND)?, "hc_141: something may have been missed");
    while host.watches(&domain) == 0 {
        read(&store)?;
    }
    let _ = watch.wait(store.now() + SECOND)?;
    let _ = watch.take();
    host.write(&format!("{home}/data/x"), "y");
    assert!(watch.wait(store.now() + SECOND)?, "it is registered again");
    assert_eq!(watch.refusal(), None);
    assert_eq!(store.epoch(), 1);
    Ok(())
}

/// Breaks the connection, and waits until it was made anew.
fn begin_anew(machine: &Machine, domain: &Domain, store: &Store<Domain>) {
    let epoch = store.epoch();
    machine.xenstore().poke(domain, Word::ResponseProducer, 1 << 20);
    for _ in 0..3 {
        let _ = bounded(store, 1, || read(store));
    }
    assert_eq!(store.epoch(), epoch + 1);
}

/// Its registration was answered, and the answer not yet collected.
#[test]
fn fault_13_a_watch_that_was_just_made_is_registered_again() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let call = store.watch("data");
    // Takes in the answer as well.
    read(&store)?;
    assert_eq!(machine.xenstore().watches(&domain), 1);
    begin_anew(&machine, &domain, &store);
    let watch = call.wait()?;
    read(&store)?;
    assert_eq!(machine.xenstore().watches(&domain), 1);
    while watch.take() {}
    machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "y");
    assert!(watch.wait(store.now() + SECOND)?);
    Ok(())
}

/// To the daemon that has begun anew its number may be that of another one.
#[test]
fn fault_13_a_transaction_ends_with_its_connection() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let result = store.transaction(|t| {
        t.write("data/x", "1").wait()?;
        begin_anew(&machine, &domain, &store);
        let other = store.transaction(|other| {
            other.write("data/x", "2").wait()?;
            assert_eq!(t.write("data/x", "3").wait().unwrap_err().reason, Reason::Reset);
            Ok(())
        });
        assert_eq!(other, Ok(()));
        Ok(())
    });
    assert_eq!(result.unwrap_err().reason, Reason::Reset);
    assert_eq!(store.read("data/x").wait()?, b"2");
    assert_eq!(machine.xenstore().transactions(&domain), 0);
    store.quiesce(SECOND).map(drop)
}

/// A transaction that is under way.
type Open = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// Begins a transaction in which nothing happens, and takes the answer in.
fn open(store: &Store<Domain>) -> Result<Open, StoreError> {
    let of_it = store.clone();
    let mut transaction: Open =
        Box::pin(async move { of_it.transaction_async(async |_| std::future::pending().await).await });
    look(&mut transaction);
    read(store)?;
    Ok(transaction)
}

fn look(transaction: &mut Open) {
    assert!(transaction.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn fault_13_the_end_of_an_old_transaction_is_not_that_of_a_new_one() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let mut old = open(&store)?;
    look(&mut old);
    let uncollected = open(&store)?;
    begin_anew(&machine, &domain, &store);
    let mut new = open(&store)?;
    look(&mut new);
    assert_eq!(machine.xenstore().transactions(&domain), 1);
    let before = store.statistics().requests;
    drop((old, uncollected));
    store.poll();
    assert_eq!(store.statistics().requests, before, "nothing to tell the daemon");
    assert!(store.quiesce(SECOND).is_err(), "one is open");
    drop(new);
    store.quiesce(SECOND).map(drop)
}

#[test]
fn fault_11_without_a_daemon_calls_end_and_with_a_new_one_they_work_again() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    read(&store)?;
    machine.xenstore().crash();
    for _ in 0..3 {
        let error = bounded(&store, 1, || read(&store)).unwrap_err();
        assert_eq!(error.reason, Reason::TimedOut(PATIENCE));
    }
    machine.xenstore().restart();
    machine.xenstore().introduce(&domain);
    let mut again = (0..4).map(|_| bounded(&store, 1, || read(&store)));
    assert!(again.any(|result| result.is_ok()));
    Ok(())
}

#[test]
fn fault_12_a_live_update_is_not_seen() -> Result<(), StoreError> {
    for seed in 0..20 {
        let (machine, domain, store) = guest(seed);
        let watch = store.watch("data").wait()?;
        store.transaction(|t| {
            t.write("data/x", "1").wait()?;
            machine.xenstore().live_update(Duration::from_millis(300));
            t.write("data/y", "2").wait()
        })?;
        let calls: Vec<_> = (0..20).map(|i| store.write(&format!("data/{i}"), "x")).collect();
        machine.xenstore().live_update(Duration::from_millis(300));
        calls.into_iter().try_for_each(|call| call.wait())?;
        let _ = watch.take();
        machine.xenstore().write(&format!("{}/data/z", Xenstore::home(&domain)), "x");
        assert!(watch.wait(store.now() + SECOND)?);
        assert_eq!((store.epoch(), store.statistics().broken), (0, 0), "seed {seed}");
    }
    Ok(())
}

#[test]
fn fault_28_a_slow_daemon_is_waited_for() -> Result<(), StoreError> {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().slow(SECOND);
    store.transaction(|t| t.write("data/x", "1").wait())?;
    // Each of ten takes a second, and they are under way together: more time for the last ones.
    let calls: Vec<_> = (0..10).map(|_| store.read("domid").within(15 * SECOND)).collect();
    calls.into_iter().try_for_each(|call| call.wait().map(drop))
}

#[test]
fn fault_29_a_full_store_is_an_error_of_the_write() {
    let (machine, _domain, store) = guest(1);
    let quota = xen_sim::Quota { nodes: 0, ..xen_sim::Quota::default() };
    machine.xenstore().set_quota(quota);
    let error = store.write("data/x", "y").wait().unwrap_err();
    assert!(error.is_refused(Refusal::NOSPC), "{error}");
}
