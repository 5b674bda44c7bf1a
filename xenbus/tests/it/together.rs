//! The store in situations that take two things at once: a reset and something that is not finished, a full outbox and something
//! to give up, a waker that does more than to wake.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use xen_event_channel::{Channel, Preference};
use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::io::xs_wire::ServerFeatures;
use xen_hypercall::sched;
use xen_sim::{Domain, Machine, Message, Reaction, Requests, When, Word, Xenstore};
use xen_xenbus::Store;
use xen_xenbus::store::{Quiet, Reason, StoreError};
use xen_xenbus::wire::{MessageType, Refusal};

use crate::common::{Flag, SECOND, attach, guest, step_until, wait_until};

/// Has the daemon break the connection, and waits until it is made anew.
fn reset(machine: &Machine, domain: &Domain, store: &Store<Domain>) {
    let (host, before) = (machine.xenstore(), store.epoch());
    host.poke(domain, Word::ResponseProducer, host.peek(domain, Word::ResponseProducer).wrapping_add(5000));
    store.poll();
    // A connection that breaks once more is made anew after a pause.
    machine.advance(SECOND);
    step_until(store, || store.epoch() > before);
}

#[test]
fn a_transaction_of_before_a_reset_touches_nothing_of_the_new_connection() {
    let (machine, domain, store) = guest(1);
    let result = store.transaction(|t| {
        reset(&machine, &domain, &store);
        wait_until(&machine, &store, || store.next_deadline().is_none());
        let before = store.statistics().requests;
        let error = t.write("data/x", "y").wait().unwrap_err();
        assert_eq!(error.reason, Reason::Reset);
        assert_eq!(store.statistics().requests, before, "its number may be that of another transaction now");
        Ok(())
    });
    assert_eq!(result.unwrap_err().reason, Reason::Reset);
}

#[test]
fn a_watch_whose_first_answer_nobody_has_taken_yet_outlives_a_reset() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let call = store.watch("data");
    wait_until(&machine, &store, || store.statistics().answers == 1);
    reset(&machine, &domain, &store);
    let watch = call.wait()?;
    for _ in 0..3 {
        store.read("domid").wait()?;
    }
    assert!(watch.take());
    machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "y");
    assert!(watch.wait(store.now() + SECOND)?, "the daemon knows it");
    assert_eq!((watch.refusal(), machine.xenstore().watches(&domain)), (None, 1));
    Ok(())
}

#[test]
fn a_watch_that_was_asked_for_before_a_reset_and_sent_after_it_is_registered_once() -> Result<(), StoreError> {
    let machine = Machine::new(1);
    let domain = machine.domain();
    machine.xenstore().introduction(&domain).late(SECOND).introduce();
    let store = attach(&domain);
    let watch = store.watch("data").wait()?;
    for _ in 0..3 {
        store.read("domid").wait()?;
    }
    assert_eq!((watch.refusal(), machine.xenstore().watches(&domain)), (None, 1));
    Ok(())
}

#[test]
fn a_watch_that_the_daemon_registers_late_is_not_refused() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    // The daemon has it, and says so when that was asked for once more.
    machine.xenstore().script(Requests::of(MessageType::WATCH), When::Nth(1), Reaction::Late(6 * SECOND));
    reset(&machine, &domain, &store);
    store.poll();
    machine.advance(5 * SECOND);
    step_until(&store, || store.statistics().timed_out > 0);
    for _ in 0..10 {
        store.read("domid").wait()?;
    }
    assert_eq!((watch.refusal(), machine.xenstore().watches(&domain)), (None, 1));
    Ok(())
}

#[test]
fn a_refusal_of_a_watch_is_over_when_a_later_connection_takes_it() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    machine.xenstore().script(Requests::of(MessageType::WATCH), When::Nth(1), Reaction::refuse("E2BIG"));
    reset(&machine, &domain, &store);
    store.read("domid").wait()?;
    assert!(watch.refusal().is_some_and(|refusal| refusal.is(Refusal::TOO_BIG)));
    machine.xenstore().clear_script();
    reset(&machine, &domain, &store);
    store.read("domid").wait()?;
    assert_eq!((watch.refusal(), machine.xenstore().watches(&domain)), (None, 1));
    Ok(())
}

#[test]
fn a_reset_of_all_watches_spares_those_of_the_store() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    store.reset_watches().wait()?;
    for _ in 0..3 {
        store.read("domid").wait()?;
    }
    let _ = watch.take();
    machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "y");
    assert!(watch.wait(store.now() + SECOND)?);
    Ok(())
}

