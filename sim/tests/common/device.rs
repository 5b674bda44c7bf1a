//! What rigs for backends of all kinds have in common.

#![allow(dead_code, reason = "each test uses a part")]

use xen_hypercall::abi::io::xenbus::State;
use xen_sim::{Device, Machine};

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
