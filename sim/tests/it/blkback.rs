//! The block backend, honest.

use std::time::Duration;

use xen_hypercall::abi::io::blkif::{DiscardFlags, DiskInfo, Operation, Request, Segment, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::blkback::{DiscardOffer, Loss, Notify, Options, Order, Progress, SECTOR};

use crate::block;
use crate::block::{Front, Rig, SECTORS, Shape};

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_reads_what_it_wrote() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    rig.settle();
    assert_eq!(rig.state(), State::INIT_WAIT);
    assert_eq!(rig.back_key("max-ring-page-order").as_deref(), Some("4"));
    assert_eq!(rig.back_key("sectors"), None);
    let before = rig.machine.checkpoint();
    let mut front = rig.connect(Shape::PLAIN);
    for (key, value) in [("sectors", "1048576"), ("sector-size", "512"), ("info", "0"), ("feature-flush-cache", "1")] {
        assert_eq!(rig.back_key(key).as_deref(), Some(value));
    }
    let mut bytes: Vec<u8> = (0..8192).map(|index| (index / 7) as u8).collect();
    assert_eq!(front.io(&mut rig.back, Operation::WRITE, 8, &mut bytes), Status::OKAY);
    assert_eq!(front.read(&mut rig.back, 8, 2).unwrap(), bytes);
    let mut part = [0; SECTOR];
    rig.disk.read(9, &mut part);
    assert_eq!(part, bytes[SECTOR..2 * SECTOR]);
    let statistics = rig.back.statistics();
    assert_eq!((statistics.mapped, statistics.unmapped, statistics.segments), (4, 4, 4));
    rig.close(front);
    rig.settle();
    rig.machine.assert_no_leaks_since(&before);
}

