//! What tests of faults have in common: load, a suspend, another backend.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::time::Duration;

use xen_blkfront::{Done, Event, IoError, Request, RequestId, Sector512};
use xen_event_channel::{Channel, Preference};
use xen_grant_table::GrantTable;
use xen_hypercall::abi::Mfn;
use xen_hypercall::sched::{self, Suspended};
use xen_sim::Domain;
use xen_sim::blkback::{Blkback, Options as Offer, SimDisk};
use xen_xenbus::control::{Resumable, Resumed, SuspendStep, Suspender};
use xen_xenbus::store::Quiet;

use crate::common::{Rig, XVDA, look};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How a suspend ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Resumed,
    Cancelled,
    GaveUp,
}

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
        let mut suspender = Suspender::new(Suspender::LIMIT);
        let mut quiet = None;
        suspender.request();
        loop {
            let now = self.now();
            match suspender.poll(&mut [&mut self.front as &mut dyn Resumable], now) {
                SuspendStep::Rest { until } => {
                    quiet = self.store.quiesce(until.saturating_sub(now)).ok();
                    suspender.rested(quiet.as_ref().map(drop).ok_or(()));
                }
                SuspendStep::Suspend => {
                    let resumed = suspend_domain(&self.guest, quiet.take().expect("the store is at rest"));
                    let now = self.now();
                    suspender.came_back(resumed, &mut [&mut self.front as &mut dyn Resumable], now);
                    return self.came_back(resumed);
                }
                SuspendStep::GaveUp => return Ending::GaveUp,
                SuspendStep::Wait(_) => self.turn(),
                SuspendStep::Idle => panic!("a suspend was asked for"),
            }
        }
    }

    const fn came_back(&mut self, resumed: Resumed) -> Ending {
        match resumed {
            Resumed::Anew => {
                self.enumerator.resumed();
                Ending::Resumed
            }
            Resumed::AsBefore => Ending::Cancelled,
        }
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

fn suspend_domain(domain: &Domain, quiet: Quiet<Domain>) -> Resumed {
    // SAFETY: what was mapped belongs to the other host's memory now; channels, grants and store are made anew below.
    match unsafe { sched::suspend(domain, Mfn(0)) }.expect("Xen suspends") {
        Suspended::Cancelled => Resumed::AsBefore,
        Suspended::Resumed => {
            xen_event_channel::resume(domain, Preference::TwoLevel).expect("there are events");
            // SAFETY: no mapping of this domain is left.
            unsafe { GrantTable::resume(domain) };
            let (page, port) = domain.store().expect("the toolstack has introduced it again");
            quiet.resume(page, Channel::adopt(domain, port).expect("it is open")).expect("there is a ring");
            Resumed::Anew
        }
    }
}
