//! What a disk does when its backend restarts, dies, hangs, or is taken away.

use std::time::Duration;

use xen_blkfront::{
    Done, Event, Flushed, IoError, NotDurable, Options, Persistent, Rejection, Request, Sector512, Vanishing,
};
use xen_grant_table::{GrantTable, Memory as _};
use xen_hypercall::abi::io::blkif::Operation;
use xen_sim::When;
use xen_sim::blkback::{Fault, Loss, Options as Offer, Restart, SimDisk, Which};
use xen_xenbus::bus::End;

use crate::common::{Rig, SECTORS};
use crate::perils::{MS, SECOND};

/// A connection that is lost is there again after so long: pauses and handshakes, no time limit of anything.
const RECOVERY: Duration = Duration::from_millis(500);

const JOURNAL: Options = Options { journal: 1 << 20, ..Options::DEFAULT };
const LOST: Flushed = Flushed::NotDurable(NotDurable::CacheLost);

/// So that requests are under way.
fn slow() -> Offer {
    Offer { latency: 2 * MS..3 * MS, ..Offer::DEFAULT }
}

#[test]
fn fault_01_a_backend_that_restarts_loses_nothing() {
    for (seed, how) in [(1, Restart::Orderly), (2, Restart::Abrupt)] {
        for persistent in [Persistent::Never, Persistent::IfOffered] {
            let mut rig = Rig::new(seed, Options { persistent, ..JOURNAL }, slow());
            rig.write(1 << 19, 4096, 1).unwrap();
            let load = rig.load(60, 2);
            rig.pass(MS);
            rig.control().restart(how);
            rig.pass(MS * 10);
            let took = rig.connected(2, SECOND);
            assert!(took < RECOVERY, "{how:?} took {took:?}");
            rig.finish_load(load);
            assert_eq!(rig.flush(), Flushed::Durable, "{how:?}");
            rig.disk.crash(Loss::All);
            assert_eq!((rig.on_disk(1 << 19, 1), rig.on_disk(16, 1)), (vec![1], vec![2]), "{how:?}");
            assert!(rig.front.statistics().sent_again > 0 || how == Restart::Orderly);
        }
    }
}

