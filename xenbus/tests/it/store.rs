//! The store against an honest daemon.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::{Machine, Reaction, Requests, When};
use xen_xenbus::store::{ATTEMPTS, BadPath, Permissions, Reason, Rights, Store, StoreError};
use xen_xenbus::wire::{MessageType, Refusal};

use crate::common::{attach, guest};

#[test]
fn what_was_written_is_read() -> Result<(), StoreError> {
    for seed in 0..20 {
        let (machine, guest, store) = guest(seed);
        store.write("data/greeting", "hello").wait()?;
        assert_eq!(store.read("data/greeting").wait()?, b"hello");
        let path = store.domain_path(guest.id()).wait()?;
        assert_eq!(machine.xenstore().read_text(&format!("{path}/data/greeting")).as_deref(), Some("hello"));
        assert_eq!(store.read_text(&format!("{path}/data/greeting")).wait()?, "hello");
        assert_eq!(store.directory("data").wait()?, ["greeting"]);
        store.remove("data/greeting").wait()?;
        assert!(store.read("data/greeting").wait().unwrap_err().is_missing());
        store.mkdir("data/empty").wait()?;
        assert_eq!(store.read("data/empty").wait()?, b"");
        assert_eq!(store.directory("data/empty").wait()?, [""; 0]);
    }
    Ok(())
}

#[test]
fn domain_0_asks_for_domains_and_others_may_not() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(1);
    assert!(store.is_introduced(guest.id()).wait().unwrap_err().is_refused(Refusal::ACCES));
    let control = machine.domain_builder().id(DomId(0)).build();
    machine.xenstore().introduce(&control);
    let store = attach(&control);
    assert!(store.is_introduced(guest.id()).wait()?);
    assert!(!store.is_introduced(DomId(77)).wait()?);
    Ok(())
}

#[test]
fn typed_reads_say_what_stood_there() -> Result<(), StoreError> {
    let (_machine, _guest, store) = guest(1);
    for (value, text) in [("4294967295", "u32"), ("18446744073709551615", "u64"), ("00:16:3e:01:02:03", "mac")] {
        store.write(&format!("data/{text}"), value).wait()?;
    }
    assert_eq!(store.read_u32("data/u32").wait()?, u32::MAX);
    assert_eq!(store.read_u64("data/u64").wait()?, u64::MAX);
    assert_eq!(store.read_mac("data/mac").wait()?, [0, 0x16, 0x3e, 1, 2, 3]);
    let error = store.read_u32("data/u64").wait().unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("cannot read \"data/u64\"") && shown.contains("it holds \"18446744073709551615\""),
        "{shown}"
    );
    store.write("data/state", "4").wait()?;
    assert_eq!(store.read_state("data/state").wait()?, State::CONNECTED);
    assert_eq!(store.read_state("data/none").wait()?, State::UNKNOWN);
    Ok(())
}

#[test]
fn wrong_paths_and_long_values_never_leave_the_guest() {
    let (_machine, _guest, store) = guest(1);
    let bad = |path: &str| store.read(path).wait().unwrap_err().reason;
    assert_eq!(bad("a//b"), Reason::BadPath(BadPath::Slash));
    assert_eq!(bad(""), Reason::BadPath(BadPath::Empty));
    assert_eq!(bad("a\0b"), Reason::BadPath(BadPath::Character(0)));
    let long = store.write("data/x", [b'x'; 4096]).wait().unwrap_err().reason;
    assert_eq!(long, Reason::TooLong { len: 4103 });
    assert_eq!(store.statistics().requests, 0);
}

#[test]
fn permissions_are_read_and_set() -> Result<(), StoreError> {
    let (_machine, guest, store) = guest(1);
    store.write("data/mine", "x").wait()?;
    let permissions =
        Permissions::new(guest.id(), Rights::None).and(DomId(0), Rights::Read).and(DomId(9), Rights::Both);
    store.set_permissions("data/mine", &permissions).wait()?;
    assert_eq!(store.permissions("data/mine").wait()?, permissions);
    let denied = store.write("/local/domain/0/x", "x").wait().unwrap_err();
    assert!(denied.is_refused(Refusal::ACCES), "{denied}");
    let control = store.control(&["help"]).wait().unwrap_err();
    assert!(control.is_refused(Refusal::ACCES) || control.is_refused(Refusal::PERM), "{control}");
    Ok(())
}

