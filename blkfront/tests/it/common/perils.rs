//! What tests of faults have in common: load, a suspend, another backend.

use std::time::Duration;

use crate::suspended;
pub(crate) use crate::suspended::Ending;

use xen_blkfront::{Done, Event, IoError, Request, RequestId, Sector512};
use xen_sim::Domain;
use xen_sim::blkback::{Blkback, Options as Offer, SimDisk};
use xen_xenbus::Store;
use xen_xenbus::control::Resumable;

use crate::common::{Rig, XVDA};
use crate::drivers::look;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A load that is under way.
pub(crate) struct Load {
    ids: Vec<RequestId>,
    fill: u8,
}

impl Rig {
    /// Has so many writes under way, a page each, with a page between them.
    pub(crate) fn load(&mut self, count: u64, fill: u8) -> Load {
        let mut submit = |number: u64| {
            let buffer = self.filled(4096, fill);
            self.front.submit(Request::write(Sector512(number * 16), buffer), self.now()).expect("there is room")
        };
        let ids = (0..count).map(&mut submit).collect();
        self.front.flush_notifications(self.now());
        Load { ids, fill }
    }

    /// Waits for the end of each, which comes once, and sees to it that all of it is on the disk.
    #[track_caller]
    pub(crate) fn finish_load(&mut self, load: Load) {
        for (number, id) in (0..).zip(load.ids) {
            assert_eq!(self.finish(id).result, Ok(Done::Transferred), "write {number}");
            assert_eq!(self.on_disk(number * 16, 4096), vec![load.fill; 4096], "write {number}");
            assert!(self.completions.iter().all(|done| done.id != id), "it has one end");
        }
    }

    /// Waits for the end of each; says what they were.
    pub(crate) fn outcomes(&mut self, load: Load) -> Vec<Result<Done, IoError>> {
        load.ids.into_iter().map(|id| self.finish(id).result).collect()
    }

    /// Goes on until it is connected so many times in all, and says how long that took.
    #[track_caller]
    pub(crate) fn connected(&mut self, times: u64, within: Duration) -> Duration {
        let start = self.now();
        let done = |rig: &Self| rig.front.statistics().connections >= times && rig.front.disk().is_some();
        assert!(self.until(within, done), "{:?} {:?}", self.front, self.events);
        self.now() - start
    }

    /// The backend's domain dies, with its disk's cache; another one takes its place, with this disk.
    pub(crate) fn replace_backend(&mut self, disk: &SimDisk, params: &str, offer: Offer) {
        self.machine.destroy(&self.domain);
        self.back = None;
        self.machine.xenstore().remove_device(&self.device);
        self.domain = self.machine.domain();
        self.plug_again(disk, params, offer);
    }

    /// The device is there again, with a backend that knows nothing.
    pub(crate) fn plug_again(&mut self, disk: &SimDisk, params: &str, offer: Offer) {
        self.device = xen_sim::Device::new("vbd", XVDA, self.guest.id(), self.domain.id()).back_key("params", params);
        self.machine.xenstore().plug(&self.device);
        self.disk = disk.clone();
        self.back = Some(Blkback::new(&self.machine, &self.domain, &self.device, disk.clone(), offer));
    }

    /// Waits until it is known that the device has vanished, and takes what is there then.
    #[track_caller]
    pub(crate) fn reattach_when_gone(&mut self) {
        let gone = |rig: &Self| rig.count(|event| matches!(event, Event::Detached(_))) > 0;
        assert!(self.until(SECOND * 10, gone), "{:?}", self.events);
        self.events.retain(|event| !matches!(event, Event::Detached(_)));
        self.reattach();
    }

    /// Takes the domain through a suspend.
    pub(crate) fn suspend(&mut self) -> Ending {
        let ending = suspended::suspend(self);
        if ending == Ending::Resumed {
            self.enumerator.resumed();
        }
        ending
    }

    /// Suspends, with a resume on another host, and takes the device that is there.
    #[track_caller]
    pub(crate) fn migrate(&mut self) {
        self.guest.migrate_on_suspend();
        assert_eq!(self.suspend(), Ending::Resumed);
        let found = look(&mut self.enumerator, &self.store).expect("the other host has the device");
        self.front.reattach(found).expect("xenstore answers");
    }
}

impl suspended::Guest for Rig {
    fn domain(&self) -> Domain {
        self.guest.clone()
    }

    fn store(&self) -> Store<Domain> {
        self.store.clone()
    }

    fn devices(&mut self) -> &mut dyn Resumable {
        &mut self.front
    }

    fn turn(&mut self) {
        Self::turn(self);
    }
}