#[test]
fn parts_of_a_page() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    rig.disk.write(100, &[7; 3 * SECTOR]);
    let grant = front.grant();
    let mut request =
        Request { operation: Operation::READ, nr_segments: 1, id: 9, sector_number: 100, ..Request::default() };
    request.seg[0] = Segment { gref: grant.gref(), first_sect: 2, last_sect: 4, ..Segment::default() };
    front.push(0, request);
    front.publish(0);
    assert_eq!(front.answer(&mut rig.back, 9).status, Status::OKAY);
    let page = grant.revoke().unwrap();
    let expected: Vec<u8> = [[0; 2 * SECTOR].as_slice(), &[7; 3 * SECTOR], &[0; 3 * SECTOR]].concat();
    assert_eq!(page.bytes()[..], expected);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn many_segments_and_many_queues() {
    let mut rig = Rig::new(3, Options { indirect_segments: 4096, ..Options::DEFAULT });
    let mut front = rig.connect(Shape { queues: 3, order: Some(2), persistent: false });
    assert_eq!(rig.back.queues(), 3);
    assert_eq!(front.write(&mut rig.back, 0, 5, 60), Status::OKAY);
    assert!(front.read(&mut rig.back, 0, 60).unwrap().iter().all(|byte| *byte == 5));
    assert_eq!(rig.back.statistics().indirect, 2);
    for queue in 0..3 {
        let grant = front.grant();
        let sent = front.send(queue, Operation::READ, 0, std::slice::from_ref(&grant));
        assert_eq!(front.answer(&mut rig.back, sent.id).status, Status::OKAY);
        front.give_back(grant);
    }
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn persistent_pages_stay_mapped_and_are_purged() {
    let options = Options { persistent_pages: 40, ..Options::DEFAULT };
    let mut rig = Rig::new(4, options);
    let mut front = rig.connect(Shape::PERSISTENT);
    for round in 0..5 {
        assert_eq!(front.write(&mut rig.back, 0, round, 10), Status::OKAY);
        assert_eq!(front.read(&mut rig.back, 0, 10).unwrap(), vec![round; 40960]);
    }
    assert_eq!((rig.back.statistics().mapped, rig.back.statistics().kept), (10, 10));
    // More than are kept: the rest is unmapped before the answer, though it stays granted.
    assert_eq!(front.write(&mut rig.back, 0, 1, 60), Status::OKAY);
    assert_eq!(rig.back.statistics().kept, 40);
    rig.machine.advance(Duration::from_secs(61));
    rig.back.step();
    assert_eq!(front.write(&mut rig.back, 0, 1, 1), Status::OKAY);
    assert!(rig.back.statistics().kept <= 1);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn requests_are_checked_as_linux_does() {
    let options = Options { sector_size: 4096, ..Options::DEFAULT };
    let mut rig = Rig::new(5, options);
    let mut front = rig.connect(Shape::PLAIN);
    let grant = front.grant();
    let segment =
        |first, last| Segment { gref: grant.gref(), first_sect: first, last_sect: last, ..Segment::default() };
    let mut ask = |rig: &mut Rig, operation, count, sector, segment| {
        let id = front.id();
        let request = Request {
            operation,
            nr_segments: count,
            id,
            sector_number: sector,
            seg: [segment; 11],
            ..Request::default()
        };
        front.push(0, request);
        front.publish(0);
        front.answer(&mut rig.back, id).status
    };
    let (read, whole) = (Operation::READ, segment(0, 7));
    assert_eq!(ask(&mut rig, read, 1, 0, whole), Status::OKAY);
    assert_eq!(ask(&mut rig, read, 0, 0, whole), Status::ERROR);
    assert_eq!(ask(&mut rig, read, 12, 0, whole), Status::ERROR);
    assert_eq!(ask(&mut rig, read, 1, 0, segment(0, 8)), Status::ERROR);
    assert_eq!(ask(&mut rig, read, 1, 0, segment(5, 4)), Status::ERROR);
    assert_eq!(ask(&mut rig, read, 1, 0, segment(0, 3)), Status::ERROR, "misaligned");
    assert_eq!(ask(&mut rig, read, 1, SECTORS - 8, whole), Status::OKAY);
    assert_eq!(ask(&mut rig, read, 2, SECTORS - 8, whole), Status::ERROR);
    assert_eq!(ask(&mut rig, read, 1, u64::MAX - 7, whole), Status::ERROR);
    assert_eq!(ask(&mut rig, Operation::RESERVED_1, 1, 0, whole), Status::EOPNOTSUPP);
    assert_eq!(ask(&mut rig, Operation(77), 1, 0, whole), Status::EOPNOTSUPP);
    let nobodys = Segment { gref: xen_hypercall::abi::GrantRef(400), ..whole };
    assert_eq!(ask(&mut rig, read, 1, 0, nobodys), Status::ERROR);
    front.give_back(grant);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_read_only_disk_refuses_writes() {
    let mut rig = Rig::new(6, Options { info: DiskInfo::READONLY, ..Options::DEFAULT });
    let mut front = rig.connect(Shape::PLAIN);
    assert_eq!(rig.back_key("info").as_deref(), Some("4"));
    assert_eq!(front.write(&mut rig.back, 0, 1, 1), Status::ERROR);
    assert_eq!(front.flush(&mut rig.back), Status::ERROR);
    assert!(front.read(&mut rig.back, 0, 1).is_ok());
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn flushes_barriers_and_discards() {
    let discard = Some(DiscardOffer { granularity: 512, alignment: 0, secure: true });
    let mut rig = Rig::new(7, Options { discard, ..Options::DEFAULT });
    let mut front = rig.connect(Shape::PLAIN);
    front.write(&mut rig.back, 0, 1, 1);
    assert_eq!(front.flush(&mut rig.back), Status::OKAY);
    front.write(&mut rig.back, 0, 2, 1);
    assert_eq!(rig.disk.unflushed(), 1);
    rig.disk.crash(Loss::All);
    assert_eq!(front.read(&mut rig.back, 0, 1).unwrap()[0], 1);
    assert_eq!(front.io(&mut rig.back, Operation::WRITE_BARRIER, 0, &mut [3; 4096]), Status::OKAY);
    rig.disk.crash(Loss::All);
    assert_eq!(front.read(&mut rig.back, 0, 1).unwrap()[0], 3);
    assert_eq!(front.discard(&mut rig.back, 0, 8, DiscardFlags::SECURE), Status::OKAY);
    assert_eq!(front.read(&mut rig.back, 0, 1).unwrap()[0], 0);
    assert_eq!(front.discard(&mut rig.back, SECTORS, 1, DiscardFlags::empty()), Status::ERROR);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn what_is_not_offered_is_not_supported() {
    let mut rig = Rig::new(8, Options { barrier: false, ..Options::BARE });
    let mut front = rig.connect(Shape::PLAIN);
    assert_eq!(rig.back_key("feature-max-indirect-segments"), None);
    assert_eq!(front.flush(&mut rig.back), Status::EOPNOTSUPP);
    assert_eq!(front.discard(&mut rig.back, 0, 8, DiscardFlags::empty()), Status::EOPNOTSUPP);
    assert_eq!(front.io(&mut rig.back, Operation::WRITE_BARRIER, 0, &mut [3; 4096]), Status::EOPNOTSUPP);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn answers_out_of_order_and_late() {
    let latency = Duration::from_micros(10)..Duration::from_millis(5);
    for order in [Order::Kept, Order::Mixed, Order::Bursts(4)] {
        let mut rig =
            Rig::new(9, Options { latency: latency.clone(), order, notify: Notify::EachAnswer, ..Options::DEFAULT });
        let mut front = rig.connect(Shape::PLAIN);
        let grants: Vec<_> = (0..20).map(|_| front.grant()).collect();
        let sent: Vec<u64> =
            grants.iter().map(|grant| front.send(0, Operation::WRITE, 0, std::slice::from_ref(grant)).id).collect();
        assert_eq!(rig.back.step(), Progress::Worked);
        assert_eq!(rig.back.unanswered(), 20);
        assert!(matches!(rig.back.step(), Progress::Until(_)));
        for id in sent {
            assert_eq!(front.answer(&mut rig.back, id).status, Status::OKAY);
        }
        grants.into_iter().for_each(|grant| front.give_back(grant));
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_reconnects_as_often_as_it_likes() {
    let mut rig = Rig::new(10, Options::DEFAULT);
    rig.settle();
    let before = rig.machine.checkpoint();
    for round in 0..5 {
        let mut front: Front = rig.connect(if round % 2 == 0 { Shape::PERSISTENT } else { Shape::PLAIN });
        assert_eq!(front.write(&mut rig.back, 0, round, 1), Status::OKAY);
        rig.close(front);
        rig.set_state(State::INITIALISING);
        assert_eq!(rig.state(), State::INIT_WAIT);
    }
    rig.machine.assert_no_leaks_since(&before);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn an_unplugged_device_is_removed() {
    let mut rig = Rig::new(11, Options::DEFAULT);
    let front = rig.connect(Shape::PLAIN);
    rig.machine.xenstore().unplug(&rig.device);
    rig.settle();
    assert_eq!(rig.state(), State::CLOSING);
    rig.set_state(State::CLOSING);
    rig.set_state(State::CLOSED);
    assert_eq!(rig.back_key("state"), None);
    front.end();
    rig.machine.xenstore().plug(&rig.device);
    let front = rig.connect(Shape::PLAIN);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_that_asks_for_too_much_is_refused() {
    let mut rig = Rig::new(12, Options { queues: 1, ..Options::DEFAULT });
    rig.settle();
    rig.write("multi-queue-num-queues", 2);
    rig.set_state(State::INITIALISED);
    assert_eq!(rig.state(), State::CLOSING);
    assert!(rig.back.last_error().unwrap().contains("exceeding the maximum of 1"));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_that_does_not_signal_gets_no_answer() {
    let mut rig = Rig::new(13, Options::DEFAULT);
    let mut front = rig.connect(Shape::PLAIN);
    front.push(0, Request { operation: Operation::FLUSH_DISKCACHE, id: 3, ..Request::default() });
    let _ = front.queues[0].ring.publish();
    rig.settle();
    front.take();
    assert!(front.answers.is_empty());
    front.queues[0].channel.notify().unwrap();
    assert_eq!(front.answer(&mut rig.back, 3).status, Status::OKAY);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_serves_in_a_run() {
    let mut rig = Rig::new(14, Options { latency: Duration::ZERO..Duration::from_micros(300), ..Options::DEFAULT });
    let mut front = rig.connect(Shape::PLAIN);
    let Rig { machine, guest, host, back, .. } = &mut rig;
    machine
        .run(|vcpus| {
            vcpus.spawn(guest, |guest| {
                for _ in 0..10 {
                    let (id, seen) = (front.id(), front.queues[0].channel.count());
                    front.push(0, Request { operation: Operation::FLUSH_DISKCACHE, id, ..Request::default() });
                    front.publish(0);
                    let deadline = guest.now() + block::SECOND;
                    let _ = front.queues[0].channel.wait_poll(seen, deadline, || guest.now()).unwrap();
                    front.take();
                    assert!(front.answers.remove(&id).is_some());
                }
            });
            vcpus.spawn(host, |_| back.serve(block::SECOND));
        })
        .unwrap();
    assert_eq!(rig.back.statistics().flushes, 10);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn answers_that_are_due_together_come_in_the_order_that_was_asked_for() {
    for order in [Order::Kept, Order::Mixed] {
        let late = Duration::from_millis(1);
        let mut rig = Rig::new(15, Options { latency: late..late, order, ..Options::DEFAULT });
        let mut front = rig.connect(Shape::PLAIN);
        let sent: Vec<u64> = (0..20).map(|_| front.send(0, Operation::FLUSH_DISKCACHE, 0, &[]).id).collect();
        rig.back.step();
        rig.machine.advance(2 * late);
        rig.back.step();
        assert_eq!(rig.back.unanswered(), 0, "all at once");
        let mut answered = Vec::new();
        while let Some(response) = front.queues[0].ring.pop_or_arm().unwrap() {
            answered.push(response.into_unverified().id);
        }
        assert_eq!(answered == sent, order == Order::Kept);
        answered.sort_unstable();
        assert_eq!(answered, sent);
        rig.close(front);
    }
}
