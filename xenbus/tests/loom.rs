//! What several tasks and the daemon do to a store at a time, in every order of their steps: the crate's own code, with a model of
//! the daemon, of the kernel and of Xen.
#![cfg(loom)]

mod models;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use models::front::{FRONT, Front, plug};
use models::tree::Tree;
use models::{Asked, Kernel, Serve, Task, model};
use xen_xenbus::Store;
use xen_xenbus::bus::End;
use xen_xenbus::connection::CALLS;
use xen_xenbus::store::model::Daemon;
use xen_xenbus::store::{Call, Reason, StoreError, Watch};
use xen_xenbus::wire::MessageType;

const SECOND: Duration = Duration::from_secs(1);

/// Looks at a call when everything has come to rest: it must have a result.
fn result<T>(store: &Store<Kernel>, mut call: Call<Kernel, T>) -> Result<T, StoreError> {
    store.poll();
    call.try_wait().expect("a call that never ends")
}

/// Serves until nothing comes any more, and returns what was asked.
fn settle(daemon: &Daemon<Kernel>, store: &Store<Kernel>) -> Vec<Asked> {
    let mut all = Vec::new();
    for _ in 0..4 {
        store.poll();
        all.extend(daemon.serve());
    }
    store.poll();
    all
}

fn watch(daemon: &Daemon<Kernel>, store: &Store<Kernel>) -> (Watch<Kernel>, Vec<u8>) {
    let call = store.watch("data");
    store.poll();
    let asked = daemon.serve();
    assert!(asked[0].is(MessageType::WATCH));
    let watch = result(store, call).expect("a watch");
    (watch, asked[0].token())
}

/// Two callers, whose answers come in the other order, one of them maybe after its time: each has its own answer or none, and the
/// next request has no answer of an earlier one.
#[test]
fn m10_each_caller_has_its_own_answer_or_none() {
    model(|| {
        let (kernel, daemon, store) = Kernel::boot();
        let first = store.read("a").within(SECOND);
        let second = thread::spawn({
            let store = store.clone();
            move || {
                let mut call = store.read("b");
                (call.try_wait(), call)
            }
        });
        let server = thread::spawn({
            let (kernel, daemon) = (kernel.clone(), Arc::clone(&daemon));
            move || {
                let asked: Vec<Asked> = (0..2).filter_map(|_| daemon.next()).collect();
                kernel.advance(SECOND);
                asked.iter().rev().for_each(|asked| daemon.reply(asked));
                asked
            }
        });
        // The first one has its answer, or its time is over; or neither, when the third one comes.
        store.poll();
        let third = store.read("c");
        store.poll();
        let (looked, second) = second.join().unwrap();
        let mut asked = server.join().unwrap();
        asked.extend(settle(&daemon, &store));

        let own = |path: &str, result: Result<Vec<u8>, StoreError>| match result {
            Ok(value) => assert_eq!(value, path.as_bytes(), "somebody else's answer"),
            Err(error) => assert!(path == "a" && matches!(error.reason, Reason::TimedOut(_)), "{error}"),
        };
        own("a", result(&store, first));
        own("b", looked.unwrap_or_else(|| result(&store, second)));
        own("c", result(&store, third));
        let mut paths: Vec<_> = asked.iter().map(|asked| asked.payload.clone()).collect();
        paths.sort();
        assert_eq!(paths, [b"a\0", b"b\0", b"c\0"], "each was sent once");
        assert_eq!(store.statistics().dropped, 0);
    });
}

/// The daemon sends more than a look takes in: others have their turn in between, and nothing is lost.
#[test]
fn m11_a_look_takes_in_no_more_than_its_share() {
    loom::model(|| {
        const EVENTS: u32 = 12;
        let (_kernel, daemon, store) = Kernel::boot();
        let (watch, token) = watch(&daemon, &store);
        let path = ["data/", &"x".repeat(2000)].concat();
        (0..EVENTS).for_each(|_| daemon.fire(&path, &token));
        store.poll();
        let events = store.statistics().events;
        assert!((1..=EVENTS / 2).contains(&events), "{events}");
        assert!(watch.take());
        (0..4).for_each(|_| store.poll());
        assert_eq!(store.statistics().events, EVENTS);
    });
}

/// A call that is awaited on one processor while another one takes its answer in: whoever waits is woken.
#[test]
fn m10_who_awaits_an_answer_is_woken() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let mut call = store.read("a");
        store.poll();
        let other = thread::spawn({
            let (daemon, store) = (Arc::clone(&daemon), store.clone());
            move || {
                daemon.serve();
                store.poll();
            }
        });
        let task = Task::new();
        let polled = task.asks(|context| Pin::new(&mut call).poll(context));
        other.join().unwrap();
        assert!(polled.is_ready() || task.is_woken(), "asleep, and the answer is there");
    });
}

