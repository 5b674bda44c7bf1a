//! The back half of a device in xenstore.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use xen_hypercall::abi::io::xenbus::State;

use super::control::{Control, Kind};
use crate::store::Nodes;
use crate::{Device, Domain, Machine, Xenstore};

/// What is to be written: `None` where the key is not there.
pub(crate) type Keys = Vec<(&'static str, Option<String>)>;

/// The back half of a device, as xenstore shows it.
pub(crate) struct Half<K: Kind> {
    pub(crate) domain: Domain,
    pub(crate) device: Device,
    pub(crate) back_path: String,
    pub(crate) front_path: String,
    /// The state that it has written, and the front's that it has seen.
    pub(crate) state: State,
    pub(crate) front_state: State,
    /// Whether it waits for a front again after it has closed.
    pub(crate) restarts: bool,
    /// Whether nodes have changed.
    changed: Arc<AtomicBool>,
    /// How often the front had been migrated when it connected.
    pub(crate) front_era: u64,
    pub(crate) last_error: Option<String>,
    pub(crate) control: Control<K>,
    pub(crate) now: Duration,
}

/// What stands in xenstore now.
pub(super) struct Seen {
    pub(super) exists: bool,
    pub(super) own: State,
    pub(super) front: State,
    pub(super) online: bool,
}

impl<K: Kind> Half<K> {
    /// # Panics
    ///
    /// If the device's back half is in another domain.
    pub(crate) fn new(machine: &Machine, back: &Domain, device: &Device, options: K::Options) -> Self {
        assert_eq!(device.back_id(), back.id(), "the device's back half is in this domain");
        let changed = Arc::new(AtomicBool::new(true));
        for path in [device.back_path(), device.front_path()] {
            // A backend that is gone is told nothing.
            machine.xenstore().notice(&path, &changed);
        }
        Self {
            domain: back.clone(),
            device: device.clone(),
            back_path: device.back_path(),
            front_path: device.front_path(),
            state: State::UNKNOWN,
            front_state: State::UNKNOWN,
            restarts: false,
            changed,
            front_era: 0,
            last_error: None,
            control: Control::new(options),
            now: Duration::ZERO,
        }
    }

    /// Whether its domain is.
    pub(crate) fn is_alive(&self) -> bool {
        self.domain.machine().lock().exists(self.domain.id())
    }

    pub(crate) fn xenstore(&self) -> Xenstore<'_> {
        Xenstore::of(self.domain.machine())
    }

    /// The nodes are looked at again.
    pub(crate) fn touch(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether nodes have changed since it was asked last.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Looks at the clock, and how often the front was migrated; `None` where the domain is gone.
    pub(super) fn look_around(&mut self) -> Option<u64> {
        let domain = self.domain.clone();
        let state = domain.machine().lock();
        self.now = state.now();
        let era = || state.domains.get(&self.device.front_id()).map_or(0, |front| front.resumes);
        state.exists(domain.id()).then(era)
    }

    pub(super) fn look(&self) -> Seen {
        let (back, front) = (&self.back_path, &self.front_path);
        self.xenstore().nodes(|nodes| Seen {
            exists: nodes.read(&format!("{back}/state")).is_some(),
            own: nodes.state(back),
            front: nodes.state(front),
            online: nodes.read_text(&format!("{back}/online")).as_deref() == Some("1"),
        })
    }

    pub(crate) fn set_state(&mut self, state: State) {
        self.write_keys(Keys::new(), Some(state));
        self.state = state;
        self.touch();
    }

    /// Writes keys, then a state, as one step.
    pub(crate) fn write_keys(&self, keys: Keys, state: Option<State>) {
        self.xenstore().nodes(|nodes| {
            for (key, value) in keys {
                self.write_key(nodes, key, value);
            }
            state.into_iter().for_each(|state| nodes.set_state(&self.back_path, state));
        });
    }

    /// Writes a key as it should be, or as the script says; `None` removes it.
    pub(crate) fn write_key(&self, nodes: &mut Nodes<'_>, key: &str, value: Option<String>) {
        let path = format!("{}/{key}", self.back_path);
        let value = self.control.key(key).unwrap_or_else(|| value.map(String::into_bytes));
        match value {
            Some(value) => nodes.write(&path, value),
            None => nodes.remove(&path),
        }
    }

    /// Writes the keys that the script has a value for.
    pub(super) fn rewrite_keys(&self) {
        let keys = self.control.keys();
        self.xenstore().nodes(|nodes| keys.iter().for_each(|key| self.write_key(nodes, key, None)));
    }

    /// Writes a state and nothing else, whatever it makes of it.
    pub(super) fn write_state(&self, state: State) {
        self.xenstore().write(&format!("{}/state", self.back_path), state.0.to_string());
    }

    /// The front was refused.
    pub(super) fn fail(&mut self, error: &str) {
        let (home, device) = self.back_path.split_once("/backend/").unwrap_or_default();
        let path = format!("{home}/error/backend/{device}/error");
        self.xenstore().write(&path, error);
        self.last_error = Some(error.to_owned());
        self.set_state(State::CLOSING);
    }
}

/// A number that stands below a path.
pub(crate) fn number(nodes: &mut Nodes<'_>, path: &str, key: &str) -> Option<u32> {
    nodes.read_text(&format!("{path}/{key}"))?.parse().ok()
}
