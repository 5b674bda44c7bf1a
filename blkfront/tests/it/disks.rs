//! What a disk does with an honest backend.

use std::time::Duration;

use xen_blkfront::{Discard, Done, Flushed, IoError, Options, Persistent, Rejection, Request, Sector512, Unknown};
use xen_sim::blkback::{DiscardOffer, Loss, Options as Offer};

use crate::common::{Rig, contents};

/// Ways to lay a connection out, such that each two choices occur together; and how many bytes need more than one request there, or
/// more than one ring.
fn layouts() -> Vec<(Options, Offer, usize)> {
    let mut layouts = Vec::new();
    for (row, (queues, ring_order)) in [(1, 0), (4, 0), (1, 3), (4, 4)].into_iter().enumerate() {
        for (column, segments) in [1, 11, 32, 256].into_iter().enumerate() {
            let persistent = if (row + column) % 2 == 0 { Persistent::Never } else { Persistent::IfOffered };
            let options = Options { queues, ring_order, segments, persistent, ..Options::DEFAULT };
            layouts.push((options, Offer::DEFAULT, (segments as usize + 1).max(40) * 4096 + 512));
        }
    }
    layouts.push((Options::DEFAULT, Offer::BARE, 40 * 4096));
    layouts
}

#[test]
fn what_was_written_is_read_in_every_layout() {
    for (seed, (options, offer, many)) in (1..).zip(layouts()) {
        let mut rig = Rig::new(seed, options, offer);
        for (at, bytes) in [(0, 512), (9, 4096), (64, 45056), (8192, many)] {
            let data: Vec<u8> = (0..bytes).map(|index| (index / 13 + at as usize) as u8).collect();
            let mut buffer = rig.front.buffer(bytes).unwrap();
            assert_eq!(buffer.copy_in(0, &data), bytes);
            let done = rig.run(Request::write(Sector512(at), buffer));
            assert_eq!(done.result, Ok(Done::Transferred), "{options:?}");
            assert_eq!(rig.on_disk(at, bytes), data, "{options:?}");
            let done = rig.run(Request::read(Sector512(at), done.buffer));
            assert!(done.result.is_ok() && contents(&done.buffer) == data, "{options:?}");
        }
        assert_eq!(rig.front.disk().unwrap().queues(), options.queues.min(4));
    }
}

