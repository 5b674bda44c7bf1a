//! A suspend of a simulated domain, for the tests of all drivers.

#![allow(dead_code, reason = "not every test uses all of it")]

use xen_event_channel::{Channel, Preference};
use xen_grant_table::GrantTable;
use xen_hypercall::abi::Mfn;
use xen_hypercall::sched::{self, Suspended};
use xen_sim::Domain;
use xen_xenbus::Store;
use xen_xenbus::control::{Resumable, Resumed, SuspendStep, Suspender};
use xen_xenbus::store::Quiet;

/// How a suspend ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Resumed,
    Cancelled,
    GaveUp,
}

/// A guest that has devices.
pub(crate) trait Guest {
    fn domain(&self) -> Domain;

    fn store(&self) -> Store<Domain>;

    fn devices(&mut self) -> &mut dyn Resumable;

    /// It runs again, and nobody has heard of it.
    fn wakes(&self) {}

    /// Lets everybody do what they can.
    fn turn(&mut self);
}

/// Takes a guest through a suspend that the tools have asked for.
pub(crate) fn suspend(guest: &mut impl Guest) -> Ending {
    let (mut suspender, mut quiet) = (Suspender::new(Suspender::LIMIT), None);
    let (domain, store) = (guest.domain(), guest.store());
    suspender.request();
    loop {
        let now = store.now();
        match suspender.poll(&mut [guest.devices()], now) {
            SuspendStep::Rest { until } => {
                quiet = store.quiesce(until.saturating_sub(now)).ok();
                suspender.rested(quiet.as_ref().map(drop).ok_or(()));
            }
            SuspendStep::Suspend => {
                let resumed = suspend_domain(&domain, quiet.take().expect("the store is at rest"));
                guest.wakes();
                suspender.came_back(resumed, &mut [guest.devices()], store.now());
                return if resumed == Resumed::Anew { Ending::Resumed } else { Ending::Cancelled };
            }
            SuspendStep::GaveUp => return Ending::GaveUp,
            SuspendStep::Wait(_) => guest.turn(),
            SuspendStep::Idle => panic!("a suspend was asked for"),
        }
    }
}

/// Suspends a domain whose store is at rest. Whatever comes of it, the store goes on afterwards.
pub(crate) fn suspend_domain(domain: &Domain, quiet: Quiet<Domain>) -> Resumed {
    // SAFETY: what was mapped belongs to the other host's memory; channels, grants and store are made anew below.
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
