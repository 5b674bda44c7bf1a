//! Answers that no honest backend gives: cases 001 to 020 and 059 to 061 of the catalogue, as far as the driver is concerned.
//!
//! What must hold in each: every request that is under way ends once, with the violation; the owner hears of it; nothing is believed
//! any more, and when the backend is honest again the disk works.

use std::time::Duration;

use xen_blkfront::{Done, Event, IoError, Options, Persistent, Request, Sector512};
use xen_hypercall::abi::io::blkif::Operation;
use xen_shared_ring::PeerError;
use xen_sim::When;
use xen_sim::blkback::{Fault, Misdeed, Notify, Options as Offer, Restart, Which};

use crate::common::Rig;
use crate::common::hostile::{Scene, heal, read_a_page, read_many_pages, ring, take, word, write_a_page};

const PERSISTENT: Options = Options { persistent: Persistent::IfOffered, ..Options::DEFAULT };

/// Where the indices are in the ring's page.
const REQ_PROD: usize = 0;
const RSP_PROD: usize = 8;

#[test]
fn hc_001_to_004_an_index_beyond_what_is_outstanding_or_back_breaks_it() {
    // Two answers are there, and four requests outstanding.
    for by in [3, 30, 31, 1 << 20, i32::MIN, i32::MAX, -3] {
        for options in [Options::DEFAULT, Options { ring_order: 2, ..PERSISTENT }] {
            let (violation, _) = Scene::new(options, Misdeed::Producer(by), read_a_page).must_break();
            let moved = 2_u32.wrapping_add_signed(by);
            assert!(
                matches!(violation, PeerError::Responses { before, now, outstanding: 4 } if now.wrapping_sub(before) == moved),
                "{by}: {violation:?}"
            );
        }
    }
}

#[test]
fn hc_014_an_index_that_moves_with_nothing_outstanding_breaks_it() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::Producer(1)));
    let done = rig.write(0, 512, 1);
    assert!(matches!(done, Err(IoError::Misbehaved(PeerError::Responses { outstanding: 1, .. }))), "{done:?}");
    heal(&mut rig);
}

#[test]
fn hc_007_008_011_our_own_indices_are_never_read_back() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    for _ in 0..3 {
        rig.write(0, 512, 1).unwrap();
    }
    let before = word(&ring(&rig), REQ_PROD);
    rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::RewritesIndices));
    let buffers = [2, 3].map(|fill| rig.filled(512, fill));
    let [first, second] = buffers.map(|buffer| {
        let id = rig.submit(Request::write(Sector512(0), buffer));
        rig.pass(Duration::from_millis(2));
        id
    });
    // The backend is confused by what it has done itself; we are not.
    assert_eq!(word(&ring(&rig), REQ_PROD), before + 2, "from our own copy");
    assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 0);
    rig.control().restart(Restart::Orderly);
    assert_eq!(rig.finish(first).result, Ok(Done::Transferred));
    assert_eq!(rig.finish(second).result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(0, 1), [3]);
}

#[test]
fn hc_009_an_answer_without_an_event_is_found_within_a_second() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer { notify: Notify::Never, ..Offer::DEFAULT });
    let buffer = rig.filled(512, 3);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    while rig.front.poll(rig.now()).is_some() {}
    assert!(rig.front.prepare_to_wait(rig.now()), "there is nothing to do");
    let answered = word(&ring(&rig), RSP_PROD);
    while word(&ring(&rig), RSP_PROD) == answered {
        rig.back.as_mut().unwrap().step();
    }
    let deadline = rig.front.next_deadline().expect("somebody looks after it");
    assert!(deadline <= rig.now() + Duration::from_secs(1), "{deadline:?}");
    rig.machine.advance(deadline.saturating_sub(rig.now()));
    let Some(Event::Completed(done)) = rig.front.poll(rig.now()) else { panic!("it was not looked for") };
    assert_eq!((done.id, done.result), (id, Ok(Done::Transferred)));
}

#[test]
fn hc_012_junk_all_over_the_ring_breaks_it() {
    for (seed, options) in [(1, Options::DEFAULT), (2, Options { ring_order: 4, ..Options::DEFAULT }), (3, PERSISTENT)]
    {
        let rig = Rig::new(seed, options, Offer::DEFAULT);
        let _ = Scene::of(rig, Misdeed::Junk, read_a_page).must_break();
    }
}