#[test]
fn a_disk_that_is_closed_has_given_everything_back() {
    for (seed, (options, offer, many)) in (1..).zip(layouts()) {
        let mut rig = Rig::new(seed, options, offer);
        rig.write(0, many, 1).unwrap();
        rig.read(0, many).unwrap();
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn many_requests_at_a_time_are_all_answered_once() {
    let options = Options { queues: 2, ..Options::DEFAULT };
    let mut rig = Rig::new(7, options, Offer::DEFAULT);
    let ids: Vec<_> = (0..200_u64)
        .map(|number| {
            let buffer = rig.filled(4096, number as u8);
            rig.front.submit(Request::write(Sector512(number * 16), buffer), rig.now()).unwrap()
        })
        .collect();
    rig.front.flush_notifications(rig.now());
    for id in ids {
        assert_eq!(rig.finish(id).result, Ok(Done::Transferred));
    }
    for number in 0..200_u64 {
        assert_eq!(rig.on_disk(number * 16, 4096), vec![number as u8; 4096]);
    }
    assert!(rig.completions.is_empty() && rig.front.pending() == 0);
}

#[test]
fn adjacent_requests_go_together_and_others_do_not() {
    let mut rig = Rig::new(8, Options::DEFAULT, Offer::DEFAULT);
    let ids: Vec<_> = (0..32_u64)
        .map(|number| {
            let buffer = rig.filled(4096, number as u8);
            rig.front.submit(Request::write(Sector512(number * 8), buffer), rig.now()).unwrap()
        })
        .collect();
    rig.front.flush_notifications(rig.now());
    ids.into_iter().for_each(|id| assert_eq!(rig.finish(id).result, Ok(Done::Transferred)));
    let statistics = rig.front.statistics();
    assert_eq!((statistics.sent, statistics.merged, statistics.segments), (1, 31, 32));
    assert_eq!(rig.on_disk(31 * 8, 4096), vec![31; 4096]);

    // What reads does not go along with what writes.
    let (written, read) = (rig.filled(4096, 99), rig.filled(4096, 98));
    let write = rig.front.submit(Request::write(Sector512(0), written), rig.now()).unwrap();
    let read = rig.submit(Request::read(Sector512(8), read));
    assert_eq!(contents(&rig.finish(read).buffer), vec![1; 4096]);
    assert_eq!((rig.finish(write).result, rig.front.statistics().merged), (Ok(Done::Transferred), 31));
}

#[test]
fn adjacent_requests_are_together_no_longer_than_was_agreed() {
    let mut rig = Rig::new(8, Options::DEFAULT, Offer::BARE);
    let ids: Vec<_> = (0..32_u64)
        .map(|number| {
            let buffer = rig.filled(4096, number as u8);
            rig.front.submit(Request::write(Sector512(number * 8), buffer), rig.now()).unwrap()
        })
        .collect();
    rig.front.flush_notifications(rig.now());
    ids.into_iter().for_each(|id| assert_eq!(rig.finish(id).result, Ok(Done::Transferred)));
    let statistics = rig.front.statistics();
    assert_eq!((statistics.sent, statistics.merged, statistics.segments), (3, 29, 32));
}

#[test]
fn a_flush_makes_durable_what_was_written_before() {
    let mut rig = Rig::new(9, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 4096, 1).unwrap();
    assert_eq!(rig.flush(), Flushed::Durable);
    rig.write(8, 4096, 2).unwrap();
    rig.disk.crash(Loss::All);
    assert_eq!((rig.on_disk(0, 1), rig.on_disk(8, 1)), (vec![1], vec![0]));
}

#[test]
fn a_flush_waits_for_writes_that_were_submitted_before() {
    let latency = Duration::from_millis(5)..Duration::from_millis(6);
    let mut rig = Rig::new(10, Options::DEFAULT, Offer { latency, ..Offer::DEFAULT });
    let buffer = rig.filled(4096, 1);
    let write = rig.submit(Request::write(Sector512(0), buffer));
    let flush = rig.submit(Request::flush());
    assert_eq!(rig.finish(flush).result, Ok(Done::Flushed(Flushed::Durable)));
    assert_eq!(rig.finish(write).result, Ok(Done::Transferred));
    rig.disk.crash(Loss::All);
    assert_eq!(rig.on_disk(0, 1), [1]);
}

#[test]
fn barriers_discards_and_what_is_not_offered() {
    let discard = Some(DiscardOffer { granularity: 4096, alignment: 0, secure: true });
    let mut rig = Rig::new(11, Options::DEFAULT, Offer { discard, ..Offer::DEFAULT });
    let buffer = rig.filled(100 * 4096, 3);
    assert_eq!(rig.run(Request::write_barrier(Sector512(0), buffer)).result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(799, 1), [3]);
    assert_eq!(rig.run(Request::discard(Sector512(0), 8, Discard::Plain)).result, Ok(Done::Discarded));
    assert_eq!(rig.run(Request::discard(Sector512(8), 8, Discard::Secure)).result, Ok(Done::Discarded));
    assert_eq!(rig.on_disk(0, 8192), vec![0; 8192]);

    let mut bare = Rig::new(12, Options::DEFAULT, Offer { barrier: false, ..Offer::BARE });
    let buffer = bare.filled(512, 1);
    let rejected = bare.front.submit(Request::write_barrier(Sector512(0), buffer), bare.now()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::Unsupported { what: "write barriers" });
    assert_eq!(bare.flush(), Flushed::Unknown(Unknown::NotOffered));
}

#[test]
fn calls_that_block_read_write_and_flush() {
    let mut rig = Rig::new(13, Options::DEFAULT, Offer::DEFAULT);
    let mut back = rig.back.take().unwrap();
    let Rig { machine, guest, domain, front, .. } = &mut rig;
    let outcome = machine.run(|vcpus| {
        vcpus.spawn(guest, |_| {
            let data: Vec<u8> = (0..3 << 20).map(|index: u32| (index / 5) as u8).collect();
            front.write(Sector512(24), &data).unwrap();
            assert_eq!(front.flush(), Ok(Flushed::Durable));
            let mut read = vec![0; data.len()];
            front.read(Sector512(24), &mut read).unwrap();
            assert!(read == data);
            assert!(matches!(
                front.read(Sector512(u64::MAX - 4), &mut read),
                Err(IoError::Rejected(Rejection::BeyondEnd { .. }))
            ));
        });
        vcpus.spawn(domain, move |_| back.serve(Duration::from_millis(50)));
    });
    outcome.unwrap();
}
