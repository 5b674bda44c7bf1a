//! vCPUs side by side: one at a time, by the seed, and never for ever.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use xen_event_channel::Events;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::{DomId, Port, VcpuId, Virq};
use xen_hypercall::{Errno, event_channel, sched, timer};
use xen_sim::{Domain, Machine, RunError, Trace};

use crate::common::pair;

/// The upcall of tests that look at pending bits themselves: it only takes the flag away.
fn quiet(domain: &Domain) {
    domain.set_upcall(|domain, vcpu| {
        let info = domain.vcpu_info(vcpu).unwrap();
        // SAFETY: the pending flag is the first byte.
        unsafe { std::sync::atomic::AtomicU8::from_ptr(info.cast().as_ptr()) }.store(0, Ordering::SeqCst);
    });
}

/// Takes a port's pending bit and tells whether it was there.
fn take(domain: &Domain, port: Port) -> bool {
    let offset = std::mem::offset_of!(xen_hypercall::abi::arch::SharedInfo, evtchn_pending);
    // SAFETY: inside the page.
    let at = unsafe { domain.shared_info().cast::<u8>().add(offset) };
    // SAFETY: the page lives as long as the domain's handle, and is reached by atomics.
    let word = unsafe { std::sync::atomic::AtomicU64::from_ptr(at.cast().as_ptr()) };
    word.fetch_and(!(1 << port.0), Ordering::SeqCst) & 1 << port.0 != 0
}

fn channel(a: &Domain, b: &Domain) -> (Port, Port) {
    quiet(a);
    quiet(b);
    let open = event_channel::alloc_unbound(a, DomId::SELF, b.id()).unwrap();
    let ports = (open, event_channel::bind_interdomain(b, a.id(), open).unwrap());
    take(b, ports.1);
    ports
}

/// Two domains that send each other an event in turn; answers with what happened.
fn ping_pong(seed: u64, rounds: u32) -> Trace {
    let machine = Machine::new(seed);
    let (a, b) = pair(&machine);
    let (ours, theirs) = channel(&a, &b);
    let done = AtomicU32::new(0);
    let player = |domain: &Domain, port: Port, first: bool| {
        for round in 0..rounds {
            if !first || round > 0 {
                while !take(domain, port) {
                    sched::poll(domain, &[port], None).unwrap();
                }
            }
            event_channel::send(domain, port).unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let run = machine.run(|scope| {
        scope.spawn(&a, |domain| player(domain, ours, true));
        scope.spawn(&b, |domain| player(domain, theirs, false));
    });
    assert_eq!(run, Ok(()));
    assert_eq!(done.load(Ordering::Relaxed), 2 * rounds);
    machine.trace()
}

#[test]
fn two_domains_wait_for_each_other() {
    ping_pong(1, if cfg!(miri) { 5 } else { 200 });
}

#[test]
fn the_same_seed_does_the_same() {
    assert_eq!(ping_pong(7, 20), ping_pong(7, 20));
    assert_ne!(ping_pong(7, 20), ping_pong(8, 20), "and another seed something else");
}

#[test]
fn one_runs_at_a_time() {
    let machine = Machine::new(3);
    let (a, b) = pair(&machine);
    // Not atomic together: another thread in between would be seen.
    let (first, second) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = |domain: &Domain| {
        for _ in 0..20 {
            let before = first.load(Ordering::Relaxed);
            first.store(before + 1, Ordering::Relaxed);
            second.store(before + 1, Ordering::Relaxed);
            assert_eq!(first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
            sched::yield_now(domain).unwrap();
        }
    };
    machine
        .run(|scope| {
            scope.spawn(&a, work);
            scope.spawn(&b, work);
        })
        .unwrap();
    assert_eq!(first.load(Ordering::Relaxed), 40);
}

#[test]
fn sleeping_for_ever_is_an_error_that_names_who_waits() {
    let machine = Machine::new(9);
    let (a, b) = pair(&machine);
    let (ours, _) = channel(&a, &b);
    let run = machine.run(|scope| {
        scope.spawn(&a, |domain| sched::poll(domain, &[ours], None).unwrap());
        scope.spawn(&b, |domain| sched::block(domain).unwrap());
    });
    let Err(RunError::Deadlock { seed: 9, waiting }) = run else { panic!("{run:?}") };
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0].contains("domain 1") && waiting[0].contains("ports [1]"), "{waiting:?}");
    assert!(waiting[1].contains("domain 2") && waiting[1].contains("upcall"), "{waiting:?}");
}

/// Whoever polls until the last time that Xen knows polls for ever: it does not come, again and again.
#[test]
fn a_wait_until_the_end_of_time_is_for_ever() {
    let machine = Machine::new(9);
    let domain = machine.domain();
    let run = machine.run(|scope| {
        scope.spawn(&domain, |domain| {
            while domain.now() < Duration::MAX {
                sched::poll(domain, &[], Some(Duration::MAX)).unwrap();
            }
        });
    });
    assert!(matches!(run, Err(RunError::Deadlock { .. })), "{run:?}");
}

#[test]
fn a_loop_without_end_runs_out_of_fuel() {
    let machine = Machine::builder(1).fuel(100).build();
    let domain = machine.domain();
    let run = machine.run(|scope| {
        scope.spawn(&domain, |domain| {
            loop {
                sched::yield_now(domain).unwrap();
            }
        });
    });
    assert!(matches!(run, Err(RunError::OutOfFuel { seed: 1, steps: 101 })), "{run:?}");
}

#[test]
#[should_panic(expected = "this is the guest's own panic")]
fn a_panic_of_a_guest_is_the_tests() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let _ = machine.run(|scope| {
        scope.spawn(&a, |domain| sched::block(domain).unwrap());
        scope.spawn(&b, |_| panic!("this is the guest's own panic"));
    });
}

