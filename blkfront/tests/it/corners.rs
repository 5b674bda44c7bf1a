//! Sequences that a review has found to go wrong: each of these tests failed once.

use std::time::Duration;

use xen_blkfront::{Done, Event, Flushed, IoError, NotDurable, Options, Request, Sector512};
use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::When;
use xen_sim::blkback::{Fault, Loss, Misdeed, Options as Offer, Restart, Which as Of};
use xen_xenbus::control::{Ready, Resumable};

use crate::common::Rig;
use crate::common::hostile::take;

/// What a flush says after a loss.
const LOST: Flushed = Flushed::NotDurable(NotDurable::CacheLost);

const fn slow() -> Offer {
    Offer { latency: Duration::from_millis(3)..Duration::from_millis(4), ..Offer::DEFAULT }
}
fn connected(rig: &Rig) -> usize {
    rig.count(|e| matches!(e, Event::Connected))
}

/// The backend dies, with what was not flushed, and another one is connected.
#[track_caller]
fn died(rig: &mut Rig) {
    rig.control().restart(Restart::Abrupt);
    rig.back.as_mut().unwrap().step();
    rig.disk.crash(Loss::All);
    assert!(rig.until(Duration::from_secs(20), |rig| rig.count(|e| matches!(e, Event::Disconnected)) == 1));
    rig.pass(Duration::from_millis(20));
    rig.control().write_state(State::INITIALISING);
    assert!(
        rig.until(Duration::from_secs(20), |rig| connected(rig) == 2),
        "{:?} {:?} {:?} err {:?}",
        rig.events,
        rig.store.read("device/vbd/51712/state").wait(),
        rig.store.read("/local/domain/2/backend/vbd/1/51712/state").wait(),
        rig.back.as_ref().unwrap().last_error()
    );
}

/// What eight blocks hold, in the first byte of each.
fn blocks(rig: &Rig) -> Vec<u8> {
    (0..8_u64).map(|n| rig.on_disk(n * 64, 1)[0]).collect()
}

/// A disk whose eight writes are being made again: not all of them have been.
#[track_caller]
fn replaying(seed: u64) -> Rig {
    let options = Options { journal: 1 << 20, ..Options::DEFAULT };
    let mut rig = Rig::new(seed, options, slow());
    for n in 0..8_u64 {
        rig.write(n * 64, 4096, n as u8 + 1).unwrap();
    }
    died(&mut rig);
    assert!(rig.front.statistics().replayed < 8, "{:?}", rig.front.statistics());
    rig
}

#[test]
fn a_suspend_in_the_middle_of_a_replay_does_not_make_the_rest_durable() {
    let mut rig = replaying(1);
    while rig.front.prepare(rig.now()) == Ready::NotYet {
        rig.turn();
    }
    rig.front.cancelled(rig.now());
    let said = rig.flush();
    rig.disk.crash(Loss::All);
    assert_eq!((said, blocks(&rig)), (Flushed::Durable, (1..=8).collect()));
}

#[test]
fn a_restart_in_the_middle_of_a_replay_does_not_make_the_rest_durable() {
    let mut rig = replaying(2);
    rig.control().restart(Restart::Orderly);
    assert!(rig.until(Duration::from_secs(20), |rig| connected(rig) == 3));
    let said = rig.flush();
    rig.disk.crash(Loss::All);
    assert_eq!((said, blocks(&rig)), (Flushed::Durable, (1..=8).collect()));
}

#[test]
fn a_flush_that_was_given_up_is_not_mistaken_for_the_write_in_its_place() {
    let mut rig = Rig::new(3, Options::DEFAULT, Offer::DEFAULT);
    let c = rig.control();
    c.on(Of::Of(Operation::READ), When::Always, Fault::Hang);
    c.on(Of::Of(Operation::FLUSH_DISKCACHE), When::Always, Fault::Hang);
    let now = rig.now();
    for n in 0..31_u64 {
        let b = rig.front.buffer(4096).unwrap();
        rig.front.submit(Request::read(Sector512(n * 64), b), now).unwrap();
    }
    let b = rig.filled(4096, 1);
    rig.front.submit(Request::write(Sector512(100_000), b), now).unwrap();
    let _f1 = rig.front.submit(Request::flush(), now).unwrap();
    let f2 = rig.front.submit(Request::flush(), now).unwrap();
    rig.pass(Duration::from_millis(20));
    assert_eq!(rig.completions.len(), 1);
    assert!(rig.front.abandon(f2).is_some());
    let b = rig.filled(4096, 77);
    let w = rig.front.submit(Request::write(Sector512(200_000), b), rig.now()).unwrap();
    c.clear();
    c.go_on();
    assert_eq!(rig.finish(w).result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(200_000, 4096), [77; 4096]);
}