/// A call that waits for room while another processor takes in the answer that makes some: whoever waits is woken.
#[test]
fn m10_who_waits_for_room_is_woken() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let others: Vec<_> = (0..CALLS).map(|_| store.read("a")).collect();
        store.poll();
        let mut call = store.read("b");
        let other = thread::spawn({
            let (daemon, store) = (Arc::clone(&daemon), store.clone());
            move || {
                let _ = daemon.next().map(|asked| daemon.reply(&asked));
                store.poll();
            }
        });
        let task = Task::new();
        let polled = task.asks(|context| Pin::new(&mut call).poll(context));
        other.join().unwrap();
        assert!(polled.is_pending());
        let sent = store.statistics().requests as usize > others.len();
        assert!(sent || task.is_woken(), "asleep, and there is room");
    });
}

/// An event while the owner takes the bit and looks: the last look saw the last state, or the owner is called again.
#[test]
fn m11_the_last_state_of_what_is_watched_is_not_lost() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let (watch, token) = watch(&daemon, &store);
        // Relaxed: that it is seen is what the watch's own ordering is for.
        let state = Arc::new(AtomicU32::new(0));
        let other = thread::spawn({
            let (daemon, store, state) = (Arc::clone(&daemon), store.clone(), Arc::clone(&state));
            move || {
                for value in 1..=2 {
                    state.store(value, Relaxed);
                    daemon.fire("data", &token);
                    store.poll();
                }
            }
        });
        let (task, mut seen) = (Task::new(), 0);
        for _ in 0..2 {
            if task.asks(|context| watch.poll_changed(context)) == Poll::Ready(()) {
                seen = state.load(Relaxed);
                assert_ne!(seen, 0, "the bit is there before what it tells of");
            }
        }
        other.join().unwrap();
        // Asleep, if the last answer was that nothing has changed.
        assert!(seen == 2 || task.is_woken() || watch.take(), "{seen} of 2 seen, and asleep");
    });
}

/// Who was told that nothing has changed, and sleeps, is woken.
#[test]
fn m11_who_sleeps_on_a_watch_is_woken() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let (watch, token) = watch(&daemon, &store);
        let other = thread::spawn({
            let (daemon, store) = (Arc::clone(&daemon), store.clone());
            move || {
                daemon.fire("data", &token);
                store.poll();
            }
        });
        let task = Task::new();
        let polled = task.asks(|context| watch.poll_changed(context));
        other.join().unwrap();
        assert!(polled.is_ready() || task.is_woken(), "asleep, and it has fired");
    });
}

/// A watch is dropped and another one made in its place, while events for the first one are under way: they are not the second
/// one's.
#[test]
fn m8_an_event_for_a_watch_that_is_gone_is_nobodys() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let (first, old) = watch(&daemon, &store);
        let other = thread::spawn({
            let (daemon, old) = (Arc::clone(&daemon), old.clone());
            move || {
                daemon.serve();
                daemon.fire("data", &old);
            }
        });
        drop(first);
        store.poll();
        let call = store.watch("data");
        store.poll();
        other.join().unwrap();
        let asked = settle(&daemon, &store);
        let second = result(&store, call).expect("a watch");
        daemon.fire("data", &old);
        store.poll();
        assert!(!second.take(), "an event for another one");
        assert_eq!((store.watches(), asked.len() <= 2), (1, true));
    });
}

/// A call is dropped while its answer comes: the next one has its own answer, and a transaction that nobody waits for is ended.
#[test]
fn m8_an_answer_to_a_call_that_is_gone_is_nobodys() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let mut start = Box::pin(start_transaction(store.clone()));
        let task = Task::new();
        assert!(task.asks(|context| start.as_mut().poll(context)).is_pending());
        let other = thread::spawn({
            let (daemon, store) = (Arc::clone(&daemon), store.clone());
            move || {
                let asked = daemon.serve();
                store.poll();
                asked
            }
        });
        drop(start);
        let next = store.read("a");
        let mut asked = other.join().unwrap();
        asked.extend(settle(&daemon, &store));
        assert_eq!(result(&store, next).as_deref(), Ok(&b"a"[..]));
        let count = |kind| asked.iter().filter(|asked| asked.is(kind)).count();
        let both = (count(MessageType::TRANSACTION_START), count(MessageType::TRANSACTION_END));
        assert_eq!(both, (1, 1), "a transaction that nobody knows of stays open");
    });
}

