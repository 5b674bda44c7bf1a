//! Lost events, errors, other sizes, and faults in the middle of others.

use std::time::Duration;

use xen_blkfront::{Done, Event, Flushed, IoError, NotDurable, Options, Persistent, Rejection, Request, Sector512};
use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_sim::blkback::{Fault, Loss, Notify, Options as Offer, Restart, Which};
use xen_sim::{EventFault, When};

use crate::common::{Rig, SECTORS};
use crate::perils::{MS, SECOND};

const JOURNAL: Options = Options { journal: 1 << 20, ..Options::DEFAULT };

#[test]
fn fault_18_a_backend_that_never_signals_is_looked_at() {
    for notify in [Notify::Never, Notify::Every(2), Notify::Every(7)] {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer { notify, ..Offer::DEFAULT });
        for round in 0..20 {
            let start = rig.now();
            rig.write(round * 8, 4096, 1).unwrap();
            let took = rig.now() - start;
            assert!(took < MS * 120, "hc_093: {took:?}, {notify:?}");
        }
        let load = rig.load(200, 2);
        let start = rig.now();
        rig.finish_load(load);
        assert!(rig.now() - start < SECOND * 2, "{:?}", rig.now() - start);
    }
}

#[test]
fn fault_18_a_signal_to_the_backend_that_is_lost_costs_time_and_nothing_else() {
    for seed in 0..10 {
        let mut rig = Rig::new(seed, Options { queues: 2, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.machine.faults().disturb_events(&rig.domain, When::PerMille(500), EventFault::Lose);
        for round in 0..20 {
            let start = rig.now();
            rig.write(round * 8, 4096, 1).unwrap();
            let took = rig.now() - start;
            assert!(took < SECOND * 12, "seed {seed}: {took:?}");
        }
        let load = rig.load(100, 2);
        rig.finish_load(load);
    }
}

#[test]
fn fault_23_a_disk_shrinks_and_grows_under_load() {
    let mut rig = Rig::new(2, Options::DEFAULT, Offer { latency: MS..2 * MS, ..Offer::DEFAULT });
    let load = rig.load(100, 1);
    rig.pass(MS / 2);
    rig.control().resize(400);
    assert!(rig.until(SECOND, |rig| rig.count(|event| matches!(event, Event::Resized)) == 1));
    let ends = rig.outcomes(load);
    for (number, end) in ends.iter().enumerate() {
        assert!(*end == Ok(Done::Transferred) || number >= 25 && *end == Err(IoError::Failed), "{number}: {end:?}");
    }
    assert!(ends.contains(&Err(IoError::Failed)), "hc_116");
    let buffer = rig.filled(4096, 1);
    let rejected = rig.front.submit(Request::write(Sector512(400), buffer), rig.now()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::BeyondEnd { at: 400, sectors: 8, capacity: 400 });
    rig.control().resize(SECTORS * 2);
    assert!(rig.until(SECOND, |rig| rig.count(|event| matches!(event, Event::Resized)) == 2));
    rig.write(SECTORS + 8, 4096, 5).unwrap();
    assert_eq!((rig.on_disk(SECTORS + 8, 1), rig.front.statistics().connections), (vec![5], 1));
}

#[test]
fn fault_30_errors_are_passed_on_and_nothing_is_tried_again() {
    let mut rig = Rig::new(3, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Of(Operation::WRITE), When::PerMille(400), Fault::Refuse(Status::ERROR));
    let writes = rig.back.as_ref().map(|back| back.statistics().writes);
    let load = rig.load(200, 1);
    let ends = rig.outcomes(load);
    let failed = ends.iter().filter(|end| **end == Err(IoError::Failed)).count() as u64;
    assert!((20..180).contains(&failed), "{failed}");
    for (number, end) in (0..).zip(&ends) {
        assert_eq!(rig.on_disk(number * 16, 1)[0] == 1, end.is_ok(), "D4: write {number}");
    }
    let sent = rig.back.as_ref().map(|back| back.statistics().writes);
    assert_eq!(sent, writes.map(|before| before + 200), "each was sent once");
    rig.control().clear();
    let load = rig.load(200, 2);
    rig.finish_load(load);
    assert_eq!(rig.front.statistics().connections, 1);
}

/// One of several that were merged fails: the others are not to suffer.
#[test]
fn fault_30_of_merged_requests_only_those_that_fail_do() {
    let mut rig = Rig::new(4, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Of(Operation::WRITE), When::Nth(1), Fault::Refuse(Status::ERROR));
    rig.control().on(Which::Of(Operation::WRITE), When::Nth(4), Fault::Refuse(Status::ERROR));
    let ids: Vec<_> = (0..8)
        .map(|number| {
            let buffer = rig.filled(4096, 1);
            rig.front.submit(Request::write(Sector512(number * 8), buffer), rig.now()).unwrap()
        })
        .collect();
    let ends: Vec<_> = ids.into_iter().map(|id| rig.finish(id).result).collect();
    assert_eq!(ends.iter().filter(|end| **end == Err(IoError::Failed)).count(), 1, "{ends:?}");
    assert_eq!(rig.flush(), Flushed::Durable);
}

/// The others are not answered any more, and the request has an end nevertheless.
#[test]
fn fault_30_a_request_of_which_a_part_has_failed_ends_when_its_backend_dies() {
    let mut rig = Rig::new(6, Options { segments: 11, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::Of(Operation::WRITE), When::Nth(1), Fault::Refuse(Status::ERROR));
    rig.control().on(Which::Of(Operation::WRITE), When::Nth(2), Fault::Hang);
    let buffer = rig.filled(22 * 4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(MS * 10);
    rig.control().clear();
    rig.control().restart(Restart::Abrupt);
    assert_eq!(rig.finish(id).result, Err(IoError::Failed));
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn fault_30_a_flush_that_fails_is_no_flush_and_neither_is_the_next() {
    let mut rig = Rig::new(5, JOURNAL, Offer::DEFAULT);
    rig.write(0, 4096, 1).unwrap();
    rig.control().on(Which::Of(Operation::FLUSH_DISKCACHE), When::Nth(1), Fault::Refuse(Status::ERROR));
    for _ in 0..3 {
        assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::Failed(Status::ERROR.0)));
    }
    rig.front.accept_loss();
    assert_eq!(rig.flush(), Flushed::Durable);
}

/// A small source of chance.
struct Chance(u64);

impl Chance {
    const fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// One of the faults that end a connection.
fn strike(rig: &mut Rig, chance: &mut Chance) {
    match chance.below(5) {
        0 => rig.control().restart(Restart::Orderly),
        1 => rig.control().restart(Restart::Abrupt),
        2 => {
            let disk = rig.disk.clone();
            disk.crash(Loss::Each(chance.below(1 << 32)));
            rig.replace_backend(&disk, "/dev/disk", offer(chance));
            // The owner's enumerator may see it before the driver does.
            rig.reattach();
        }
        3 => {
            rig.disk.crash(Loss::After(chance.below(1 << 32)));
            rig.control().restart(Restart::Abrupt);
        }
        _ => rig.migrate(),
    }
}

fn offer(chance: &mut Chance) -> Offer {
    let latency = Duration::ZERO..MS * chance.below(3) as u32;
    Offer { latency, queues: 1 + chance.below(4) as u32, persistent: chance.below(2) == 0, ..Offer::DEFAULT }
}

/// Faults in pairs, the second one at any moment of what follows the first: a thousand of them.
#[test]
fn fault_26_a_backend_that_dies_while_it_is_connected_to_again() {
    for seed in 1..=50 {
        let mut chance = Chance(seed * 0x9e37_79b9);
        let persistent = if seed % 2 == 0 { Persistent::Never } else { Persistent::IfOffered };
        let first = offer(&mut chance);
        let mut rig = Rig::new(seed, Options { persistent, queues: 2, ..JOURNAL }, first);
        for round in 0..20 {
            rig.write(1 << 19, 4096, round).unwrap();
            let load = rig.load(20, round);
            rig.pass(MS * chance.below(3) as u32);
            strike(&mut rig, &mut chance);
            rig.pass(Duration::from_micros(chance.below(30_000)));
            strike(&mut rig, &mut chance);
            let start = rig.now();
            let ends = rig.outcomes(load);
            assert!(ends.iter().all(|end| *end == Ok(Done::Transferred)), "seed {seed}, round {round}: {ends:?}");
            assert!(rig.now() - start < SECOND * 15, "seed {seed}: {:?}", rig.now() - start);
            assert_eq!(rig.flush(), Flushed::Durable, "seed {seed}, round {round}");
            rig.disk.crash(Loss::All);
            for at in (0..20).map(|number| number * 16).chain([1 << 19]) {
                assert_eq!(rig.on_disk(at, 4096), vec![round; 4096], "seed {seed}, round {round}, sector {at}");
            }
        }
    }
}
