//! What becomes of requests that fail, are late, or are answered with what cannot be checked: cases 062 to 072 of the catalogue.

use std::time::Duration;

use xen_blkfront::{
    Discard, Done, Event, Flushed, IoError, NotDurable, Options, Persistent, Rejection, Request, Sector512, Trust,
    Unknown,
};
use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_sim::When;
use xen_sim::blkback::{DiscardOffer, Fault, Loss, Misdeed, Options as Offer, Order, Restart, Which};

use crate::common;
use crate::common::{Rig, contents};

const SECOND: Duration = Duration::from_secs(1);

const PERSISTENT: Options = Options { persistent: Persistent::IfOffered, ..Options::DEFAULT };

fn flushes(when: When, fault: Fault, rig: &Rig) {
    rig.control().on(Which::Of(Operation::FLUSH_DISKCACHE), when, fault);
}

#[test]
fn hc_062_077_what_a_backend_pretends_cannot_be_told() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Misdeed(Misdeed::Pretends));
    assert_eq!(rig.write(0, 512, 1), Ok(Done::Transferred));
    assert_eq!(rig.run(Request::discard(Sector512(0), 8, Discard::Plain)).result, Ok(Done::Discarded));
    assert_eq!(rig.on_disk(0, 1), [0]);
}

#[test]
fn hc_063_064_067_a_status_is_the_requests_and_the_disk_goes_on() {
    let statuses = [
        (-1, IoError::Failed),
        (-2, IoError::Unsupported),
        (1, IoError::Status(1)),
        (-3, IoError::Status(-3)),
        (i16::MIN, IoError::Status(i16::MIN)),
    ];
    for (status, error) in statuses {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
        rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::Status(status)));
        let buffer = rig.filled(3 * 4096, 1);
        let done = rig.run(Request::write(Sector512(0), buffer));
        assert_eq!((done.result, done.buffer.capacity()), (Err(error), 3 * 4096));
        rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::Status(status)));
        let done = rig.run(Request::read(Sector512(0), done.buffer));
        assert_eq!((done.result, done.buffer.capacity()), (Err(error), 3 * 4096));
        assert_eq!(rig.write(0, 512, 2), Ok(Done::Transferred));
        assert_eq!(rig.read(0, 512), Ok(vec![2; 512]));
        assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 0);
    }
}

#[test]
fn hc_063_a_part_that_fails_has_the_whole_request_fail_once() {
    for nth in 1..=4 {
        let mut rig = Rig::new(1, Options { segments: 11, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.control().on(Which::All, When::Nth(nth), Fault::Refuse(Status::ERROR));
        let buffer = rig.filled(40 * 4096, 1);
        let done = rig.run(Request::write(Sector512(0), buffer));
        assert_eq!((done.result, done.buffer.capacity()), (Err(IoError::Failed), 40 * 4096));
        rig.pass(SECOND / 100);
        assert!(rig.completions.is_empty() && rig.front.pending() == 0);
    }
}

#[test]
fn hc_063_merged_requests_that_fail_together_are_asked_again_one_by_one() {
    for (when, results) in [
        // The three as one; then the first, the second and the third.
        (When::Nth(1), [Ok(Done::Transferred); 3]),
        (When::Always, [Err(IoError::Failed); 3]),
        (When::Every(2), [Ok(Done::Transferred); 3]),
    ] {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
        if when == When::Every(2) {
            rig.control().on(Which::All, When::Nth(1), Fault::Refuse(Status::ERROR));
            rig.control().on(Which::All, When::Nth(3), Fault::Refuse(Status::ERROR));
        } else {
            rig.control().on(Which::All, when, Fault::Refuse(Status::ERROR));
        }
        let results = if when == When::Every(2) { [results[0], Err(IoError::Failed), results[2]] } else { results };
        let ids = [0_u64, 1, 2].map(|number| {
            let buffer = rig.filled(4096, number as u8 + 1);
            rig.front.submit(Request::write(Sector512(number * 8), buffer), rig.now()).unwrap()
        });
        rig.front.flush_notifications(rig.now());
        assert_eq!(ids.map(|id| rig.finish(id).result), results);
        assert_eq!((rig.front.statistics().merged, rig.front.statistics().sent), (2, 4));
        assert!(rig.completions.is_empty() && rig.front.pending() == 0);
    }
}

#[test]
fn hc_065_a_flush_that_is_refused_never_says_durable() {
    for offer in [Offer::DEFAULT, Offer { flush: false, ..Offer::DEFAULT }] {
        let mut rig = Rig::new(1, Options::DEFAULT, offer);
        rig.control().on(Which::All, When::Nth(2), Fault::Refuse(Status::EOPNOTSUPP));
        rig.write(0, 512, 1).unwrap();
        for _ in 0..3 {
            assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::Refused));
        }
        rig.front.accept_loss();
        assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::Refused), "to every flush of this connection");
    }
}

