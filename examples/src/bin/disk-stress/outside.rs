//! What happens to the guest from outside: it is asked to end or to be suspended, and its disk comes and goes.

use core::time::Duration;

use xen_rt::Xen;
use xen_rt::blkfront::KIND;
use xen_rt::xenbus::Store;
use xen_rt::xenbus::bus::{Change, Device, Enumerator};
use xen_rt::xenbus::control::{Command, Inbox, Request, advertise};
use xen_rt::xenbus::store::{StoreError, Watch};

/// What is watched in xenstore.
pub(crate) struct Outside {
    store: Store<Xen>,
    shutdown: (Watch<Xen>, Inbox),
    devices: (Watch<Xen>, Enumerator),
    disk: Wanted,
    /// Devices are to be looked at.
    due: bool,
}

impl Outside {
    /// `number` is that of the disk; without it any disk will do.
    pub(crate) fn new(store: &Store<Xen>, number: Option<u32>) -> Result<Self, StoreError> {
        let inbox = Inbox::shutdown();
        let _ = advertise(store, &[Command::PowerOff, Command::Suspend]);
        let shutdown = (store.watch(inbox.path()).wait()?, inbox);
        let devices = (store.watch("device").wait()?, Enumerator::new());
        let disk = Wanted { number, newcomer: None };
        Ok(Self { store: store.clone(), shutdown, devices, disk, due: true })
    }

    /// Takes note of what was heard. Until this was called a wait does not wait.
    pub(crate) fn listen(&mut self) {
        if self.shutdown.0.take() {
            self.shutdown.1.look_again();
        }
        self.due |= self.devices.0.take();
    }

    /// What the toolstack asks for, if anything.
    pub(crate) fn command(&mut self) -> Result<Option<Command>, StoreError> {
        let inbox = &mut self.shutdown.1;
        if !inbox.poll(self.store.now()) {
            return Ok(None);
        }
        match self.store.transaction(|t| inbox.take(t))? {
            Some(Request::Command(command)) => Ok(Some(command)),
            _ => Ok(None),
        }
    }

    /// The disk that has come, if one has that was not told of yet, and is still there.
    pub(crate) fn newcomer(&mut self) -> Result<Option<Device>, StoreError> {
        if core::mem::take(&mut self.due) {
            for change in self.devices.1.look(&self.store)? {
                self.disk.note(change);
            }
        }
        Ok(self.disk.newcomer.take())
    }

    /// The disk that was told of is gone. If one of that name is there, it is another one.
    pub(crate) fn gone(&mut self, device: &Device) {
        self.devices.1.forget(device);
        self.due = true;
    }

    /// Whatever devices there are, they are others than before the suspend.
    pub(crate) const fn resumed(&mut self) {
        self.devices.1.resumed();
        self.due = true;
    }

    /// When to look at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.shutdown.1.next_deadline()
    }
}

/// Which disk is looked for, and the last one that came.
struct Wanted {
    /// Its number; any one where there is none.
    number: Option<u32>,
    newcomer: Option<Device>,
}

impl Wanted {
    fn note(&mut self, change: Change) {
        match change {
            Change::Added(device) | Change::Replaced { new: device, .. } if self.is(&device) => {
                // From now on it is this one.
                self.number = Some(device.name().id);
                self.newcomer = Some(device);
            }
            Change::Removed(device) if self.newcomer.as_ref() == Some(&device) => self.newcomer = None,
            _ => {}
        }
    }

    fn is(&self, device: &Device) -> bool {
        device.name().kind == KIND && self.number.is_none_or(|number| number == device.name().id)
    }
}
