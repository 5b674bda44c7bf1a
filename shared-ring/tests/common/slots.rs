//! A typed ring in plain memory, with a canary on each side, and protocols to use on it.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use xen_shared_ring::{BackRing, Entries, FrontRing, Protocol, Region, SharedMem, Untrusted};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Places of the control words. (`struct name_sring`, public/io/ring.h)
pub(crate) const REQ_PROD: usize = 0;
pub(crate) const REQ_EVENT: usize = 1;
pub(crate) const RSP_PROD: usize = 2;
pub(crate) const RSP_EVENT: usize = 3;
/// Words of the header.
pub(crate) const HEADER: usize = 16;

/// Slots of three words, as those of a network interface; copied word by word.
pub(crate) enum Narrow {}

impl Protocol for Narrow {
    type Request = Ask;
    type Response = Answer;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Ask {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) value: [u32; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Answer {
    pub(crate) id: u16,
    pub(crate) status: i16,
}

/// Slots of whole machine words, as those of a block device.
pub(crate) enum Wide {}

impl Protocol for Wide {
    type Request = [u64; 5];
    type Response = [u64; 2];
}

/// The front's `n`th request of the tests.
pub(crate) const fn ask(n: u32) -> Ask {
    Ask { id: n as u16, flags: !(n as u16), value: [n, !n] }
}

/// The back's `n`th response of the tests.
pub(crate) const fn answer(n: u32) -> Answer {
    Answer { id: n as u16, status: -7 }
}

const MARGIN: usize = 8;
const CANARY: u64 = 0xc5c5_c5c5_c5c5_c5c5;

/// Memory that both ends of a ring share, at a place that does not move. Tests play the hostile peer by storing to its words.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    words: Vec<AtomicU64>,
    region: SharedMem,
}

// SAFETY: only atomics are behind the pointer of the region.
unsafe impl Sync for Owned {}

// SAFETY: always the same atomics, which live as long as any clone does, wherever that is moved.
unsafe impl Region for Memory {
    fn memory(&self) -> &SharedMem {
        &self.0.region
    }
}

impl Memory {
    /// So many bytes, a multiple of eight, all zero.
    pub(crate) fn new(bytes: usize) -> Self {
        let inside = MARGIN..MARGIN + bytes / 8;
        let word = |i| if inside.contains(&i) { 0 } else { CANARY };
        let words: Vec<_> = (0..bytes / 8 + 2 * MARGIN).map(|i| AtomicU64::new(word(i))).collect();
        let start = NonNull::from(&words[inside]).cast();
        // SAFETY: atomics, which the value owns together with the region.
        let region = unsafe { SharedMem::new(start, bytes) };
        Self(Arc::new(Owned { words, region }))
    }

    /// A page whose ring stands at `start`, with nothing outstanding.
    pub(crate) fn page_at(start: u32) -> Self {
        Self::ring_at(start, 4096)
    }

    /// So many bytes, whose ring stands at `start`, with nothing outstanding.
    pub(crate) fn ring_at(start: u32, bytes: usize) -> Self {
        let memory = Self::new(bytes);
        for (producer, event) in [(REQ_PROD, REQ_EVENT), (RSP_PROD, RSP_EVENT)] {
            memory.set(producer, start);
            memory.set(event, start.wrapping_add(1));
        }
        memory
    }

    /// Both ends, at the indices that stand in the memory.
    pub(crate) fn ends<P: Protocol, S: Entries<P>>(&self, size: S) -> (FrontRing<P, Self, S>, BackRing<P, Self, S>) {
        (self.front(size), self.back(size))
    }

    pub(crate) fn front<P: Protocol, S: Entries<P>>(&self, size: S) -> FrontRing<P, Self, S> {
        FrontRing::attach(self.clone(), size).map_err(|(error, _)| error).unwrap()
    }

    pub(crate) fn back<P: Protocol, S: Entries<P>>(&self, size: S) -> BackRing<P, Self, S> {
        BackRing::attach(self.clone(), size).map_err(|(error, _)| error).unwrap()
    }

    /// Some bytes of it, to which the caller keeps the memory.
    pub(crate) fn part(&self, offset: usize, bytes: usize) -> SharedMem {
        assert!(offset + bytes <= self.0.region.len());
        let start = NonNull::from(&self.0.words[MARGIN..]).cast::<u8>();
        // SAFETY: inside, as was just seen.
        let start = unsafe { start.add(offset) };
        // SAFETY: atomics, which outlive the value in each test.
        unsafe { SharedMem::new(start, bytes) }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.region.len() / 4
    }

    pub(crate) fn get(&self, place: usize) -> u32 {
        self.word(place).load(Relaxed)
    }

    pub(crate) fn set(&self, place: usize, value: u32) {
        self.word(place).store(value, Relaxed);
    }

    pub(crate) fn contents(&self) -> Vec<u32> {
        (0..self.len()).map(|place| self.get(place)).collect()
    }

    pub(crate) fn assert_margins_untouched(&self) {
        let words = &self.0.words;
        let outside = words[..MARGIN].iter().chain(&words[words.len() - MARGIN..]);
        assert!(outside.map(|word| word.load(Relaxed)).all(|word| word == CANARY));
    }

    fn word(&self, place: usize) -> &AtomicU32 {
        assert!(place < self.len());
        let first = NonNull::from(&self.0.words[MARGIN..]).cast::<AtomicU32>();
        // SAFETY: inside, as was just seen.
        let word = unsafe { first.add(place) };
        // SAFETY: an atomic of half the size in memory of atomics; the tests that race on it race on control words, which
        // everybody reaches as this size.
        unsafe { word.as_ref() }
    }
}

/// The message of a pop that must have found one.
#[track_caller]
pub(crate) fn some<T>(popped: Result<Option<Untrusted<T>>, xen_shared_ring::PeerError>) -> T {
    popped.expect("no violation").expect("a message").into_unverified()
}
