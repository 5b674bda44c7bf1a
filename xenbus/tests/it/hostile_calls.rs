//! Daemons that answer late, never, or with refusals: each call ends, and says how.

use crate::common::{SECOND, bounded, guest, heals, read};
use std::time::Duration;
use xen_hypercall::abi::io::xs_wire::RingError;
use xen_sim::{Reaction, Requests, When};
use xen_xenbus::store::{ATTEMPTS, PATIENCE, Reason, StoreError};
use xen_xenbus::wire::{MessageType, Refusal, Violation};

#[test]
fn hc_142_a_transaction_that_always_conflicts_ends_after_32_attempts() {
    let (machine, _domain, store) = guest(1);
    let conflict = Reaction::alter(|request, _| request.refusal("EAGAIN").to_bytes());
    machine.xenstore().script(Requests::of(MessageType::TRANSACTION_END), When::Always, conflict);
    let mut attempts = 0;
    let result = bounded(&store, 1, || {
        store.transaction(|t| {
            attempts += 1;
            t.write("data/x", "y").wait()
        })
    });
    assert_eq!(result.unwrap_err().reason, Reason::Contended { attempts: ATTEMPTS });
    assert_eq!(attempts, ATTEMPTS);
}

#[test]
fn hc_143_a_transaction_that_the_daemon_does_not_know_is_an_error() -> Result<(), StoreError> {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().script(Requests::of(MessageType::TRANSACTION_END), When::Nth(1), Reaction::refuse("ENOENT"));
    let error = store.transaction(|t| t.write("data/x", "y").wait()).unwrap_err();
    assert!(error.is_missing(), "{error}");
    machine.xenstore().clear_script();
    for odd in [&b"0\0"[..], b"\0", b"x\0", b"4294967296\0", b"1", b"1\x002\0"] {
        machine.xenstore().script(
            Requests::of(MessageType::TRANSACTION_START),
            When::Always,
            Reaction::alter(move |_, answer| answer.answer(odd).to_bytes()),
        );
        let error = store.transaction(|_| Ok(())).unwrap_err();
        assert!(matches!(error.reason, Reason::BadReply(_)), "{odd:?}: {error}");
        machine.xenstore().clear_script();
    }
    store.transaction(|t| t.write("data/x", "z").wait())
}

#[test]
fn hc_144_no_answer_ends_every_kind_of_call_in_its_time() {
    let (machine, _domain, store) = guest(1);
    let host = machine.xenstore();
    host.hang();
    let timed_out = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert_eq!(error.reason, Reason::TimedOut(PATIENCE), "{error}");
    };
    timed_out(bounded(&store, 1, || store.read("domid").wait().map(drop)));
    timed_out(bounded(&store, 1, || store.directory("data").wait().map(drop)));
    timed_out(bounded(&store, 1, || store.watch("data").wait().map(drop)));
    timed_out(bounded(&store, 1, || store.transaction(|_| Ok(()))));
    // Ten at a time take no longer than one; and more than there is room for neither.
    let calls: Vec<_> = (0..200).map(|_| store.write("data/x", [b'x'; 1000])).collect();
    bounded(&store, 1, || {
        calls.into_iter().for_each(|call| timed_out(call.wait()));
        Ok(())
    })
    .unwrap();
    let start = store.now();
    let short = store.read("domid").within(Duration::from_millis(20)).wait().unwrap_err();
    assert_eq!(short.reason, Reason::TimedOut(Duration::from_millis(20)));
    assert!(store.now() - start < Duration::from_millis(30));
    host.go_on();
    assert!(read(&store).is_ok(), "what it answers late disturbs nobody");
}

#[test]
fn hc_145_a_late_answer_is_nobodys_and_a_late_transaction_is_ended() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let host = machine.xenstore();
    host.script(Requests::of(MessageType::TRANSACTION_START), When::Nth(1), Reaction::Late(6 * SECOND));
    host.script(Requests::of(MessageType::READ), When::Nth(1), Reaction::Late(6 * SECOND));
    assert!(store.transaction(|_| Ok(())).is_err());
    assert!(read(&store).is_err());
    machine.advance(10 * SECOND);
    for _ in 0..20 {
        assert_eq!(read(&store)?, b"1");
    }
    assert_eq!(store.statistics().late, 3, "both, and the end of the transaction");
    assert_eq!(host.transactions(&domain), 0, "nobody else would have ended it");
    Ok(())
}

/// A value may look like the number of a transaction, of which the late answer to a read knows nothing.
#[test]
fn hc_145_a_late_answer_to_something_else_ends_no_transaction() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    store.write("data/x", "1\0").wait()?;
    machine.xenstore().script(Requests::of(MessageType::READ), When::Nth(1), Reaction::Late(6 * SECOND));
    assert!(store.read("data/x").wait().is_err());
    let before = store.statistics().requests;
    machine.advance(10 * SECOND);
    store.write("data/y", "z").wait()?;
    store.poll();
    assert_eq!((store.statistics().late, store.statistics().requests), (1, before + 1));
    assert_eq!(machine.xenstore().transactions(&domain), 0);
    Ok(())
}

#[test]
fn hc_146_quotas_are_typed_errors() {
    let (machine, _domain, store) = guest(1);
    for name in [Refusal::NOSPC, Refusal::TOO_BIG, Refusal::PERM] {
        machine.xenstore().script(Requests::of(MessageType::WRITE), When::Nth(1), Reaction::refuse(name));
        let error = store.write("data/x", "y").wait().unwrap_err();
        assert!(error.is_refused(name), "{error}");
        machine.xenstore().clear_script();
    }
    assert!(store.write("data/x", "y").wait().is_ok());
}

#[test]
fn hc_147_the_reason_why_the_daemon_gave_up_is_told() {
    for error in [RingError::COMM, RingError::RINGIDX, RingError::PROTO, RingError(99)] {
        let (machine, domain, store) = guest(1);
        read(&store).unwrap();
        machine.xenstore().give_up(&domain, error);
        let told = bounded(&store, 1, || read(&store)).unwrap_err();
        assert_eq!(told.reason, Reason::Broken(Violation::GivenUp(error)));
        heals(&machine, &store);
    }
}

/// Watches that are dropped while the daemon does not answer take no more and more room.
#[test]
fn watches_that_the_daemon_may_have_are_bounded() {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().hang();
    let full = (0..300).any(|i| {
        let watch = store.watch(&format!("data/{i}")).within(Duration::from_millis(1)).wait();
        watch.unwrap_err().reason == Reason::TooManyWatches
    });
    assert!(full && store.watches() <= 256, "{}", store.watches());
}

#[test]
fn hc_142_a_transaction_with_a_slow_daemon_ends_after_a_minute() {
    let (machine, _domain, store) = guest(1);
    let conflict = Reaction::alter(|request, _| request.refusal("EAGAIN").to_bytes());
    machine.xenstore().script(Requests::of(MessageType::TRANSACTION_END), When::Always, conflict);
    machine.xenstore().slow(2 * SECOND);
    let start = store.now();
    let error = store.transaction(|_| Ok(())).unwrap_err();
    assert_eq!(error.reason, Reason::TimedOut(60 * SECOND));
    assert!(store.now() - start < 70 * SECOND);
}
