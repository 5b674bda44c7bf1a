//! What the tests of all drivers have in common.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::num::NonZeroUsize;

use xen_event_channel::Channel;
use xen_grant_table::{GrantTable, Memory as _};
use xen_sim::{Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{Change, Device, Enumerator};

/// What is neither a number nor a flag, and what is no number below 2^32.
pub(crate) const MALFORMED: [&[u8]; 13] = [
    b"",
    b" ",
    b"-1",
    b"+1",
    b" 1",
    b"1 ",
    b"01",
    b"0x10",
    b"1\0",
    b"4x",
    b"10000000000000000000000000000000000000000",
    b"\xff\xfe",
    &[b'1'; 2048],
];

/// A guest of so many pages that can have devices.
pub(crate) fn kernel(machine: &Machine, pages: usize) -> (Domain, Store<Domain>) {
    let guest = machine.domain_builder().pages(NonZeroUsize::new(pages).expect("it has some")).build();
    machine.xenstore().introduce(&guest);
    let (page, port) = guest.store().expect("it was introduced");
    let channel = Channel::adopt(&guest, port).expect("the port is open");
    let store = Store::attach(page, channel, guest.clone()).expect("the page holds a ring");
    (guest, store)
}

/// The device that an enumerator finds now.
pub(crate) fn look(enumerator: &mut Enumerator, store: &Store<Domain>) -> Option<Device> {
    enumerator.look(store).expect("xenstore answers").into_iter().find_map(found)
}

/// The device that is there now.
pub(crate) fn found(change: Change) -> Option<Device> {
    match change {
        Change::Added(device) | Change::Replaced { new: device, .. } => Some(device),
        _ => None,
    }
}

/// Sees to it that a guest's devices that have ended have left nothing: no grant, no page in quarantine, no channel. The grant table
/// may have grown.
#[track_caller]
pub(crate) fn assert_given_back(machine: &Machine, guest: &Domain) {
    machine.settle();
    let _ = GrantTable::reap(guest, u32::MAX);
    let table = guest.grant_table().statistics();
    assert_eq!((table.quarantined, table.free), (0, table.common));
    assert_eq!(guest.open_ports().len(), 1, "that of the store");
}
