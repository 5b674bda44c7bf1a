//! Memory that another domain can write at any time.
//!
//! A `&u8` or `&u32` into such memory would be undefined behaviour as soon as the peer writes. The types here
//! hold a pointer and reach the memory through atomics only: bytes in relaxed copies, control words whole.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// Bytes that another domain can write at any time.
///
/// What is read is a copy made once; validate the copy and never read the same bytes again. A peer that writes
/// during the copy can mix old and new bytes in it, and nothing else.
#[derive(Debug)]
pub struct SharedBytes {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread, and is only reached by atomic accesses. Not `Sync`: two threads could reach
// the same bytes at once by accesses of different sizes, which Rust does not allow even to atomics.
unsafe impl Send for SharedBytes {}

impl SharedBytes {
    /// Names `len` bytes from `start` on as shared.
    ///
    /// # Safety
    ///
    /// For as long as the value is used, the bytes must stay mapped, readable and writable, and inside one
    /// allocation; and this domain must only reach them through atomics, such as values of this crate, with an order
    /// (happens-before) between two threads' accesses to the same byte, as the ends of a ring have it. What other
    /// domains do to them does not matter.
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
        let from = self.at(offset, into.len());
        let (head, words, tail) = by_words(from);
        let (into_head, rest) = split_mut(into, head.len());
        let (into_words, into_tail) = split_mut(rest, size_of_val(words));
        load_bytes(head, into_head);
        for (word, into) in words.iter().zip(into_words.as_chunks_mut().0) {
            *into = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        load_bytes(tail, into_tail);
        from.len()
    }

    /// Copies `from` to the bytes from `offset` on, and returns how many fitted: less than given at the end of
    /// the memory, none beyond it.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> usize {
        let into = self.at(offset, from.len());
        let (head, words, tail) = by_words(into);
        let (from_head, rest) = split(from, head.len());
        let (from_words, from_tail) = split(rest, size_of_val(words));
        store_bytes(head, from_head);
        for (word, from) in words.iter().zip(from_words.as_chunks().0) {
            word.store(usize::from_ne_bytes(*from), Ordering::Relaxed);
        }
        store_bytes(tail, from_tail);
        into.len()
    }

    /// At most `len` of the bytes from `offset` on.
    fn at(&self, offset: usize, len: usize) -> &[AtomicU8] {
        let bytes = self.atomics().get(offset..).unwrap_or_default();
        bytes.get(..len).unwrap_or(bytes)
    }

    const fn atomics(&self) -> &[AtomicU8] {
        let start = self.start.cast().as_ptr();
        // SAFETY: `new` had the promise of valid memory that this domain reaches through atomics only; the
        // peer's writes change it as another thread's atomic stores would. A byte needs no alignment.
        unsafe { core::slice::from_raw_parts(start, self.len) }
    }
}

/// A 32-bit control word that another domain can write at any time: a ring index, a state, a feature word.
#[derive(Debug)]
pub struct SharedWord(NonNull<u32>);

// SAFETY: the memory belongs to no thread, and is only reached by atomic accesses of its natural size.
unsafe impl Send for SharedWord {}
// SAFETY: as above.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    /// Names the aligned word at `at` as shared.
    ///
    /// # Safety
    ///
    /// As for [`SharedBytes::new`]; and `at` must be aligned to four bytes.
    #[must_use]
    pub const unsafe fn new(at: NonNull<u32>) -> Self {
        Self(at)
    }

    /// Reads the word once, in no order with other memory.
    #[must_use]
    pub fn load(&self) -> u32 {
        self.atomic().load(Ordering::Relaxed)
    }

    /// Writes the word once, in no order with other memory.
    pub fn store(&self, value: u32) {
        self.atomic().store(value, Ordering::Relaxed);
    }

    pub(crate) const fn atomic(&self) -> &AtomicU32 {
        // SAFETY: `new` had the promise of valid, aligned memory that is reached through atomics only.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr()) }
    }
}

/// Splits shared bytes so that the middle can be copied a machine word at a time.
fn by_words(bytes: &[AtomicU8]) -> (&[AtomicU8], &[AtomicUsize], &[AtomicU8]) {
    // SAFETY: every bit pattern is a valid machine word, and the split aligns it.
    unsafe { bytes.align_to() }
}

fn load_bytes(from: &[AtomicU8], into: &mut [u8]) {
    for (from, into) in from.iter().zip(into) {
        *into = from.load(Ordering::Relaxed);
    }
}

fn store_bytes(into: &[AtomicU8], from: &[u8]) {
    for (into, from) in into.iter().zip(from) {
        into.store(*from, Ordering::Relaxed);
    }
}

/// `split_at` for a place that is known to be inside, without a panic in the kernel's image for the other case.
fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or_default()
}

/// As [`split`].
fn split_mut(bytes: &mut [u8], at: usize) -> (&mut [u8], &mut [u8]) {
    bytes.split_at_mut_checked(at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Every start and length against a plain copy, so that each mix of bytes and words is met.
    #[test]
    fn copies_are_exact_at_every_alignment_and_length() {
        let memory: Vec<AtomicU8> = (0..40).map(AtomicU8::new).collect();
        for offset in 0..=41 {
            for len in 0..=41 {
                let mut copy = vec![0xee; len];
                let count = shared(&memory).read(offset, &mut copy);
                assert_eq!(count, len.min(40_usize.saturating_sub(offset)));
                assert!((0..count).all(|i| usize::from(copy[i]) == offset + i));
                assert!(copy[count..].iter().all(|byte| *byte == 0xee), "nothing after the end");
            }
        }
    }

    #[test]
    fn a_write_changes_what_it_names_and_nothing_else() {
        for offset in 0..=33 {
            for len in 0..=33 {
                let memory: Vec<AtomicU8> = (0..32).map(|_| AtomicU8::new(0xee)).collect();
                let count = shared(&memory).write(offset, &vec![7; len]);
                assert_eq!(count, len.min(32_usize.saturating_sub(offset)));
                for (i, byte) in memory.iter().enumerate() {
                    let written = (offset..offset + count).contains(&i);
                    assert_eq!(byte.load(Ordering::Relaxed), if written { 7 } else { 0xee });
                }
            }
        }
    }

    /// The caller keeps the memory alive.
    fn shared(memory: &[AtomicU8]) -> SharedBytes {
        let start = NonNull::from(memory).cast();
        // SAFETY: atomics, which outlive the value in each of these tests.
        unsafe { SharedBytes::new(start, memory.len()) }
    }
}
