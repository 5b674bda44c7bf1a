//! A disk in a domain that is suspended.

use std::time::Duration;

use xen_blkfront::{
    Done, Event, Flushed, IoError, NotDurable, Options, Persistent, Request, RequestId, Sector512, Vanishing,
};
use xen_sim::blkback::{Loss, Options as Offer, Order};
use xen_xenbus::bus::End;

use crate::common::Rig;
use crate::drivers;
use crate::drivers::look;
use crate::perils::{Ending, MS, SECOND};

const JOURNAL: Options = Options { journal: 1 << 20, ..Options::DEFAULT };

fn slow() -> Offer {
    Offer { latency: 2 * MS..3 * MS, ..Offer::DEFAULT }
}

/// Submits writes of one and the same page, one after the other, each to be there last.
fn overwrite(rig: &mut Rig, fills: std::ops::RangeInclusive<u8>) -> Vec<RequestId> {
    let mut submit = |fill| {
        let buffer = rig.filled(4096, fill);
        rig.front.submit(Request::write(Sector512(0), buffer), rig.now()).unwrap()
    };
    let ids = fills.map(&mut submit).collect();
    rig.front.flush_notifications(rig.now());
    ids
}

#[test]
fn fault_07_a_suspend_waits_for_what_is_under_way_and_flushes() {
    for (seed, persistent) in [(1, Persistent::Never), (2, Persistent::IfOffered)] {
        let mut rig = Rig::new(seed, Options { persistent, ..Options::DEFAULT }, slow());
        let load = rig.load(100, 1);
        rig.pass(MS);
        rig.migrate();
        assert_eq!(rig.disk.crash(Loss::All).unflushed, 0, "it was flushed");
        let took = rig.connected(2, SECOND);
        assert!(took < MS * 100, "{took:?}");
        rig.finish_load(load);
        assert_eq!(rig.front.statistics().sent_again, 0, "nothing was cut off");
        assert_eq!(rig.flush(), Flushed::Durable);
    }
}

