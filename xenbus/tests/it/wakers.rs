//! Tasks that wait for a store, and who wakes them.

use crate::common::{Flag, SECOND, ends, guest, step_until};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use xen_event_channel::WaitError;
use xen_sim::{Domain, Word, Xenstore};
use xen_xenbus::Store;
use xen_xenbus::store::{Call, StoreError};

#[test]
fn a_task_that_waits_for_room_is_woken_by_answers_that_nobody_waits_for() {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().hang();
    for _ in 0..100 {
        drop(store.write("data/x", [b'x'; 1000]));
    }
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut call = pin!(store.write("data/y", [b'y'; 1000]));
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    machine.xenstore().go_on();
    let end = store.now() + SECOND;
    while store.now() < end {
        store.poll();
        if flag.0.swap(false, Ordering::AcqRel)
            && let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return result.unwrap();
        }
    }
    panic!("it was not woken");
}

#[test]
fn a_task_that_is_polled_with_many_wakers_is_woken_by_the_last_and_keeps_no_other() {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().hang();
    let calls: Vec<_> = (0..100).map(|_| store.write("data/x", [b'x'; 1000])).collect();
    let mut call = Box::pin(store.write("data/y", [b'y'; 1000]));
    let flags: Vec<_> = (0..1000).map(|_| Arc::new(Flag::default())).collect();
    for flag in &flags {
        let waker = Waker::from(Arc::clone(flag));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let kept = || flags.iter().map(|flag| Arc::strong_count(flag) - 1).sum::<usize>();
    assert_eq!(kept(), 1);
    drop(call);
    assert_eq!(kept(), 0);
    drop(calls);
}

/// What tasks are made of: the last waker's end is the task's end.
struct Task(Mutex<Option<Reading>>);

type Reading = Pin<Box<Call<Domain, Vec<u8>>>>;

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

/// Looks at the store when it is woken, until there were so many answers: as another vCPU may at any time.
struct Looker(Store<Domain>, u32);

impl Wake for Looker {
    fn wake(self: Arc<Self>) {
        step_until(&self.0, || self.0.statistics().answers >= self.1);
    }
}

#[test]
fn an_answer_that_comes_between_the_look_and_the_registering_of_a_waker_is_not_missed() {
    ends(|| {
        let (machine, domain, store) = guest(1);
        let produced = || machine.xenstore().peek(&domain, Word::ResponseProducer);
        let mut first = Box::pin(store.read("domid"));
        let looker = Waker::from(Arc::new(Looker(store.clone(), 2)));
        let before = produced();
        assert!(first.as_mut().poll(&mut Context::from_waker(&looker)).is_pending());
        while produced() == before {
            let _ = store.now();
        }
        // The second one's look takes in the answer to the first, whose waker takes in that to the second.
        let flag = Arc::new(Flag::default());
        let mut second = Box::pin(store.read("domid"));
        let polled = second.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&flag))));
        assert_eq!(store.statistics().answers, 2);
        assert!(polled.is_ready() || flag.0.load(Ordering::Acquire));
    });
}

#[test]
fn a_waker_may_use_the_store_or_drop_what_does() {
    ends(|| {
        let (_machine, _domain, store) = guest(1);
        let task = Arc::new(Task(Mutex::new(Some(Box::pin(store.read("domid"))))));
        let waker = Waker::from(Arc::clone(&task));
        // A second call with the waker of the first.
        let mut call = Box::pin(store.read("domid"));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        step_until(&store, || task.0.lock().unwrap().is_none());
    });
}

#[test]
fn a_call_whose_result_was_taken_is_no_wait_without_an_end() {
    ends(|| {
        let (_machine, _domain, store) = guest(1);
        let mut call = store.read("domid");
        let end = store.now() + SECOND;
        while call.try_wait().is_none() {
            assert!(store.now() < end);
        }
        assert!(call.try_wait().is_none());
        assert!(call.wait().is_err());
    });
}

/// Events without a reason are held back for a time, and then the executor's timer has to have the store look.
#[test]
fn a_server_whose_channel_is_held_back_is_looked_after_in_time() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + SECOND)?);
    let port = domain.store().unwrap().1;
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut server: Pin<Box<dyn Future<Output = WaitError>>> = Box::pin(store.serve());
    assert!(server.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let run = |server: &mut Pin<Box<dyn Future<Output = WaitError> + '_>>, end: Duration| {
        while store.now() < end {
            if flag.0.swap(false, Ordering::AcqRel) {
                assert!(server.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            if store.next_deadline().is_some_and(|deadline| deadline <= store.now()) {
                store.poll();
            }
        }
    };
    for _ in 0..8 {
        machine.spurious_event(&domain, port);
        run(&mut server, store.now() + Duration::from_micros(20));
    }
    machine.xenstore().write(&format!("{}/data/x", Xenstore::home(&domain)), "y");
    run(&mut server, store.now() + SECOND / 10);
    let mut changed = pin!(watch.changed());
    assert!(changed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    Ok(())
}
