//! A peer of a typed ring that writes what it likes to the shared page: anything, anywhere, at any time.
#![cfg(not(loom))]

mod common;

use common::slots::{Answer, HEADER, Memory, Narrow, answer, ask, some};
use proptest::prelude::*;
use xen_shared_ring::{FrontRing, Notify, OnePage, PeerError, Slots};

const SIZE: u32 = 16;

#[derive(Clone, Debug)]
enum Step {
    /// The peer writes.
    Word(usize, u32),
    Push(u32),
    Publish,
    Pop,
    PopOrArm,
    Drain(usize),
}

/// Any word of the page, and often one of the first four; any value, and often one close to where the ring stands.
fn step(start: u32) -> impl Strategy<Value = (bool, Step)> {
    let place = prop_oneof![0..4_usize, 0..4_usize, 4..1024_usize];
    let value = prop_oneof![any::<u32>(), (-2..24_i32).prop_map(move |step| start.wrapping_add_signed(step))];
    let step = prop_oneof![
        (place, value).prop_map(|(place, value)| Step::Word(place, value)),
        (1..20_u32).prop_map(Step::Push),
        Just(Step::Publish),
        Just(Step::Pop),
        Just(Step::PopOrArm),
        (0..20_usize).prop_map(Step::Drain),
    ];
    (any::<bool>(), step)
}

/// How much an end took, and its first error, for ever.
#[derive(Default)]
struct Ledger {
    pushed: u32,
    taken: u32,
    error: Option<PeerError>,
}

impl Ledger {
    fn note(&mut self, answer: Result<u32, PeerError>) {
        match (answer, self.error) {
            (Ok(count), None) => self.taken += count,
            (Err(error), None) => self.error = Some(error),
            (answer, Some(error)) => assert_eq!(answer, Err(error), "broken for good"),
        }
    }
}

macro_rules! run {
    ($end:expr, $ledger:expr, $memory:expr, $step:expr, $message:expr) => {
        match $step {
            Step::Word(place, value) => $memory.set(place, value),
            Step::Push(count) => $ledger.pushed += $end.push_all((0..count).map($message)),
            Step::Publish => drop($end.publish()),
            Step::Pop => $ledger.note($end.pop().map(|message| message.is_some().into())),
            Step::PopOrArm => $ledger.note($end.pop_or_arm().map(|message| message.is_some().into())),
            Step::Drain(count) => $ledger.note($end.drain().map(|drain| drain.take(count).count() as u32)),
        }
    };
}

proptest! {
    #![proptest_config(common::proptest_config())]

    /// The peer changes any word of the page between any two calls.
    #[test]
    fn hc_012_any_page_at_any_instant(
        (start, steps) in prop_oneof![any::<u32>(), u32::MAX - 20..=u32::MAX]
            .prop_flat_map(|start| (Just(start), proptest::collection::vec(step(start), 0..60))),
    ) {
        let memory = Memory::page_at(start);
        let (mut front, mut back) = memory.ends::<Narrow, _>(Slots::new(SIZE).unwrap());
        let (mut of_front, mut of_back) = (Ledger::default(), Ledger::default());
        for (is_front, step) in steps {
            if is_front { run!(front, of_front, memory, step, ask) } else { run!(back, of_back, memory, step, answer) }
            prop_assert!(of_front.taken <= of_front.pushed, "no more responses than requests");
            prop_assert!(of_front.pushed - of_front.taken <= SIZE);
            prop_assert!(of_back.pushed <= of_back.taken && of_back.taken <= of_back.pushed + SIZE);
            prop_assert_eq!((front.violation(), back.violation()), (of_front.error, of_back.error));
        }
        memory.assert_margins_untouched();
    }
}

/// What is in a page that was never a ring, or was one until now.
#[test]
fn hc_012_a_page_of_noise() {
    for seed in 1..if cfg!(miri) { 3_u32 } else { 200 } {
        let memory = Memory::new(4096);
        let noise =
            |place: usize| (place as u32 + 1).wrapping_mul(seed.wrapping_mul(0x9e37_79b9)).rotate_left(seed % 32);
        (0..memory.len()).for_each(|place| memory.set(place, noise(place)));
        let mut front = memory.front::<Narrow, _>(OnePage);
        let mut back = memory.back::<Narrow, _>(OnePage);
        assert!(front.drain_or_arm().is_err() && back.drain_or_arm().is_err(), "no index is where it could be");
        let mut front = FrontRing::<Narrow, _>::init(memory.clone(), OnePage).unwrap();
        front.push(ask(seed)).unwrap();
        assert_eq!(front.publish(), Notify::Needed);
        let mut back = memory.back::<Narrow, _>(OnePage);
        assert_eq!(some(back.pop()), ask(seed));
        (HEADER..memory.len()).for_each(|place| memory.set(place, 0));
        back.push(answer(seed)).unwrap();
        let _ = back.publish();
        (HEADER..memory.len()).for_each(|place| memory.set(place, u32::MAX));
        assert_eq!(some(front.pop()), Answer { id: u16::MAX, status: -1 }, "the peer's bytes are the peer's");
        memory.assert_margins_untouched();
    }
}
