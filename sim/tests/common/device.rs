//! What rigs for backends of all kinds have in common.

#![allow(dead_code, reason = "each test uses a part")]

use xen_event_channel::Preference;
use xen_grant_table::GrantTable;
use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::io::xenbus::State;
use xen_hypercall::sched;
use xen_sim::{Device, Domain, Machine};

/// A key of the back half.
pub(crate) fn back_key(machine: &Machine, device: &Device, key: &str) -> Option<String> {
    machine.xenstore().read_text(&format!("{}/{key}", device.back_path()))
}

/// The state of the back half.
pub(crate) fn state(machine: &Machine, device: &Device) -> State {
    back_key(machine, device, "state").and_then(|text| text.parse().ok()).map_or(State::UNKNOWN, State)
}

/// Writes a key of the front half.
pub(crate) fn write(machine: &Machine, device: &Device, key: &str, value: impl ToString) {
    machine.xenstore().write(&format!("{}/{key}", device.front_path()), value.to_string());
}

/// Has a guest resumed elsewhere, whose grants and ports are not used again.
pub(crate) fn migrate(guest: &Domain) {
    guest.migrate_on_suspend();
    // SAFETY: nothing of the guest's runs; its grants and ports are not used again.
    assert_eq!(unsafe { sched::suspend(guest, Mfn(0)) }, Ok(sched::Suspended::Resumed));
    // SAFETY: the suspend above; no grant is made meanwhile.
    unsafe { GrantTable::resume(guest) };
    xen_event_channel::resume(guest, Preference::TwoLevel).unwrap();
}
