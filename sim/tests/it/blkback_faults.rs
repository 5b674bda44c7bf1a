//! The block backend, with faults.

use std::time::Duration;

use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::blkback::{
    Blkback, BlockOracle, Fault, Flushed, Loss, Notify, Options, Outcome, Progress, Restart, SECTOR, Which,
};
use xen_sim::{Device, When};

use crate::block;
use crate::block::{Front, Rig, SECTORS, Shape};

const WRITES: Which = Which::Of(Operation::WRITE);

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn requests_fail_by_script_and_by_chance() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    let control = rig.back.control();
    control.on(WRITES, When::Nth(2), Fault::Refuse(Status::ERROR));
    control.on(WRITES, When::Nth(3), Fault::Fail(Status::ERROR));
    let statuses: Vec<Status> = (1..5).map(|byte| front.write(&mut rig.back, u64::from(byte) * 8, byte, 1)).collect();
    assert_eq!(statuses, [Status::OKAY, Status::ERROR, Status::ERROR, Status::OKAY]);
    let first = |rig: &Rig, sector| {
        let mut bytes = [0; SECTOR];
        rig.disk.read(sector, &mut bytes);
        bytes[0]
    };
    assert_eq!([8, 16, 24, 32].map(|sector| first(&rig, sector)), [1, 0, 3, 4]);
    control.clear();
    control.on(Which::All, When::PerMille(500), Fault::Refuse(Status::ERROR));
    let failed = (0..40).filter(|_| front.read(&mut rig.back, 0, 1).is_err()).count();
    assert!((5..35).contains(&failed), "{failed}");
    control.clear();
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_flush_that_is_not_supported_loses_its_key() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    let control = rig.back.control();
    control.on(Which::Of(Operation::FLUSH_DISKCACHE), When::Nth(2), Fault::Refuse(Status::EOPNOTSUPP));
    assert_eq!(front.flush(&mut rig.back), Status::OKAY);
    assert_eq!(front.flush(&mut rig.back), Status::EOPNOTSUPP);
    assert_eq!(rig.back_key("feature-flush-cache").as_deref(), Some("0"));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_request_hangs_with_its_pages_and_goes_on() {
    let mut rig = Rig::new(3, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    let control = rig.back.control();
    control.on(WRITES, When::Nth(1), Fault::Hang);
    let grant = front.grant();
    let sent = front.send(0, Operation::WRITE, 0, std::slice::from_ref(&grant));
    rig.settle();
    assert_eq!(rig.back.unanswered(), 1);
    assert_eq!(front.write(&mut rig.back, 8, 1, 1), Status::OKAY, "the others go on");
    let grant = grant.revoke().expect_err("mapped").into_grant();
    control.hang();
    let id = front.send(0, Operation::FLUSH_DISKCACHE, 0, &[]).id;
    rig.settle();
    front.take();
    assert!(front.answers.is_empty());
    control.go_on();
    assert_eq!(front.answer(&mut rig.back, id).status, Status::OKAY);
    assert_eq!(front.answer(&mut rig.back, sent.id).status, Status::OKAY);
    front.give_back(grant);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn an_answer_comes_late() {
    let mut rig = Rig::new(4, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    rig.back.control().on(Which::All, When::Always, Fault::Late(Duration::from_secs(7)));
    let start = rig.machine.now();
    assert_eq!(front.flush(&mut rig.back), Status::OKAY);
    assert!(rig.machine.now() >= start + Duration::from_secs(7));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_without_notifications_answers_all_the_same() {
    for notify in [Notify::Never, Notify::Every(3), Notify::Always] {
        let mut rig = Rig::new(5, Options { notify, ..Options::DEFAULT });
        let mut front = rig.connect(Shape::PLAIN);
        for _ in 0..6 {
            assert_eq!(front.flush(&mut rig.back), Status::OKAY);
        }
        let expected = match notify {
            Notify::Never => 0,
            Notify::Every(_) => 2,
            _ => 6,
        };
        assert_eq!(rig.back.statistics().notifications, expected);
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_disk_is_resized_under_io() {
    let mut rig = Rig::new(6, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    let control = rig.back.control();
    control.resize(80);
    rig.settle();
    assert_eq!((rig.back_key("sectors").as_deref(), rig.state()), (Some("80"), State::CONNECTED));
    assert_eq!(front.write(&mut rig.back, 80, 1, 1), Status::ERROR);
    control.resize(SECTORS * 2);
    rig.settle();
    assert_eq!(front.write(&mut rig.back, SECTORS, 1, 1), Status::OKAY);
    rig.close(front);
}

/// Goes through a close that the backend has begun, and connects again.
fn follow(rig: &mut Rig, front: Front) -> Front {
    rig.settle();
    if rig.state() == State::CLOSING {
        rig.set_state(State::CLOSING);
    }
    rig.set_state(State::CLOSED);
    front.end();
    rig.set_state(State::INITIALISING);
    assert_eq!(rig.state(), State::INIT_WAIT);
    rig.connect(Shape::PLAIN)
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_restarts_and_offers_less() {
    let mut rig = Rig::new(7, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    let control = rig.back.control();
    for (how, segments) in [(Restart::Orderly, 64), (Restart::Abrupt, 16)] {
        control.offer(Options { indirect_segments: segments, queues: 1, flush: false, ..Options::DEFAULT });
        control.restart(how);
        front = follow(&mut rig, front);
        assert_eq!(rig.back_key("feature-max-indirect-segments"), Some(segments.to_string()));
        assert_eq!(rig.back_key("multi-queue-max-queues").as_deref(), Some("1"));
        assert_eq!(rig.back_key("feature-flush-cache").as_deref(), Some("0"));
        assert_eq!(front.write(&mut rig.back, 0, 1, 1), Status::OKAY);
        assert_eq!(front.write(&mut rig.back, 0, 1, 17), if segments > 16 { Status::OKAY } else { Status::ERROR });
    }
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn keys_say_what_a_test_wants() {
    let mut rig = Rig::new(8, Options::DEFAULT);
    let control = rig.back.control();
    control.set_key("sectors", "18446744073709551617");
    control.set_key("max-ring-page-order", b"\xff");
    control.remove_key("feature-flush-cache");
    let front = rig.connect(Shape::PLAIN);
    assert_eq!(rig.back_key("sectors").as_deref(), Some("18446744073709551617"));
    assert_eq!((rig.back_key("max-ring-page-order"), rig.back_key("feature-flush-cache")), (None, None));
    control.set_key("info", "4x");
    rig.settle();
    assert_eq!(rig.back_key("info").as_deref(), Some("4x"));
    control.honest_keys();
    control.restart(Restart::Orderly);
    let front = follow(&mut rig, front);
    assert_eq!(rig.back_key("info").as_deref(), Some("0"));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_dead_domains_disk_is_taken_over_by_another() {
    let mut rig = Rig::new(9, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    front.write(&mut rig.back, 0, 1, 1);
    front.flush(&mut rig.back);
    front.write(&mut rig.back, 0, 2, 1);
    rig.machine.destroy(&rig.host);
    assert!(!rig.back.is_alive());
    assert_eq!(rig.back.step(), Progress::Idle);
    assert_eq!(rig.disk.crash(Loss::All).sectors_lost, 8);

    let host = rig.machine.domain();
    let device = Device::new("vbd", 51712, rig.guest.id(), host.id());
    rig.machine.xenstore().remove_device(&rig.device);
    rig.machine.xenstore().plug(&device);
    rig.back = Blkback::new(&rig.machine, &host, &device, rig.disk.clone(), Options::DEFAULT);
    front.end();
    (rig.host, rig.device) = (host, device);
    let mut front = rig.connect(Shape::PLAIN);
    assert_eq!(front.read(&mut rig.back, 0, 1).unwrap()[0], 1);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_device_that_was_left_behind_is_closed_first() {
    let mut rig = Rig::new(10, Options::DEFAULT);
    let front = rig.connect(Shape::PLAIN);
    rig.back = Blkback::new(&rig.machine, &rig.host, &rig.device, rig.disk.clone(), Options::DEFAULT);
    rig.settle();
    assert_eq!(rig.state(), State::CLOSED);
    let front = follow(&mut rig, front);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_device_is_pulled_and_plugged_in_again() {
    let mut rig = Rig::new(11, Options::DEFAULT);
    for _ in 0..3 {
        let front = rig.connect(Shape::PERSISTENT);
        rig.machine.xenstore().remove_device(&rig.device);
        rig.settle();
        assert!(!rig.back.is_connected());
        front.end();
        rig.machine.xenstore().plug(&rig.device);
    }
    rig.settle();
    assert_eq!(rig.state(), State::INIT_WAIT);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_is_migrated_with_requests_on_their_way() {
    let latency = Duration::from_millis(1)..Duration::from_millis(2);
    let mut rig = Rig::new(12, Options { latency, ..Options::DEFAULT });
    rig.machine.xenstore().introduce(&rig.guest);
    let mut front = rig.connect(Shape::PERSISTENT);
    assert_eq!(front.write(&mut rig.back, 0, 1, 3), Status::OKAY);
    let grant = front.grant();
    let _ = front.send(0, Operation::READ, 0, std::slice::from_ref(&grant));
    rig.back.step();
    block::device::migrate(&rig.guest);
    drop((grant, front));
    rig.settle();
    assert_eq!(rig.state(), State::INIT_WAIT);
    assert!(!rig.back.is_connected());
    let mut front = rig.connect(Shape::PLAIN);
    assert_eq!(front.read(&mut rig.back, 0, 1).unwrap()[0], 1);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn the_oracle_is_content_with_an_honest_disk() {
    for seed in 0..20 {
        let latency = Duration::ZERO..Duration::from_micros(50);
        let mut rig = Rig::new(seed, Options { latency, ..Options::DEFAULT });
        let mut front = rig.connect(Shape::PLAIN);
        let mut oracle = BlockOracle::new(&rig.disk, 4096);
        for round in 0..40 {
            let block = (round * 7 + seed) % 5;
            let mut bytes = vec![0; 8192];
            let write = oracle.write(block, &mut bytes);
            assert_eq!(front.io(&mut rig.back, Operation::WRITE, oracle.sector(block), &mut bytes), Status::OKAY);
            oracle.ended(write, Outcome::Done);
            if round % 9 == 0 {
                let flush = oracle.flush();
                front.flush(&mut rig.back);
                oracle.flushed(flush, Flushed::Durable);
            }
            let read = oracle.read(block);
            let bytes = front.read(&mut rig.back, oracle.sector(block), 2).unwrap();
            oracle.did_read(read, &bytes).unwrap();
        }
        oracle.assert_disk();
        rig.disk.crash(Loss::Each(seed));
        oracle.cache_lost();
        oracle.assert_disk();
        rig.close(front);
    }
}
