//! A guest with a disk, whose backend is simulated. One thread: the two halves take turns.

use std::num::NonZeroUsize;
use std::time::Duration;

use xen_blkfront::{Blkfront, Options};
use xen_event_channel::{Channel, Preference};
use xen_grant_table::GrantTable;
use xen_hypercall::abi::Mfn;
use xen_hypercall::sched::{self, Suspended};
use xen_sim::blkback::{Blkback, Control, Options as Offer, SimDisk};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{self, Change, Enumerator};
use xen_xenbus::control::Resumed;
use xen_xenbus::store::Quiet;

/// The disk's number: `xvda`.
const XVDA: u32 = 51712;

/// How many pages the guest has.
const PAGES: NonZeroUsize = NonZeroUsize::new(1500).unwrap();

/// Both halves, and what is between them.
#[derive(Debug)]
pub struct Rig {
    /// The machine.
    pub machine: Machine,
    /// The front's domain.
    pub guest: Domain,
    /// Its store.
    pub store: Store<Domain>,
    /// The backend's domain.
    pub domain: Domain,
    /// The device, as the tools see it.
    pub device: Device,
    /// What the backend has behind it.
    pub disk: SimDisk,
    /// The backend, if there is one.
    pub back: Option<Blkback>,
    /// The front.
    pub front: Blkfront<Domain>,
    enumerator: Enumerator,
    options: Options,
}

impl Rig {
    /// A disk that was found, and begins to connect.
    ///
    /// # Panics
    ///
    /// If a new simulated machine does not work.
    #[must_use]
    pub fn new(seed: u64, options: Options, offer: Offer, sectors: u64) -> Self {
        let machine = Machine::new(seed);
        let (guest, domain) = (machine.domain_builder().pages(PAGES).build(), machine.domain());
        machine.xenstore().introduce(&guest);
        let (page, port) = guest.store().expect("it was introduced");
        let channel = Channel::adopt(&guest, port).expect("the port is open");
        let store = Store::attach(page, channel, guest.clone()).expect("the page holds a ring");
        let device = device(&guest, &domain);
        machine.xenstore().plug(&device);
        let disk = SimDisk::new(sectors);
        let back = Some(Blkback::new(&machine, &domain, &device, disk.clone(), offer));
        let mut enumerator = Enumerator::new();
        let found = look(&mut enumerator, &store).expect("the device is there");
        let front = Blkfront::open(&store, found, options).expect("xenstore answers");
        Self { machine, guest, store, domain, device, disk, back, front, enumerator, options }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.store.now()
    }

    /// A hold on the backend.
    #[must_use]
    pub fn control(&self) -> Option<Control> {
        self.back.as_ref().map(Blkback::control)
    }

    /// The backend is gone, without a word, and so is the device.
    pub fn unplug(&mut self) {
        self.back = None;
        self.machine.xenstore().remove_device(&self.device);
    }

    /// The backend's domain dies.
    pub fn kill(&mut self) {
        self.machine.destroy(&self.domain);
        self.unplug();
        self.domain = self.machine.domain();
    }

    /// The device is there again, with a backend that knows nothing but the disk.
    pub fn plug(&mut self, offer: Offer) {
        self.device = device(&self.guest, &self.domain);
        self.machine.xenstore().plug(&self.device);
        self.back = Some(Blkback::new(&self.machine, &self.domain, &self.device, self.disk.clone(), offer));
    }

    /// The front takes the device that is there; says whether there is one.
    pub fn reattach(&mut self) -> bool {
        self.enumerator.forget(self.front.device());
        let Some(found) = look(&mut self.enumerator, &self.store) else { return false };
        if self.front.is_ended() {
            return Blkfront::open(&self.store, found, self.options).map(|front| self.front = front).is_ok();
        }
        self.front.reattach(found).is_ok()
    }

    /// Suspends the domain, whose store is at rest.
    ///
    /// # Panics
    ///
    /// If what must work after a resume does not.
    pub fn suspend(&mut self, quiet: Quiet<Domain>) -> Resumed {
        // SAFETY: what was mapped belongs to the other host's memory; channels, grants and store are made anew below.
        match unsafe { sched::suspend(&self.guest, Mfn(0)) }.expect("Xen suspends") {
            Suspended::Cancelled => Resumed::AsBefore,
            Suspended::Resumed => {
                xen_event_channel::resume(&self.guest, Preference::TwoLevel).expect("there are events");
                // SAFETY: no mapping of this domain is left.
                unsafe { GrantTable::resume(&self.guest) };
                let (page, port) = self.guest.store().expect("it was introduced again");
                let channel = Channel::adopt(&self.guest, port).expect("it is open");
                quiet.resume(page, channel).expect("there is a ring");
                self.enumerator.resumed();
                Resumed::Anew
            }
        }
    }
}

fn device(guest: &Domain, domain: &Domain) -> Device {
    Device::new("vbd", XVDA, guest.id(), domain.id()).back_key("params", "/dev/disk")
}

/// The disk that an enumerator finds now.
fn look(enumerator: &mut Enumerator, store: &Store<Domain>) -> Option<bus::Device> {
    let changes = enumerator.look(store).ok()?;
    changes.into_iter().find_map(|change| match change {
        Change::Added(device) | Change::Replaced { new: device, .. } => Some(device),
        _ => None,
    })
}
