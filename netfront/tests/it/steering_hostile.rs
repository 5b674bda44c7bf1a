//! Answers on the control ring that no honest backend gives, and none: the cases of the catalogue that are about any ring. Packets come
//! and go nonetheless.

use xen_grant_table::{GrantTable, Memory as _, ReadMapping};
use xen_hypercall::abi::Port;
use xen_netfront::{CtrlStatus, CtrlType, Dropped, Event, Offer as Yes, Options, Steering, Unsteered};
use xen_sim::netback::{Fault, Misdeed, Options as Offer, Packet, Restart, Which};
use xen_sim::{Access, EventFault, When};
use xen_xenbus::bus::Driver;

use crate::common::{Rig, SECOND, packet};
use crate::perils::MS;
use crate::steering::{ALL, STEERED, TOLD, TYPES, answers_end_waits, coming, key, outcomes, to};

/// The answer to one of the requests is a misdeed.
fn told(nth: u64, misdeed: Misdeed) -> Rig {
    let mut rig = Rig::new(1, STEERED, Offer::DEFAULT);
    rig.misdeed(Which::Control, nth, misdeed);
    rig.front.steer(to([1, 2, 3])).unwrap();
    rig
}

/// Refuses one of the requests; where that is not the end, what came of it.
fn refused(nth: u64, status: i16) -> Unsteered {
    let mut rig = told(nth, Misdeed::Status(status));
    rig.pass(TOLD);
    let [Err(why)] = outcomes(&rig)[..] else { panic!("{:?}", rig.events) };
    rig.assert_works();
    // All that is said later is told.
    rig.front.steer(to([1])).unwrap();
    rig.pass(TOLD);
    assert_eq!(outcomes(&rig), [Err(why), Ok(TYPES)]);
    assert_eq!(rig.count(|event| *event == Event::Disconnected), 0);
    why
}

#[test]
fn hc_001_to_004_an_index_beyond_what_is_outstanding_or_back_breaks_it() {
    for nth in [1, 7] {
        for by in [2, 40, 1 << 20, i32::MIN, i32::MAX, -4] {
            told(nth, Misdeed::Producer(by)).must_break("were outstanding");
        }
    }
}

#[test]
fn hc_012_hc_018_what_is_ours_is_never_read_back() {
    let mut rig = told(2, Misdeed::RewritesRequests);
    rig.pass(TOLD);
    assert_eq!(outcomes(&rig), [Ok(TYPES)]);
    told(7, Misdeed::Junk).must_break("were outstanding");
}

#[test]
fn hc_014_an_index_that_moves_with_nothing_outstanding_breaks_it() {
    told(7, Misdeed::Producer(1)).must_break("were outstanding");
}

#[test]
fn hc_023_hc_024_an_answer_to_something_else_breaks_it() {
    for nth in [1, 7] {
        for id in [77, 255, 256, u16::MAX] {
            told(nth, Misdeed::Id(id)).must_break("wrong id");
        }
        for kind in [0, 1, 10, 11, u16::MAX] {
            // The seven are all others, but for the ones that are asked first and last: 4 and 2.
            told(nth, Misdeed::Kind(kind)).must_break("wrong type");
        }
    }
}

#[test]
fn hc_025_hc_026_an_answer_that_comes_twice_or_early_breaks_it() {
    [1, 7].into_iter().for_each(|nth| told(nth, Misdeed::Twice).must_break("were outstanding"));
    told(7, Misdeed::Unpublished).must_break("were outstanding");
}

#[test]
fn hc_027_hc_030_a_request_may_be_refused_in_any_way() {
    let requests = [
        CtrlType::GET_HASH_MAPPING_SIZE,
        CtrlType::SET_HASH_KEY,
        CtrlType::SET_HASH_MAPPING_SIZE,
        CtrlType::SET_HASH_MAPPING,
        CtrlType::SET_HASH_ALGORITHM,
        CtrlType::GET_HASH_FLAGS,
        CtrlType::SET_HASH_FLAGS,
    ];
    for (nth, request) in (1..).zip(requests) {
        for status in [1, 2, 3, 4, -1, i16::MIN, i16::MAX] {
            let expected = Unsteered::Refused { request, status: CtrlStatus(status as u32) };
            assert_eq!(refused(nth, status), expected);
        }
    }
}

