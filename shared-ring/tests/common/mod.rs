//! A byte ring in plain memory, with a canary on each side; in `slots` the same for typed rings.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod slots;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use xen_shared_ring::{ByteRing, Consumer, Producer, SharedMem};

/// What the rest of the page holds; no end of a ring may touch it.
const CANARY: u8 = 0xc5;
const MARGIN: usize = 16;

/// The shared page of one direction. Tests play the hostile peer by storing to its indices.
pub(crate) struct Page {
    memory: Vec<AtomicU8>,
    size: u32,
    pub(crate) consumed: AtomicU32,
    pub(crate) produced: AtomicU32,
}

impl Page {
    /// An empty ring of `size` bytes whose indices are both `start`, at a place that does not move.
    pub(crate) fn new(size: u32, start: u32) -> Arc<Self> {
        let memory = (0..size as usize + 2 * MARGIN).map(|_| AtomicU8::new(CANARY)).collect();
        let [consumed, produced] = [start, start].map(AtomicU32::new);
        Arc::new(Self { memory, size, consumed, produced })
    }

    /// The caller drops what is made from it before the page.
    pub(crate) fn ring(&self) -> ByteRing {
        let bytes = part(NonNull::from(&self.memory[MARGIN..]).cast(), self.size as usize);
        let index = |word| part(NonNull::<AtomicU32>::from(word).cast(), 4);
        ByteRing::new(bytes, index(&self.consumed), index(&self.produced)).expect("tests use powers of two")
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer::attach(self.ring())
    }

    pub(crate) fn consumer(&self) -> Consumer {
        Consumer::attach(self.ring())
    }

    pub(crate) fn poke(&self, at: usize, byte: u8) {
        self.memory[MARGIN + at % self.size as usize].store(byte, Relaxed);
    }

    pub(crate) fn byte(&self, index: u32) -> u8 {
        self.memory[MARGIN + (index % self.size) as usize].load(Relaxed)
    }

    pub(crate) fn assert_margins_untouched(&self) {
        let end = self.memory.len() - MARGIN;
        let outside = self.memory[..MARGIN].iter().chain(&self.memory[end..]);
        assert!(outside.map(|byte| byte.load(Relaxed)).all(|byte| byte == CANARY));
    }
}

/// The caller keeps to the promise.
pub(crate) const fn part(start: NonNull<u8>, len: usize) -> SharedMem {
    // SAFETY: atomics of the right size, which outlive the ring in each test.
    unsafe { SharedMem::new(start, len) }
}

/// Starts at which wrapping arithmetic can go wrong.
pub(crate) const STARTS: [u32; 6] = [0, 5, 0x7fff_fff8, 0x8000_0000, 0xffff_fff0, u32::MAX];

/// The defaults, which the environment can change; no files.
pub(crate) fn proptest_config() -> proptest::test_runner::Config {
    proptest::test_runner::Config { failure_persistence: None, ..Default::default() }
}
