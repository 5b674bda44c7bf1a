//! Devices on a simulated machine: a toolstack plugs them in, an honest backend follows, and faults come in between.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_sim::{Reaction, Requests, When};
use xen_xenbus::bus::{
    Change, End, Enumerator, Event, Frontend, Keys, Limits, Manner, Offer, Problem, State, Step, Vanished,
};
use xen_xenbus::control::{Command, Inbox, MemoryTarget, Request};
use xen_xenbus::wire::{MessageType, Refusal};

use crate::common::guest;
use crate::common::kernel::{Kernel, plug, vbd};

const SECOND: Duration = Duration::from_secs(1);

/// Requests to xenstore, from the moment at which a device is plugged in until our half says that it is connected: a look at a device
/// takes 5, a switch of our state 6 and its keys.
const MOST: u32 = 43;

#[test]
fn fault_06_a_device_that_is_plugged_in_connects() {
    for seed in 0..20 {
        let mut kernel = Kernel::new(seed);
        let device = plug(&kernel, 51712);
        assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1), "seed {seed}");
        let host = kernel.machine.xenstore();
        let front = device.front_path();
        let keys = ["ring-ref", "event-channel", "state"].map(|key| host.read_text(&format!("{front}/{key}")).unwrap());
        assert_eq!(keys, ["8", "5", "4"]);
        let keys = kernel.store.transaction(|t| Keys::read(t, &device.back_path(), &["sectors"])).unwrap();
        assert_eq!(keys.u64("sectors"), Ok(Some(2048)));
    }
}

#[test]
fn a_device_connects_with_few_requests() {
    let seeds = (0..20).map(|seed| {
        let mut kernel = Kernel::new(seed);
        kernel.turn();
        let before = kernel.store.statistics().requests;
        let device = plug(&kernel, 51712);
        let state = device.front_path() + "/state";
        let done = |kernel: &Kernel| kernel.machine.xenstore().read_text(&state).as_deref() == Some("4");
        assert!(kernel.until(SECOND, done), "seed {seed}");
        kernel.store.statistics().requests - before
    });
    let requests: Vec<_> = seeds.collect();
    assert!(requests.iter().all(|count| *count <= MOST), "{requests:?}");
}

#[test]
fn fault_04_a_device_that_is_unplugged_is_gone_within_what_the_tools_wait() {
    for seed in 0..20 {
        let mut kernel = Kernel::new(seed);
        let device = plug(&kernel, 51712);
        assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
        kernel.machine.xenstore().unplug(&device);
        assert!(kernel.until(SECOND, |kernel| kernel.fronts.is_empty()), "seed {seed}");
        assert_eq!(kernel.machine.xenstore().read(&device.front_path()), None, "the tools removed it");
        assert!(matches!(kernel.manners[..], [Manner::Clean | Manner::Vanished]), "{:?}", kernel.manners);
        assert!(matches!(kernel.ends[..], [End::Vanished(_)]), "{:?}", kernel.ends);
    }
}

#[test]
fn fault_05_a_device_that_is_removed_by_force_leaves_nothing() {
    let mut kernel = Kernel::new(1);
    let device = plug(&kernel, 51712);
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
    kernel.machine.xenstore().remove_device(&device);
    assert!(kernel.until(SECOND, |kernel| kernel.fronts.is_empty()));
    assert_eq!(
        (&kernel.manners[..], &kernel.ends[..]),
        (&[Manner::Vanished][..], &[End::Vanished(Vanished::Unplugged)][..])
    );
    assert_eq!(kernel.machine.xenstore().read(&device.front_path()), None, "nothing was made anew");
}

