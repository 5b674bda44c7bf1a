//! What the toolstack writes, in the way of libxl.

use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xenbus::State as DeviceState;
use xen_hypercall::sched;

use super::handler::Nodes;
use super::path;
use super::permission::{Permission, Right};
use super::{Store, Xenstore};
use crate::Domain;

/// A split device: which domains have its halves, and what the toolstack tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    kind: String,
    id: u32,
    front: DomId,
    back: DomId,
    front_keys: Vec<(String, String)>,
    back_keys: Vec<(String, String)>,
}

impl Device {
    /// A device such as `vif` number 0, with its front in one domain and its back in another.
    #[must_use]
    pub fn new(kind: &str, id: u32, front: DomId, back: DomId) -> Self {
        Self { kind: kind.to_owned(), id, front, back, front_keys: Vec::new(), back_keys: Vec::new() }
    }

    /// Has the toolstack write a key for the front.
    #[must_use]
    pub fn front_key(mut self, key: &str, value: &str) -> Self {
        self.front_keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Has the toolstack write a key for the back.
    #[must_use]
    pub fn back_key(mut self, key: &str, value: &str) -> Self {
        self.back_keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The front's nodes.
    #[must_use]
    pub fn front_path(&self) -> String {
        format!("{}/device/{}/{}", path::home(self.front), self.kind, self.id)
    }

    /// The back's nodes.
    #[must_use]
    pub fn back_path(&self) -> String {
        format!("{}/backend/{}/{}/{}", path::home(self.back), self.kind, self.front.0, self.id)
    }

    pub(crate) const fn front_id(&self) -> DomId {
        self.front
    }

    pub(crate) const fn back_id(&self) -> DomId {
        self.back
    }

    fn is(&self, other: &Self) -> bool {
        (&self.kind, self.id, self.front) == (&other.kind, other.id, other.front)
    }
}

/// Whether a vCPU shall run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It shall.
    Online,
    /// It shall not.
    Offline,
}

/// The toolstack's work.
impl Nodes<'_> {
    /// Plugs a device in: both halves are there, and initialise.
    pub fn plug(&mut self, device: &Device) {
        let Device { front, back, .. } = *device;
        let (front_path, back_path) = (device.front_path(), device.back_path());
        let state = DeviceState::INITIALISING.0.to_string();
        self.make(&back_path, "", &[Permission::new(back, Right::None), Permission::new(front, Right::Read)]);
        self.make(&front_path, "", &[Permission::new(front, Right::None), Permission::new(back, Right::Read)]);
        let back_keys = [("frontend", front_path.clone()), ("frontend-id", front.0.to_string())];
        let front_keys = [("backend", back_path.clone()), ("backend-id", back.0.to_string())];
        self.fill(&back_path, back_keys.into_iter().chain([("online", "1".to_owned())]));
        self.fill(&front_path, front_keys.into_iter());
        self.fill(&back_path, device.back_keys.iter().map(|(key, value)| (key.as_str(), value.clone())));
        self.fill(&front_path, device.front_keys.iter().map(|(key, value)| (key.as_str(), value.clone())));
        self.fill(&back_path, [("state", state.clone())].into_iter());
        self.fill(&front_path, [("state", state)].into_iter());
        self.0.devices.retain(|other| !other.is(device));
        self.0.devices.push(device.clone());
    }