#[test]
fn many_requests_are_in_flight_at_a_time() -> Result<(), StoreError> {
    for seed in 0..10 {
        let (machine, _guest, store) = guest(seed);
        machine.xenstore().mix_answers();
        let writes: Vec<_> = (0..40).map(|i| store.write(&format!("data/{i}"), i.to_string())).collect();
        writes.into_iter().rev().try_for_each(|write| write.wait())?;
        let reads: Vec<_> = (0..40).map(|i| store.read_u32(&format!("data/{i}"))).collect();
        for (i, read) in reads.into_iter().enumerate() {
            assert_eq!(read.wait()? as usize, i, "hc_136, seed {seed}");
        }
    }
    Ok(())
}

#[test]
fn more_requests_than_there_is_room_for_wait_for_it() -> Result<(), StoreError> {
    let (_machine, _guest, store) = guest(3);
    let writes: Vec<_> = (0..200).map(|i| store.write(&format!("data/{i}"), [b'x'; 500])).collect();
    writes.into_iter().try_for_each(|write| write.wait())?;
    assert_eq!(store.directory("data").wait()?.len(), 200);
    Ok(())
}

#[test]
fn a_directory_longer_than_a_message_comes_in_parts() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(1);
    let home = xen_sim::Xenstore::home(&guest);
    let name = |i: u32| format!("a-rather-long-name-of-a-child-{i}");
    for i in 0..700 {
        machine.xenstore().write(&format!("{home}/data/{}", name(i)), "");
    }
    let mut names = store.directory("data").wait()?;
    names.sort_unstable();
    let mut expected: Vec<_> = (0..700).map(name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    Ok(())
}

#[test]
fn a_transaction_is_all_or_nothing() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(1);
    let home = xen_sim::Xenstore::home(&guest);
    store.transaction(|t| {
        t.write("data/a", "1").wait()?;
        assert!(store.read("data/a").wait().unwrap_err().is_missing(), "nobody else sees it yet");
        t.write("data/b", "2").wait()
    })?;
    assert_eq!(store.read("data/b").wait()?, b"2");

    let failed: Result<(), _> = store.transaction(|t| {
        t.write("data/a", "3").wait()?;
        t.read("data/nope").wait().map(drop)
    });
    assert!(failed.unwrap_err().is_missing());
    assert_eq!(store.read("data/a").wait()?, b"1", "given up");
    assert_eq!(machine.xenstore().transactions(&guest), 0);

    // Somebody else writes what was read, once: it is tried again, and comes out right.
    let mut tries = 0;
    store.transaction(|t| {
        let a = t.read_u32("data/a").wait()?;
        tries += 1;
        if tries == 1 {
            machine.xenstore().write(&format!("{home}/data/a"), "10");
        }
        t.write("data/a", (a + 1).to_string()).wait()
    })?;
    assert_eq!((tries, store.read_u32("data/a").wait()?), (2, 11));
    Ok(())
}

#[test]
fn hc_140_a_watch_fires_when_it_is_new_and_for_what_is_below_it() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(1);
    let (host, home) = (machine.xenstore(), xen_sim::Xenstore::home(&guest));
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + Duration::from_secs(1))?, "hc_140: a new one fires");
    assert!(!watch.take());
    host.write(&format!("{home}/data/a/b"), "x");
    assert!(watch.wait(store.now() + Duration::from_secs(1))?);
    host.write(&format!("{home}/device/x"), "x");
    assert!(!watch.wait(store.now() + Duration::from_secs(1))?);
    drop(watch);
    store.read("domid").wait()?;
    assert_eq!((host.watches(&guest), store.watches()), (0, 0), "taken back");
    host.write(&format!("{home}/data/a/b"), "y");
    store.read("domid").wait()?;
    assert_eq!(store.statistics().dropped, 0);
    Ok(())
}

#[test]
fn a_watch_that_is_refused_leaves_nothing() {
    let (machine, guest, store) = guest(1);
    machine.xenstore().script(Requests::of(MessageType::WATCH), When::Nth(1), Reaction::refuse("E2BIG"));
    let error = store.watch("data").wait().unwrap_err();
    assert!(error.is_refused(Refusal::TOO_BIG), "{error}");
    assert_eq!((machine.xenstore().watches(&guest), store.watches()), (0, 0));
}