#[test]
fn a_store_comes_to_rest_for_one_at_a_time() -> Result<(), StoreError> {
    let (_machine, _domain, store) = guest(1);
    let quiet = store.quiesce(SECOND)?;
    let second = store.quiesce(SECOND);
    assert!(matches!(&second, Err(error) if error.reason == Reason::Suspending), "{second:?}");
    assert!(store.is_quiet());
    drop(second);
    assert!(store.is_quiet(), "it is still the first one's");
    drop(quiet);
    assert!(store.read("domid").wait().is_ok());
    Ok(())
}

#[test]
fn the_longest_time_to_come_to_rest_is_no_panic() -> Result<(), StoreError> {
    let (_machine, _domain, store) = guest(1);
    drop(store.quiesce(Duration::MAX)?);
    store.read("domid").within(Duration::MAX).wait().map(drop)
}

#[test]
fn a_transaction_that_is_cancelled_before_it_has_its_number_is_ended() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    {
        let mut task = pin!(store.transaction_async(async |_| Ok(())));
        let mut context = Context::from_waker(Waker::noop());
        assert!(task.as_mut().poll(&mut context).is_pending());
        wait_until(&machine, &store, || store.statistics().answers == 1);
    }
    store.read("domid").wait()?;
    store.read("domid").wait()?;
    assert_eq!(machine.xenstore().transactions(&domain), 0, "nobody else would have ended it");
    Ok(())
}

#[test]
fn a_transaction_that_is_given_up_while_there_is_no_room_is_ended_later() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let host = machine.xenstore();
    let mut calls = Vec::new();
    let result: Result<(), _> = store.transaction(|t| {
        host.hang();
        for len in [[1000; 20], [100; 20], [1; 20]].concat() {
            calls.push(store.write("data/x", vec![b'x'; len]));
            store.poll();
        }
        t.read("data/x").wait().map(drop)
    });
    assert!(result.is_err());
    drop(calls);
    host.go_on();
    for _ in 0..100 {
        store.read("domid").wait()?;
    }
    assert_eq!(host.transactions(&domain), 0);
    Ok(())
}

/// The domain is resumed elsewhere, and the store goes on there.
fn resume(domain: &Domain, quiet: Quiet<Domain>) {
    domain.migrate_on_suspend();
    // SAFETY: nothing uses what the suspend takes away.
    let answer = unsafe { sched::suspend(domain, Mfn(0)) };
    assert_eq!(answer, Ok(sched::Suspended::Resumed));
    xen_event_channel::resume(domain, Preference::TwoLevel).unwrap();
    let (page, port) = domain.store().unwrap();
    quiet.resume(page, Channel::adopt(domain, port).unwrap()).unwrap();
}

#[test]
fn a_resume_registers_watches_again_and_serves_on() -> Result<(), StoreError> {
    for seed in 0..10 {
        let (machine, domain, store) = guest(seed);
        let watch = store.watch("data").wait()?;
        let begun = store.watch("control");
        wait_until(&machine, &store, || store.statistics().answers == 2);
        let dropped = store.watch("device").wait()?;
        drop(dropped);
        let mut server = Box::pin(store.serve());
        let flag = Arc::new(Flag::default());
        assert!(server.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&flag)))).is_pending());
        resume(&domain, store.quiesce(SECOND)?);
        assert!(flag.0.load(Ordering::Acquire), "the channel that was served is gone");
        assert!(server.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "there is another one");
        let begun = begun.wait()?;
        for _ in 0..3 {
            store.read("domid").wait()?;
        }
        assert!(watch.take() && begun.take());
        assert_eq!((machine.xenstore().watches(&domain), store.watches(), store.epoch()), (2, 2, 1));
        let home = Xenstore::home(&domain);
        machine.xenstore().write(&format!("{home}/data/x"), "y");
        assert!(watch.wait(store.now() + SECOND)?);
        machine.xenstore().write(&format!("{home}/control/x"), "y");
        assert!(begun.wait(store.now() + SECOND)?);
        store.transaction(|t| t.write("data/x", "z").wait())?;
    }
    Ok(())
}

#[test]
fn a_suspend_that_is_called_off_changes_nothing() -> Result<(), StoreError> {
    let (_machine, _domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + SECOND)?);
    let early = store.read("domid");
    let quiet = store.quiesce(SECOND)?;
    assert_eq!(store.read("domid").wait().unwrap_err().reason, Reason::Suspending);
    assert!(store.transaction(|_| Ok(())).is_err());
    drop(quiet);
    assert_eq!(early.wait()?, b"1");
    assert_eq!((store.epoch(), watch.take()), (0, false));
    store.read("domid").wait().map(drop)
}

