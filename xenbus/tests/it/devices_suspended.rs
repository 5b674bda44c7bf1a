//! Devices of a domain that is suspended: by `Suspender`, with the store brought to rest, on a simulated machine.

use std::time::Duration;

use xen_event_channel::{Channel, Preference};
use xen_hypercall::abi::Mfn;
use xen_hypercall::sched::{self, Suspended};
use xen_sim::{Domain, Reaction, Requests, When};
use xen_xenbus::bus::{End, Keys, Manner};
use xen_xenbus::control::{Resumable, Resumed, SuspendStep, Suspender};
use xen_xenbus::store::Quiet;
use xen_xenbus::wire::MessageType;

use crate::common::kernel::{Kernel, plug};

const SECOND: Duration = Duration::from_secs(1);

/// How a suspend ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Resumed,
    Cancelled,
    GaveUp,
}

/// Takes the kernel through a suspend that the tools have asked for.
fn suspend(kernel: &mut Kernel) -> Ending {
    let mut suspender = Suspender::new(2 * SECOND);
    let mut quiet = None;
    suspender.request();
    loop {
        let now = kernel.store.now();
        let fronts = kernel.fronts.values_mut();
        let mut parts: Vec<&mut dyn Resumable> = fronts.map(|(front, _)| front as &mut dyn Resumable).collect();
        match suspender.poll(&mut parts, now) {
            SuspendStep::Rest { until } => {
                quiet = kernel.store.quiesce(until.saturating_sub(now)).ok();
                suspender.rested(quiet.as_ref().map(drop).ok_or(()));
            }
            SuspendStep::Suspend => {
                let resumed = suspend_domain(&kernel.domain, quiet.take().expect("the store is at rest"));
                suspender.came_back(resumed, &mut parts, kernel.store.now());
                return came_back(kernel, resumed);
            }
            SuspendStep::GaveUp => return Ending::GaveUp,
            SuspendStep::Wait(until) => {
                kernel.until(until.saturating_sub(now).min(SECOND / 100), |_| false);
            }
            SuspendStep::Idle => panic!("a suspend was asked for"),
        }
    }
}

fn suspend_domain(domain: &Domain, quiet: Quiet<Domain>) -> Resumed {
    // SAFETY: nothing of the domain is mapped, and its channels are made anew below.
    match unsafe { sched::suspend(domain, Mfn(0)) }.unwrap() {
        Suspended::Cancelled => Resumed::AsBefore,
        Suspended::Resumed => {
            xen_event_channel::resume(domain, Preference::TwoLevel).unwrap();
            let (page, port) = domain.store().unwrap();
            quiet.resume(page, Channel::adopt(domain, port).unwrap()).unwrap();
            Resumed::Anew
        }
    }
}

const fn came_back(kernel: &mut Kernel, resumed: Resumed) -> Ending {
    match resumed {
        Resumed::Anew => {
            kernel.enumerator.resumed();
            Ending::Resumed
        }
        Resumed::AsBefore => Ending::Cancelled,
    }
}

/// A kernel with a device that is connected.
fn connected(seed: u64) -> (Kernel, xen_sim::Device) {
    let mut kernel = Kernel::new(seed);
    let device = plug(&kernel, 51712);
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1), "seed {seed}");
    (kernel, device)
}

#[test]
fn fault_07_devices_connect_anew_after_each_resume() {
    for seed in 0..20 {
        let (mut kernel, _device) = connected(seed);
        kernel.domain.migrate_on_suspend();
        for round in 1..=3 {
            let before = kernel.fronts.values().next().unwrap().0.device().generation();
            assert_eq!(suspend(&mut kernel), Ending::Resumed);
            let anew = |kernel: &Kernel| kernel.connected() == 1 && kernel.ends.len() == round;
            assert!(kernel.until(5 * SECOND, anew), "seed {seed}, round {round}: {:?}", kernel.troubles);
            assert!(kernel.ends.iter().all(|end| *end == End::Suspended), "{:?}", kernel.ends);
            let after = kernel.fronts.values().next().unwrap().0.device().generation();
            assert!(after > before, "it is another device now");
        }
    }
}

