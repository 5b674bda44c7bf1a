//! The memory of a typed ring: a header of control words, and slots.
//!
//! Everything unsafe about typed rings is here. What makes it sound: the size of the memory is compared once with what the
//! ring needs, a slot's place is its index modulo the number of slots, and no other domain can change either.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::AtomicUsize;

use crate::memory::{SharedMem, SharedWord};
use crate::protocol::{Entries, HEADER, Protocol, Slot, stride};
use crate::sync::AtomicU32;
use crate::sync::Ordering::Relaxed;

/// A control word of the header, by its place there. (`struct name_sring`, public/io/ring.h)
#[derive(Clone, Copy)]
pub enum Word {
    ReqProd = 0,
    ReqEvent = 1,
    RspProd = 2,
    RspEvent = 3,
}

/// The memory that was to hold a ring is too small for it, or does not begin at a multiple of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionTooSmall {
    /// Bytes that the ring needs.
    pub needed: usize,
    /// Bytes that there are.
    pub len: usize,
}

impl fmt::Display for RegionTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ring needs {} aligned bytes, the region has {}", self.needed, self.len)
    }
}

impl core::error::Error for RegionTooSmall {}

/// The header and slots of a ring of protocol `P`. The memory outlives the value: who makes it keeps the region next to it.
pub(crate) struct RingPage<P, S> {
    words: NonNull<AtomicU32>,
    size: S,
    protocol: PhantomData<fn() -> P>,
}

impl<P, S: Copy> Copy for RingPage<P, S> {}

impl<P, S: Copy> Clone for RingPage<P, S> {
    fn clone(&self) -> Self {
        *self
    }
}

// SAFETY: as for `SharedMem`, of which it is a part.
unsafe impl<P, S: Send> Send for RingPage<P, S> {}

impl<P: Protocol, S: Entries<P>> RingPage<P, S> {
    /// The ring of `size` slots at the start of `memory`.
    pub(crate) fn new(memory: &SharedMem, size: S) -> Result<Self, RegionTooSmall> {
        let needed = HEADER.saturating_add((size.count() as usize).saturating_mul(stride::<P>()));
        match memory.words(needed) {
            Some(words) => Ok(Self { words, size, protocol: PhantomData }),
            None => Err(RegionTooSmall { needed, len: memory.len() }),
        }
    }

    /// How many slots there are.
    #[inline]
    pub(crate) fn entries(&self) -> u32 {
        self.size.count()
    }

    /// Makes the header that of a new ring, whose indices begin at `start`. (`SHARED_RING_INIT`, public/io/ring.h)
    pub(crate) fn clear(&self, start: u32) {
        for place in 0..HEADER / 4 {
            self.header(place).store(0);
        }
        for (index, event) in [(Word::ReqProd, Word::ReqEvent), (Word::RspProd, Word::RspEvent)] {
            self.word(index).store(start);
            self.word(event).store(start.wrapping_add(1));
        }
    }

    #[inline]
    pub(crate) fn word(&self, word: Word) -> SharedWord {
        self.header(word as usize)
    }

    #[inline]
    fn header(&self, place: usize) -> SharedWord {
        debug_assert!(place < HEADER / 4, "the header's own constants");
        // SAFETY: the header has these words, and `new` saw that it is there.
        let at = unsafe { self.words.add(place) };
        // SAFETY: a word of the region, which this value does not outlive.
        unsafe { SharedWord::new(at.cast()) }
    }

    /// The place among the slots of this index. A place is an index of its own slot, the one that loops count in: it needs no
    /// copy to be masked.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> u32 {
        index & (self.entries() - 1)
    }

    /// The slot of this index.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> SlotPlace<'_, P> {
        let place = self.place(index) as usize;
        let (once, times) = const { factors(stride::<P>() / 4) };
        // SAFETY: below the number of slots, all of which lie in the memory, as `new` saw.
        let start = unsafe { self.words.add(HEADER / 4 + place * once) };
        // SAFETY: as above.
        let start = unsafe { start.add(place * times) };
        SlotPlace { start, page: PhantomData }
    }
}

/// A slot of a ring of protocol `P`.
pub(crate) struct SlotPlace<'a, P> {
    start: NonNull<AtomicU32>,
    page: PhantomData<&'a P>,
}

impl<P: Protocol> SlotPlace<'_, P> {
    /// Writes a whole message here, each word of it once.
    #[inline]
    pub(crate) fn store<T: Slot>(&self, message: &T) {
        let (words, bytes) = (self.words::<T>(), message.as_bytes());
        if const { wide::<P, T>() } {
            let pairs = widen::<T>(words).iter().zip(bytes.as_chunks().0);
            pairs.for_each(|(word, from)| word.store(usize::from_ne_bytes(*from), Relaxed));
        } else {
            let pairs = words.iter().zip(bytes.as_chunks().0);
            pairs.for_each(|(word, from)| word.store(u32::from_ne_bytes(*from), Relaxed));
        }
    }

    /// Copies a whole message out, each word of it once.
    #[inline]
    pub(crate) fn load<T: Slot>(&self) -> T {
        let (words, mut message) = (self.words::<T>(), T::new_zeroed());
        let bytes = message.as_mut_bytes();
        if const { wide::<P, T>() } {
            let pairs = widen::<T>(words).iter().zip(bytes.as_chunks_mut().0);
            pairs.for_each(|(word, into)| *into = word.load(Relaxed).to_ne_bytes());
        } else {
            let pairs = words.iter().zip(bytes.as_chunks_mut().0);
            pairs.for_each(|(word, into)| *into = word.load(Relaxed).to_ne_bytes());
        }
        message
    }

    /// The words that a `T` takes.
    #[inline]
    const fn words<T: Slot>(&self) -> &[AtomicU32] {
        const { assert!(size_of::<T>() <= stride::<P>(), "a message of this protocol") };
        const { assert!(size_of::<T>().is_multiple_of(4), "a message, or a prefix of one, is whole 32-bit words") };
        // SAFETY: a slot has room for a `T`; atomics of the region, which this value does not outlive.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), size_of::<T>() / 4) }
    }
}

/// Two factors with the sum `words`, by which a slot's place is multiplied.
///
/// A processor multiplies by three words, the slots of the network's rings, in fewer instructions when it adds one word and
/// two.
const fn factors(words: usize) -> (usize, usize) {
    if words == 3 { (1, 2) } else { (words, 0) }
}

/// Whether a `T` in a slot is made of whole machine words: half as many copies.
const fn wide<P: Protocol, T>() -> bool {
    let word = size_of::<usize>();
    !cfg!(loom) && size_of::<T>().is_multiple_of(word) && stride::<P>().is_multiple_of(word)
}

/// The words of a slot as machine words.
#[inline]
const fn widen<T>(words: &[AtomicU32]) -> &[AtomicUsize] {
    // SAFETY: the same bytes, whole machine words of them, and aligned: the memory and the header are, and each slot is a
    // multiple of them. (`wide` was asked.) Accesses of this domain with different sizes are ordered by the indices.
    unsafe { slice::from_raw_parts(words.as_ptr().cast(), size_of::<T>() / size_of::<usize>()) }
}
