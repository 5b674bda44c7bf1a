//! Random sequences of calls, as two honest peers make them.

use crate::Protocol;
use crate::end::Call;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::marker::PhantomData;
use xen_shared_ring::Protocol as RingProtocol;

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The front end does this.
    Front(Call),
    /// The back end does this.
    Back(Call),
    /// One of the peers writes an event index to its place: each may ask for events at any message.
    Event {
        /// The byte in the ring's memory at which the word starts.
        offset: usize,
        /// The index, relative to the producer index that is found before it.
        ahead: u32,
    },
}

/// Where the header of a ring has its words.
pub mod header {
    /// `req_prod`
    pub const REQ_PROD: usize = 0;
    /// `req_event`
    pub const REQ_EVENT: usize = 4;
    /// `rsp_prod`
    pub const RSP_PROD: usize = 8;
    /// `rsp_event`
    pub const RSP_EVENT: usize = 12;
    /// The bytes of the whole header.
    pub const SIZE: usize = 64;
}

/// The seed of a run: `DOMU_SEED`, or the default of the test.
///
/// # Panics
///
/// When `DOMU_SEED` is not a number.
#[must_use]
pub fn seed(default: u64) -> u64 {
    number("DOMU_SEED").unwrap_or(default)
}

/// How many steps to run: `DOMU_STORM_STEPS`, or the default of the test.
///
/// # Panics
///
/// When `DOMU_STORM_STEPS` is not a number.
#[must_use]
pub fn steps(default: u64) -> u64 {
    number("DOMU_STORM_STEPS").unwrap_or(default)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Memory in which a ring can start: nothing in it is zero by accident.
#[must_use]
pub fn memory(size: usize, seed: u64) -> Vec<u8> {
    let mut memory = vec![0; size];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut memory);
    memory
}

/// An endless random script of a protocol.
#[derive(Debug)]
pub struct Script<P> {
    random: ChaCha8Rng,
    phase: Phase,
    left: u32,
    protocol: PhantomData<P>,
}

/// For some time one kind of call is more frequent than others, so that the ring gets full, and empty, and lies idle.
#[derive(Clone, Copy, Debug)]
struct Phase {
    front: f64,
    put: [f64; 2],
    publish: f64,
    sleep: f64,
}

impl<P: Protocol> Script<P> {
    /// The script that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self { phase: Phase::random(&mut random), random, left: 0, protocol: PhantomData }
    }

    fn step(&mut self) -> Step {
        if self.left == 0 {
            self.left = self.random.random_range(5..400);
            self.phase = Phase::random(&mut self.random);
        }
        self.left -= 1;
        if self.random.random_bool(0.02) {
            return self.event();
        }
        if self.random.random_bool(self.phase.front) {
            let request = self.message(size_of::<<P as RingProtocol>::Request>(), P::tidy_request);
            Step::Front(self.end(0, request))
        } else {
            let response = self.message(size_of::<<P as RingProtocol>::Response>(), P::tidy_response);
            Step::Back(self.end(1, response))
        }
    }

    fn end(&mut self, role: usize, message: Vec<u8>) -> Call {
        let Phase { put, publish, sleep, .. } = self.phase;
        if self.random.random_bool(put[role]) {
            Call::Put(message)
        } else if self.random.random_bool(publish) {
            Call::Publish
        } else if self.random.random_bool(sleep) {
            Call::TakeOrSleep(if self.random.random_bool(0.7) { 1 } else { self.random.random_range(1..20) })
        } else {
            Call::Take
        }
    }

    fn event(&mut self) -> Step {
        let offset = if self.random.random_bool(0.5) { header::REQ_EVENT } else { header::RSP_EVENT };
        let near = self.random.random_range(-8..40_i32).cast_unsigned();
        let ahead = if self.random.random_bool(0.8) { near } else { self.random.random() };
        Step::Event { offset, ahead }
    }

    fn message(&mut self, size: usize, tidy: fn(&mut [u8])) -> Vec<u8> {
        let mut message = vec![0; size];
        self.random.fill_bytes(&mut message);
        tidy(&mut message);
        message
    }
}

impl<P: Protocol> Iterator for Script<P> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        Some(self.step())
    }
}

impl Phase {
    fn random(random: &mut impl RngExt) -> Self {
        let mut weight = || [0.1, 0.3, 0.5, 0.7, 0.9][random.random_range(0..5)];
        Self { front: weight(), put: [weight(), weight()], publish: weight(), sleep: weight() }
    }
}

/// The 32-bit word at a byte offset.
#[must_use]
pub fn word(memory: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&memory[offset..offset + 4]);
    u32::from_ne_bytes(word)
}

/// Writes the 32-bit word at a byte offset.
pub fn set_word(memory: &mut [u8], offset: usize, value: u32) {
    memory[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
}
