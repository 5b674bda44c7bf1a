//! What an interface does when its backend restarts, dies, hangs, or is taken away.

use std::time::Duration;

use xen_grant_table::{GrantTable, Memory as _};
use xen_netfront::{Event, Options};
use xen_sim::When;
use xen_sim::netback::{Carrier as Link, Fault, Options as Offer, Restart, Which};
use xen_xenbus::bus::End;

use crate::common::{Rig, SECOND, SMALL, packet};
use crate::perils::{MS, Traffic};

/// A connection that is lost is there again after so long: pauses and handshakes, no time limit of anything.
const RECOVERY: Duration = Duration::from_millis(500);

/// So that packets are under way.
fn slow() -> Offer {
    Offer { latency: 2 * MS..3 * MS, ..Offer::DEFAULT }
}

#[test]
fn fault_01_a_backend_that_restarts_costs_packets_and_time_and_nothing_else() {
    for (seed, how) in (1..).zip([Restart::Orderly, Restart::Abrupt]) {
        let (mut rig, mut traffic) = (Rig::new(seed, Options::DEFAULT, slow()), Traffic::default());
        for round in 2..8 {
            traffic.send(&mut rig, 40);
            rig.pass(MS);
            rig.control().restart(how);
            rig.pass(MS * 10);
            traffic.send(&mut rig, 10);
            let took = rig.connected(round, SECOND * 10);
            assert!(round > 2 || took < RECOVERY, "{how:?} took {took:?}");
            traffic.flows(&mut rig);
        }
        let sent = rig.front.statistics().sent;
        assert_eq!((sent.lost > 0, sent.packets), (how == Restart::Abrupt, traffic.out.sent.into()));
        // What has not come was with a backend that died: each packet has one slot.
        assert!(traffic.out.came.len() as u64 + sent.lost >= sent.packets, "{how:?}: {sent:?}");
    }
}

/// Before it closes it has sent what was to be sent.
#[test]
fn fault_01_an_orderly_restart_loses_nothing_that_was_sent() {
    let mut rig = Rig::new(3, Options::DEFAULT, slow());
    let mut traffic = Traffic::default();
    traffic.send(&mut rig, 60);
    rig.control().restart(Restart::Orderly);
    rig.pass(SECOND);
    rig.connected(2, SECOND);
    traffic.check(&mut rig);
    assert_eq!(traffic.out.came.len(), 60);
}