#[test]
fn hc_065_a_flush_that_fails_is_said_until_the_owner_knows() {
    for status in [-1, -3, 1, i16::MIN] {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
        flushes(When::Nth(1), Fault::Misdeed(Misdeed::Status(status)), &rig);
        rig.write(0, 512, 1).unwrap();
        for _ in 0..3 {
            assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::Failed(status)));
        }
        rig.front.accept_loss();
        assert_eq!(rig.flush(), Flushed::Durable);
    }
}

#[test]
fn hc_065_a_barrier_that_is_refused_is_not_asked_for_again() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Of(Operation::WRITE_BARRIER), When::Nth(1), Fault::Refuse(Status::EOPNOTSUPP));
    let buffer = rig.filled(512, 1);
    let done = rig.run(Request::write_barrier(Sector512(0), buffer));
    assert_eq!(done.result, Err(IoError::Unsupported));
    let rejected = rig.front.submit(Request::write_barrier(Sector512(0), done.buffer), rig.now()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::Unsupported { what: "write barriers" });
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn hc_065_an_empty_barrier_makes_nothing_durable() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer { flush: false, ..Offer::DEFAULT });
    rig.write(0, 512, 1).unwrap();
    assert_eq!(rig.flush(), Flushed::Unknown(Unknown::BarrierOnly));
}

#[test]
fn hc_066_a_discard_that_is_refused_is_refused_here_from_then_on() {
    let discard = Some(DiscardOffer { granularity: 4096, alignment: 0, secure: true });
    let mut rig = Rig::new(1, Options::DEFAULT, Offer { discard, ..Offer::DEFAULT });
    for (how, what) in [(Discard::Secure, "to discard securely"), (Discard::Plain, "to discard")] {
        rig.control().on(Which::Of(Operation::DISCARD), When::Nth(1), Fault::Refuse(Status::EOPNOTSUPP));
        let request = || Request::discard(Sector512(0), 8, how);
        assert_eq!(rig.run(request()).result, Err(IoError::Unsupported));
        let rejected = rig.front.submit(request(), rig.now()).unwrap_err();
        assert_eq!(rejected.reason, Rejection::Unsupported { what });
        rig.control().clear();
    }
    assert_eq!(rig.front.disk().unwrap().discard(), None);
    assert_eq!(rig.write(0, 512, 1), Ok(Done::Transferred));
}

#[test]
fn hc_068_a_read_that_was_not_made_brings_zeros() {
    for options in [Options::DEFAULT, PERSISTENT, Options { segments: 11, ..PERSISTENT }] {
        for trust in [Trust::Untrusted, Trust::Trusted] {
            let mut rig = Rig::new(1, Options { trust, ..options }, Offer::DEFAULT);
            // What was written before goes through the same pages.
            rig.write(0, 32 * 4096, 0xaa).unwrap();
            rig.control().on(Which::Of(Operation::READ), When::Always, Fault::Misdeed(Misdeed::Pretends));
            let buffer = rig.filled(32 * 4096 - 512, 0xbb);
            let done = rig.run(Request::read(Sector512(0), buffer));
            assert_eq!(done.result, Ok(Done::Transferred));
            let zeros = contents(&done.buffer).iter().all(|byte| *byte == 0);
            assert_eq!(zeros, trust == Trust::Untrusted, "{options:?}");
        }
    }
}

