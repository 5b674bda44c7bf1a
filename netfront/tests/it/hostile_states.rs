//! What an interface makes of states that its backend writes, or does not write: cases 100 to 108 of the catalogue.

use std::time::Duration;

use xen_hypercall::abi::io::xenbus::State;
use xen_netfront::Event;
use xen_sim::netback::{Netback, Options as Offer, Restart};
use xen_xenbus::bus::{DeviceError, End, Problem, Vanished};

use crate::common::{Rig, SECOND, SMALL, packet};
use crate::perils::{MS, Traffic};

fn slow() -> Offer {
    Offer { latency: MS..2 * MS, ..Offer::DEFAULT }
}

#[test]
fn hc_100_hc_106_a_state_that_means_nothing_now_is_ignored_and_any_other_heals() {
    for state in (0..=9).chain([255, u32::MAX]) {
        for wait in [0, 20] {
            let (mut rig, mut traffic) = (Rig::new(u64::from(state), SMALL, slow()), Traffic::default());
            traffic.send(&mut rig, 40);
            rig.control().write_state(State(state));
            rig.pass(MS * wait);
            if matches!(state, 4 | 7 | 8 | 9 | 255 | u32::MAX) {
                traffic.flows(&mut rig);
                assert_eq!(rig.front.statistics().connections, 1, "{state} is no reason to close");
                assert_eq!(traffic.out.came.len(), traffic.out.sent as usize);
            }
            rig.control().restart(Restart::Abrupt);
            rig.pass(MS * 10);
            assert!(rig.until(SECOND * 12, |rig| rig.front.link().is_some()), "{state}, {wait}: {:?}", rig.front);
            traffic.flows(&mut rig);
        }
    }
}

#[test]
fn hc_101_what_is_no_state_is_no_reason_to_close() {
    for text in ["4x", "", "-1", "255", "4294967300", " 4", "five", "\0"] {
        let (mut rig, mut traffic) = (Rig::new(1, SMALL, slow()), Traffic::default());
        traffic.send(&mut rig, 40);
        rig.machine.xenstore().write(&format!("{}/state", rig.device.back_path()), text);
        rig.pass(SECOND);
        traffic.flows(&mut rig);
        assert_eq!(rig.front.statistics().connections, 1, "{text:?}");
        assert_eq!(traffic.out.came.len(), traffic.out.sent as usize);
    }
}

#[test]
fn hc_102_a_backend_that_closes_without_a_word_costs_no_time_limit() {
    let (mut rig, mut traffic) = (Rig::new(2, SMALL, slow()), Traffic::default());
    traffic.send(&mut rig, 40);
    rig.pass(MS);
    let start = rig.now();
    rig.control().restart(Restart::Abrupt);
    rig.pass(MS * 5);
    rig.connected(2, SECOND);
    assert!(rig.now() - start < MS * 200, "{:?}", rig.now() - start);
    traffic.flows(&mut rig);
}

#[test]
fn hc_103_states_that_toggle_cost_no_memory_and_few_connections() {
    let (mut rig, mut traffic) = (Rig::new(3, SMALL, Offer::DEFAULT), Traffic::default());
    let requests = rig.store.statistics().requests;
    for round in 0..60 {
        traffic.send(&mut rig, 5);
        // At once, and so that it is seen.
        rig.control().toggle(200);
        rig.control().write_state(if round % 2 == 0 { State::CLOSING } else { State::CONNECTED });
        rig.pass(MS * 3);
        traffic.check(&mut rig);
    }
    assert!(rig.front.statistics().connections < 30, "{:?}", rig.front.statistics());
    let requests = rig.store.statistics().requests - requests;
    assert!(requests < 3000, "{requests} requests to xenstore");
    assert!(rig.events.len() < 120, "{}", rig.events.len());
    rig.control().restart(Restart::Abrupt);
    rig.pass(MS * 10);
    assert!(rig.until(SECOND * 30, |rig| rig.front.link().is_some()), "{:?}", rig.front);
    traffic.flows(&mut rig);
    rig.close();
    rig.assert_given_back();
}

#[test]
fn hc_104_a_backend_that_never_comes_is_told_of_and_is_welcome_later() {
    let mut rig = Rig::plugged(4, SMALL, Offer::DEFAULT, |device| device);
    rig.back = None;
    let start = rig.now();
    let told = |event: &Event| matches!(event, Event::Trouble(DeviceError { problem: Problem::ConnectTimeout(_), .. }));
    assert!(rig.until(SECOND * 40, |rig| rig.count(told) == 1), "{:?}", rig.events);
    assert!(rig.now() - start <= SECOND * 31);
    assert!(rig.front.transmit().is_none() && rig.front.receive().is_none() && rig.front.last_known().is_none());
    rig.pass(SECOND * 100);
    let back = Netback::new(&rig.machine, &rig.domain, &rig.device, Offer::DEFAULT);
    (rig.port, rig.back) = (back.port(), Some(back));
    rig.connected(1, SECOND);
    Traffic::default().flows(&mut rig);
}