#[test]
fn a_call_that_blocks_keeps_the_ends_of_other_requests() {
    let mut rig = Rig::new(4, Options::DEFAULT, Offer::DEFAULT);
    let now = rig.now();
    for n in 0..100_u64 {
        let b = rig.filled(4096, 1);
        rig.front.submit(Request::write(Sector512(n * 64), b), now).unwrap();
    }
    let mut back = rig.back.take().unwrap();
    let Rig { machine, guest, domain, front, .. } = &mut rig;
    machine
        .run(|vcpus| {
            vcpus.spawn(guest, |_| {
                front.flush().unwrap();
            });
            vcpus.spawn(domain, move |_| back.serve(Duration::from_millis(50)));
        })
        .unwrap();
    let mut seen = 0;
    while let Some(e) = rig.front.poll(rig.store.now()) {
        seen += usize::from(matches!(e, Event::Completed(done) if done.result == Ok(Done::Transferred)));
    }
    assert_eq!(seen, 100);
}

#[test]
fn fault_02_a_disk_that_is_attached_again_while_it_is_connected_loses_nothing_in_silence() {
    let mut rig = Rig::new(5, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 9).unwrap();
    let b = rig.front.buffer(4096).unwrap();
    rig.control().on(Of::Of(Operation::READ), When::Always, Fault::Hang);
    let r = rig.submit(Request::read(Sector512(64), b));
    rig.pass(Duration::from_millis(5));
    rig.control().clear();
    rig.reattach();
    rig.disk.crash(Loss::All);
    assert!(rig.until(Duration::from_secs(30), |rig| connected(rig) == 2), "{:?}", rig.events);
    assert_eq!(rig.flush(), LOST);
    assert_eq!(rig.finish(r).result, Ok(Done::Transferred));
}

#[test]
fn hc_065_a_flush_after_one_that_failed_is_not_durable() {
    let mut rig = Rig::new(6, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 9).unwrap();
    rig.control().on(Of::Of(Operation::FLUSH_DISKCACHE), When::Nth(1), Fault::Refuse(Status::ERROR));
    let now = rig.now();
    let f1 = rig.front.submit(Request::flush(), now).unwrap();
    let f2 = rig.front.submit(Request::flush(), now).unwrap();
    let failed = Flushed::NotDurable(NotDurable::Failed(Status::ERROR.0));
    assert_eq!([f1, f2].map(|id| rig.finish(id).result), [Ok(Done::Flushed(failed)); 2]);
    assert_eq!(rig.flush(), failed);
}

#[test]
fn the_drivers_own_flush_does_not_take_the_news_of_a_loss() {
    let mut rig = Rig::new(7, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 9).unwrap();
    died(&mut rig);
    rig.write(64, 4096, 9).unwrap();
    while rig.front.prepare(rig.now()) == Ready::NotYet {
        rig.turn();
    }
    rig.front.cancelled(rig.now());
    assert_eq!(rig.flush(), LOST);
}

