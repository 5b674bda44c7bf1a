//! A guest with a store, on a simulated machine.

#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod kernel;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Wake;
use std::time::Duration;

use xen_event_channel::Channel;
use xen_sim::{Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::store::{PATIENCE, StoreError};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A machine with a guest that xenstored knows, and the guest's store.
pub(crate) fn guest(seed: u64) -> (Machine, Domain, Store<Domain>) {
    let machine = Machine::new(seed);
    let domain = machine.domain();
    machine.xenstore().introduce(&domain);
    let store = attach(&domain);
    (machine, domain, store)
}

/// The store of a guest that xenstored knows.
pub(crate) fn attach(domain: &Domain) -> Store<Domain> {
    let (page, port) = domain.store().expect("it was introduced");
    let channel = Channel::adopt(domain, port).expect("the port is open");
    Store::attach(page, channel, domain.clone()).expect("the page holds a ring")
}

/// Has something done that must not take longer than so many waits of a call, by the machine's clock.
#[track_caller]
pub(crate) fn bounded<T>(
    store: &Store<Domain>,
    waits: u32,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let start = store.now();
    let result = work();
    let taken = store.now() - start;
    // A step of the simulator takes a microsecond.
    let most = waits * PATIENCE + Duration::from_millis(100);
    assert!(taken <= most, "it took {taken:?}, and {most:?} is the most");
    result
}

/// Polls the store and lets time pass, a millisecond at a time.
#[track_caller]
pub(crate) fn wait_until(machine: &Machine, store: &Store<Domain>, is_over: impl Fn() -> bool) {
    step_until(store, || {
        machine.advance(Duration::from_millis(1));
        is_over()
    });
}

/// Polls the store, for as long as it has something to do.
#[track_caller]
pub(crate) fn step_until(store: &Store<Domain>, is_over: impl Fn() -> bool) {
    let end = store.now() + 20 * SECOND;
    while !is_over() {
        store.poll();
        assert!(store.now() < end, "it does not come: {store:?}");
    }
}

pub(crate) fn read(store: &Store<Domain>) -> Result<Vec<u8>, StoreError> {
    store.read("domid").wait()
}

/// After a violation the connection is made anew, and works.
#[track_caller]
pub(crate) fn heals(machine: &Machine, store: &Store<Domain>) {
    machine.xenstore().clear_script();
    let before = store.epoch();
    let mut last = None;
    for _ in 0..3 {
        match bounded(store, 1, || read(store)) {
            Ok(_) => {
                assert!(store.epoch() > before, "it was made anew");
                return;
            }
            Err(error) => last = Some(error),
        }
    }
    panic!("it does not heal: {last:?}");
}

/// Ends with a panic what would not end at all.
#[track_caller]
pub(crate) fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    receive.recv_timeout(Duration::from_secs(20)).expect("it ends")
}

/// Notes that it was woken.
#[derive(Default)]
pub(crate) struct Flag(pub(crate) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