#[test]
fn hc_069_a_flush_is_sent_when_earlier_writes_are_answered() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Of(Operation::WRITE), When::Nth(1), Fault::Hang);
    let buffers = [1, 2].map(|fill| rig.filled(512, fill));
    let [slow, quick] = buffers.map(|buffer| rig.submit(Request::write(Sector512(buffer_at(&buffer)), buffer)));
    let flush = rig.submit(Request::flush());
    let buffer = rig.filled(512, 3);
    let later = rig.submit(Request::write(Sector512(64), buffer));
    assert!(rig.finish(quick).result.is_ok() && rig.finish(later).result.is_ok(), "they need not wait");
    rig.pass(SECOND / 10);
    assert_eq!(rig.back.as_ref().unwrap().statistics().flushes, 0);
    rig.control().go_on();
    assert!(rig.finish(slow).result.is_ok());
    assert_eq!(rig.finish(flush).result, Ok(Done::Flushed(Flushed::Durable)));
    assert_eq!(rig.back.as_ref().unwrap().statistics().flushes, 1);
    rig.disk.crash(Loss::All);
    assert_eq!((rig.on_disk(8, 1), rig.on_disk(16, 1)), (vec![1], vec![2]));
}

#[test]
fn hc_069_a_barrier_is_sent_after_earlier_writes_and_before_later_ones() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffers = [1, 2, 3].map(|fill| rig.filled(512, fill));
    let [first, barrier, later] = buffers;
    let first = rig.submit(Request::write(Sector512(0), first));
    let barrier = rig.submit(Request::write_barrier(Sector512(0), barrier));
    let later = rig.submit(Request::write(Sector512(0), later));
    for (sent, id) in [(1, first), (2, barrier), (3, later)] {
        rig.pass(SECOND / 20);
        assert_eq!(rig.back.as_ref().unwrap().statistics().requests, sent);
        rig.control().go_on();
        assert_eq!(rig.finish(id).result, Ok(Done::Transferred));
    }
    assert_eq!(rig.on_disk(0, 1), [3]);
}

/// Somewhere else for each.
fn buffer_at(buffer: &xen_blkfront::Buffer<xen_sim::Domain>) -> u64 {
    u64::from(contents(buffer)[0]) * 8
}

#[test]
fn hc_070_answers_may_come_in_any_order() {
    let latency = Duration::ZERO..Duration::from_millis(5);
    for (seed, options) in [(1, Options::DEFAULT), (2, PERSISTENT), (3, Options { queues: 4, ..Options::DEFAULT })] {
        let mut rig =
            Rig::new(seed, options, Offer { order: Order::Mixed, latency: latency.clone(), ..Offer::DEFAULT });
        let ids: Vec<_> = (0..30_u64)
            .map(|number| {
                let buffer = rig.filled(4096, number as u8);
                rig.front.submit(Request::write(Sector512(number * 16), buffer), rig.now()).unwrap()
            })
            .collect();
        rig.front.flush_notifications(rig.now());
        assert!(rig.until(SECOND, |rig| rig.completions.len() == 30));
        let order: Vec<_> = rig.completions.iter().map(|done| done.id).collect();
        assert!(order != ids && ids.iter().all(|id| order.contains(id)), "{options:?}");
        (0..30).for_each(|number| assert_eq!(rig.on_disk(number * 16, 1), [number as u8]));
    }
}

