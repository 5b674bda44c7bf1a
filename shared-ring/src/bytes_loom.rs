//! The copies of `bytes` under loom, where memory consists of words: a byte is a part of one.

use core::ptr::NonNull;

use crate::SharedMem;
use crate::sync::{AtomicU32, Ordering};

/// What [`SharedMem::read`] does.
pub(crate) fn read(memory: &SharedMem, offset: usize, into: &mut [u8]) -> usize {
    let count = into.len().min(memory.len().saturating_sub(offset));
    for (place, into) in (offset..).zip(&mut into[..count]) {
        *into = word(memory, place).load(Ordering::Relaxed).to_ne_bytes()[place % 4];
    }
    count
}

/// What [`SharedMem::write`] does. A whole word is not stored at once, so that a reader sees more mixtures than it could.
pub(crate) fn write(memory: &SharedMem, offset: usize, from: &[u8]) -> usize {
    let count = from.len().min(memory.len().saturating_sub(offset));
    for (place, from) in (offset..).zip(&from[..count]) {
        let word = word(memory, place);
        let mut bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        bytes[place % 4] = *from;
        word.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
    }
    count
}

const fn word(memory: &SharedMem, place: usize) -> &AtomicU32 {
    let words: NonNull<AtomicU32> = memory.start().cast();
    // SAFETY: the callers stay below `len`, and the memory has `len / 4` words.
    let at = unsafe { words.add(place / 4) };
    // SAFETY: as above; `new` had the promise that the word is there.
    unsafe { at.as_ref() }
}