#[test]
fn fault_06_a_hundred_cycles_leak_no_watch() {
    let mut kernel = Kernel::new(1);
    for cycle in 0..100 {
        let device = vbd(&kernel, 51712);
        kernel.machine.xenstore().plug(&device);
        if cycle == 0 {
            kernel.machine.xenstore().serve(&device);
        }
        assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1), "cycle {cycle}: {:?}", kernel.troubles);
        kernel.machine.xenstore().unplug(&device);
        assert!(kernel.until(SECOND, |kernel| kernel.fronts.is_empty()), "cycle {cycle}");
    }
    kernel.until(SECOND / 10, |_| false);
    assert_eq!(kernel.machine.xenstore().watches(&kernel.domain), 1);
    assert_eq!(kernel.machine.xenstore().transactions(&kernel.domain), 0);
}

#[test]
fn m14_a_device_that_is_replaced_while_it_closes_connects_as_another_one() {
    for seed in 0..50 {
        let mut kernel = Kernel::new(seed);
        let device = plug(&kernel, 51712);
        assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
        let host = kernel.machine.xenstore();
        // By the seed at any moment of the handshake.
        host.unplug(&device);
        kernel.until(Duration::from_micros(seed * 40), |_| false);
        let host = kernel.machine.xenstore();
        host.nodes(|nodes| {
            nodes.remove_device(&device);
            nodes.plug(&device);
        });
        assert!(kernel.until(SECOND * 2, |kernel| kernel.connected() == 1), "seed {seed}: {:?}", kernel.troubles);
        assert!(kernel.troubles.is_empty(), "seed {seed}: {:?}", kernel.troubles);
    }
}

#[test]
fn hc_107_a_backend_whose_domain_is_destroyed_is_left_at_once() {
    let mut kernel = Kernel::new(1);
    let device = plug(&kernel, 51712);
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
    kernel.machine.xenstore().remove(&device.back_path());
    let before = kernel.store.now();
    assert!(kernel.until(SECOND, |kernel| !kernel.ends.is_empty()));
    assert!(kernel.store.now() - before < SECOND / 10);
    assert_eq!(kernel.ends[0], End::Vanished(Vanished::NoBackend));
    let state = kernel.machine.xenstore().read_text(&format!("{}/state", device.front_path()));
    assert_eq!(state.as_deref(), Some("4"), "and nothing is written");
}

#[test]
fn hc_104_a_device_without_a_backend_is_told_with_both_halves_states() {
    let mut kernel = Kernel::new(1);
    let device = vbd(&kernel, 51712);
    kernel.machine.xenstore().plug(&device);
    assert!(kernel.until(SECOND * 40, |kernel| !kernel.troubles.is_empty()));
    let error = &kernel.troubles[0];
    assert_eq!((error.ours, error.theirs), (State::INITIALISING, State::INITIALISING));
    assert_eq!(error.problem, Problem::ConnectTimeout(Limits::DEFAULT.connect));
    // It comes late, and is welcome.
    kernel.machine.xenstore().serve(&device);
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
}

#[test]
fn fault_29_a_store_without_room_for_our_keys_is_told() {
    let mut kernel = Kernel::new(1);
    let home = xen_sim::Xenstore::home(&kernel.domain);
    let requests = Requests::of(MessageType::WRITE).on(&format!("{home}/device/vbd/51712/ring-ref"));
    kernel.machine.xenstore().script(requests, When::Always, Reaction::refuse(Refusal::NOSPC));
    let requests = Requests::of(MessageType::WRITE).on("device/vbd/51712/ring-ref");
    kernel.machine.xenstore().script(requests, When::Always, Reaction::refuse(Refusal::NOSPC));
    plug(&kernel, 51712);
    assert!(kernel.until(SECOND * 5, |kernel| !kernel.troubles.is_empty()));
    assert!(matches!(&kernel.troubles[0].problem, Problem::Store(reason) if reason.contains("ENOSPC")));
    kernel.machine.xenstore().clear_script();
    assert!(kernel.until(SECOND * 30, |kernel| kernel.connected() == 1), "it is tried again");
}

