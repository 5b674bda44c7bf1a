//! Copies of bytes out of shared memory and into it: a machine word at a time where that is possible.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::SharedMem;

/// What [`SharedMem::read`] does.
pub(crate) fn read(memory: &SharedMem, offset: usize, into: &mut [u8]) -> usize {
    let from = part(memory, offset, into.len());
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

/// What [`SharedMem::write`] does.
pub(crate) fn write(memory: &SharedMem, offset: usize, from: &[u8]) -> usize {
    let into = part(memory, offset, from.len());
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
fn part(memory: &SharedMem, offset: usize, len: usize) -> &[AtomicU8] {
    let bytes = atomics(memory).get(offset..).unwrap_or_default();
    bytes.get(..len).unwrap_or(bytes)
}

const fn atomics(memory: &SharedMem) -> &[AtomicU8] {
    let start = memory.start().cast().as_ptr();
    // SAFETY: `new` had the promise of valid memory that this domain reaches through atomics only; the
    // peer's writes change it as another thread's atomic stores would. A byte needs no alignment.
    unsafe { core::slice::from_raw_parts(start, memory.len()) }
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
    use core::ptr::NonNull;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Miri is slow, and less of it will do there.
    const STEP: usize = if cfg!(miri) { 11 } else { 1 };

    /// Every start and length against a plain copy, so that each mix of bytes and words is met.
    #[test]
    fn copies_are_exact_at_every_alignment_and_length() {
        let memory: Vec<AtomicU8> = (0..40).map(AtomicU8::new).collect();
        for offset in (0..=41).step_by(STEP) {
            for len in (0..=41).step_by(STEP) {
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
        for offset in (0..=33).step_by(STEP) {
            for len in (0..=33).step_by(STEP) {
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
    fn shared(memory: &[AtomicU8]) -> SharedMem {
        let start = NonNull::from(memory).cast();
        // SAFETY: atomics, which outlive the value in each of these tests.
        unsafe { SharedMem::new(start, memory.len()) }
    }
}
