//! A peer that signals too often, for nothing, or not at all.

// Under Miri each machine takes seconds to make; `storm` goes through the same code there.
#![cfg(not(any(loom, miri)))]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{ABIS, Pair, connect, ms, started};
use xen_event_channel::{
    BURST, Channel, ChannelError, Found, LONGEST_HOLD, Progress, SHORTEST_HOLD, SPURIOUS_IN_A_ROW, Settled, Waited,
    Watchdog,
};
use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel::Command;
use xen_hypercall::abi::{Port, VcpuId, Virq};
use xen_sim::{EventFault, Machine, Target, When};

/// More than [`BURST`], and so many more that a missing limit shows.
const STORM: u32 = 10 * BURST;

#[test]
fn hc_090_a_storm_on_one_port_is_cut_off_and_the_timer_goes_on() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let timer = Channel::virq(&pair.guest, Virq::TIMER, VcpuId(0)).unwrap();
        let before = pair.ours.count();
        pair.signal(STORM);
        let counted = pair.ours.count() - before;
        assert!(counted > BURST && counted <= BURST + 2, "{abi:?}: {counted} counted of {STORM}");
        assert_eq!(pair.ours.statistics().storms, 1);

        let ticks = timer.count();
        pair.machine.raise(&pair.guest, Virq::TIMER);
        assert_eq!(timer.count(), ticks + 1, "{abi:?}: the timer is served");
    }
}

/// From its first event on, also for who never settles.
#[test]
fn hc_090_a_new_channel_has_the_limit() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let (guest, peer) = (machine.domain(), machine.domain());
        started(&guest, abi);
        let ours = Channel::unbound(&guest, peer.id()).unwrap();
        let theirs = Channel::interdomain(&peer, guest.id(), ours.port()).unwrap();
        (0..STORM).for_each(|_| theirs.notify().unwrap());
        assert!(ours.statistics().events <= BURST + 1, "{abi:?}: {:?}", ours.statistics());
    }
}

#[test]
fn hc_090_settling_lets_a_cut_off_port_go_on_with_the_event_that_came_meanwhile() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        pair.signal(STORM);
        let seen = pair.ours.count();
        assert_eq!(pair.settle(Found::Work), Settled::Open);
        assert_eq!(pair.ours.count(), seen + 1, "{abi:?}: the event behind the mask");
        pair.signal(1);
        assert_eq!(pair.ours.count(), seen + 2);
    }
}

#[test]
fn hc_090_who_settles_is_never_cut_off() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let before = pair.ours.count();
        for _ in 0..STORM / BURST {
            pair.signal(BURST);
            assert_eq!(pair.settle(Found::Work), Settled::Open);
        }
        assert_eq!(pair.ours.count() - before, STORM, "{abi:?}: each event is counted");
        assert_eq!(pair.ours.statistics().storms, 0);
    }
}

/// Xen and the domain itself are trusted: nobody settles a timer.
#[test]
fn hc_090_interrupts_have_no_limit() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let guest = machine.domain();
        started(&guest, abi);
        let channels =
            [Channel::virq(&guest, Virq::TIMER, VcpuId(0)).unwrap(), Channel::ipi(&guest, VcpuId(0)).unwrap()];
        let before = channels.each_ref().map(Channel::count);
        for _ in 0..STORM {
            machine.raise(&guest, Virq::TIMER);
            channels[1].notify().unwrap();
        }
        let after = channels.each_ref().map(Channel::count);
        assert_eq!(after, before.map(|count| count + STORM));
        assert_eq!(channels[1].settle(Found::Nothing, machine.now()), Ok(Settled::Open));
    }
}

#[test]
fn hc_091_a_storm_on_many_ports_leaves_none_out() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let (guest, peer) = (machine.domain(), machine.domain());
        started(&guest, abi);
        let channels: Vec<_> = (0..200).map(|_| connect(&guest, &peer)).collect();
        let timer = Channel::virq(&guest, Virq::TIMER, VcpuId(0)).unwrap();
        let before: Vec<_> = channels.iter().map(|(ours, _)| ours.count()).collect();
        for round in 1..=2 * BURST {
            // All at once, so that one upcall finds them all.
            guest.hold(|| channels.iter().for_each(|(_, theirs)| theirs.notify().unwrap()));
            let ticks = timer.count();
            machine.raise(&guest, Virq::TIMER);
            assert_eq!(timer.count(), ticks + 1);
            for ((ours, _), before) in channels.iter().zip(&before) {
                let counted = ours.count() - before;
                assert!(counted >= round.min(BURST) && counted <= BURST + 2, "{abi:?}: {counted} in round {round}");
            }
        }
    }
}