#[test]
fn hc_108_another_backend_in_the_same_place_is_connected_to() {
    let mut kernel = Kernel::new(1);
    let old = plug(&kernel, 51712);
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
    let new = xen_sim::Device::new("vbd", 51712, kernel.domain.id(), DomId(9));
    let host = kernel.machine.xenstore();
    host.nodes(|nodes| {
        nodes.remove_device(&old);
        nodes.plug(&new);
    });
    host.serve(&new);
    let other = |kernel: &Kernel| kernel.fronts.values().all(|(front, _)| front.device().backend().domain == DomId(9));
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1 && other(kernel)));
    assert_eq!((&kernel.manners[..], kernel.ends.len()), (&[Manner::Vanished][..], 1));
}

#[test]
fn fault_11_a_daemon_that_hangs_ends_no_connection() {
    let mut kernel = Kernel::new(1);
    plug(&kernel, 51712);
    assert!(kernel.until(SECOND, |kernel| kernel.connected() == 1));
    kernel.machine.xenstore().hang();
    kernel.fronts.values_mut().for_each(|(front, _)| front.look_again());
    kernel.until(SECOND * 20, |_| false);
    assert_eq!(kernel.connected(), 1);
    kernel.machine.xenstore().go_on();
    kernel.until(SECOND * 20, |_| false);
    assert_eq!((kernel.connected(), kernel.ends.len()), (1, 0));
}

#[test]
fn fault_28_a_slow_daemon_is_waited_for() {
    let mut kernel = Kernel::new(1);
    kernel.machine.xenstore().slow(SECOND);
    plug(&kernel, 51712);
    assert!(kernel.until(SECOND * 120, |kernel| kernel.connected() == 1), "{:?}", kernel.troubles);
}

#[test]
fn a_task_drives_a_device_as_a_thread_does() {
    let (machine, domain, store) = guest(3);
    let device = xen_sim::Device::new("vif", 0, domain.id(), DomId(0));
    machine.xenstore().plug(&device);
    machine.xenstore().serve(&device);
    let body = async {
        let mut enumerator = Enumerator::new();
        let Some(Change::Added(device)) = enumerator.look_async(&store).await.unwrap().pop() else {
            panic!("no device")
        };
        let keys = Keys::read_async(&store, &device.backend().path, &["frontend-id"]).await.unwrap();
        assert_eq!(keys.u32("frontend-id"), Ok(Some(domain.id().0.into())));
        let watch = store.watch(&device.backend_key("state")).await.unwrap();
        let mut front = Frontend::new(device, Limits::DEFAULT);
        while !front.is_connected() {
            match front.drive_async(&store).await {
                Step::Tell(Event::Connect(attempt)) => front.offer(attempt, Offer::connected(), store.now()).unwrap(),
                Step::Tell(Event::Complete(attempt)) => front.ready(attempt, store.now()).unwrap(),
                Step::Rest => {
                    watch.changed().await;
                    front.look_again();
                }
                step => panic!("{step:?}"),
            }
        }
    };
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if body.as_mut().poll(&mut context).is_ready() {
            return;
        }
        let _ = xen_hypercall::sched::poll(&domain, &[], Some(store.now() + Duration::from_micros(100)));
        store.poll();
    }
    panic!("it does not connect");
}

#[test]
fn requests_of_the_tools_arrive_and_are_acknowledged() {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("control/shutdown").wait().unwrap();
    let mut inbox = Inbox::shutdown();
    machine.xenstore().shut_down(&domain, "poweroff");
    watch.wait(store.now() + SECOND).unwrap();
    assert!(inbox.poll(store.now()));
    let request = store.transaction(|t| inbox.take(t)).unwrap();
    assert_eq!(request, Some(Request::Command(Command::PowerOff)));
    let node = format!("{}/control/shutdown", xen_sim::Xenstore::home(&domain));
    assert_eq!(machine.xenstore().read_text(&node).as_deref(), Some(""));
    machine.xenstore().set_memory_target(&domain, 65536);
    let target = store.transaction(MemoryTarget::read).unwrap().unwrap();
    assert_eq!(target.target, Some(65536));
}
