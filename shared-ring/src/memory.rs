//! Memory that another domain can write at any time.
//!
//! A `&u8` or `&u32` into such memory would be undefined behaviour as soon as the peer writes. The types here
//! hold a pointer and reach the memory through atomics only: bytes in relaxed copies, control words whole.

use core::ptr::NonNull;

#[cfg(not(loom))]
use crate::bytes;
#[cfg(loom)]
use crate::bytes_loom as bytes;
use crate::order;
use crate::sync::{AtomicU32, Ordering};

/// Bytes that another domain can write at any time.
///
/// What is read is a copy made once; validate the copy and never read the same bytes again. A peer that writes
/// during the copy can mix old and new bytes in it, and nothing else.
///
/// (Under `cfg(loom)` the memory consists of `len / 4` of loom's atomic words.)
#[derive(Debug)]
pub struct SharedMem {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread, and is only reached by atomic accesses. Not `Sync`: two threads could reach
// the same bytes at once by accesses of different sizes, which Rust does not allow even to atomics.
unsafe impl Send for SharedMem {}

impl SharedMem {
    /// Names `len` bytes from `start` on as shared.
    ///
    /// # Safety
    ///
    /// For as long as the value, or what it was moved into, is used: the bytes must stay mapped, readable, writable if anything
    /// is written through the value, and inside one allocation; and this domain must only reach them through atomics, such as
    /// values of this crate, with an order (happens-before) between two threads' accesses of different sizes to the same byte
    /// unless both are loads, as the ends of a ring have it. What other domains do to them does not matter.
    #[must_use]
    pub const unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len }
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes from `offset` on into `into`, and returns how many there were: less than asked for at the
    /// end of the memory, none beyond it.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        bytes::read(self, offset, into)
    }

    /// Copies `from` to the bytes from `offset` on, and returns how many fitted: less than given at the end of
    /// the memory, none beyond it.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> usize {
        bytes::write(self, offset, from)
    }

    /// Two parts of the memory: the first `at` bytes, and the rest. `None` if there are not so many.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn split_at(self, at: usize) -> Option<(Self, Self)> {
        let Some(rest) = self.len.checked_sub(at) else { return None };
        // SAFETY: within the memory, or just behind it.
        let middle = unsafe { self.start.add(at) };
        // SAFETY: half of a promise that held for the whole; `self` is gone, and the halves share no byte.
        let first = unsafe { Self::new(self.start, at) };
        // SAFETY: the other half.
        let second = unsafe { Self::new(middle, rest) };
        Some((first, second))
    }

    /// The memory as a control word, if it is one: four bytes, aligned.
    #[must_use]
    pub fn into_word(self) -> Option<SharedWord> {
        let fits = self.len == 4 && self.start.addr().get().is_multiple_of(4);
        // SAFETY: such a word, of memory for which `new` had the promise.
        fits.then(|| unsafe { SharedWord::new(self.start.cast()) })
    }

    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The memory as words, if it begins at a multiple of eight and `bytes` of it exist.
    pub(crate) fn words(&self, bytes: usize) -> Option<NonNull<AtomicU32>> {
        let fits = bytes <= self.len && self.start.addr().get().is_multiple_of(8);
        fits.then(|| self.start.cast())
    }
}

/// A value that owns memory which another domain can write: granted pages, a mapping of foreign ones, a test's buffer.
///
/// # Implementation safety
///
/// * [`memory`](Self::memory) always names the same memory.
/// * For as long as the value lives, wherever it is moved to, what [`SharedMem::new`] asks for holds.
/// * No other region in this domain names the same memory, unless as the other end of the same ring.
pub unsafe trait Region {
    /// The memory.
    fn memory(&self) -> &SharedMem;
}

// SAFETY: the caller of `new` promised this, for as long as the value is used.
unsafe impl Region for SharedMem {
    fn memory(&self) -> &SharedMem {
        self
    }
}

/// A 32-bit control word that another domain can write at any time: a ring index, a state, a feature word.
///
/// ```
/// # use std::ptr::NonNull;
/// # use std::sync::atomic::AtomicU32;
/// use xen_shared_ring::SharedMem;
///
/// # let state = AtomicU32::new(1);
/// # let page = unsafe { SharedMem::new(NonNull::from(&state).cast(), 4) };
/// let word = page.into_word().expect("four bytes, aligned");
/// word.publish(2);
/// assert_eq!(word.look(), 2);
/// ```
#[derive(Debug)]
pub struct SharedWord(NonNull<AtomicU32>);

// SAFETY: the memory belongs to no thread, and is only reached by atomic accesses of its natural size.
unsafe impl Send for SharedWord {}
// SAFETY: as above.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    /// Names the aligned word at `at` as shared.
    ///
    /// # Safety
    ///
    /// As for [`SharedMem::new`]; and `at` must be aligned to four bytes.
    pub(crate) const unsafe fn new(at: NonNull<u32>) -> Self {
        Self(at.cast())
    }

    /// Reads the word once; what is read of other memory afterwards is at least as new.
    #[inline]
    #[must_use]
    pub fn look(&self) -> u32 {
        order::peer_index(self)
    }

    /// Writes the word once, after everything that was written to other memory before.
    #[inline]
    pub fn publish(&self, value: u32) {
        order::publish(self, value);
    }

    /// Reads the word once, in no order with other memory.
    #[inline]
    pub(crate) fn load(&self) -> u32 {
        self.atomic().load(Ordering::Relaxed)
    }

    /// Writes the word once, in no order with other memory.
    #[inline]
    pub(crate) fn store(&self, value: u32) {
        self.atomic().store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) const fn atomic(&self) -> &AtomicU32 {
        // SAFETY: `new` had the promise of valid, aligned memory that is reached through atomics only; the peer's writes
        // change it as another thread's atomic stores would.
        unsafe { self.0.as_ref() }
    }
}
