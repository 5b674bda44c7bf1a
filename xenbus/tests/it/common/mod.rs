//! A guest with a store, on a simulated machine.

#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod kernel;

use std::time::Duration;

use xen_event_channel::Channel;
use xen_sim::{Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::store::{PATIENCE, StoreError};

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
