//! What a disk makes of states that its backend writes, or does not write.

use xen_blkfront::{Event, Options};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::blkback::{Blkback, Options as Offer, Restart};
use xen_xenbus::bus::{DeviceError, End, Problem, Vanished};

use crate::common::Rig;
use crate::perils::{MS, SECOND};

const JOURNAL: Options = Options { journal: 1 << 20, ..Options::DEFAULT };

fn back_state(rig: &Rig) -> String {
    format!("{}/state", rig.device.back_path())
}

#[test]
fn hc_100_hc_106_a_state_that_means_nothing_now_is_ignored_and_any_other_heals() {
    for state in (0..=9).chain([255, u32::MAX]) {
        for wait in [0, 1, 1000] {
            let mut rig = Rig::new(u64::from(state), JOURNAL, Offer { latency: MS..2 * MS, ..Offer::DEFAULT });
            let load = rig.load(40, 1);
            rig.control().write_state(State(state));
            rig.pass(MS * wait);
            if matches!(state, 4 | 7 | 8 | 9 | 255 | u32::MAX) {
                rig.pass(MS * 100);
                assert_eq!(rig.front.statistics().connections, 1, "{state} is no reason to close");
                assert!(rig.front.disk().is_some(), "{state}");
            }
            rig.control().restart(Restart::Abrupt);
            rig.pass(MS * 10);
            assert!(rig.until(SECOND * 12, |rig| rig.front.disk().is_some()), "{state}, {wait}: {:?}", rig.front);
            rig.finish_load(load);
            rig.write(1 << 19, 4096, 2).unwrap();
        }
    }
}

#[test]
fn hc_101_what_is_no_state_is_no_reason_to_close() {
    for text in ["4x", "", "-1", "255", "4294967300", " 4", "five", "\0"] {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer { latency: MS..2 * MS, ..Offer::DEFAULT });
        let load = rig.load(40, 1);
        rig.machine.xenstore().write(&back_state(&rig), text);
        rig.finish_load(load);
        rig.pass(SECOND);
        assert_eq!(rig.front.statistics().connections, 1, "{text:?}");
        rig.machine.xenstore().write(&back_state(&rig), "4");
        rig.write(0, 4096, 2).unwrap();
    }
}

#[test]
fn hc_103_states_that_toggle_cost_no_memory_and_few_connections() {
    let mut rig = Rig::new(2, JOURNAL, Offer::DEFAULT);
    for round in 0..200 {
        let load = rig.load(10, round as u8);
        rig.control().toggle(10);
        rig.pass(MS * 5);
        drop(load);
    }
    assert!(rig.front.statistics().connections < 100, "{:?}", rig.front.statistics());
    assert!(rig.front.pending() <= 256);
    rig.control().restart(Restart::Abrupt);
    assert!(rig.until(SECOND * 30, |rig| rig.front.disk().is_some() && rig.front.pending() == 0), "{:?}", rig.front);
    assert_eq!(rig.completions.len(), 2000, "each has one end");
    rig.write(0, 4096, 1).unwrap();
}

#[test]
fn hc_104_a_backend_that_never_comes_is_told_of_and_is_welcome_later() {
    let mut rig = Rig::plugged(3, Options::DEFAULT, Offer::DEFAULT);
    rig.back = None;
    let start = rig.now();
    let told =
        |event: &Event<_>| matches!(event, Event::Trouble(DeviceError { problem: Problem::ConnectTimeout(_), .. }));
    assert!(rig.until(SECOND * 40, |rig| rig.count(told) == 1), "{:?}", rig.events);
    assert!(rig.now() - start <= SECOND * 31);
    rig.pass(SECOND * 100);
    rig.back = Some(Blkback::new(&rig.machine, &rig.domain, &rig.device, rig.disk.clone(), Offer::DEFAULT));
    rig.connected(1, SECOND);
}

#[test]
fn hc_107_a_backend_that_has_vanished_is_written_nothing_and_waited_for_not() {
    let mut rig = Rig::new(4, JOURNAL, Offer { latency: MS..2 * MS, ..Offer::DEFAULT });
    let load = rig.load(40, 1);
    rig.machine.xenstore().remove(&rig.device.back_path());
    let start = rig.now();
    let gone = |event: &Event<_>| matches!(event, Event::Detached(End::Vanished(_)));
    assert!(rig.until(SECOND, |rig| rig.count(gone) == 1), "{:?}", rig.events);
    assert!(rig.now() - start < MS * 50, "{:?}", rig.now() - start);
    rig.pass(SECOND * 2);
    let state = rig.machine.xenstore().read_text(&format!("{}/state", rig.device.front_path()));
    assert_eq!(state.as_deref(), Some("4"), "nothing was written");
    let disk = rig.disk.clone();
    rig.back = None;
    rig.plug_again(&disk, "/dev/disk", Offer::DEFAULT);
    rig.reattach();
    rig.finish_load(load);
}

/// The tools have made the device anew before anybody has seen that it was gone.
#[test]
fn hc_108_a_device_that_was_replaced_unnoticed_is_another_one() {
    for seed in 10..20 {
        let mut rig = Rig::new(seed, JOURNAL, Offer { latency: MS..2 * MS, ..Offer::DEFAULT });
        let load = rig.load(40, 1);
        let disk = rig.disk.clone();
        rig.back = None;
        rig.machine.xenstore().nodes(|nodes| nodes.remove_device(&rig.device));
        rig.plug_again(&disk, "/dev/disk", Offer::DEFAULT);
        if seed % 2 == 0 {
            let gone = |event: &Event<_>| matches!(event, Event::Detached(End::Vanished(Vanished::Replaced)));
            assert!(rig.until(SECOND, |rig| rig.count(gone) == 1), "seed {seed}: {:?}", rig.events);
        }
        // Or the enumerator sees it first.
        rig.reattach();
        rig.connected(2, SECOND);
        rig.finish_load(load);
    }
}

/// What is asked for while the disk is away waits, and so does `close`.
#[test]
fn hc_102_a_backend_that_closes_without_a_word_costs_no_time_limit() {
    let mut rig = Rig::new(5, JOURNAL, Offer::DEFAULT);
    let start = rig.now();
    rig.control().restart(Restart::Abrupt);
    rig.pass(MS * 5);
    rig.connected(2, SECOND);
    assert!(rig.now() - start < MS * 200, "{:?}", rig.now() - start);
}

/// Xenstored answers nothing at the moment at which the backend has agreed.
#[test]
fn fault_11_a_store_that_is_silent_while_the_disk_connects_is_no_reason_to_stay_away() {
    for seed in 30..50 {
        let mut rig = Rig::plugged(seed, Options::DEFAULT, Offer::DEFAULT);
        rig.pass(std::time::Duration::from_micros((seed - 30) * 60));
        rig.machine.xenstore().hang();
        rig.pass(SECOND * 12);
        rig.machine.xenstore().go_on();
        assert!(
            rig.until(SECOND * 60, |rig| rig.front.disk().is_some()),
            "seed {seed}: {:?} {:?}",
            rig.front,
            rig.events
        );
    }
}
