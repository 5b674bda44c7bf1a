//! Random sequences against a model of what a counter must show, in both ABIs.
//!
//! `DOMU_STORM_STEPS` and `DOMU_SEED` make it longer and other.

#![cfg(not(loom))]

mod common;

use common::{ABIS, started};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xen_event_channel::{Channel, Events, Found, Preference};
use xen_sim::{Domain, Machine};

/// A channel, and what its count must be.
struct Modelled {
    ours: Channel<Domain>,
    theirs: Channel<Domain>,
    count: u32,
    pending: bool,
    masked: bool,
}

/// A domain whose peers do what they like.
struct Storm {
    machine: Machine,
    guest: Domain,
    peer: Domain,
    channels: Vec<Modelled>,
    held: bool,
}

/// Channels at a time: more than one word and one budget.
const MOST: usize = 80;

impl Storm {
    fn new(seed: u64, preference: Preference) -> Self {
        let machine = Machine::new(seed);
        let (guest, peer) = (machine.domain(), machine.domain());
        started(&guest, preference);
        Self { machine, guest, peer, channels: Vec::new(), held: false }
    }

    fn step(&mut self, rng: &mut impl Rng) {
        let some = rng.random_range(0..self.channels.len().max(1));
        match rng.random_range(0..100) {
            0..4 => self.open(),
            4..7 if !self.channels.is_empty() => drop(self.channels.swap_remove(some)),
            7..12 => self.hold(),
            12..20 => self.release(),
            20..80 => self.channels.get_mut(some).map_or((), |channel| channel.signal(self.held)),
            80..87 => self.channels.get_mut(some).map_or((), Modelled::mask),
            87..97 => self.channels.get_mut(some).map_or((), |channel| channel.unmask(self.held)),
            // Of no use in the 2-level ABI.
            _ => self.channels.iter().for_each(|channel| _ = channel.ours.set_priority(rng.random_range(0..16))),
        }
    }

    fn open(&mut self) {
        if self.channels.len() == MOST {
            return;
        }
        let ours = Channel::unbound(&self.guest, self.peer.id()).expect("a port");
        let theirs = Channel::interdomain(&self.peer, self.guest.id(), ours.port()).expect("the other end");
        let count = ours.count();
        self.channels.push(Modelled { ours, theirs, count, pending: false, masked: false });
    }

    fn hold(&mut self) {
        self.guest.hold_upcalls();
        self.held = true;
    }

    fn release(&mut self) {
        self.guest.release_upcalls();
        self.held = false;
        self.channels.iter_mut().for_each(|channel| channel.deliver(false));
    }

    fn check(&self, seed: u64, step: u64) {
        for channel in &self.channels {
            let port = channel.ours.port();
            assert_eq!(channel.ours.count(), channel.count, "seed {seed}, step {step}, port {}", port.0);
            channel.ours.settle(Found::Work, self.machine.now()).expect("an open channel");
        }
    }
}

impl Modelled {
    fn signal(&mut self, held: bool) {
        self.theirs.notify().expect("a connected channel");
        self.pending = true;
        self.deliver(held);
    }

    fn mask(&mut self) {
        self.ours.mask().expect("an open channel");
        self.masked = true;
    }

    fn unmask(&mut self, held: bool) {
        self.ours.unmask().expect("an open channel");
        self.masked = false;
        self.deliver(held);
    }

    const fn deliver(&mut self, held: bool) {
        if self.pending && !self.masked && !held {
            self.pending = false;
            self.count = self.count.wrapping_add(1);
        }
    }
}

#[test]
fn a_storm_of_events_is_counted_as_the_model_says() {
    let number = |name, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
    };
    let (seed, steps) = (number("DOMU_SEED", 1), number("DOMU_STORM_STEPS", if cfg!(miri) { 100 } else { 4000 }));
    for abi in ABIS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut storm = Storm::new(seed, abi);
        for step in 0..steps {
            storm.step(&mut rng);
            storm.check(seed, step);
        }
        println!("{abi:?}: seed {seed}, {steps} steps, {} channels in the end", storm.channels.len());
    }
}