#[test]
fn hc_157_a_suspend_that_is_called_off_keeps_the_connections() {
    for seed in 0..20 {
        let (mut kernel, _device) = connected(seed);
        assert_eq!(suspend(&mut kernel), Ending::Cancelled);
        kernel.until(SECOND, |_| false);
        assert_eq!((kernel.connected(), &kernel.manners[..], &kernel.ends[..]), (1, &[][..], &[][..]), "seed {seed}");
    }
}

/// At any moment of the handshake, by the seed.
#[test]
fn hc_156_a_suspend_while_a_device_connects_or_closes_does_no_harm() {
    for seed in 0..60 {
        let mut kernel = Kernel::new(seed);
        let device = plug(&kernel, 51712);
        if seed % 2 == 0 {
            assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1), "seed {seed}");
            kernel.machine.xenstore().unplug(&device);
        }
        kernel.domain.migrate_on_suspend();
        kernel.until(Duration::from_micros(seed * 30), |_| false);
        assert_eq!(suspend(&mut kernel), Ending::Resumed, "seed {seed}");
        // The other host has the device, or it went with the first one.
        kernel.until(5 * SECOND, |kernel| kernel.connected() == 1);
        let there = kernel.machine.xenstore().read(&device.front_path()).is_some();
        assert_eq!(kernel.connected(), usize::from(there), "seed {seed}: {:?}", kernel.troubles);
        assert_eq!(kernel.fronts.len(), usize::from(there), "seed {seed}");
        assert!(there || seed % 2 == 0, "seed {seed}: nobody has unplugged it");
    }
}

#[test]
fn hc_158_another_backend_is_negotiated_with_anew() {
    let (mut kernel, device) = connected(1);
    kernel.domain.migrate_on_suspend();
    let sectors = format!("{}/sectors", device.back_path());
    kernel.machine.xenstore().on_resume(&kernel.domain, move |nodes| nodes.write(&sectors, "4096"));
    assert_eq!(suspend(&mut kernel), Ending::Resumed);
    assert!(kernel.until(5 * SECOND, |kernel| kernel.connected() == 1 && kernel.ends.len() == 1));
    let keys = kernel.store.transaction(|t| Keys::read(t, &device.back_path(), &["sectors"])).unwrap();
    assert_eq!(keys.u64("sectors"), Ok(Some(4096)));
}

#[test]
fn hc_159_fault_25_a_device_that_goes_with_the_resume_is_torn_down_once() {
    for seed in 0..20 {
        let (mut kernel, device) = connected(seed);
        kernel.domain.migrate_on_suspend();
        kernel.machine.xenstore().on_resume(&kernel.domain, move |nodes| nodes.remove_device(&device));
        assert_eq!(suspend(&mut kernel), Ending::Resumed);
        assert!(kernel.until(5 * SECOND, |kernel| kernel.fronts.is_empty()), "seed {seed}");
        kernel.until(SECOND, |_| false);
        assert_eq!(kernel.manners.len(), 1, "seed {seed}: {:?}", kernel.manners);
        assert!(!kernel.manners.contains(&Manner::Clean), "its backend of before is out of reach");
        assert_eq!(kernel.connected(), 0);
    }
}

/// A store that cannot come to rest: the suspend is called off, and everything goes on.
#[test]
fn fault_08_a_daemon_that_does_not_answer_calls_the_suspend_off() {
    let (mut kernel, _device) = connected(1);
    let host = kernel.machine.xenstore();
    host.script(Requests::of(MessageType::READ).on("data/hold"), When::Always, Reaction::Ignore);
    let held = kernel.store.read("data/hold").within(60 * SECOND);
    kernel.store.poll();
    assert_eq!(suspend(&mut kernel), Ending::GaveUp);
    drop(held);
    kernel.until(SECOND, |_| false);
    assert_eq!((kernel.connected(), kernel.ends.len()), (1, 0));
}