#[test]
fn hc_033_a_backend_that_does_not_answer_is_told_of_and_the_rest_when_it_does() {
    for nth in [1, 4, 7] {
        let mut rig = Rig::new(2, Options { patience: SECOND * 3, ..STEERED }, Offer::DEFAULT);
        rig.control().on(Which::Control, When::Nth(nth), Fault::Hang);
        rig.front.steer(to([1])).unwrap();
        rig.pass(SECOND * 2);
        assert_eq!(outcomes(&rig), []);
        rig.pass(SECOND * 60);
        assert_eq!(outcomes(&rig), [Err(Unsteered::Unanswered)], "once");
        rig.assert_works();
        // With another word, it is told of once more.
        rig.front.steer(Steering { types: ALL, ..to([2]) }).unwrap();
        rig.pass(SECOND * 4);
        assert_eq!(outcomes(&rig), [Err(Unsteered::Unanswered); 2]);
        rig.control().go_on();
        rig.pass(TOLD);
        assert_eq!(outcomes(&rig)[2..], [Ok(ALL)]);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn hc_033_a_backend_that_never_answers_is_replaced_by_one_that_does() {
    let mut rig = told(1, Misdeed::Silent);
    rig.pass(SECOND * 20);
    assert_eq!(outcomes(&rig), [Err(Unsteered::Unanswered)]);
    rig.control().restart(Restart::Abrupt);
    rig.connected(2, SECOND * 20);
    rig.pass(TOLD);
    assert_eq!(outcomes(&rig)[1..], [Ok(TYPES)]);
    // An interface is closed without waiting for it.
    rig.misdeed(Which::Control, 1, Misdeed::Silent);
    rig.front.steer(to([2])).unwrap();
    rig.pass(TOLD);
    let start = rig.now();
    rig.close();
    assert!(rig.now() - start < SECOND, "{:?}", rig.now() - start);
    rig.assert_given_back();
}

/// What a backend was not asked for it does not give.
#[test]
fn hc_047_hashes_that_were_not_agreed_upon_are_dropped() {
    let extra = |rig: &mut Rig| {
        rig.misdeed(Which::Receive, 1, Misdeed::Extra(4));
        rig.port.send(Packet::new(packet(100, 1)));
        rig.pass(TOLD);
        rig.front.statistics().received.dropped(Dropped::ExtraUnnegotiated)
    };
    for options in [STEERED, Options { control_ring: Yes::No, ..STEERED }] {
        let mut rig = Rig::new(3, options, Offer::DEFAULT);
        assert_eq!(extra(&mut rig), 1);
        // It refuses the one before it would be asked for hashes.
        rig.misdeed(Which::Control, 6, Misdeed::Status(1));
        rig.front.steer(to([1])).unwrap();
        assert_eq!(extra(&mut rig), 2);
        rig.assert_works();
    }
    // The one that it makes up is of TCP over IPv4.
    for (types, drops) in [(TYPES, 0), (ALL - TYPES, 1)] {
        let mut rig = Rig::new(4, STEERED, Offer::DEFAULT);
        rig.front.steer(Steering { types, ..to([1]) }).unwrap();
        rig.pass(TOLD);
        assert_eq!(extra(&mut rig), drops);
        // For the next one that is to be agreed upon again.
        rig.front.steer(Steering::default()).unwrap();
        rig.pass(TOLD);
        rig.control().restart(Restart::Abrupt);
        rig.connected(2, SECOND * 20);
        assert_eq!(extra(&mut rig), drops + 1);
    }
}

#[test]
fn hc_090_hc_092_events_for_nothing_and_none_at_all() {
    let mut rig = Rig::new(5, STEERED, Offer::DEFAULT);
    let port = Port(rig.front_number("event-channel-ctrl"));
    let events = |rig: &Rig| Driver::waits(&rig.front).find(|(channel, _)| channel.port() == port).unwrap().0.count();
    // The first ones are heeded, and what is too much is held off.
    for (rounds, more) in [(3, 3), (100, 2)] {
        let before = events(&rig);
        for _ in 0..rounds {
            rig.machine.spurious_event(&rig.guest, port);
            assert!(rig.front.prepare_to_wait(rig.now()));
        }
        assert_eq!(events(&rig), before + more);
    }
    let (end, mut wakes) = (rig.now() + SECOND * 10, 0);
    while rig.now() < end && wakes < 1000 {
        rig.machine.spurious_event(&rig.guest, port);
        while rig.front.poll(rig.store.now()).is_some() {}
        rig.front.wait(end).unwrap();
        wakes += 1;
    }
    assert!(wakes < 100, "{wakes}");
    // When it is over, they are heeded again.
    rig.pass(SECOND * 5);
    answers_end_waits(&mut rig);
    // Those that get lost, on either side, are made up for.
    for domain in [rig.guest.clone(), rig.domain.clone()] {
        let had = outcomes(&rig).len();
        rig.machine.faults().disturb_events(&domain, When::Always, EventFault::Lose);
        rig.front.steer(to([1])).unwrap();
        let _ = rig.until(SECOND * 9, |rig| outcomes(rig).len() > had);
        rig.machine.faults().clear();
        let _ = rig.until(SECOND * 9, |rig| outcomes(rig).len() > had);
        assert_eq!(outcomes(&rig)[had..], [Ok(TYPES)]);
    }
}

/// Nobody comes back at once, again and again, for what cannot be changed.
#[test]
fn hc_033_waiting_for_an_answer_costs_no_processor() {
    let mut rig = told(1, Misdeed::Silent);
    let (start, mut wakes, mut heard) = (rig.now(), 0, vec![]);
    let end = start + SECOND * 30;
    while rig.now() < end && wakes < 1000 {
        for event in std::iter::from_fn(|| rig.front.poll(rig.store.now())).take(10) {
            heard.extend(matches!(event, Event::Steering(_)).then(|| rig.store.now() - start));
        }
        rig.steps(1);
        rig.front.wait(end).unwrap();
        wakes += 1;
    }
    assert!(wakes < 100, "{wakes}");
    // In time, and once.
    let patience = STEERED.patience;
    assert!(matches!(heard[..], [time] if time >= patience && time < patience + MS), "{heard:?}");
}

#[test]
fn hc_079_hc_164_hc_168_the_backend_reads_what_it_is_told_and_zeros_and_can_keep_that() {
    let options = Options { transmit_pages: 18, receive_pages: 32, queues: 1, ..STEERED };
    let mut rig = Rig::new(6, options, Offer::DEFAULT);
    let rings = ["tx-ring-ref", "rx-ring-ref", "ctrl-ring-ref"].map(|key| rig.front_number(key));
    let table = |rig: &Rig| {
        let mut pages = rig.machine.readable_by(&rig.domain);
        pages.retain(|page| page.access == Access::ReadOnly && page.bytes.iter().any(|byte| *byte != 0));
        pages
    };
    assert_eq!(table(&rig).len(), 0);
    let writable = |rig: &Rig| {
        let mut grefs: Vec<_> =
            rig.machine.readable_by(&rig.domain).into_iter().map(|page| (page.gref, page.access)).collect();
        grefs.sort_unstable_by_key(|(gref, _)| gref.0);
        grefs.dedup();
        grefs.iter().filter(|(_, access)| *access == Access::ReadWrite).count()
    };
    assert_eq!(writable(&rig), 32 + rings.len());
    rig.control().on(Which::Control, When::Nth(2), Fault::Hang);
    rig.front.steer(Steering { mapping: vec![], ..to([]) }).unwrap();
    rig.pass(TOLD);
    let pages = table(&rig);
    assert_eq!((&pages[0].bytes[..40], pages[0].bytes[40..].iter().any(|byte| *byte != 0)), (&key()[..], false));
    rig.control().go_on();
    rig.front.steer(Steering { key: vec![9], ..to([7, 7]) }).unwrap();
    rig.pass(TOLD);
    assert_eq!(outcomes(&rig).last(), Some(&Ok(TYPES)));
    // One queue: all numbers are 0, and nothing of the key is left.
    assert_eq!(table(&rig).len(), 0, "{:?}", coming(&mut rig, [packet(60, 1)]));
    let kept = ReadMapping::map(rig.domain.clone(), rig.guest.id(), &[pages[0].gref]).unwrap();
    rig.close();
    rig.machine.settle();
    let _ = GrantTable::reap(&rig.guest, u32::MAX);
    assert_eq!(rig.guest.grant_table().statistics().quarantined, 1);
    drop(kept);
    rig.assert_given_back();
}
