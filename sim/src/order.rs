//! What Xen does atomically to words that it shares with guests. No other module orders memory.
//!
//! Xen's read-modify-write operations on shared words are full barriers, so all of these are sequentially consistent.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// Sets bits and tells what was there. Pairs with the guest's clearing of the same bits: its pending and selector
/// words in the upcall, its mask, its event words.
pub(crate) fn set64(word: &AtomicU64, bits: u64) -> u64 {
    word.fetch_or(bits, SeqCst)
}

/// As [`set64`].
pub(crate) fn set32(word: &AtomicU32, bits: u32) -> u32 {
    word.fetch_or(bits, SeqCst)
}

/// Clears bits and tells what was there. Pairs with the guest's setting of a mask.
pub(crate) fn clear64(word: &AtomicU64, bits: u64) -> u64 {
    word.fetch_and(!bits, SeqCst)
}

/// As [`clear64`].
pub(crate) fn clear32(word: &AtomicU32, bits: u32) -> u32 {
    word.fetch_and(!bits, SeqCst)
}

/// Clears [`GrantFlags::READING`] or its like. Pairs with the guest's acquire when it revokes: what the peer wrote is
/// there before the bit is gone.
///
/// [`GrantFlags::READING`]: xen_hypercall::abi::grant_table::GrantFlags::READING
pub(crate) fn clear16(word: &AtomicU16, bits: u16) -> u16 {
    word.fetch_and(!bits, SeqCst)
}

/// As [`set64`].
pub(crate) fn set16(word: &AtomicU16, bits: u16) -> u16 {
    word.fetch_or(bits, SeqCst)
}

/// Replaces the flags of a grant entry unless the guest changed them; says whether it did. Pairs with the guest's
/// compare-exchange when it revokes.
pub(crate) fn replace16(word: &AtomicU16, old: u16, new: u16) -> bool {
    word.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
}

/// Replaces an event word unless the guest changed it. Pairs with the guest's compare-exchange of the same.
pub(crate) fn replace32(word: &AtomicU32, old: u32, new: u32) -> Result<u32, u32> {
    word.compare_exchange(old, new, SeqCst, SeqCst)
}

/// Reads a word that the guest may have changed just now. Pairs with the guest's change of an event word.
pub(crate) fn look32(word: &AtomicU32) -> u32 {
    word.load(SeqCst)
}

/// Reads flags that the guest published. Pairs with the guest's release of a grant entry's flags.
pub(crate) fn look16(word: &AtomicU16) -> u16 {
    word.load(SeqCst)
}

/// As [`look32`], for pending and mask words.
pub(crate) fn look64(word: &AtomicU64) -> u64 {
    word.load(SeqCst)
}

/// As [`look32`], for the flags of a vCPU.
pub(crate) fn look8(word: &AtomicU8) -> u8 {
    word.load(SeqCst)
}

/// Publishes a flag of a vCPU. Pairs with the guest's look at it.
pub(crate) fn put8(word: &AtomicU8, value: u8) -> u8 {
    word.swap(value, SeqCst)
}

/// Publishes the head of an event queue. Pairs with the guest's acquire before it follows the link.
pub(crate) fn put32(word: &AtomicU32, value: u32) {
    word.store(value, SeqCst);
}

/// Copies of bytes are in no order: who copies has been told by other means that the bytes are there.
pub(crate) const BYTES: std::sync::atomic::Ordering = Relaxed;