#[test]
fn a_store_does_not_come_to_rest_within_a_transaction() -> Result<(), StoreError> {
    let (_machine, _domain, store) = guest(1);
    store.transaction(|t| {
        let error = store.quiesce(SECOND).unwrap_err();
        assert_eq!(error.reason, Reason::TimedOut(SECOND));
        t.write("data/x", "y").wait()
    })?;
    assert_eq!(store.read("data/x").wait()?, b"y");
    drop(store.quiesce(SECOND)?);
    Ok(())
}

#[test]
fn a_transaction_of_before_a_resume_touches_nothing() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let mut kept = None;
    store.transaction(|t| {
        kept = Some(t.clone());
        Ok(())
    })?;
    resume(&domain, store.quiesce(SECOND)?);
    let kept = kept.unwrap();
    store.transaction(|_| {
        assert_eq!(kept.write("data/x", "y").wait().unwrap_err().reason, Reason::Reset);
        Ok(())
    })?;
    assert_eq!(machine.xenstore().transactions(&domain), 0);
    Ok(())
}

/// Xen itself makes the rings of guests that it starts before there is a daemon, and can say nothing of the daemon's features.
#[test]
fn hc_148_a_ring_that_waits_for_its_daemon_is_not_used_before() -> Result<(), StoreError> {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let host = machine.xenstore();
    host.introduction(&domain).late(SECOND).introduce();
    host.set_features(ServerFeatures::empty());
    host.poke(&domain, Word::ServerFeatures, 0);
    let store = attach(&domain);
    let before = host.peek(&domain, Word::RequestProducer);
    let call = store.read("domid");
    store.poll();
    assert_eq!(host.peek(&domain, Word::RequestProducer), before);
    assert_eq!(call.wait()?, b"1");
    Ok(())
}

#[test]
fn a_wait_for_a_change_ends_when_the_connection_is_broken_for_good() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    machine.xenstore().set_features(ServerFeatures::ERROR);
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + SECOND)?);
    let flag = Arc::new(Flag::default());
    assert!(watch.poll_changed(&mut Context::from_waker(&Waker::from(Arc::clone(&flag)))).is_pending());
    machine.xenstore().poke(&domain, Word::ResponseProducer, 1 << 20);
    assert!(watch.wait(store.now() + SECOND)?, "it fires once more");
    assert!(flag.0.load(Ordering::Acquire));
    let error = watch.wait(Duration::MAX).unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error}");
    assert!(store.wait_for_changes(Duration::MAX).is_err());
    Ok(())
}

#[test]
fn a_list_of_too_many_children_is_refused_and_not_cut() {
    let (machine, _domain, store) = guest(1);
    let host = machine.xenstore();
    host.script(Requests::of(MessageType::DIRECTORY), When::Always, Reaction::refuse("E2BIG"));
    let answer = |request: &Message, answer: Message| {
        let offset = request.payload.split(|byte| *byte == 0).nth(1).unwrap();
        let offset: usize = std::str::from_utf8(offset).unwrap().parse().unwrap();
        let last = if offset > 140_000 { &b"\0"[..] } else { b"" };
        let part = [&b"7\0"[..], &b"a\0".repeat(2000), last].concat();
        Message { kind: MessageType::DIRECTORY_PART, ..answer.answer(part) }.to_bytes()
    };
    host.script(Requests::of(MessageType::DIRECTORY_PART), When::Always, Reaction::alter(answer));
    let error = store.directory("data").wait().unwrap_err();
    assert!(matches!(error.reason, Reason::BadReply(_)), "{error}");
}

/// The quota of a daemon that was silent for a time is not used up by transactions of which nobody knows.
#[test]
fn transactions_that_a_daemon_begins_late_are_all_ended() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let host = machine.xenstore();
    host.hang();
    for _ in 0..5 {
        assert!(store.transaction(|_| Ok(())).is_err());
    }
    for _ in 0..100 {
        drop(store.read("domid"));
    }
    host.go_on();
    for _ in 0..100 {
        store.read("domid").wait()?;
    }
    assert_eq!(host.transactions(&domain), 0);
    Ok(())
}

#[test]
fn a_watch_that_is_dropped_while_it_is_registered_again_leaves_nothing() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    reset(&machine, &domain, &store);
    drop(watch);
    for _ in 0..5 {
        store.read("domid").wait()?;
    }
    assert_eq!((machine.xenstore().watches(&domain), store.watches()), (0, 0));
    assert!(format!("{store:?}").contains("calls: 0"), "{store:?}");
    Ok(())
}