/// Holds the domain's upcalls back for a while.
trait Hold {
    fn hold(&self, work: impl FnOnce());
}

impl Hold for xen_sim::Domain {
    fn hold(&self, work: impl FnOnce()) {
        use xen_event_channel::Events;
        self.hold_upcalls();
        work();
        self.release_upcalls();
    }
}

#[test]
fn hc_092_spurious_events_are_counted_and_hold_the_port_ever_longer() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let mut holds = Vec::new();
        for _ in 0..SPURIOUS_IN_A_ROW + 14 {
            pair.machine.spurious_event(&pair.guest, pair.ours.port());
            if let Settled::Held(end) = pair.settle(Found::Nothing) {
                holds.push(end - pair.machine.now());
                let seen = pair.ours.count();
                pair.signal(5);
                assert_eq!(pair.ours.count(), seen, "{abi:?}: nothing comes through");
                assert_eq!(pair.ours.lift(end - ms(1)), Ok(Settled::Held(end)), "{abi:?}: not before the end");
                pair.machine.advance(end - pair.machine.now());
                assert_eq!(pair.ours.lift(pair.machine.now()), Ok(Settled::Open));
                assert_eq!(pair.ours.count(), seen + 1, "{abi:?}: the last event is not lost");
            }
        }
        assert_eq!(pair.ours.statistics().spurious, SPURIOUS_IN_A_ROW + 14);
        let times: Vec<_> = (0..14).map(|n| (SHORTEST_HOLD * (1 << n)).min(LONGEST_HOLD)).collect();
        assert_eq!(holds, times, "{abi:?}");
    }
}

#[test]
fn hc_092_work_ends_the_back_off() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let spurious = || {
            pair.signal(1);
            pair.settle(Found::Nothing)
        };
        for _ in 0..SPURIOUS_IN_A_ROW {
            assert_eq!(spurious(), Settled::Open);
        }
        assert!(matches!(spurious(), Settled::Held(_)));
        assert_eq!(pair.settle(Found::Work), Settled::Open);
        assert_eq!(spurious(), Settled::Open, "{abi:?}: the run begins anew");
    }
}

#[test]
fn hc_092_a_look_without_an_event_is_nobodys_fault() {
    let pair = Pair::new(ABIS[0]);
    for _ in 0..100 {
        assert_eq!(pair.settle(Found::Nothing), Settled::Open);
    }
    assert_eq!(pair.ours.statistics().spurious, 0);

    // Nor is it while the port is held: the hold ends at its time, however often the owner looks meanwhile.
    let mut held = Settled::Open;
    for _ in 0..=SPURIOUS_IN_A_ROW {
        pair.signal(1);
        held = pair.settle(Found::Nothing);
    }
    let Settled::Held(end) = held else { panic!("not held") };
    for _ in 0..100 {
        assert_eq!(pair.settle(Found::Nothing), held);
    }
    pair.machine.advance(end - pair.machine.now());
    assert_eq!(pair.settle(Found::Nothing), Settled::Open);
    assert_eq!(pair.ours.statistics().spurious, SPURIOUS_IN_A_ROW + 1);
}

/// The owner looks again at the latest when it waits, and that is enough.
#[test]
fn hc_172_an_unmask_that_is_refused_is_tried_again_at_the_next_look() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let refuse = || {
            pair.machine.faults().fail(Target::event_channel(Command::UNMASK), When::Nth(1), Errno::NOMEM);
            ChannelError::Refused(Errno::NOMEM)
        };
        let comes_through = || {
            let seen = pair.ours.count();
            pair.signal(1);
            pair.ours.count() == seen + 1
        };
        pair.signal(STORM);
        let refused = Err(refuse());
        assert_eq!(pair.ours.settle(Found::Work, pair.machine.now()), refused);
        assert!(!comes_through(), "{abi:?}: it was refused");
        assert_eq!(pair.settle(Found::Work), Settled::Open);
        assert!(comes_through(), "{abi:?}: after a hold");
        pair.ours.mask().unwrap();
        let refused = Err(refuse());
        assert_eq!(pair.ours.unmask(), refused);
        assert_eq!(pair.ours.lift(pair.machine.now()), Ok(Settled::Open));
        assert!(comes_through(), "{abi:?}: after a mask");
    }
}

