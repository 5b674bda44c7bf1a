//! A backend that does at random what it should not, in all layouts: what must hold whatever it does.
//!
//! No panic and no violation of Xen's rules; each request ends once; when the disk is closed nothing is left behind; and at no look the
//! backend can read what is nobody's business.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use xen_blkfront::{Discard, Event, Options, Persistent, Request, RequestId, Sector512};
use xen_sim::blkback::{Control, Options as Offer, Order, Restart};
use xen_sim::{Domain, Ledger, When};
use xen_xenbus::bus::{Limits, State};

use crate::common::Rig;
use crate::common::hostile::SECRET;

/// Random numbers that follow from a seed.
struct Random(u64);

impl Random {
    const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

struct Run {
    seed: u64,
    random: Random,
    rig: Rig,
    ledger: Ledger<String>,
    open: VecDeque<RequestId>,
    /// Events that were looked at.
    seen: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let options = Options {
            queues: random.of(&[1, 2, 4]),
            ring_order: random.of(&[0, 1, 3]),
            segments: random.of(&[1, 11, 20, 64]),
            persistent: random.of(&[Persistent::Never, Persistent::IfOffered]),
            journal: random.of(&[0, 1 << 16]),
            depth: random.of(&[4, 64]),
            patience: Duration::from_millis(50),
            limits: Limits { stop: Duration::from_millis(50), close: Duration::from_millis(50), ..Limits::DEFAULT },
            ..Options::DEFAULT
        };
        let latency = Duration::ZERO..random.of(&[Duration::ZERO, Duration::from_millis(3)]);
        let order = random.of(&[Order::Kept, Order::Mixed, Order::Bursts(4)]);
        let rig = Rig::new(seed, options, Offer { latency, order, ..Offer::DEFAULT });
        rig.control().misbehave(When::PerMille(random.of(&[20, 100, 400])));
        Self { seed, random, rig, ledger: Ledger::new(), open: VecDeque::new(), seen: 0 }
    }

    /// Memory with a secret behind what is the request's business.
    fn buffer(&mut self) -> xen_blkfront::Buffer<Domain> {
        let bytes = self.random.of(&[512, 1024, 4096, 3 * 4096 + 512, 13 * 4096, 30 * 4096 - 1024]);
        let mut buffer = self.rig.front.buffer(bytes).expect("there is memory");
        if let Some(page) = buffer.page_mut(bytes / 4096) {
            page[4096 - SECRET.len()..].copy_from_slice(SECRET);
        }
        buffer
    }

    fn request(&mut self) -> Request<Domain> {
        // Close to each other, so that some are adjacent.
        let at = Sector512(self.random.below(64) * 8);
        match self.random.below(10) {
            0..4 => Request::write(at, self.buffer()),
            4..7 => Request::read(at, self.buffer()),
            7 => Request::write_barrier(at, self.buffer()),
            8 => Request::discard(at, 8, Discard::Plain),
            _ => Request::flush(),
        }
    }

    /// Requests that go together.
    fn submit_adjacent(&mut self) {
        let (at, kind) = (self.random.below(32) * 8, self.random.of(&[Request::read, Request::write]));
        for number in 0..self.random.below(4) {
            let buffer = self.rig.filled(4096, 1);
            self.submit(kind(Sector512(at + number * 8), buffer));
        }
    }

    fn submit_any(&mut self) {
        let request = self.request();
        self.submit(request);
    }

    fn submit(&mut self, request: Request<Domain>) {
        let now = self.rig.now();
        if let Ok(id) = self.rig.front.submit(request, now) {
            self.ledger.submit(format!("{id:?}"));
            self.open.push_back(id);
        }
    }

    /// Something that a test does to a backend, or a backend to us.
    fn disturb(&mut self, control: &Control) {
        match self.random.below(6) {
            0 => control.restart(Restart::Orderly),
            1 => control.storm(50),
            2 => control.toggle(3),
            3 => control.write_state(State(self.random.below(9) as u32)),
            4 => self.rig.machine.hostile(&self.rig.domain).misbehave(5),
            _ => control.resize(1 << 20),
        }
    }

    fn turn(&mut self) {
        self.rig.turn();
        self.count();
        let stalled: Vec<_> = self.rig.events[self.seen..].iter().filter_map(stalled).collect();
        self.seen = self.rig.events.len();
        for id in stalled {
            if self.random.chance(50)
                && let Some(done) = self.rig.front.abandon(id)
            {
                self.ledger.complete(&format!("{:?}", done.id));
            }
        }
        if self.random.chance(2)
            && let Some(done) = self.open.pop_front().and_then(|id| self.rig.front.abandon(id))
        {
            self.ledger.complete(&format!("{:?}", done.id));
        }
    }

    fn count(&mut self) {
        self.rig.completions.drain(..).for_each(|done| self.ledger.complete(&format!("{:?}", done.id)));
    }

    /// Answers with how often it was connected.
    fn go(mut self) -> u64 {
        let control = self.rig.control();
        for round in 0..25 {
            (0..self.random.below(5)).for_each(|_| self.submit_any());
            self.submit_adjacent();
            self.rig.front.flush_notifications(self.rig.now());
            if round % 12 == 11 {
                self.rig.machine.assert_hidden_from(&self.rig.domain, SECRET);
            }
            if self.random.chance(5) {
                self.disturb(&control);
            }
            (0..self.random.below(4)).for_each(|_| self.turn());
            if self.random.chance(10) {
                self.rig.machine.advance(Duration::from_millis(self.random.below(100)));
            }
        }
        self.rig.front.close();
        let ended = self.rig.until(Duration::from_secs(2), |rig| rig.front.is_ended());
        assert!(ended, "seed {}: {:?} {:?}", self.seed, self.rig.front, self.rig.events);
        self.count();
        self.ledger.assert_complete();
        assert_eq!((self.rig.front.pending(), self.rig.front.statistics().taken), (0, self.ledger.completed()));
        self.rig.back = None;
        self.rig.assert_given_back();
        self.rig.front.statistics().connections
    }
}

const fn stalled(event: &Event<Domain>) -> Option<RequestId> {
    if let Event::Stalled(id) = event { Some(*id) } else { None }
}

fn all(seeds: Range<u64>) {
    let (count, connections) = (seeds.end - seeds.start, seeds.map(|seed| Run::new(seed).go()).sum::<u64>());
    assert!(connections > count * 3 / 2, "not so honest: {connections}");
}

#[test]
fn whatever_a_backend_does_seeds_0_to_74() {
    all(0..75);
}

#[test]
fn whatever_a_backend_does_seeds_75_to_149() {
    all(75..150);
}

#[test]
fn whatever_a_backend_does_seeds_150_to_224() {
    all(150..225);
}

#[test]
fn whatever_a_backend_does_seeds_225_to_299() {
    all(225..300);
}