#[test]
fn hc_121_a_backend_with_fewer_queues_and_smaller_rings_is_connected_to() {
    let mut rig = Rig::new(8, Options { queues: 4, ring_order: 2, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.write(0, 4096, 9).unwrap();
    rig.control().offer(Offer::BARE);
    rig.control().restart(Restart::Orderly);
    assert!(rig.until(Duration::from_secs(60), |rig| connected(rig) == 2), "{:?}", rig.events);
    assert_eq!(rig.front.disk().map(|disk| (disk.queues(), disk.ring_slots())), Some((1, 32)));
    assert_eq!(rig.read(0, 4096), Ok(vec![9; 4096]));
}

#[test]
fn reads_that_are_sent_again_alone_do_not_stop_a_barrier() {
    let options = Options { patience: Duration::from_secs(20), segments: 11, ..Options::DEFAULT };
    let offer = Offer {
        latency: Duration::from_millis(50)..Duration::from_millis(50) + Duration::from_nanos(1),
        ..Offer::DEFAULT
    };
    let mut rig = Rig::new(9, options, offer);
    let c = rig.control();
    c.on(Of::Of(Operation::READ), When::Nth(1), Fault::Fail(Status::ERROR));
    let now = rig.now();
    for n in 0..2_u64 {
        let b = rig.front.buffer(4096).unwrap();
        rig.front.submit(Request::read(Sector512(500_000 + n * 8), b), now).unwrap();
    }
    for n in 0..30_u64 {
        let b = rig.front.buffer(4096).unwrap();
        rig.front.submit(Request::read(Sector512(n * 64), b), now).unwrap();
    }
    let b = rig.filled(20 * 4096, 5);
    let barrier = rig.submit(Request::write_barrier(Sector512(100_000), b));
    rig.pass(Duration::from_secs(10));
    assert_eq!(take(&mut rig, barrier).result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(100_000, 20 * 4096), [5; 20 * 4096]);
    let results: Vec<_> = rig.completions.iter().map(|done| done.result).collect();
    assert_eq!(results, [Ok(Done::Transferred); 32], "the reads");
}

/// Everything that waits comes back at once while the device is away and its node is written.
#[test]
fn a_disk_that_is_gone_does_not_end_waits_at_once() {
    let mut rig = Rig::new(10, Options::DEFAULT, Offer::DEFAULT);
    rig.machine.xenstore().remove_device(&rig.device);
    assert!(
        rig.until(Duration::from_secs(20), |rig| rig.count(|e| matches!(e, Event::Detached(_))) == 1),
        "{:?}",
        rig.events
    );
    let t0 = rig.now();
    rig.machine.xenstore().plug(&rig.device);
    let mut waits = 0;
    while rig.now() < t0 + Duration::from_millis(500) && waits < 20_000 {
        let _ = rig.front.poll(rig.store.now());
        rig.front.wait(rig.store.now() + Duration::from_millis(100)).unwrap();
        waits += 1;
    }
    assert!(waits < 100);
}

#[test]
fn a_flush_that_was_given_up_does_not_take_the_news_of_a_loss() {
    let mut rig = Rig::new(13, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 9).unwrap();
    died(&mut rig);
    let f = rig.submit(Request::flush());
    assert!(rig.front.abandon(f).is_some());
    rig.pass(Duration::from_millis(10));
    assert_eq!(rig.flush(), LOST);
}

#[test]
fn a_disk_that_has_ended_stays_so() {
    let mut rig = Rig::new(14, Options::DEFAULT, Offer::DEFAULT);
    rig.control().hang();
    rig.front.close();
    rig.front.close();
    rig.control().go_on();
    assert!(rig.until(Duration::from_secs(30), |rig| rig.front.is_ended()));
    rig.reattach();
    assert!(rig.front.is_ended() && rig.front.submit(Request::flush(), rig.store.now()).is_err());
}

#[test]
fn fault_14_a_long_request_goes_on_with_the_grants_that_are_guaranteed() {
    use xen_grant_table::{Account, Limits};
    let mut rig = Rig::new(15, Options { patience: Duration::from_secs(300), ..Options::DEFAULT }, Offer::DEFAULT);
    // Another device has all grants but what is guaranteed.
    let mut hogs = Vec::new();
    let mut count = 40_000;
    while count > 0 {
        match Account::open(rig.guest.clone(), rig.domain.id(), Limits::exactly(count)) {
            Ok(account) => hogs.push(account),
            Err(_) => count /= 2,
        }
    }
    let b = rig.front.buffer(8 * 4096).unwrap();
    assert_eq!(rig.run(Request::read(Sector512(0), b)).result, Ok(Done::Transferred));
    let b = rig.front.buffer(64 * 4096).unwrap();
    let id = rig.submit(Request::read(Sector512(0), b));
    rig.pass(Duration::from_secs(60));
    assert_eq!(take(&mut rig, id).result, Ok(Done::Transferred));
}

#[test]
fn fault_07_a_disk_that_is_attached_again_at_once_after_a_resume_sends_again() {
    use xen_xenbus::control::Epoch;
    let mut rig = Rig::new(16, Options::DEFAULT, Offer::DEFAULT);
    let c = rig.control();
    c.on(Of::Of(Operation::READ), When::Always, Fault::Hang);
    let b = rig.front.buffer(4096).unwrap();
    let r = rig.submit(Request::read(Sector512(64), b));
    rig.write(0, 4096, 9).unwrap();
    c.clear();
    let now = rig.now();
    rig.front.resumed(Epoch(1), now);
    rig.reattach();
    rig.disk.crash(Loss::All);
    assert!(rig.until(Duration::from_secs(40), |rig| connected(rig) == 2), "{:?}", rig.events);
    rig.pass(Duration::from_secs(50));
    assert_eq!(take(&mut rig, r).result, Ok(Done::Transferred));
}

#[test]
fn a_disk_that_was_closed_ends_whatever_happens_meanwhile() {
    let mut rig = Rig::new(17, Options::DEFAULT, Offer::DEFAULT);
    let c = rig.control();
    c.on(Of::Of(Operation::READ), When::Always, Fault::Hang);
    let b = rig.front.buffer(4096).unwrap();
    let _ = rig.submit(Request::read(Sector512(64), b));
    rig.pass(Duration::from_millis(5));
    rig.front.close();
    rig.pass(Duration::from_millis(5));
    c.clear();
    c.on(Of::All, When::Always, Fault::Misdeed(Misdeed::Producer(100)));
    c.go_on();
    c.storm(1);
    rig.pass(Duration::from_millis(100));
    rig.machine.xenstore().remove_device(&rig.device);
    let t0 = rig.now();
    assert!(rig.until(Duration::from_secs(200), |rig| rig.front.is_ended()));
    assert!(rig.now() - t0 < Duration::from_secs(15));
}

#[test]
fn hc_071_a_call_that_blocks_ends_in_time_also_where_nobody_has_heard_of_other_stalls() {
    let patience = Duration::from_secs(1);
    let mut rig = Rig::new(18, Options { patience, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.back = None;
    let now = rig.now();
    for number in 0..100_u64 {
        let buffer = rig.front.buffer(512).unwrap();
        rig.front.submit(Request::read(Sector512(number * 64), buffer), now).unwrap();
    }
    assert_eq!(rig.front.flush(), Err(IoError::Abandoned));
    assert!(rig.now() - now < patience * 2, "it took {:?}", rig.now() - now);
    rig.pass(Duration::from_millis(10));
    assert_eq!(rig.count(|event| matches!(event, Event::Stalled(_))), 100, "the others are told of, each once");
}