    fn fill<'k>(&mut self, path: &str, keys: impl Iterator<Item = (&'k str, String)>) {
        for (key, value) in keys {
            self.write(&path::child(path, key), value);
        }
    }

    /// Asks for a device to be given up: the back shall close. See [`remove_device`](Self::remove_device) for the rest.
    pub fn unplug(&mut self, device: &Device) {
        let back = device.back_path();
        self.write(&path::child(&back, "online"), "0");
        self.set_state(&back, DeviceState::CLOSING);
    }

    /// Removes a device's nodes, whatever state it is in: at the end of an unplug, or by force.
    pub fn remove_device(&mut self, device: &Device) {
        self.0.devices.retain(|other| !other.is(device));
        self.remove(&device.front_path());
        self.remove(&device.back_path());
    }

    /// The state that stands below a path; [`UNKNOWN`](DeviceState::UNKNOWN) where none does.
    #[must_use]
    pub fn state(&mut self, path: &str) -> DeviceState {
        let text = self.read_text(&path::child(path, "state"));
        text.and_then(|text| text.parse().ok()).map_or(DeviceState::UNKNOWN, DeviceState)
    }

    /// Writes a state below a path, unless it stands there.
    pub fn set_state(&mut self, path: &str, state: DeviceState) {
        if self.state(path) != state {
            self.write(&path::child(path, "state"), state.0.to_string());
        }
    }

    /// What an honest back and the toolstack do about a device's states: the back follows the front, and a device that was
    /// unplugged is removed when both halves are closed.
    fn follow(&mut self, device: &Device) {
        let (front, back) = (device.front_path(), device.back_path());
        if self.read(&back).is_none() {
            return;
        }
        let leaving = self.read_text(&path::child(&back, "online")).as_deref() != Some("1");
        let next = match (self.state(&front), self.state(&back)) {
            (DeviceState::CLOSED | DeviceState::UNKNOWN, DeviceState::CLOSED) if leaving => {
                return self.remove_device(device);
            }
            (DeviceState::INITIALISING, _) if !leaving => DeviceState::INIT_WAIT,
            (DeviceState::INITIALISED | DeviceState::CONNECTED, DeviceState::INIT_WAIT) => DeviceState::CONNECTED,
            (DeviceState::CLOSING, DeviceState::CONNECTED) => DeviceState::CLOSING,
            (DeviceState::CLOSED | DeviceState::UNKNOWN, _) => DeviceState::CLOSED,
            (_, state) => state,
        };
        self.set_state(&back, next);
    }

    /// Writes `control/shutdown`: `poweroff`, `reboot`, `suspend`, or anything else.
    pub fn shut_down(&mut self, domain: &Domain, how: &str) {
        self.write(&format!("{}/control/shutdown", path::home(domain.id())), how);
    }

    /// Tells a domain how much memory it shall have.
    pub fn set_memory_target(&mut self, domain: &Domain, kib: u64) {
        self.write(&format!("{}/memory/target", path::home(domain.id())), kib.to_string());
    }

    /// Tells a domain whether a vCPU shall run.
    pub fn set_vcpu(&mut self, domain: &Domain, vcpu: u32, availability: Availability) {
        let text = match availability {
            Availability::Online => "online",
            Availability::Offline => "offline",
        };
        self.write(&format!("{}/cpu/{vcpu}/availability", path::home(domain.id())), text);
    }
}

/// The toolstack's work, as one step. More is in [`Nodes`].
impl Xenstore<'_> {
    /// See [`Nodes::plug`].
    pub fn plug(&self, device: &Device) {
        self.nodes(|nodes| nodes.plug(device));
    }

    /// See [`Nodes::state`].
    #[must_use]
    pub fn state(&self, path: &str) -> DeviceState {
        self.nodes(|nodes| nodes.state(path))
    }

    /// See [`Nodes::set_state`].
    pub fn set_state(&self, path: &str, state: DeviceState) {
        self.nodes(|nodes| nodes.set_state(path, state));
    }

    /// See [`Nodes::unplug`].
    pub fn unplug(&self, device: &Device) {
        self.nodes(|nodes| nodes.unplug(device));
    }

    /// See [`Nodes::remove_device`].
    pub fn remove_device(&self, device: &Device) {
        self.nodes(|nodes| nodes.remove_device(device));
    }

    /// Has an honest back follow the states of a device's front, and the toolstack remove the device when it was unplugged and
    /// both halves are closed. The back only writes states: it maps nothing.
    pub fn serve(&self, device: &Device) {
        for path in [device.front_path(), device.back_path()] {
            let device = device.clone();
            self.watch(&path, move |nodes, _| nodes.follow(&device));
        }
    }

    /// See [`Nodes::shut_down`].
    pub fn shut_down(&self, domain: &Domain, how: &str) {
        self.nodes(|nodes| nodes.shut_down(domain, how));
    }

    /// See [`Nodes::set_memory_target`].
    pub fn set_memory_target(&self, domain: &Domain, kib: u64) {
        self.nodes(|nodes| nodes.set_memory_target(domain, kib));
    }

    /// See [`Nodes::set_vcpu`].
    pub fn set_vcpu(&self, domain: &Domain, vcpu: u32, availability: Availability) {
        self.nodes(|nodes| nodes.set_vcpu(domain, vcpu, availability));
    }

    /// Sleeps, as a program on that domain's vCPU, until a node has a value; says whether it has it in time.
    #[must_use]
    pub fn wait_for(&self, on: &Domain, path: &str, value: &str, timeout: Duration) -> bool {
        const BETWEEN: Duration = Duration::from_millis(1);
        let deadline = on.now() + timeout;
        loop {
            if self.read_text(path).as_deref() == Some(value) {
                return true;
            }
            if on.now() >= deadline {
                return false;
            }
            // What it answers does not matter: the node is looked at again.
            let _ = sched::poll(on, &[], Some(on.now() + BETWEEN));
        }
    }
}

impl Store {
    /// The nodes of a domain that another host's toolstack has made: as they are at a domain's start, devices and all.
    pub(super) fn replug(&mut self, domain: DomId) {
        let devices: Vec<Device> = self.devices.iter().filter(|device| device.front == domain).cloned().collect();
        let mut nodes = Nodes(self);
        for device in devices {
            nodes.remove(&device.back_path());
            nodes.plug(&device);
        }
    }
}
