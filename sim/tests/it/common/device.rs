//! What rigs for backends of all kinds have in common.

use xen_event_channel::Preference;
use xen_grant_table::GrantTable;
use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::io::xenbus::State;
use xen_hypercall::sched;
use xen_sim::{Device, Domain, Machine};

/// What a rig of any kind does.
macro_rules! rig_methods {
    () => {
        /// Steps until nothing happens for a while.
        pub(crate) fn settle(&mut self) {
            let mut idle = 0;
            while idle < 32 {
                idle = if self.back.step() == Progress::Worked { 0 } else { idle + 1 };
            }
        }

        pub(crate) fn back_key(&self, key: &str) -> Option<String> {
            device::back_key(&self.machine, &self.device, key)
        }

        pub(crate) fn state(&self) -> State {
            device::state(&self.machine, &self.device)
        }

        pub(crate) fn write(&self, key: &str, value: impl ToString) {
            device::write(&self.machine, &self.device, key, value);
        }

        pub(crate) fn set_state(&mut self, state: State) {
            self.write("state", state.0);
            self.settle();
        }

        /// Closes a front, and sees to it that nothing is left.
        pub(crate) fn close(&mut self, front: Front) {
            self.set_state(State::CLOSING);
            self.set_state(State::CLOSED);
            assert_eq!(self.state(), State::CLOSED);
            front.end();
        }
    };
}

pub(crate) use rig_methods;

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
