//! Events that are too many, or missing, or come to the wrong place: cases 090 to 097 of the catalogue.

use std::time::Duration;

use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel::Command;
use xen_netfront::{Channels, Event, Options};
use xen_sim::netback::{Options as Offer, Packet};
use xen_sim::{EventFault, Target, When};

use crate::common::{Rig, SECOND, packet};
use crate::perils::{MS, Traffic};

/// Has the backend signal without an end, and says how often the owner, who only sleeps, was woken in that time, and what the longest
/// time was that a packet took to come.
fn storm(rig: &mut Rig, time: Duration) -> (usize, Duration) {
    let (end, mut wakes, mut longest) = (rig.now() + time, 0, Duration::ZERO);
    let mut sent = None;
    while rig.now() < end && wakes < 10_000 {
        rig.control().storm(50);
        if sent.is_none() {
            rig.port.send(Packet::new(packet(1000, wakes)));
            sent = Some(rig.now());
        }
        rig.steps(3);
        while rig.front.poll(rig.store.now()).is_some() {}
        while let Some(packet) = rig.front.receive() {
            packet.discard();
            longest = longest.max(rig.store.now() - sent.take().expect("it was sent"));
        }
        rig.front.wait(end).expect("Xen lets guests wait");
        wakes += 1;
    }
    (wakes, longest)
}

#[test]
fn hc_090_hc_091_a_storm_is_held_off_and_packets_come_nonetheless() {
    for queues in [1, 4] {
        let mut rig = Rig::new(1, Options { queues, ..Options::DEFAULT }, Offer::DEFAULT);
        let (wakes, longest) = storm(&mut rig, SECOND * 20);
        // A packet that comes is work, and what is held is looked at by the watchdog.
        assert!(wakes < 400, "{wakes}");
        assert!(longest <= SECOND + MS * 10, "{longest:?}");
        rig.pass(SECOND * 2);
        Traffic::default().flows(&mut rig);
        let start = rig.now();
        rig.receives(Packet::new(packet(1000, 1)));
        assert!(rig.now() - start < MS * 20, "it is over");
    }
}

/// Nothing comes, and nothing is sent: each event is for nothing.
#[test]
fn hc_092_events_for_nothing_cost_ever_less() {
    let mut rig = Rig::new(2, Options::DEFAULT, Offer::DEFAULT);
    rig.pass(SECOND);
    let (end, mut wakes) = (rig.now() + SECOND * 10, 0);
    while rig.now() < end && wakes < 10_000 {
        rig.control().storm(1);
        rig.steps(2);
        while rig.front.poll(rig.store.now()).is_some() {}
        rig.front.wait(end).expect("Xen lets guests wait");
        wakes += 1;
    }
    assert!(wakes < 80, "{wakes}");
    rig.assert_works();
}

/// Something happens after the owner was told that it can sleep. It is told until when, and wakes then.
#[track_caller]
fn sleeps(rig: &mut Rig, happens: impl FnOnce(&mut Rig)) {
    let now = rig.now();
    // It may have to be told of what it knows already: once.
    let _ = rig.front.prepare_to_wait(now);
    while rig.front.poll(now).is_some() {}
    assert!(rig.front.prepare_to_wait(now), "there is nothing to do");
    happens(rig);
    let until = rig.front.next_deadline().expect("it looks by itself");
    assert!(until > now && until <= now + SECOND + MS * 10, "{until:?} {now:?}");
    rig.steps(20);
    rig.machine.advance(until - rig.now());
    while rig.front.poll(rig.store.now()).is_some() {}
}

#[test]
fn hc_093_what_is_never_signalled_is_found_within_a_second() {
    let mut rig = Rig::new(3, Options { transmit_pages: 18, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.machine.faults().disturb_events(&rig.guest, When::Always, EventFault::Lose);
    for round in 0..20 {
        rig.pass(SECOND * (round % 4));
        sleeps(&mut rig, |rig| rig.port.send(Packet::new(packet(1000, 1))));
        assert!(rig.front.receive().is_some_and(|packet| packet.len() == 1000));
        rig.front.receive().expect("it is there").discard();
        // Nor is it that there is room again.
        sleeps(&mut rig, |rig| while rig.send(&packet(100, 1)) {});
        assert!(rig.front.transmit().is_some());
    }
    assert_eq!(rig.count(|event| *event == Event::Stalled), 0);
}

#[test]
fn hc_095_events_after_the_end_reach_nobody() {
    for channels in [Channels::Split, Channels::One] {
        let mut rig = Rig::new(4, Options { queues: 4, channels, ..Options::DEFAULT }, Offer::DEFAULT);
        let ports = rig.guest.open_ports();
        rig.front.close();
        // While it closes, too.
        while !rig.front.is_ended() {
            ports.iter().for_each(|port| rig.machine.spurious_event(&rig.guest, *port));
            rig.turn();
        }
        ports.iter().for_each(|port| rig.machine.spurious_event(&rig.guest, *port));
        rig.assert_given_back();
    }
}

/// Its nodes are still there: nobody has said anything.
#[test]
fn hc_096_a_backend_whose_domain_has_died_is_a_stall_until_the_tools_notice() {
    let mut rig = Rig::new(5, Options { patience: SECOND, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.machine.destroy(&rig.domain);
    while rig.send(&packet(100, 1)) {}
    assert!(rig.until(SECOND * 3, |rig| rig.count(|event| *event == Event::Stalled) == 1), "{:?}", rig.events);
    rig.pass(SECOND * 10);
    assert_eq!((rig.events.len(), rig.front.statistics().connections), (2, 1), "{:?}", rig.events);
    rig.domain = rig.machine.domain();
    rig.unplug_by_force();
    rig.plug_again(Offer::DEFAULT);
    rig.reattach_when_gone();
    rig.connected(2, SECOND);
    Traffic::default().flows(&mut rig);
}

#[test]
fn hc_097_a_signal_that_xen_refuses_is_no_panic_and_is_made_up_for() {
    for errno in [Errno::NOENT, Errno::INVAL, Errno::NOSYS, Errno::PERM] {
        let (mut rig, mut traffic) = (Rig::new(6, Options::DEFAULT, Offer::DEFAULT), Traffic::default());
        traffic.flows(&mut rig);
        let target = Target::event_channel(Command::SEND).by(rig.guest.id());
        rig.machine.faults().fail(target, When::Always, errno);
        let before = rig.front.statistics().notifications;
        traffic.send(&mut rig, 50);
        // The store's requests are signalled, too.
        rig.pass(MS * 100);
        assert_eq!(rig.front.statistics().notifications, before, "none got through");
        rig.machine.faults().clear();
        assert!(rig.until(SECOND * 3, |rig| rig.front.pending() == 0), "{errno:?}");
        traffic.flows(&mut rig);
        assert_eq!(traffic.out.came.len(), traffic.out.sent as usize);
    }
}