/// It is offered something, and says nothing: what it was offered is taken back, again and again.
#[test]
fn hc_104_a_backend_that_never_agrees_keeps_nothing() {
    let mut rig = Rig::plugged(5, SMALL, Offer::DEFAULT, |device| device);
    let state = |rig: &Rig, path: String| rig.machine.xenstore().read_text(&format!("{path}/state"));
    while state(&rig, rig.device.back_path()).as_deref() != Some("2") {
        rig.steps(1);
    }
    rig.control().hang();
    let told = |event: &Event| matches!(event, Event::Trouble(DeviceError { problem: Problem::ConnectTimeout(_), .. }));
    assert!(rig.until(SECOND * 200, |rig| rig.count(told) == 3), "{:?}", rig.events);
    assert!(rig.front.link().is_none());
    rig.control().go_on();
    assert!(rig.until(SECOND * 60, |rig| rig.front.link().is_some()), "{:?} {:?}", rig.front, rig.events);
    Traffic::default().flows(&mut rig);
    rig.close();
    rig.assert_given_back();
}

#[test]
fn hc_105_a_backend_that_does_not_close_keeps_its_pages_and_nothing_else() {
    let mut rig = Rig::new(6, SMALL, Offer::DEFAULT);
    rig.control().on(xen_sim::netback::Which::All, xen_sim::When::Always, xen_sim::netback::Fault::Hang);
    (0..10).for_each(|number| assert!(rig.send(&packet(100, number))));
    rig.pass(MS * 10);
    rig.control().hang();
    let start = rig.now();
    rig.close();
    assert!(rig.now() - start < SECOND * 10, "{:?}", rig.now() - start);
    let table = xen_grant_table::Memory::grant_table(&rig.guest).statistics();
    assert_eq!(table.quarantined, 12, "two rings, and what it has mapped of what was sent");
    assert_eq!((rig.guest.open_ports().len(), rig.front.statistics().sent.lost), (1, 10));
    rig.back = None;
    rig.assert_given_back();
}

#[test]
fn hc_107_a_backend_that_has_vanished_is_written_nothing_and_waited_for_not() {
    let (mut rig, mut traffic) = (Rig::new(7, SMALL, slow()), Traffic::default());
    traffic.send(&mut rig, 40);
    rig.machine.xenstore().remove(&rig.device.back_path());
    let start = rig.now();
    let gone = |event: &Event| matches!(event, Event::Detached(End::Vanished(_)));
    assert!(rig.until(SECOND, |rig| rig.count(gone) == 1), "{:?}", rig.events);
    assert!(rig.now() - start < MS * 50, "{:?}", rig.now() - start);
    rig.pass(SECOND * 2);
    traffic.check(&mut rig);
    let state = rig.machine.xenstore().read_text(&format!("{}/state", rig.device.front_path()));
    assert_eq!(state.as_deref(), Some("4"), "nothing was written");
    rig.back = None;
    rig.plug_again(Offer::DEFAULT);
    rig.reattach();
    rig.connected(2, SECOND);
    traffic.flows(&mut rig);
}

/// The tools have made the device anew before anybody has seen that it was gone.
#[test]
fn hc_108_a_device_that_was_replaced_unnoticed_is_another_one() {
    for seed in 10..20 {
        let (mut rig, mut traffic) = (Rig::new(seed, SMALL, slow()), Traffic::default());
        traffic.send(&mut rig, 40);
        rig.unplug_by_force();
        rig.plug_again(Offer::DEFAULT);
        if seed % 2 == 0 {
            let gone = |event: &Event| matches!(event, Event::Detached(End::Vanished(Vanished::Replaced)));
            assert!(rig.until(SECOND, |rig| rig.count(gone) == 1), "seed {seed}: {:?}", rig.events);
        }
        // Or the enumerator sees it first.
        rig.reattach();
        rig.connected(2, SECOND);
        traffic.flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

/// What was ours names another backend now, and the old one is still there.
#[test]
fn hc_108_another_backend_in_our_directory_is_another_device() {
    let (mut rig, mut traffic) = (Rig::new(20, SMALL, slow()), Traffic::default());
    traffic.flows(&mut rig);
    let (old, mut old_back) = (rig.domain.clone(), rig.back.take().expect("there is one"));
    rig.domain = rig.machine.domain();
    rig.plug_again(Offer::BARE);
    rig.reattach();
    let end = rig.now() + SECOND;
    while rig.now() < end {
        let _ = old_back.step();
        rig.turn();
    }
    assert_eq!(rig.front.device().backend().domain, rig.domain.id());
    traffic.flows(&mut rig);
    // The old one has nothing but what it still holds.
    drop(old_back);
    rig.machine.settle();
    let _ = xen_grant_table::GrantTable::reap(&rig.guest, u32::MAX);
    assert_eq!(rig.machine.readable_by(&old), []);
    rig.close();
    rig.assert_given_back();
}

/// Xenstored answers nothing while the interface connects.
#[test]
fn fault_11_a_store_that_is_silent_while_it_connects_is_no_reason_to_stay_away() {
    for seed in 30..38 {
        let mut rig = Rig::plugged(seed, SMALL, Offer::DEFAULT, |device| device);
        rig.pass(Duration::from_micros((seed - 30) * 150));
        rig.machine.xenstore().hang();
        rig.pass(SECOND * 12);
        rig.machine.xenstore().go_on();
        let connected = rig.until(SECOND * 60, |rig| rig.front.link().is_some());
        assert!(connected, "seed {seed}: {:?} {:?}", rig.front, rig.events);
        Traffic::default().flows(&mut rig);
    }
}