/// The daemon begins anew while a call is under way: the call ends, its answer is nobody's, and who watches is told before the
/// watch is registered again.
#[test]
fn m8_a_new_connection_tells_who_watches_and_knows_no_old_answers() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let (watch, _) = watch(&daemon, &store);
        let old = store.read("a");
        store.poll();
        let asked = daemon.next().expect("it was sent");
        daemon.give_up();
        let other = thread::spawn({
            let (daemon, store) = (Arc::clone(&daemon), store.clone());
            move || {
                (0..2).for_each(|_| store.poll());
                assert!(daemon.begin_anew());
                daemon.reply(&asked);
            }
        });
        let task = Task::new();
        let polled = task.asks(|context| watch.poll_changed(context));
        let mut new = store.read("b");
        other.join().unwrap();
        store.poll();
        assert_eq!(store.epoch(), 1);
        assert!(polled.is_ready() || task.is_woken(), "asleep, and something was missed");
        let looked = new.try_wait();
        assert!(settle(&daemon, &store).iter().any(|asked| asked.is(MessageType::WATCH)));
        assert!(matches!(result(&store, old).unwrap_err().reason, Reason::Broken(_)));
        match looked.unwrap_or_else(|| result(&store, new)) {
            Ok(value) => assert_eq!(value, b"b"),
            Err(error) => assert!(matches!(error.reason, Reason::Broken(_)), "{error}"),
        }
        assert_eq!(store.statistics().dropped, 1);
    });
}

async fn start_transaction(store: Store<Kernel>) -> Result<(), StoreError> {
    store.transaction_async(async |_| Ok(())).await
}

/// A request while the store comes to rest: it is done before, or is told that it comes too late; and it goes out once.
#[test]
fn m9_a_request_during_a_suspend_is_neither_lost_nor_made_twice() {
    model(|| {
        let (kernel, daemon, store) = Kernel::boot();
        let submitter = thread::spawn({
            let store = store.clone();
            move || {
                let mut call = store.read("a");
                (call.try_wait(), call)
            }
        });
        let server = thread::spawn({
            let daemon = Arc::clone(&daemon);
            move || daemon.serve()
        });
        let quiet = store.quiesce(Duration::from_millis(500));
        if quiet.is_ok() {
            assert!(daemon.next().is_none(), "a request that nobody will answer");
        }
        let (looked, call) = submitter.join().unwrap();
        let mut asked = server.join().unwrap();
        let (daemon, resumed) = match quiet {
            Ok(quiet) => (Arc::new(Daemon::resume(quiet, kernel.channel())), true),
            Err(error) => {
                assert!(matches!(error.reason, Reason::TimedOut(_)), "{error}");
                (daemon, false)
            }
        };
        asked.extend(settle(&daemon, &store));
        match looked.unwrap_or_else(|| result(&store, call)) {
            Ok(value) => assert_eq!((value.as_slice(), asked.len()), (&b"a"[..], 1)),
            Err(error) => {
                assert_eq!((error.reason, asked.len()), (Reason::Suspending, 0), "told that it was not made");
                let _ = resumed;
            }
        }
        // Everything goes on.
        let again = store.read("b");
        assert_eq!(settle(&daemon, &store).len(), 1);
        assert_eq!(result(&store, again).as_deref(), Ok(&b"b"[..]));
    });
}

/// A transaction begins while the store comes to rest: the store is not at rest while it is open, and none is left open.
#[test]
fn m9_a_transaction_during_a_suspend_is_over_or_not_begun() {
    model(|| {
        let (_kernel, daemon, store) = Kernel::boot();
        let mut transaction = Box::pin(start_transaction(store.clone()));
        let task = Task::new();
        let _ = task.asks(|context| transaction.as_mut().poll(context));
        let mut asked = daemon.serve();
        let other = thread::spawn({
            let store = store.clone();
            move || {
                let polled = Task::new().asks(|context| transaction.as_mut().poll(context));
                store.poll();
                (polled, transaction)
            }
        });
        let quiet = store.quiesce(Duration::from_millis(500));
        assert!(quiet.is_err(), "it is open, and nobody ends it before the answer to its end");
        let (polled, mut transaction) = other.join().unwrap();
        assert!(polled.is_pending());
        asked.extend(settle(&daemon, &store));
        assert_eq!(task.asks(|context| transaction.as_mut().poll(context)), Poll::Ready(Ok(())));
        assert_eq!(asked.iter().filter(|asked| asked.is(MessageType::TRANSACTION_END)).count(), 1);
        assert!(store.quiesce(Duration::from_millis(500)).is_ok());
    });
}

/// The tools take a device away and make another one of the same name and backend, while the front half of the first one closes:
/// it writes nothing there, and the next one connects.
#[test]
fn m14_an_old_generation_writes_nothing_into_a_new_one() {
    model(|| {
        let tree = Tree::new();
        plug(&tree);
        let mut old = Front::new(1);
        old.connect(&tree);
        let tools = thread::spawn({
            let tree = tree.clone();
            move || {
                tree.remove(FRONT);
                plug(&tree);
            }
        });
        let ended = old.close(&tree);
        tools.join().unwrap();
        assert_eq!(tree.get(&format!("{FRONT}/state")).as_deref(), Some(&b"1"[..]), "not ours any more");
        old.0.look_again();
        let ended = ended.or_else(|| old.close(&tree));
        assert!(matches!(ended, Some(End::Vanished(_))), "{ended:?}");
        assert_eq!(tree.get(&format!("{FRONT}/state")).as_deref(), Some(&b"1"[..]), "not ours any more");
        Front::new(2).connect(&tree);
    });
}
