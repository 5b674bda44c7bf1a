//! A kernel with devices, whose driver offers whatever it is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_sim::{Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{
    Change, Device, DeviceError, End, Enumerator, Event, Frontend, Limits, Manner, Name, Offer, Step,
};
use xen_xenbus::store::Watch;

use super::guest;

/// A kernel with a driver that offers whatever it is asked for.
pub(crate) struct Kernel {
    pub(crate) machine: Machine,
    pub(crate) domain: Domain,
    pub(crate) store: Store<Domain>,
    pub(crate) watch: Watch<Domain>,
    pub(crate) enumerator: Enumerator,
    pub(crate) fronts: BTreeMap<Name, (Frontend, Watch<Domain>)>,
    /// Devices that replaced others whose front halves have not ended.
    pub(crate) next: BTreeMap<Name, Device>,
    /// How each connection ended, and each front half.
    pub(crate) manners: Vec<Manner>,
    pub(crate) ends: Vec<End>,
    pub(crate) troubles: Vec<DeviceError>,
}

impl Kernel {
    pub(crate) fn new(seed: u64) -> Self {
        let (machine, domain, store) = guest(seed);
        let watch = store.watch("device").wait().unwrap();
        let (enumerator, fronts, next) = (Enumerator::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            next,
            machine,
            domain,
            store,
            watch,
            enumerator,
            fronts,
            manners: Vec::new(),
            ends: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Goes on for some time, or until something is so.
    pub(crate) fn until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.store.now() + time;
        loop {
            self.turn();
            if done(self) {
                return true;
            }
            if self.store.now() >= end {
                return false;
            }
            let pause = self.store.now() + Duration::from_millis(5);
            // Whoever else fired is looked at in the next turn.
            self.watch.wait(pause.min(end)).unwrap();
            self.look();
        }
    }

    pub(crate) fn turn(&mut self) {
        if self.watch.take() {
            self.look();
        }
        let names: Vec<_> = self.fronts.keys().cloned().collect();
        names.into_iter().for_each(|name| self.drive(&name));
    }

    pub(crate) fn look(&mut self) {
        let Ok(changes) = self.enumerator.look(&self.store) else { return };
        for change in changes {
            match change {
                Change::Added(device) => self.add(device),
                Change::Removed(device) => self.look_again(device.name()),
                Change::Replaced { old, new } => {
                    self.look_again(old.name());
                    self.next.insert(new.name().clone(), new);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn look_again(&mut self, name: &Name) {
        if let Some((front, _)) = self.fronts.get_mut(name) {
            front.look_again();
        }
    }

    pub(crate) fn add(&mut self, device: Device) {
        let watch = self.store.watch(&device.backend_key("state")).wait().unwrap();
        self.fronts.insert(device.name().clone(), (Frontend::new(device, Limits::DEFAULT), watch));
    }

    pub(crate) fn drive(&mut self, name: &Name) {
        let Some((front, watch)) = self.fronts.get_mut(name) else { return };
        if watch.take() {
            front.look_again();
        }
        loop {
            let now = self.store.now();
            let _ = match front.drive(&self.store) {
                Step::Tell(Event::Connect(attempt)) => {
                    let offer = Offer::initialised().with("ring-ref", 8).with("event-channel", 5);
                    front.offer(attempt, offer, now)
                }
                Step::Tell(Event::Complete(attempt)) => front.ready(attempt, now),
                Step::Tell(Event::Stop(..)) => front.stopped(now),
                Step::Tell(Event::Release(manner)) => {
                    self.manners.push(manner);
                    front.released(now)
                }
                Step::Tell(Event::Trouble(error)) => {
                    self.troubles.push(error);
                    Ok(())
                }
                Step::Ended(end) => {
                    self.ends.push(end);
                    self.enumerator.forget(front.device());
                    self.fronts.remove(name);
                    match self.next.remove(name) {
                        Some(device) => self.add(device),
                        None => self.look(),
                    }
                    return;
                }
                Step::Rest => return,
                _ => Ok(()),
            };
        }
    }

    pub(crate) fn connected(&self) -> usize {
        self.fronts.values().filter(|(front, _)| front.is_connected()).count()
    }
}

pub(crate) fn vbd(kernel: &Kernel, id: u32) -> xen_sim::Device {
    xen_sim::Device::new("vbd", id, kernel.domain.id(), DomId(0)).back_key("sectors", "2048")
}

/// A device with its backend.
pub(crate) fn plug(kernel: &Kernel, id: u32) -> xen_sim::Device {
    let device = vbd(kernel, id);
    kernel.machine.xenstore().plug(&device);
    kernel.machine.xenstore().serve(&device);
    device
}