#[test]
fn hc_013_a_whole_ring_of_answers_at_once_is_taken() {
    let mut rig = Rig::new(1, Options { segments: 1, ..Options::DEFAULT }, Offer::DEFAULT);
    let control = rig.control();
    control.on(Which::All, When::Always, Fault::Hang);
    let ids: Vec<_> = (0..40_u64)
        .map(|number| {
            let buffer = rig.filled(512, number as u8);
            rig.front.submit(Request::write(Sector512(number * 16), buffer), rig.now()).unwrap()
        })
        .collect();
    rig.front.flush_notifications(rig.now());
    rig.pass(Duration::from_millis(5));
    assert_eq!(rig.back.as_ref().unwrap().unanswered(), 32, "the ring is full");
    control.clear();
    control.go_on();
    ids.into_iter().for_each(|id| assert_eq!(rig.finish(id).result, Ok(Done::Transferred)));
    assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 0);
}

#[test]
fn hc_018_a_request_that_is_rewritten_in_the_ring_ends_as_what_it_was() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 40 * 4096, 5).unwrap();
    for pages in [1, 4, 40] {
        rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::RewritesRequests));
        assert_eq!(rig.read(0, pages * 4096), Ok(vec![5; pages * 4096]));
        rig.control().clear();
    }
    assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 0);
}

#[test]
fn hc_020_059_ids_are_checked_as_a_whole() {
    let misdeeds = [
        Misdeed::Id(0),
        Misdeed::Id(31),
        Misdeed::Id(32),
        Misdeed::Id(0xffff),
        Misdeed::Id(1 << 32),
        Misdeed::Id(u64::MAX),
        Misdeed::IdBits(1),
        Misdeed::IdBits(1 << 5),
        Misdeed::IdBits(1 << 16),
        Misdeed::IdBits(1 << 32),
        Misdeed::IdBits(1 << 63),
    ];
    for misdeed in misdeeds {
        for last in [read_a_page, write_a_page] {
            let (violation, _) = Scene::new(Options::DEFAULT, misdeed, last).must_break();
            let is_about_ids = matches!(
                violation,
                PeerError::IdOutOfRange { .. } | PeerError::IdNotPending { .. } | PeerError::IdStale { .. }
            );
            assert!(is_about_ids, "{misdeed:?}: {violation:?}");
        }
    }
}

#[test]
fn hc_060_a_second_answer_breaks_it() {
    for (misdeed, last) in [(Misdeed::Twice, read_a_page as fn(&_) -> _), (Misdeed::Unpublished, read_many_pages)] {
        // Who lies is not trusted with a journal either.
        for options in [Options::DEFAULT, PERSISTENT, Options { journal: 1 << 20, ..Options::DEFAULT }] {
            let (violation, last) = Scene::new(options, misdeed, last).must_break();
            assert!(matches!(violation, PeerError::IdNotPending { .. } | PeerError::IdStale { .. }), "{violation:?}");
            assert_eq!(last.result, Ok(Done::Transferred), "its first answer was honest");
        }
    }
}

#[test]
fn hc_060_a_part_that_is_answered_twice_does_not_stand_for_another() {
    let mut rig = Rig::new(1, Options { segments: 11, ..Options::DEFAULT }, Offer::DEFAULT);
    let control = rig.control();
    control.on(Which::All, When::Nth(1), Fault::Hang);
    control.on(Which::All, When::Nth(3), Fault::Misdeed(Misdeed::Twice));
    let buffer = rig.filled(33 * 4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    assert!(rig.until(Duration::from_secs(1), |rig| !rig.completions.is_empty()));
    let done = take(&mut rig, id);
    assert!(matches!(done.result, Err(IoError::Misbehaved(PeerError::IdNotPending { .. }))), "{done:?}");
    assert!(rig.completions.is_empty());
    heal(&mut rig);
}

#[test]
fn hc_061_an_answer_to_another_operation_breaks_it() {
    let misdeeds = [
        (Misdeed::Operation(Operation::WRITE), read_a_page as fn(&_) -> _, Operation::WRITE),
        (Misdeed::Operation(Operation::READ), write_a_page, Operation::READ),
        (Misdeed::Operation(Operation::DISCARD), read_a_page, Operation::DISCARD),
        (Misdeed::Operation(Operation(255)), read_a_page, Operation(255)),
        (Misdeed::Operation(Operation::INDIRECT), read_a_page, Operation::INDIRECT),
        (Misdeed::EchoIndirect, read_many_pages, Operation::INDIRECT),
    ];
    for (misdeed, last, operation) in misdeeds {
        for options in [Options::DEFAULT, PERSISTENT] {
            let (violation, last) = Scene::new(options, misdeed, last).must_break();
            assert_eq!(violation, PeerError::Message { rule: "operation", value: operation.0.into() });
            assert_eq!(last.result, Err(IoError::Misbehaved(violation)));
        }
    }
}

#[test]
fn an_honest_scene_goes_on() {
    for options in [Options::DEFAULT, PERSISTENT] {
        Scene::new(options, Misdeed::Status(0), read_many_pages).must_go_on();
    }
}
