//! Random work of two honest ends of a typed ring, compared with two queues.
#![cfg(not(loom))]

mod common;

use std::collections::VecDeque;
use std::num::NonZeroU32;

use common::slots::{Answer, Ask, Memory, Narrow, answer, ask};
use proptest::prelude::*;
use xen_shared_ring::{Notify, Slots, Untrusted};

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u32),
    PushAll(u32),
    Publish,
    Pop,
    PopOrArm(u32),
    Drain(usize),
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let step = prop_oneof![
        (1..4_u32).prop_map(Step::Push),
        (0..12_u32).prop_map(Step::PushAll),
        Just(Step::Publish),
        Just(Step::Pop),
        (1..12_u32).prop_map(Step::PopOrArm),
        (0..12_usize).prop_map(Step::Drain),
    ];
    (any::<bool>(), step)
}

/// One direction as a queue, with positions that never wrap.
#[derive(Default)]
struct Queue {
    hidden: VecDeque<u32>,
    shown: VecDeque<u32>,
    /// How many were ever published, and taken.
    published: u64,
    taken: u64,
    /// The position at which the taker wants to be woken; at first the header's.
    event: u64,
}

impl Queue {
    fn publish(&mut self) -> Notify {
        let old = self.published;
        self.published += self.hidden.len() as u64;
        self.shown.append(&mut self.hidden);
        if old < self.event && self.event <= self.published { Notify::Needed } else { Notify::NotNeeded }
    }

    fn take(&mut self) -> Option<u32> {
        let next = self.shown.pop_front()?;
        self.taken += 1;
        Some(next)
    }
}

proptest! {
    #![proptest_config(common::proptest_config())]

    /// Both directions do what bounded queues do, and wake as such would.
    #[test]
    fn agrees_with_two_queues(
        start in prop_oneof![any::<u32>(), u32::MAX - 20..=u32::MAX],
        order in 0..4_u32,
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let (size, memory) = (1_usize << order, Memory::page_at(start));
        let (mut front, mut back) = memory.ends::<Narrow, _>(Slots::new(1 << order).unwrap());
        let (mut requests, mut responses) = (Queue { event: 1, ..Queue::default() }, Queue { event: 1, ..Queue::default() });
        let mut sent = 0;
        macro_rules! run {
            ($end:ident, $step:ident, $out:ident, $in:ident, $message:ident, $number:expr, $room:expr, $can_come:expr) => {{
                let room = $room;
                let numbers = |count: u32| sent..sent + count.min(room as u32);
                match $step {
                    Step::Push(_) if room == 0 => prop_assert!($end.push($message(sent)).is_err()),
                    Step::Push(count) => for n in numbers(count) {
                        $end.push($message(n)).unwrap();
                        $out.hidden.push_back(n);
                    },
                    Step::PushAll(count) => {
                        $out.hidden.extend(numbers(count));
                        prop_assert_eq!($end.push_all((sent..sent + count).map($message)), numbers(count).len() as u32);
                    }
                    Step::Publish => prop_assert_eq!($end.publish(), $out.publish()),
                    Step::Pop => prop_assert_eq!($end.pop().unwrap().map($number), $in.take()),
                    Step::PopOrArm(count) => {
                        let can_come: u64 = $can_come;
                        let expected = $in.take();
                        if expected.is_none() {
                            $in.event = $in.taken + u64::from(count).min(can_come).max(1);
                        }
                        let got = $end.pop_or_arm_for(NonZeroU32::new(count).unwrap()).unwrap();
                        prop_assert_eq!(got.map($number), expected);
                    }
                    Step::Drain(count) => for message in $end.drain().unwrap().take(count) {
                        prop_assert_eq!(Some(($number)(message)), $in.take());
                    },
                }
                sent += 12;
                prop_assert_eq!($end.unpublished() as usize, $out.hidden.len());
            }};
        }
        for (is_front, step) in steps {
            // Over unbounded positions: pushed by one end, minus taken by it of the other direction.
            let unanswered = (requests.published + requests.hidden.len() as u64 - responses.taken) as usize;
            let unserved = (requests.taken - responses.published) as usize - responses.hidden.len();
            if is_front {
                run!(front, step, requests, responses, ask, |answer: Untrusted<Answer>| u32::from(answer.into_unverified().id),
                    size - unanswered, requests.published - responses.taken);
            } else {
                run!(back, step, responses, requests, answer, |ask: Untrusted<Ask>| u32::from(ask.into_unverified().id),
                    unserved, responses.published + size as u64 - requests.taken);
            }
        }
        memory.assert_margins_untouched();
    }
}
