//! A backend that misbehaves, and what must come of it.

#![allow(dead_code, reason = "not every test uses all of it")]

use xen_netfront::{Checksums, Event, Offer as Yes, Options};
use xen_sim::When;
use xen_sim::netback::{Fault, Misdeed, Options as Offer, Restart, Which};
use xen_xenbus::bus::Problem;

use crate::common::{Rig, SECOND, SMALL};
use crate::perils::{MS, Traffic};

/// All that can be agreed upon.
pub(crate) const OFFLOADS: Options =
    Options { checksums: Checksums::Offload, scatter_gather: Yes::Yes, segmentation: Yes::Yes, ..SMALL };

impl Rig {
    /// An interface with a backend that does something once, the next time.
    pub(crate) fn with_misdeed(options: Options, which: Which, misdeed: Misdeed) -> Self {
        let rig = Self::new(1, options, Offer::DEFAULT);
        rig.misdeed(which, 1, misdeed);
        rig
    }

    /// The backend misbehaves once: so many packets from now on.
    pub(crate) fn misdeed(&self, which: Which, nth: u64, misdeed: Misdeed) {
        self.control().on(which, When::Nth(nth), Fault::Misdeed(misdeed));
    }

    /// Why nothing that the backend says is believed any more.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            Event::Trouble(error) => match &error.problem {
                Problem::Broken(reason) => Some(reason.as_str()),
                _ => None,
            },
            _ => None,
        })
    }

    /// The connection must have ended, once, for that reason. It is made anew with a backend that is honest, and nothing is left behind.
    #[track_caller]
    pub(crate) fn must_break(mut self, why: &str) {
        assert!(self.until(SECOND, |rig| rig.violation().is_some()), "{why}: {:?}", self.front.statistics());
        self.pass(MS);
        assert!(self.violation().is_some_and(|reason| reason.contains(why)), "{why}: {:?}", self.events);
        assert_eq!(self.count(|event| *event == Event::Disconnected), 1, "{:?}", self.events);
        assert!(self.front.receive().is_none() || self.front.link().is_some());
        self.heals(2);
    }

    /// It is nothing that the connection ends for. The backend is honest from now on.
    #[track_caller]
    pub(crate) fn must_go_on(mut self) {
        self.pass(MS * 20);
        assert_eq!(self.count(|event| *event != Event::Connected), 0, "{:?}", self.events);
        self.control().go_on();
        self.pass(MS * 5);
        self.heals(1);
    }

    /// What the backend did, it cannot go on after it. The connection has nothing against it, and the next one is as good as any.
    #[track_caller]
    pub(crate) fn must_be_left_alone(mut self) {
        self.pass(MS * 20);
        assert_eq!(self.count(|event| *event != Event::Connected), 0, "{:?}", self.events);
        self.control().restart(Restart::Abrupt);
        self.heals(2);
    }

    #[track_caller]
    fn heals(&mut self, connections: u64) {
        self.control().clear();
        self.connected(connections, SECOND * 20);
        let _ = (self.sent(), std::mem::take(&mut self.received));
        Traffic::default().flows(self);
        assert_eq!(self.front.statistics().connections, connections);
        self.close();
        self.assert_given_back();
    }
}
