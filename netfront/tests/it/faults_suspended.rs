//! An interface in a domain that is suspended.

use std::time::Duration;

use xen_netfront::{Carrier, Channels, Event, Options};
use xen_sim::netback::{Carrier as Link, Options as Offer, Restart};
use xen_xenbus::bus::End;
use xen_xenbus::control::{Epoch, Ready, Resumable};

use crate::common::{Rig, SECOND, SMALL, packet};
use crate::drivers;
use crate::drivers::look;
use crate::perils::{Ending, MS, Traffic};

fn slow() -> Offer {
    Offer { latency: 2 * MS..3 * MS, ..Offer::DEFAULT }
}

#[test]
fn fault_07_a_suspend_waits_for_what_was_sent() {
    for seed in 1..4 {
        let (mut rig, mut traffic) = (Rig::new(seed, SMALL, slow()), Traffic::default());
        traffic.send(&mut rig, 60);
        rig.pass(MS);
        let start = rig.now();
        rig.migrate();
        assert!(rig.now() - start < MS * 200, "{:?}", rig.now() - start);
        let took = rig.connected(2, SECOND);
        assert!(took < MS * 100, "{took:?}");
        traffic.check(&mut rig);
        assert_eq!((traffic.out.came.len(), rig.front.statistics().sent.lost), (60, 0), "nothing was cut off");
        traffic.flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn fault_07_a_hung_backend_does_not_keep_the_domain() {
    let (mut rig, mut traffic) = (Rig::new(4, SMALL, Offer::DEFAULT), Traffic::default());
    rig.control().hang();
    traffic.send(&mut rig, 50);
    let start = rig.now();
    rig.migrate();
    assert!(rig.now() - start < SECOND * 2, "{:?}", rig.now() - start);
    rig.control().go_on();
    rig.connected(2, SECOND);
    traffic.flows(&mut rig);
    let sent = rig.front.statistics().sent;
    assert_eq!((sent.lost, traffic.out.came.len()), (50, sent.packets as usize - 50), "nothing was sent again");
}

#[test]
fn fault_08_a_suspend_that_is_cancelled_makes_nothing_anew() {
    let (mut rig, mut traffic) = (Rig::new(5, SMALL, slow()), Traffic::default());
    traffic.send(&mut rig, 100);
    rig.pass(MS);
    let before = (rig.guest.open_ports(), rig.events.len());
    assert_eq!(rig.suspend(), Ending::Cancelled, "hc_157");
    traffic.flows(&mut rig);
    assert_eq!((rig.guest.open_ports(), rig.events.len()), before);
    assert_eq!(rig.front.statistics().connections, 1);
    assert_eq!(traffic.out.came.len(), traffic.out.sent as usize);
}

#[test]
fn fault_08_a_hung_backend_and_a_cancelled_suspend_lose_nothing() {
    let (mut rig, mut traffic) = (Rig::new(6, SMALL, Offer::DEFAULT), Traffic::default());
    rig.control().hang();
    traffic.send(&mut rig, 50);
    assert_eq!(rig.suspend(), Ending::Cancelled);
    traffic.send(&mut rig, 20);
    rig.control().go_on();
    traffic.flows(&mut rig);
    assert_eq!((rig.front.statistics().connections, traffic.out.came.len()), (1, traffic.out.sent as usize));
}

#[test]
fn fault_08_nothing_is_taken_between_the_request_and_the_suspend() {
    let mut rig = Rig::new(7, SMALL, Offer::DEFAULT);
    assert_eq!(rig.front.prepare(rig.now()), Ready::Yes);
    assert!(rig.front.transmit().is_none());
    assert!(!rig.send(&packet(100, 1)));
    rig.front.cancelled(rig.now());
    rig.assert_works();
}

/// How a domain's clock may stand afterwards.
fn clocks(now: Duration) -> [Duration; 3] {
    [now + Duration::from_secs(86_400), SECOND * 2, now]
}

#[test]
fn fault_21_a_clock_that_jumps_while_the_domain_sleeps_is_nobodys_fault() {
    for (seed, clock) in (10..).zip(clocks(SECOND * 1000)) {
        let options = Options { patience: SECOND * 3, ..SMALL };
        let offer = Offer { carrier: Some(Link::Up), ..Offer::DEFAULT };
        let (mut rig, mut traffic) = (Rig::new(seed, options, offer), Traffic::default());
        rig.machine.jump_to(SECOND * 1000);
        rig.pass(SECOND);
        traffic.flows(&mut rig);
        // All looks at the link are used up.
        for round in 0..20 {
            rig.control().set_carrier(if round % 2 == 0 { Link::Down } else { Link::Up });
            rig.pass(MS);
        }
        rig.pass(SECOND / 10);
        rig.wakes_at.set(Some(clock));
        if seed % 2 == 0 {
            rig.migrate();
            rig.connected(2, SECOND);
        } else {
            rig.control().hang();
            traffic.send(&mut rig, 10);
            assert_eq!(rig.suspend(), Ending::Cancelled);
            rig.pass(SECOND);
            rig.control().go_on();
        }
        traffic.flows(&mut rig);
        rig.control().set_carrier(Link::Down);
        rig.pass(SECOND / 10);
        assert_eq!(rig.front.link().map(|link| link.carrier()), Some(Carrier::Down), "{clock:?}");
        assert_eq!(rig.count(|event| *event == Event::Stalled), 0, "{clock:?}");
        // The watchdog looks as soon as ever.
        let deadline = rig.front.next_deadline().expect("there is a watchdog");
        assert!(deadline <= rig.now() + SECOND, "{deadline:?}");
    }
}

#[test]
fn fault_21_a_device_that_is_waited_for_has_its_time_after_a_suspend() {
    for (seed, clock) in (14..).zip(clocks(SECOND * 1000)) {
        let mut rig = Rig::new(seed, Options { hold: SECOND * 10, ..SMALL }, Offer::DEFAULT);
        rig.machine.jump_to(SECOND * 1000);
        rig.unplug_by_force();
        assert!(rig.until(SECOND, |rig| rig.front.is_detached()));
        rig.wakes_at.set(Some(clock));
        assert_eq!(rig.suspend(), Ending::Cancelled);
        rig.pass(SECOND * 8);
        assert!(rig.front.is_detached(), "{clock:?}");
        rig.pass(SECOND * 4);
        assert!(rig.front.is_ended(), "{clock:?}");
    }
}

#[test]
fn fault_25_an_interface_that_the_other_host_does_not_have_ends_in_time() {
    let mut rig = Rig::new(20, Options { hold: SECOND * 60, ..SMALL }, Offer::DEFAULT);
    assert!(rig.send(&packet(100, 1)));
    rig.guest.migrate_on_suspend();
    let device = rig.device.clone();
    rig.machine.xenstore().on_resume(&rig.guest, move |nodes| nodes.remove_device(&device));
    assert_eq!(rig.suspend(), Ending::Resumed);
    assert!(look(&mut rig.enumerator, &rig.store).is_none());
    let start = rig.now();
    assert!(rig.until(SECOND * 70, |rig| rig.front.is_ended()), "{:?}", rig.events);
    let took = rig.now() - start;
    assert!(took > SECOND * 59 && took < SECOND * 61, "{took:?}");
    assert_eq!(rig.count(|event| matches!(event, Event::Detached(End::Suspended))), 1);
    assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 1);
    rig.back = None;
    rig.assert_given_back();
}

#[test]
fn hc_156_a_suspend_at_any_moment_of_connecting_and_closing() {
    for seed in 0..24 {
        let mut rig = Rig::plugged(seed, Options { queues: 2, ..SMALL }, slow(), |device| device);
        let mut traffic = Traffic::default();
        if seed % 3 == 1 {
            rig.connected(1, SECOND);
            traffic.send(&mut rig, 20);
            rig.control().restart(Restart::Orderly);
        }
        rig.pass(Duration::from_micros(seed * 100));
        traffic.check(&mut rig);
        rig.migrate();
        rig.connected(rig.front.statistics().connections.max(1), SECOND * 2);
        traffic.flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn hc_158_another_host_may_offer_anything_else() {
    let offers = [
        Offer::BARE,
        Offer { queues: 1, ..Offer::DEFAULT },
        Offer { sg: false, split_event_channels: false, ..slow() },
    ];
    for (seed, offer) in (30..).zip(offers) {
        let mut rig = Rig::new(seed, Options { queues: 4, ..SMALL }, Offer::DEFAULT);
        let mut traffic = Traffic::default();
        traffic.send(&mut rig, 60);
        let (queues, split) = (offer.queues.min(4), offer.split_event_channels);
        rig.control().offer(offer);
        let front = rig.device.front_path();
        rig.machine.xenstore().on_resume(&rig.guest, move |nodes| {
            nodes.write(&format!("{front}/mac"), "00:16:3e:00:00:99");
            nodes.write(&format!("{front}/mtu"), "1400");
        });
        rig.migrate();
        rig.connected(2, SECOND);
        let link = *rig.front.link().unwrap();
        assert_eq!((link.mac()[5], link.mtu(), link.queues()), (0x99, 1400, queues));
        assert_eq!(link.channels(), if split { Channels::Split } else { Channels::One });
        assert!(rig.front.transmit().is_some_and(|room| room.capacity() == 1418));
        rig.send(&packet(100, 1));
    }
}

#[test]
fn hc_159_an_interface_that_is_removed_right_after_a_resume() {
    for seed in 40..46 {
        let (mut rig, mut traffic) = (Rig::new(seed, SMALL, slow()), Traffic::default());
        traffic.send(&mut rig, 40);
        rig.migrate();
        rig.pass(Duration::from_micros((seed - 40) * 170));
        traffic.check(&mut rig);
        rig.unplug_by_force();
        rig.pass(MS * 5);
        traffic.check(&mut rig);
        rig.plug_again(Offer::DEFAULT);
        rig.reattach();
        rig.connected(rig.front.statistics().connections.max(1), SECOND * 2);
        traffic.flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

/// Whatever the owner does before it hears of the resume goes nowhere, and is not sent later.
#[test]
fn hc_161_what_is_sent_on_the_old_rings_is_lost_and_counted() {
    let (mut rig, mut traffic) = (Rig::new(60, SMALL, Offer::DEFAULT), Traffic::default());
    traffic.flows(&mut rig);
    rig.guest.migrate_on_suspend();
    assert_eq!(rig.suspend(), Ending::Resumed);
    traffic.send(&mut rig, 10);
    assert!(rig.front.receive().is_none());
    rig.front.wait(rig.now() + MS).unwrap();
    let (sent, came) = (rig.front.statistics().sent.packets, traffic.out.came.len() as u64);
    let found = look(&mut rig.enumerator, &rig.store).expect("the other host has the device");
    rig.front.reattach(found).expect("xenstore answers");
    rig.connected(2, SECOND);
    traffic.flows(&mut rig);
    assert_eq!(rig.front.statistics().sent.lost, sent - came);
    assert_eq!(traffic.out.came.len() as u64, came + 15);
}

#[test]
fn hc_161_an_interface_that_is_replaced_at_once_begins_anew() {
    let (mut rig, mut traffic) = (Rig::new(61, SMALL, Offer::DEFAULT), Traffic::default());
    rig.control().hang();
    traffic.send(&mut rig, 10);
    // The tools take the device away and plug it in again before anybody hears of it.
    rig.unplug_by_force();
    rig.plug_again(Offer::DEFAULT);
    rig.reattach();
    rig.connected(2, SECOND);
    traffic.flows(&mut rig);
    assert_eq!(rig.front.statistics().sent.lost, 10);
    rig.close();
    rig.assert_given_back();
}

#[test]
fn hc_162_events_on_numbers_of_before_do_no_harm() {
    let mut rig = Rig::new(62, Options { queues: 4, ..SMALL }, slow());
    let mut traffic = Traffic::default();
    let before = rig.guest.open_ports();
    rig.migrate();
    rig.connected(2, SECOND);
    traffic.send(&mut rig, 60);
    for _ in 0..20 {
        for port in before.iter().chain(&rig.guest.open_ports()) {
            if rig.guest.open_ports().contains(port) {
                rig.machine.spurious_event(&rig.guest, *port);
            }
        }
        rig.turn();
    }
    traffic.flows(&mut rig);
}

/// A later domain may get the number of the dead one: nothing must be left that this number may map. (The simulator gives no number
/// twice.)
#[test]
fn hc_163_nothing_stays_granted_to_the_number_of_a_dead_backend() {
    let (mut rig, mut traffic) = (Rig::new(63, SMALL, Offer::DEFAULT), Traffic::default());
    rig.control().hang();
    traffic.send(&mut rig, 20);
    rig.machine.destroy(&rig.domain);
    rig.unplug_by_force();
    rig.pass(SECOND);
    drivers::assert_given_back(&rig.machine, &rig.guest);
    rig.domain = rig.machine.domain();
    rig.plug_again(Offer::DEFAULT);
    rig.reattach_when_gone();
    rig.connected(2, SECOND);
    traffic.flows(&mut rig);
}

#[test]
fn hc_159_a_resume_that_is_heard_of_twice_and_a_close_right_after_it_end_it_once() {
    let mut rig = Rig::new(64, SMALL, Offer::DEFAULT);
    rig.guest.migrate_on_suspend();
    assert_eq!(rig.suspend(), Ending::Resumed);
    rig.front.resumed(Epoch(1), rig.now());
    rig.front.close();
    rig.front.close();
    assert!(rig.until(SECOND, |rig| rig.front.is_ended()), "{:?}", rig.front);
    assert_eq!(rig.count(|event| matches!(event, Event::Ended(_))), 1, "{:?}", rig.events);
    rig.back = None;
    rig.assert_given_back();
}