#[test]
fn time_leaps_when_everybody_sleeps() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let (ours, _) = channel(&a, &b);
    let (own, woken) = ([ours], Mutex::new(Vec::new()));
    let sleep = |domain: &Domain, seconds: u64| {
        let until = domain.now() + Duration::from_secs(seconds);
        let ports: &[Port] = if domain.id() == a.id() { &own } else { &[] };
        sched::poll(domain, ports, Some(until)).unwrap();
        assert!(domain.now() >= until);
        woken.lock().unwrap().push(seconds);
    };
    machine
        .run(|scope| {
            scope.spawn(&a, |domain| sleep(domain, 3600));
            scope.spawn(&b, |domain| sleep(domain, 60));
        })
        .unwrap();
    assert_eq!(*woken.lock().unwrap(), [60, 3600]);
    assert!(machine.now() >= Duration::from_secs(3600));
}

#[test]
fn the_timer_ends_a_block() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    quiet(&domain);
    let port = event_channel::bind_virq(&domain, Virq::TIMER, VcpuId(0)).unwrap();
    let deadline = domain.now() + Duration::from_millis(5);
    timer::set(&domain, Some(deadline)).unwrap();
    sched::block(&domain).unwrap();
    assert!(take(&domain, port));
    assert!(machine.now() >= deadline && machine.now() < deadline + Duration::from_millis(1));
}

#[test]
#[should_panic(expected = "everybody sleeps for ever: domain 1 vCPU 0 waits for an upcall")]
fn sleeping_alone_for_ever_is_found() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    // Nothing was bound.
    let _ = sched::block(&domain);
}

#[test]
fn a_shutdown_ends_its_vcpus_and_no_others() {
    let machine = Machine::new(1);
    let two = NonZeroUsize::new(2).unwrap();
    let (a, b) = (machine.domain_builder().vcpus(two).build(), machine.domain());
    let reached = AtomicU32::new(0);
    machine
        .run(|scope| {
            scope.spawn_on(&a, VcpuId(0), |domain| {
                sched::shutdown(domain, ShutdownReason::POWEROFF).unwrap();
                reached.fetch_add(1, Ordering::Relaxed);
            });
            scope.spawn_on(&a, VcpuId(1), |domain| sched::block(domain).unwrap());
            scope.spawn(&b, |domain| sched::yield_now(domain).unwrap());
        })
        .unwrap();
    assert_eq!(reached.load(Ordering::Relaxed), 0, "a shutdown does not return");
    assert_eq!(a.shutdown_reason(), Some(ShutdownReason::POWEROFF));
    assert_eq!(b.shutdown_reason(), None);
}

#[test]
fn vcpus_know_which_one_they_are() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().vcpus(NonZeroUsize::new(3).unwrap()).build();
    machine
        .run(|scope| {
            for number in 0..3 {
                scope.spawn_on(&domain, VcpuId(number), move |domain| assert_eq!(domain.vcpu(), VcpuId(number)));
            }
        })
        .unwrap();
}

#[test]
fn a_poll_is_checked() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    assert_eq!(sched::poll(&domain, &[Port(1); 129], None), Err(Errno::INVAL));
    assert_eq!(sched::poll(&domain, &[Port(1)], None), Err(Errno::INVAL), "there is no such port");
    let past = Some(Duration::from_nanos(1));
    assert_eq!(sched::poll(&domain, &[], past), Ok(()));
}

#[test]
fn advancing_fires_timers_in_their_order() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let at = std::sync::Arc::new(Mutex::new(Vec::new()));
    event_channel::bind_virq(&domain, Virq::TIMER, VcpuId(0)).unwrap();
    let list = std::sync::Arc::clone(&at);
    let first = machine.now() + Duration::from_millis(10);
    domain.set_upcall(move |domain, vcpu| {
        let info = domain.vcpu_info(vcpu).unwrap();
        // SAFETY: the pending flag is the first byte.
        unsafe { std::sync::atomic::AtomicU8::from_ptr(info.cast().as_ptr()) }.store(0, Ordering::SeqCst);
        // SAFETY: the selector is the second word.
        let at = unsafe { info.cast::<u64>().add(1) };
        // SAFETY: as above.
        unsafe { std::sync::atomic::AtomicU64::from_ptr(at.as_ptr()) }.store(0, Ordering::SeqCst);
        take(domain, Port(1));
        let now = domain.now();
        list.lock().unwrap().push(now.as_millis() - first.as_millis());
        timer::set(domain, Some(now + Duration::from_millis(10))).unwrap();
    });
    timer::set(&domain, Some(first)).unwrap();
    machine.advance(Duration::from_millis(35));
    assert_eq!(*at.lock().unwrap(), [0, 10, 20]);
}

#[test]
#[should_panic(expected = "the test's own panic")]
fn a_panic_before_the_start_ends_what_was_spawned() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let _ = machine.run(|scope| {
        scope.spawn(&domain, |domain| sched::block(domain).unwrap());
        panic!("the test's own panic");
    });
}