/// The event of the peer's work is lost; the watchdog says when to look, and the work is found.
#[test]
fn hc_093_work_without_an_event_is_found() {
    for abi in ABIS {
        let (pair, work) = (Pair::new(abi), &AtomicU32::new(0));
        let mut watchdog = Watchdog::new(ms(100), LONGEST_HOLD);
        let start = pair.machine.now();
        watchdog.arm(start);
        pair.machine.faults().disturb_events(&pair.guest, When::Nth(1), EventFault::Lose);
        let (ours, theirs) = (&pair.ours, &pair.theirs);
        let run = pair.machine.run(|scope| {
            scope.spawn(&pair.peer, move |peer| {
                // The second look is in vain, the third one finds it.
                assert_eq!(theirs.wait_poll(theirs.count(), start + ms(400), || peer.now()), Ok(Waited::TimedOut));
                work.store(1, Ordering::Relaxed);
                theirs.notify().unwrap();
            });
            scope.spawn(&pair.guest, move |guest| {
                while work.load(Ordering::Relaxed) == 0 {
                    let deadline = watchdog.deadline().expect("something is outstanding");
                    let waited = ours.wait_poll(ours.count(), deadline, || guest.now()).unwrap();
                    assert_eq!(waited, Waited::TimedOut, "{abi:?}: the event is lost");
                    watchdog.looked(Progress::None, guest.now());
                }
            });
        });
        assert_eq!(run, Ok(()), "{abi:?}");
        let took = pair.machine.now() - start;
        assert!(took >= ms(700) && took < ms(710), "{abi:?}: found after {took:?}");
    }
}

#[test]
fn hc_093_looks_in_vain_come_ever_later() {
    let pair = Pair::new(ABIS[0]);
    let mut watchdog = Watchdog::new(ms(100), LONGEST_HOLD);
    let start = pair.machine.now();
    watchdog.arm(start);
    let mut looks = Vec::new();
    while let Some(deadline) = watchdog.deadline().filter(|deadline| *deadline < start + Duration::from_secs(5)) {
        let waited = pair.ours.wait_poll(pair.ours.count(), deadline, || pair.guest.now()).unwrap();
        assert_eq!(waited, Waited::TimedOut);
        looks.push(deadline - start);
        // The clock of the watchdog is its own: it may be told a little later than it asked for.
        watchdog.looked(Progress::None, deadline);
    }
    assert_eq!(looks, [100, 300, 700, 1500, 2500, 3500, 4500].map(ms));
    watchdog.looked(Progress::Made, start + Duration::from_secs(6));
    assert_eq!(watchdog.deadline(), Some(start + Duration::from_millis(6100)));
}

#[test]
fn hc_094_an_event_on_a_port_without_an_owner_is_ignored_and_masks_it() {
    use xen_event_channel::Events;
    use xen_hypercall::{abi::DomId, event_channel};
    for abi in ABIS {
        let pair = Pair::new(abi);
        let stray = event_channel::alloc_unbound(&pair.guest, DomId::SELF, pair.peer.id()).unwrap();
        let before = pair.guest.event_channels().ignored();
        for _ in 0..100 {
            pair.machine.spurious_event(&pair.guest, stray);
        }
        assert_eq!(pair.guest.event_channels().ignored(), before + 1, "{abi:?}: masked at the first");

        let adopted = Channel::adopt(&pair.guest, stray).unwrap();
        let seen = adopted.count();
        pair.machine.spurious_event(&pair.guest, Port(adopted.port().0));
        assert_eq!(adopted.count(), seen + 1, "{abi:?}: an owner unmasks it");
    }
}