/// It flushes while it still can.
#[test]
fn fault_01_an_orderly_restart_needs_no_journal() {
    let mut rig = Rig::new(3, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 1).unwrap();
    rig.control().restart(Restart::Orderly);
    rig.pass(SECOND);
    rig.connected(2, SECOND);
    assert_eq!(rig.disk.crash(Loss::All).unflushed, 0, "it was flushed");
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn fault_02_a_backend_that_died_has_its_writes_made_again_or_is_told_of() {
    for (seed, journal) in [(4, 1 << 20), (5, 0), (6, 4000)] {
        let mut rig = Rig::new(seed, Options { journal, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.write(0, 4096, 1).unwrap();
        assert_eq!(rig.flush(), Flushed::Durable);
        for at in [8, 16, 24, 16] {
            rig.write(at, 4096, at as u8 + 1).unwrap();
        }
        let disk = rig.disk.clone();
        rig.disk.crash(Loss::All);
        rig.replace_backend(&disk, "/dev/disk", Offer::DEFAULT);
        rig.reattach_when_gone();
        rig.connected(2, SECOND);
        let (flushed, there) = (rig.flush(), rig.on_disk(16, 1));
        assert_eq!(rig.on_disk(0, 1), [1], "D1");
        let expected = if journal == 1 << 20 { (Flushed::Durable, vec![17]) } else { (LOST, vec![0]) };
        assert_eq!((flushed, there), expected, "D2, with a journal of {journal}");
        assert_eq!(rig.flush(), Flushed::Durable, "it is said once");
        assert_eq!(rig.front.statistics().replayed, if journal == 1 << 20 { 4 } else { 0 });
    }
}

#[test]
fn fault_02_what_was_under_way_is_sent_to_the_new_backend() {
    let mut rig = Rig::new(7, JOURNAL, slow());
    let load = rig.load(100, 3);
    rig.pass(MS);
    let disk = rig.disk.clone();
    rig.disk.crash(Loss::Each(7));
    rig.replace_backend(&disk, "/dev/disk", Offer { queues: 1, indirect_segments: 0, ..Offer::DEFAULT });
    let start = rig.now();
    rig.reattach_when_gone();
    rig.connected(2, SECOND);
    assert!(rig.now() - start < RECOVERY, "{:?}", rig.now() - start);
    rig.finish_load(load);
}

/// How many outcomes are unknown; what comes behind was not sent.
fn unknown_first(outcomes: &[Result<Done, IoError>]) -> usize {
    let unknown = outcomes.iter().take_while(|outcome| **outcome == Err(IoError::OutcomeUnknown)).count();
    assert!(outcomes[unknown..].iter().all(|outcome| *outcome == Err(IoError::NotSent)), "{outcomes:?}");
    unknown
}

#[test]
fn fault_02_nothing_is_written_to_another_disk() {
    for (seed, sectors, params) in [(8, SECTORS, "/dev/other"), (9, SECTORS * 2, "/dev/disk")] {
        let mut rig = Rig::new(seed, JOURNAL, slow());
        rig.write(1 << 19, 4096, 1).unwrap();
        let load = rig.load(40, 2);
        rig.pass(MS);
        let other = SimDisk::new(sectors);
        rig.replace_backend(&other, params, Offer::DEFAULT);
        let late = rig.load(2, 3);
        rig.reattach_when_gone();
        rig.connected(2, SECOND);
        let outcomes = rig.outcomes(load);
        assert_eq!(unknown_first(&outcomes), 32, "D3: as many as the ring holds");
        assert!(rig.outcomes(late).iter().all(|outcome| *outcome == Err(IoError::NotSent)));
        assert_eq!(other.statistics().writes, 0);
        assert_eq!(rig.flush(), LOST, "D2");
    }
}

#[test]
fn fault_02_a_disk_that_does_not_come_back_ends_in_time() {
    let vanished = Vanishing::Hold(SECOND * 5);
    let mut rig = Rig::new(10, Options { vanished, ..Options::DEFAULT }, slow());
    let load = rig.load(40, 1);
    rig.pass(MS);
    rig.machine.destroy(&rig.domain);
    rig.back = None;
    rig.machine.xenstore().remove_device(&rig.device);
    let start = rig.now();
    let outcomes = rig.outcomes(load);
    assert_eq!(unknown_first(&outcomes), 32, "as many as the ring holds");
    let took = rig.now() - start;
    assert!(took > SECOND * 4 && took < SECOND * 6, "{took:?}");
    assert!(rig.until(SECOND, |rig| rig.front.is_ended()));
    let buffer = rig.filled(512, 0);
    let rejected = rig.front.submit(Request::write(Sector512(0), buffer), rig.now()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::NotConnected);
}

#[test]
fn fault_03_a_backend_that_hangs_is_told_of_and_goes_on() {
    let mut rig = Rig::new(11, Options { patience: SECOND * 3, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().hang();
    let (start, load) = (rig.now(), rig.load(50, 4));
    let all = |rig: &Rig| rig.count(|event| matches!(event, Event::Stalled(_))) == 50;
    assert!(rig.until(SECOND * 5, all), "{:?}", rig.events.len());
    let took = rig.now() - start;
    assert!(took >= SECOND * 3 && took < SECOND * 3 + MS * 50, "{took:?}");
    rig.pass(SECOND * 20);
    assert_eq!(rig.events.len(), 51, "said once for each, and nothing else but that it was connected");
    assert!(rig.completions.is_empty(), "D4");
    rig.control().go_on();
    rig.finish_load(load);
    assert_eq!(rig.front.statistics().connections, 1);
}

/// hc_071, hc_072: its page stays with the backend until that has answered, and its answer means nothing then.
#[test]
fn hc_071_hc_072_what_was_given_up_keeps_its_pages_until_it_is_answered() {
    let mut rig = Rig::new(12, Options { depth: 4, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::Of(Operation::WRITE), When::Nth(1), Fault::Hang);
    let buffer = rig.filled(4096, 5);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(MS * 5);
    let granted = || rig.guest.grant_table().statistics();
    let before = granted();
    let done = rig.front.abandon(id).expect("it is under way");
    assert_eq!((done.result, done.buffer.capacity()), (Err(IoError::Abandoned), 0));
    assert!(rig.front.abandon(id).is_none(), "it has one end");
    assert_eq!((granted().free, rig.front.pending()), (before.free, 1), "the page stays where it is");
    for round in 0..100 {
        rig.write(8, 4096, round).unwrap();
    }
    assert_eq!(rig.on_disk(0, 1), [0]);
    rig.control().go_on();
    assert!(rig.until(SECOND, |rig| rig.front.pending() == 0));
    assert_eq!(rig.on_disk(0, 4096), vec![5; 4096], "what it held is what was written, whatever came later");
    assert!(rig.completions.is_empty(), "and nothing is completed a second time");
    assert!(rig.guest.grant_table().statistics().free > before.free);
}

#[test]
fn hc_071_a_backend_that_never_answers_has_its_pages_in_quarantine_at_the_end() {
    let mut rig = Rig::new(13, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffer = rig.filled(4096, 5);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(MS * 5);
    assert!(rig.front.abandon(id).is_some());
    rig.control().hang();
    rig.close();
    let statistics = rig.guest.grant_table().statistics();
    assert!(statistics.quarantined >= 2, "a page of data and the ring: {statistics:?}");
    rig.back = None;
    rig.machine.settle();
    let _ = GrantTable::reap(&rig.guest, u32::MAX);
    assert_eq!(rig.guest.grant_table().statistics().quarantined, 0, "they come back when it is gone");
}

/// A way for a backend to be when its device is taken away.
type Mood = fn(&mut Rig);

#[test]
fn fault_04_a_disk_is_given_up_within_ten_seconds_whatever_the_backend_does() {
    let moods: [(&str, Mood); 5] = [
        ("well", |_| {}),
        ("hangs", |rig| rig.control().hang()),
        ("does not answer", |rig| rig.control().on(Which::All, When::Always, Fault::Hang)),
        ("answers no flush", |rig| {
            rig.control().on(Which::Of(Operation::FLUSH_DISKCACHE), When::Always, Fault::Hang);
        }),
        ("fails", |rig| {
            rig.control().on(Which::All, When::Always, Fault::Fail(xen_hypercall::abi::io::blkif::Status::ERROR))
        }),
    ];
    for (seed, (name, mood)) in (20..).zip(moods) {
        let mut rig = Rig::new(seed, Options { vanished: Vanishing::Fail, ..Options::DEFAULT }, slow());
        rig.write(0, 4096, 1).unwrap();
        let load = rig.load(20, 2);
        rig.pass(MS);
        mood(&mut rig);
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
        assert_eq!(rig.outcomes(load).len(), 20, "{name}: each has its end");
        if name == "well" {
            assert_eq!(rig.disk.crash(Loss::All).unflushed, 0, "it was flushed");
        }
    }
}

#[test]
fn fault_04_closing_takes_less_than_ten_seconds_whatever_the_backend_does() {
    let mut rig = Rig::new(30, Options::DEFAULT, Offer::DEFAULT);
    let load = rig.load(20, 2);
    rig.control().hang();
    let start = rig.now();
    rig.close();
    assert!(rig.now() - start < SECOND * 10, "{:?}", rig.now() - start);
    assert!(rig.outcomes(load).iter().all(|outcome| *outcome == Err(IoError::OutcomeUnknown)));
    assert_eq!(rig.count(|event| matches!(event, Event::Ended(End::Closed))), 1);
}

#[test]
fn fault_05_a_disk_that_is_removed_by_force_fails_at_once_where_that_is_wished() {
    for (seed, vanished) in [(31, Vanishing::Fail), (32, Vanishing::Hold(SECOND * 60))] {
        let mut rig = Rig::new(seed, Options { vanished, ..Options::DEFAULT }, slow());
        let load = rig.load(20, 1);
        rig.pass(MS);
        rig.machine.xenstore().remove_device(&rig.device);
        rig.pass(SECOND);
        assert_eq!(rig.front.is_ended(), vanished == Vanishing::Fail);
        assert!(rig.machine.xenstore().read(&rig.device.front_path()).is_none(), "nothing is written where it was");
        if vanished != Vanishing::Fail {
            let disk = rig.disk.clone();
            rig.back = None;
            rig.plug_again(&disk, "/dev/disk", Offer::DEFAULT);
            rig.reattach();
            rig.finish_load(load);
        } else {
            assert!(rig.outcomes(load).iter().all(|outcome| *outcome == Err(IoError::OutcomeUnknown)));
        }
    }
}

#[test]
fn fault_06_a_hundred_times_in_and_out_leave_nothing_behind() {
    let options = Options { queues: 2, persistent: Persistent::IfOffered, ..Options::DEFAULT };
    let mut rig = Rig::new(33, options, Offer::DEFAULT);
    let mut before = None;
    for round in 0..100 {
        rig.write(round * 8, 4096, round as u8).unwrap();
        rig.machine.xenstore().unplug(&rig.device);
        let gone = |rig: &Rig| rig.count(|event| matches!(event, Event::Detached(_))) > 0;
        assert!(rig.until(SECOND * 10, gone), "round {round}: {:?} {:?}", rig.front, rig.events);
        let _ = GrantTable::reap(&rig.guest, u32::MAX);
        let statistics = rig.guest.grant_table().statistics();
        let left = (statistics.quarantined, statistics.free, rig.guest.open_ports().len());
        assert_eq!(left, *before.get_or_insert(left), "round {round}");
        let disk = rig.disk.clone();
        rig.back = None;
        rig.plug_again(&disk, "/dev/disk", Offer::DEFAULT);
        rig.reattach_when_gone();
        rig.connected(round + 2, SECOND * 2);
        assert_eq!(rig.machine.xenstore().watches(&rig.guest), 1, "round {round}");
    }
    assert_eq!(rig.read(99 * 8, 1 << 9).unwrap(), vec![99; 512]);
}
