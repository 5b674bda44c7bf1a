//! What happens to the guest from outside: it is asked to end or to be suspended, and its disk comes and goes.

use alloc::vec::Vec;
use core::time::Duration;

use xen_rt::Xen;
use xen_rt::xenbus::Store;
use xen_rt::xenbus::bus::{Change, Device, Enumerator};
use xen_rt::xenbus::control::{Command, Inbox, Request, advertise};
use xen_rt::xenbus::store::{StoreError, Watch};

/// What is watched in xenstore.
pub struct Outside {
    store: Store<Xen>,
    shutdown: (Watch<Xen>, Inbox),
    devices: (Watch<Xen>, Enumerator),
    /// The last look did not succeed.
    again: bool,
}

impl Outside {
    pub fn new(store: &Store<Xen>) -> Result<Self, StoreError> {
        let inbox = Inbox::shutdown();
        let _ = advertise(store, &[Command::PowerOff, Command::Suspend]);
        let shutdown = (store.watch(inbox.path()).wait()?, inbox);
        let devices = (store.watch("device").wait()?, Enumerator::new());
        Ok(Self { store: store.clone(), shutdown, devices, again: false })
    }

    /// What the toolstack asks for, if anything.
    pub fn command(&mut self) -> Result<Option<Command>, StoreError> {
        let (watch, inbox) = &mut self.shutdown;
        if watch.take() {
            inbox.look_again();
        }
        if !inbox.poll(self.store.now()) {
            return Ok(None);
        }
        match self.store.transaction(|t| inbox.take(t)) {
            Ok(Some(Request::Command(command))) => Ok(Some(command)),
            Ok(_) => Ok(None),
            Err(error) => {
                inbox.look_again();
                Err(error)
            }
        }
    }

    /// Devices that have come since the last call.
    pub fn arrivals(&mut self) -> Result<Vec<Device>, StoreError> {
        let (watch, enumerator) = &mut self.devices;
        if !watch.take() && !self.again {
            return Ok(Vec::new());
        }
        self.again = true;
        let changes = enumerator.look(&self.store)?;
        self.again = false;
        let arrival = |change| match change {
            Change::Added(device) | Change::Replaced { new: device, .. } => Some(device),
            _ => None,
        };
        Ok(changes.into_iter().filter_map(arrival).collect())
    }

    /// Whatever devices there are, they are others than before the suspend.
    pub const fn resumed(&mut self) {
        self.devices.1.resumed();
        self.again = true;
    }

    /// When to look at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.shutdown.1.next_deadline()
    }
}