/// Polls a future, and lets the machine go on meanwhile, until it is ready.
fn block_on<T>(store: &Store<xen_sim::Domain>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut server = pin!(store.serve());
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        assert!(server.as_mut().poll(&mut context).is_pending());
        let _ = store.now();
        if store.next_deadline().is_some_and(|deadline| deadline <= store.now()) {
            store.poll();
        }
    }
    panic!("it never ends");
}

#[test]
fn calls_watches_and_transactions_are_awaited() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(5);
    let home = xen_sim::Xenstore::home(&guest);
    block_on(&store, async {
        store.write("data/a", "1").await?;
        assert_eq!(store.read("data/a").await?, b"1");
        let watch = store.watch("data").await?;
        watch.changed().await;
        machine.xenstore().write(&format!("{home}/data/a"), "2");
        watch.changed().await;
        assert_eq!(store.read_u32("data/a").await?, 2);
        let mut tries = 0;
        let before = store
            .transaction_async(async |t| {
                let value = t.read_u32("data/a").await?;
                tries += 1;
                if tries == 1 {
                    machine.xenstore().write(&format!("{home}/data/a"), "5");
                }
                t.write("data/a", (value + 1).to_string()).await?;
                Ok(value)
            })
            .await?;
        assert_eq!((before, store.read_u32("data/a").await?), (5, 6));
        Ok(())
    })
}

#[test]
fn hc_142_a_task_tries_a_transaction_32_times_as_well() {
    let (machine, _guest, store) = guest(1);
    let conflict = Reaction::alter(|request, _| request.refusal("EAGAIN").to_bytes());
    machine.xenstore().script(Requests::of(MessageType::TRANSACTION_END), When::Always, conflict);
    let mut attempts = 0;
    let transaction = store.transaction_async(async |_| {
        attempts += 1;
        Ok(())
    });
    let error = block_on(&store, transaction).unwrap_err();
    assert_eq!((error.reason, attempts), (Reason::Contended { attempts: ATTEMPTS }, ATTEMPTS));
}

#[test]
fn a_call_that_is_dropped_is_sent_and_its_answer_ignored() -> Result<(), StoreError> {
    let (_machine, _guest, store) = guest(1);
    drop(store.write("data/a", "1"));
    assert_eq!(store.read("data/a").wait()?, b"1");
    assert_eq!(store.statistics().late, 1);
    Ok(())
}

#[test]
fn a_transaction_whose_start_is_dropped_is_ended() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(1);
    let mut transaction = Box::pin(store.transaction_async(async |_| Ok(())));
    assert!(transaction.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // Takes in the answer as well.
    store.read("domid").wait()?;
    assert_eq!(machine.xenstore().transactions(&guest), 1);
    assert!(store.quiesce(Duration::from_millis(10)).is_err(), "it is open");
    drop(transaction);
    store.read("domid").wait()?;
    assert_eq!(machine.xenstore().transactions(&guest), 0);
    store.quiesce(Duration::from_secs(1)).map(drop)
}

/// Those that were dropped, and that the daemon was not yet heard to have forgotten, do not count.
#[test]
fn as_many_watches_as_the_daemon_allows_can_be_dropped_and_made_again() -> Result<(), StoreError> {
    let (machine, guest, store) = guest(1);
    for _ in 0..3 {
        let watches = (0..128).map(|i| store.watch(&format!("data/{i}")).wait()).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(store.watch("data/more").wait().unwrap_err().reason, Reason::TooManyWatches);
        drop(watches);
    }
    store.read("domid").wait()?;
    store.read("domid").wait()?;
    assert_eq!((machine.xenstore().watches(&guest), store.watches()), (0, 0));
    Ok(())
}

#[test]
fn two_guests_do_not_see_each_other() -> Result<(), StoreError> {
    let machine = Machine::new(1);
    let (one, two) = (machine.domain(), machine.domain());
    machine.xenstore().introduce(&one);
    machine.xenstore().introduce(&two);
    let (first, second) = (attach(&one), attach(&two));
    first.write("data/a", "1").wait()?;
    assert!(second.read("data/a").wait().unwrap_err().is_missing());
    let path = format!("{}/data/a", xen_sim::Xenstore::home(&one));
    assert!(second.read(&path).wait().is_err());
    Ok(())
}