#[test]
fn fault_02_a_backend_that_died_is_replaced_by_any_other() {
    let offers = [Offer::DEFAULT, Offer::BARE, Offer { queues: 2, ..slow() }, Offer { sg: false, ..Offer::DEFAULT }];
    for (seed, first) in (10..).zip(offers.clone()) {
        let (mut rig, mut traffic) = (Rig::new(seed, Options { queues: 4, ..SMALL }, first), Traffic::default());
        for (round, offer) in (2..).zip(offers.clone()) {
            traffic.send(&mut rig, 30);
            rig.pass(MS);
            traffic.check(&mut rig);
            rig.replace_backend(offer);
            let start = rig.now();
            rig.reattach_when_gone();
            rig.connected(round, SECOND);
            assert!(rig.now() - start < RECOVERY, "{:?}", rig.now() - start);
            traffic.flows(&mut rig);
        }
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn fault_02_an_interface_that_does_not_come_back_ends_in_time() {
    let mut rig = Rig::new(20, Options { hold: SECOND * 5, ..Options::DEFAULT }, slow());
    assert!(rig.send(&packet(100, 1)));
    rig.pass(MS);
    rig.machine.destroy(&rig.domain);
    rig.unplug_by_force();
    let start = rig.now();
    assert!(rig.until(SECOND * 20, |rig| rig.front.is_ended()), "{:?}", rig.events);
    let took = rig.now() - start;
    assert!(took > SECOND * 4 && took < SECOND * 6, "{took:?}");
    assert!(!rig.send(&packet(100, 1)) && rig.front.receive().is_none());
    assert_eq!((rig.front.pending(), rig.front.statistics().sent.lost), (0, 1));
    assert!(rig.front.last_known().is_some());
    rig.reattach_is_refused();
}

impl Rig {
    /// One that has ended stays so.
    fn reattach_is_refused(&mut self) {
        self.plug_again(Offer::DEFAULT);
        self.front.reattach(self.front.device().clone()).unwrap();
        self.pass(SECOND);
        assert!(self.front.is_ended());
    }
}

#[test]
fn fault_03_a_backend_that_hangs_is_told_of_and_goes_on() {
    let mut rig = Rig::new(21, Options { patience: SECOND * 3, ..Options::DEFAULT }, Offer::DEFAULT);
    let mut traffic = Traffic::default();
    traffic.flows(&mut rig);
    rig.control().hang();
    let (start, before) = (rig.now(), rig.events.len());
    traffic.send(&mut rig, 200);
    assert!(rig.until(SECOND * 5, |rig| rig.count(|event| *event == Event::Stalled) == 1), "{:?}", rig.events);
    let took = rig.now() - start;
    assert!(took >= SECOND * 3 && took < SECOND * 3 + MS * 50, "{took:?}");
    rig.pass(SECOND * 20);
    assert_eq!(rig.events.len(), before + 1, "said once, and nothing else");
    assert!(rig.front.pending() > 0 && rig.front.transmit().is_none(), "all pages are with it");
    rig.control().go_on();
    traffic.flows(&mut rig);
    assert_eq!(traffic.out.came.len(), traffic.out.sent as usize, "nothing is lost");
    assert_eq!(rig.front.statistics().connections, 1);
    // The next time it is told anew.
    rig.control().hang();
    traffic.send(&mut rig, 1);
    assert!(rig.until(SECOND * 5, |rig| rig.count(|event| *event == Event::Stalled) == 2), "{:?}", rig.events);
}

#[test]
fn fault_18_a_signal_to_the_backend_that_is_lost_costs_time_and_nothing_else() {
    use xen_sim::EventFault;
    for seed in 0..6 {
        let mut rig = Rig::new(seed, Options { queues: 2, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.machine.faults().disturb_events(&rig.domain, When::PerMille(500), EventFault::Lose);
        for round in 0..10 {
            let start = rig.now();
            assert!(rig.send(&packet(100, round)));
            assert!(rig.until(SECOND * 12, |rig| rig.port.waiting() > round), "seed {seed}: {:?}", rig.front);
            assert!(rig.now() - start < SECOND * 12, "seed {seed}");
        }
    }
}

type Mood = fn(&Rig);

#[test]
fn fault_04_an_interface_that_is_detached_is_closed_within_the_tools_ten_seconds() {
    let moods: [(&str, Mood); 5] = [
        ("well", |_| {}),
        ("hangs", |rig| rig.control().hang()),
        ("answers nothing", |rig| rig.control().on(Which::All, When::Always, Fault::Hang)),
        ("loses everything", |rig| rig.control().on(Which::All, When::Always, Fault::Lose)),
        ("is late", |rig| rig.control().on(Which::All, When::Always, Fault::Late(SECOND * 3))),
    ];
    for (seed, (name, mood)) in (30..).zip(moods) {
        let mut rig = Rig::new(seed, Options { hold: Duration::ZERO, ..Options::DEFAULT }, slow());
        let mut traffic = Traffic::default();
        mood(&rig);
        traffic.send(&mut rig, 20);
        rig.pass(MS);
        rig.machine.xenstore().unplug(&rig.device);
        let start = rig.now();
        // The tools take the nodes away when both are closed, or after ten seconds.
        let closed = |rig: &Rig| {
            let text = rig.machine.xenstore().read_text(&format!("{}/state", rig.device.front_path()));
            text.as_deref().is_none_or(|state| state == "6")
        };
        assert!(rig.until(SECOND * 10, closed), "{name}: {:?}", rig.front);
        assert!(rig.now() - start < SECOND * 10, "{name}");
        rig.machine.xenstore().remove_device(&rig.device);
        assert!(rig.until(SECOND, |rig| rig.front.is_ended()), "{name}: {:?}", rig.front);
        traffic.check(&mut rig);
        if name == "well" {
            assert_eq!(traffic.out.came.len(), 20, "it was waited for");
        }
        rig.back = None;
        rig.assert_given_back();
    }
}

#[test]
fn fault_04_closing_takes_less_than_ten_seconds_whatever_the_backend_does() {
    let mut rig = Rig::new(40, Options::DEFAULT, Offer::DEFAULT);
    rig.control().hang();
    assert!(rig.send(&packet(100, 1)));
    let start = rig.now();
    rig.close();
    assert!(rig.now() - start < SECOND * 10, "{:?}", rig.now() - start);
    assert_eq!(rig.count(|event| matches!(event, Event::Ended(End::Closed))), 1);
    assert_eq!(rig.front.statistics().sent.lost, 1);
    rig.front.close();
    assert!(rig.front.poll(rig.now()).is_none(), "once");
}

#[test]
fn fault_04_closing_with_packets_under_way_waits_for_the_answers_and_no_longer() {
    let mut rig = Rig::new(41, Options::DEFAULT, slow());
    let mut traffic = Traffic::default();
    traffic.send(&mut rig, 20);
    let start = rig.now();
    rig.close();
    assert!(rig.now() - start < RECOVERY, "{:?}", rig.now() - start);
    traffic.check(&mut rig);
    assert_eq!((traffic.out.came.len(), rig.front.statistics().sent.lost), (20, 0));
}

#[test]
fn fault_05_an_interface_that_is_removed_by_force_is_waited_for_or_ends() {
    for (seed, hold) in [(42, Duration::ZERO), (43, SECOND * 60)] {
        let mut rig = Rig::new(seed, Options { hold, ..Options::DEFAULT }, slow());
        let mut traffic = Traffic::default();
        traffic.send(&mut rig, 20);
        rig.pass(MS);
        traffic.check(&mut rig);
        rig.unplug_by_force();
        rig.pass(SECOND);
        traffic.check(&mut rig);
        assert_eq!(rig.front.is_ended(), hold == Duration::ZERO);
        assert!(rig.machine.xenstore().read(&rig.device.front_path()).is_none(), "nothing is written where it was");
        assert!(!rig.send(&packet(100, 1)));
        if hold > Duration::ZERO {
            rig.plug_again(Offer::DEFAULT);
            rig.reattach();
            rig.connected(2, SECOND);
            traffic.flows(&mut rig);
        }
    }
}

#[test]
fn fault_06_twenty_times_in_and_out_leave_nothing_behind() {
    let options = Options { queues: 2, transmit_pages: 40, receive_pages: 40, ..Options::DEFAULT };
    let mut rig = Rig::new(44, options, Offer::DEFAULT);
    let (mut traffic, mut before) = (Traffic::default(), None);
    for round in 0..20 {
        traffic.send(&mut rig, 10);
        rig.pass(MS);
        traffic.check(&mut rig);
        rig.machine.xenstore().unplug(&rig.device);
        let gone = |rig: &Rig| rig.count(|event| matches!(event, Event::Detached(_))) > 0;
        assert!(rig.until(SECOND * 10, gone), "round {round}: {:?} {:?}", rig.front, rig.events);
        traffic.check(&mut rig);
        let _ = GrantTable::reap(&rig.guest, u32::MAX);
        let statistics = rig.guest.grant_table().statistics();
        let left = (statistics.quarantined, statistics.free, rig.guest.open_ports().len());
        assert_eq!(left, *before.get_or_insert(left), "round {round}");
        rig.back = None;
        rig.plug_again(Offer::DEFAULT);
        rig.reattach_when_gone();
        rig.connected(round + 2, SECOND * 2);
        assert_eq!(rig.machine.xenstore().watches(&rig.guest), 2, "round {round}");
    }
    traffic.flows(&mut rig);
}

#[test]
fn fault_24_a_link_that_flaps_is_told_of_and_costs_little() {
    let mut rig = Rig::new(45, Options::DEFAULT, Offer { carrier: Some(Link::Up), ..Offer::DEFAULT });
    let mut traffic = Traffic::default();
    traffic.flows(&mut rig);
    let (before, requests) = (rig.events.len(), rig.store.statistics().requests);
    for round in 0..1001 {
        rig.control().set_carrier(if round % 2 == 0 { Link::Down } else { Link::Up });
        rig.pass(MS);
    }
    rig.pass(SECOND);
    let told = &rig.events[before..];
    assert_eq!(told.last(), Some(&Event::LinkDown), "the last one counts");
    let alternate = told.windows(2).all(|pair| pair[0] != pair[1]);
    assert!(alternate && told.len() < 250, "{}", told.len());
    let requests = rig.store.statistics().requests - requests;
    assert!(requests < 1000, "{requests} requests to xenstore");
    assert_eq!(rig.front.statistics().connections, 1);
    // What is sent meanwhile goes nowhere, and nothing waits for anything.
    traffic.send(&mut rig, 300);
    rig.pass(MS * 50);
    traffic.check(&mut rig);
    assert_eq!(rig.front.pending(), 0);
    rig.control().set_carrier(Link::Up);
    rig.pass(SECOND / 10);
    traffic.flows(&mut rig);
}