#[test]
fn hc_071_a_request_without_answer_is_told_of_and_may_be_given_up() {
    for options in [Options::DEFAULT, PERSISTENT] {
        let options = Options { patience: SECOND, depth: 4, ..options };
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        rig.control().on(Which::All, When::Nth(1), Fault::Hang);
        let began = rig.now();
        let buffer = rig.filled(4096, 1);
        let id = rig.submit(Request::write(Sector512(0), buffer));
        assert!(rig.until(SECOND * 2, |rig| rig.count(|event| matches!(event, Event::Stalled(_))) == 1));
        assert!(rig.now() - began >= SECOND);
        rig.pass(SECOND * 3);
        assert_eq!(rig.count(|event| matches!(event, Event::Stalled(_))), 1, "said once");
        let done = rig.front.abandon(id).expect("it is there");
        assert_eq!((done.result, done.buffer.capacity()), (Err(IoError::Abandoned), 0), "its page is the backend's");
        assert!(rig.front.abandon(id).is_none());
        assert_eq!(rig.front.pending(), 1, "it counts until it is answered");
        assert_eq!(rig.write(64, 512, 2), Ok(Done::Transferred));

        // Case 072: the answer comes after all.
        rig.control().go_on();
        rig.pass(SECOND / 100);
        assert_eq!((rig.front.pending(), rig.completions.len()), (0, 0));
        assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 0);
        let buffer = rig.filled(512, 3);
        let new = rig.submit(Request::write(Sector512(0), buffer));
        assert!(rig.front.abandon(id).is_none(), "that is another one's place now");
        assert_eq!(rig.finish(new).result, Ok(Done::Transferred));
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn hc_071_each_of_many_requests_that_stall_is_told_of() {
    let options = Options { patience: SECOND, ..Options::DEFAULT };
    let mut rig = Rig::new(1, options, Offer::DEFAULT);
    rig.control().hang();
    let ids: Vec<_> = (0..200_u64)
        .map(|number| {
            let buffer = rig.filled(512, 1);
            rig.front.submit(Request::write(Sector512(number * 8), buffer), rig.now()).unwrap()
        })
        .collect();
    rig.pass(SECOND * 2);
    let stalled: Vec<_> =
        rig.events.iter().filter_map(|event| if let Event::Stalled(id) = event { Some(*id) } else { None }).collect();
    assert_eq!(stalled.len(), 200);
    assert!(ids.iter().all(|id| stalled.contains(id)));
}

#[test]
fn hc_071_a_flush_that_is_given_up_while_it_waits_for_room_leaves_nothing_behind() {
    let mut rig = Rig::new(1, Options { segments: 1, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::All, When::Nth(1), Fault::Late(SECOND / 100));
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffer = rig.filled(512, 1);
    let first = rig.submit(Request::write(Sector512(0), buffer));
    let flushes = [(); 2].map(|()| rig.submit(Request::flush()));
    for number in 1..32_u64 {
        let buffer = rig.filled(512, 1);
        rig.submit(Request::write(Sector512(number * 16), buffer));
    }
    // There is room for one of the flushes then.
    assert!(rig.finish(first).result.is_ok());
    assert_eq!(rig.front.abandon(flushes[1]).map(|done| done.result), Some(Err(IoError::Abandoned)));
    let buffer = rig.filled(512, 7);
    let write = rig.submit(Request::write(Sector512(4096), buffer));
    rig.control().clear();
    rig.control().go_on();
    assert_eq!(rig.finish(write).result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(4096, 1), [7], "and not another request in its place");
    assert_eq!(rig.finish(flushes[0]).result, Ok(Done::Flushed(Flushed::Durable)));
}

#[test]
fn hc_072_a_flush_that_was_given_up_does_not_take_the_news_of_a_loss_along() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 512, 1).unwrap();
    rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::Twice));
    let _ = rig.write(8, 512, 1);
    common::hostile::heal(&mut rig);
    flushes(When::Nth(1), Fault::Hang, &rig);
    let flush = rig.submit(Request::flush());
    rig.pass(SECOND / 100);
    assert!(rig.front.abandon(flush).is_some());
    rig.control().go_on();
    rig.pass(SECOND / 100);
    assert_eq!((rig.front.pending(), rig.back.as_ref().unwrap().statistics().flushes), (0, 1));
    assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::CacheLost));
}

#[test]
fn hc_065_the_drivers_own_flush_does_not_take_the_news_of_a_loss_along() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 512, 1).unwrap();
    rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::Twice));
    let _ = rig.write(8, 512, 1);
    common::hostile::heal(&mut rig);
    // An honest restart, before which the driver flushes.
    rig.control().restart(Restart::Orderly);
    assert!(rig.until(SECOND * 20, |rig| rig.count(|event| matches!(event, Event::Connected)) == 3));
    assert_eq!(rig.back.as_ref().unwrap().statistics().flushes, 1);
    assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::CacheLost));
    assert_eq!(rig.flush(), Flushed::Durable);
}
