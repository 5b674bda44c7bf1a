//! A guest whose interfaces somebody else uses: a stack, or tasks.

use std::time::Duration;

use xen_netfront::{Event, Options, SharedInterfaces};
use xen_sim::netback::{Netback, Options as Offer};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;

use crate::common::{kernel, vif};
use crate::perils::MS;

/// The number of its interface.
pub(crate) const NUMBER: u32 = 3;

pub(crate) struct Shared {
    pub(crate) machine: Machine,
    pub(crate) domain: Domain,
    pub(crate) device: Device,
    pub(crate) store: Store<Domain>,
    pub(crate) back: Option<Netback>,
    pub(crate) interfaces: SharedInterfaces<Domain>,
}

impl Shared {
    /// An interface that is connected.
    pub(crate) fn new(options: Options) -> Self {
        let mut shared = Self::unplugged(options);
        shared.plug();
        assert!((0..1000).any(|_| shared.turn(MS).contains(&(NUMBER, Event::Connected))));
        shared
    }

    /// No interface yet.
    pub(crate) fn unplugged(options: Options) -> Self {
        let machine = Machine::new(1);
        let ((guest, store), domain) = (kernel(&machine), machine.domain());
        let device = vif(NUMBER, &guest, &domain);
        let interfaces = SharedInterfaces::new(&store, options).expect("xenstore answers");
        Self { machine, domain, device, store, back: None, interfaces }
    }

    /// The tools give it one.
    pub(crate) fn plug(&mut self) {
        self.machine.xenstore().plug(&self.device);
        self.back = Some(Netback::new(&self.machine, &self.domain, &self.device, Offer::DEFAULT));
    }

    /// The tools take it away.
    pub(crate) fn unplug(&mut self) {
        self.back = None;
        self.machine.xenstore().remove_device(&self.device);
    }

    pub(crate) const fn back(&self) -> &Netback {
        self.back.as_ref().expect("there is a backend")
    }

    /// The backend, and the loop that drives the interfaces, do what they can. Then time passes, no longer than this.
    pub(crate) fn turn(&mut self, nap: Duration) -> Vec<(u32, Event)> {
        if let Some(back) = &mut self.back {
            let _ = back.step();
        }
        let events = std::iter::from_fn(|| self.interfaces.poll(self.store.now())).collect();
        self.interfaces.wait(self.store.now() + nap).expect("Xen lets guests wait");
        events
    }

    pub(crate) fn now(&self) -> Duration {
        self.store.now()
    }
}