#[test]
fn fault_07_what_a_hung_backend_did_not_do_is_sent_again_in_the_original_order() {
    for seed in 0..8 {
        let mut rig = Rig::new(seed, Options { segments: 11, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.control().hang();
        let ids = overwrite(&mut rig, 1..=50);
        let start = rig.now();
        rig.migrate();
        assert!(rig.now() - start < SECOND * 11, "it does not wait for ever");
        let later = overwrite(&mut rig, 99..=99);
        rig.control().go_on();
        rig.connected(2, SECOND);
        for id in ids.into_iter().chain(later) {
            assert_eq!(rig.finish(id).result, Ok(Done::Transferred));
        }
        assert_eq!(rig.on_disk(0, 1), [99], "seed {seed}: the last one is there");
        assert_eq!(rig.front.statistics().sent_again, 32, "as many as the ring holds");
    }
}

#[test]
fn fault_07_barriers_keep_the_order_over_a_suspend() {
    for seed in 0..20 {
        let offer = Offer { order: Order::Mixed, latency: Duration::ZERO..5 * MS, ..Offer::DEFAULT };
        let mut rig = Rig::new(seed, Options { queues: 4, ..Options::DEFAULT }, offer);
        rig.control().hang();
        let mut ids = Vec::new();
        for fill in 1..=20 {
            let buffer = rig.filled(4096, fill);
            let request = if fill % 2 == 0 { Request::write_barrier } else { Request::write };
            ids.push(rig.front.submit(request(Sector512(0), buffer), rig.now()).unwrap());
        }
        rig.migrate();
        rig.control().go_on();
        let ends: Vec<_> = ids.into_iter().map(|id| rig.finish(id).result).collect();
        assert!(ends.iter().all(|end| *end == Ok(Done::Transferred)), "seed {seed}: {ends:?}");
        assert_eq!(rig.on_disk(0, 1), [20], "seed {seed}");
    }
}

/// The old host has acknowledged it and never flushed it: the new one has another cache.
#[test]
fn fault_07_what_could_not_be_flushed_is_written_again_or_told_of() {
    for (seed, journal) in [(30, 1 << 20), (31, 0)] {
        let mut rig = Rig::new(seed, Options { journal, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.write(0, 4096, 7).unwrap();
        rig.control().hang();
        rig.migrate();
        rig.disk.crash(Loss::All);
        rig.control().go_on();
        rig.connected(2, SECOND);
        let expected = if journal > 0 { Flushed::Durable } else { Flushed::NotDurable(NotDurable::CacheLost) };
        assert_eq!(rig.flush(), expected);
        assert_eq!(rig.on_disk(0, 1), [if journal > 0 { 7 } else { 0 }]);
    }
}

/// The driver flushes before a suspend, and it is not that flush which is to be told of a loss.
#[test]
fn fault_07_the_drivers_own_flush_does_not_take_the_news_of_a_loss() {
    let mut rig = Rig::new(32, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 1).unwrap();
    rig.disk.crash(Loss::All);
    rig.control().restart(xen_sim::blkback::Restart::Abrupt);
    rig.pass(MS * 10);
    rig.connected(2, SECOND);
    rig.write(8, 4096, 2).unwrap();
    rig.migrate();
    rig.connected(3, SECOND);
    assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::CacheLost), "D2");
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn fault_08_a_suspend_that_is_cancelled_makes_nothing_anew() {
    let mut rig = Rig::new(40, Options::DEFAULT, slow());
    let load = rig.load(100, 1);
    rig.pass(MS);
    let before = (rig.guest.open_ports(), rig.events.len());
    assert_eq!(rig.suspend(), Ending::Cancelled, "hc_157");
    rig.finish_load(load);
    assert_eq!((rig.guest.open_ports(), rig.events.len()), before);
    let statistics = rig.front.statistics();
    assert_eq!((statistics.connections, statistics.sent_again), (1, 0));
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn fault_08_a_hung_backend_and_a_cancelled_suspend_lose_nothing() {
    let mut rig = Rig::new(41, Options::DEFAULT, Offer::DEFAULT);
    rig.control().hang();
    let load = rig.load(50, 2);
    assert_eq!(rig.suspend(), Ending::Cancelled);
    rig.control().go_on();
    rig.finish_load(load);
    assert_eq!(rig.front.statistics().connections, 1);
}

#[test]
fn fault_25_a_disk_that_the_other_host_does_not_have_ends_in_time() {
    let vanished = Vanishing::Hold(SECOND * 60);
    let mut rig = Rig::new(50, Options { vanished, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().hang();
    let load = rig.load(10, 1);
    rig.guest.migrate_on_suspend();
    let device = rig.device.clone();
    rig.machine.xenstore().on_resume(&rig.guest, move |nodes| nodes.remove_device(&device));
    assert_eq!(rig.suspend(), Ending::Resumed);
    assert!(look(&mut rig.enumerator, &rig.store).is_none());
    let start = rig.now();
    let ends = rig.outcomes(load);
    assert!(rig.now() - start < SECOND * 61, "{:?}", rig.now() - start);
    assert!(ends.iter().all(|end| *end == Err(IoError::OutcomeUnknown)), "{ends:?}");
    assert_eq!(rig.count(|event| matches!(event, Event::Detached(End::Suspended))), 1);
}

#[test]
fn hc_156_a_suspend_at_any_moment_of_connecting_and_closing() {
    for seed in 0..60 {
        let mut rig = Rig::plugged(seed, JOURNAL, slow());
        if seed % 3 == 1 {
            rig.connected(1, SECOND);
            rig.write(0, 4096, 1).unwrap();
            rig.control().restart(xen_sim::blkback::Restart::Orderly);
        }
        rig.pass(Duration::from_micros(seed * 40));
        rig.migrate();
        rig.connected(rig.front.statistics().connections.max(1), SECOND * 2);
        rig.write(8, 4096, 2).unwrap();
        assert_eq!(rig.flush(), Flushed::Durable, "seed {seed}");
        rig.disk.crash(Loss::All);
        assert_eq!(rig.on_disk(0, 1), [u8::from(seed % 3 == 1)], "seed {seed}");
    }
}

#[test]
fn hc_158_another_host_may_offer_anything_else() {
    let offers = [
        Offer::BARE,
        Offer { queues: 1, ring_order: 0, indirect_segments: 12, persistent: false, ..Offer::DEFAULT },
        Offer { indirect_segments: 0, latency: 2 * MS..3 * MS, ..Offer::DEFAULT },
        Offer { flush: false, ..Offer::DEFAULT },
    ];
    for (seed, offer) in (60..).zip(offers) {
        let flush = offer.flush;
        let options = Options { queues: 4, ring_order: 2, persistent: Persistent::IfOffered, ..Options::DEFAULT };
        let mut rig = Rig::new(seed, options, Offer::DEFAULT);
        rig.control().hang();
        let buffer = rig.filled(300 * 4096, 9);
        let large = rig.submit(Request::write(Sector512(1 << 19), buffer));
        let load = rig.load(60, 3);
        rig.control().offer(offer);
        rig.migrate();
        rig.control().go_on();
        rig.finish_load(load);
        assert_eq!(rig.finish(large).result, Ok(Done::Transferred));
        assert_eq!(rig.on_disk(1 << 19, 300 * 4096), vec![9; 300 * 4096]);
        let flushed = rig.flush();
        assert_eq!(flushed == Flushed::Durable, flush, "{flushed}");
    }
}

#[test]
fn hc_159_a_disk_that_is_removed_right_after_a_resume() {
    for seed in 70..90 {
        let mut rig = Rig::new(seed, JOURNAL, slow());
        let load = rig.load(40, 1);
        rig.migrate();
        rig.pass(Duration::from_micros((seed - 70) * 50));
        rig.machine.xenstore().remove_device(&rig.device);
        rig.pass(MS * 5);
        let disk = rig.disk.clone();
        rig.back = None;
        rig.plug_again(&disk, "/dev/disk", Offer::DEFAULT);
        rig.reattach();
        rig.finish_load(load);
        rig.close();
    }
}

#[test]
fn hc_162_events_on_numbers_of_before_do_no_harm() {
    let mut rig = Rig::new(90, Options { queues: 4, ..Options::DEFAULT }, slow());
    let before = rig.guest.open_ports();
    rig.migrate();
    let load = rig.load(60, 1);
    for _ in 0..20 {
        for port in before.iter().chain(&rig.guest.open_ports()) {
            if rig.guest.open_ports().contains(port) {
                rig.machine.spurious_event(&rig.guest, *port);
            }
        }
        rig.turn();
    }
    rig.finish_load(load);
}

/// A later domain may get the number of the dead one: nothing must be left that this number may map. (The simulator gives no number
/// twice.)
#[test]
fn hc_163_nothing_stays_granted_to_the_number_of_a_dead_backend() {
    let mut rig = Rig::new(91, JOURNAL, Offer::DEFAULT);
    rig.control().hang();
    let load = rig.load(20, 1);
    let disk = rig.disk.clone();
    rig.machine.destroy(&rig.domain);
    rig.back = None;
    rig.machine.xenstore().remove_device(&rig.device);
    rig.pass(SECOND);
    drivers::assert_given_back(&rig.machine, &rig.guest);
    rig.domain = rig.machine.domain();
    rig.plug_again(&disk, "/dev/disk", Offer::DEFAULT);
    rig.reattach_when_gone();
    rig.finish_load(load);
}
