//! The orderings that events rest on; nothing else in this crate uses one stronger than relaxed.
//!
//! Two rules: *forget before you look* (an event that comes after the look calls again), and *look before you count* (who sees
//! the count sees what the peer did before the event).

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64};

/// Forgets that there was an upcall. [`take_selector`] or [`take_ready`] must follow: it is they that keep the order.
#[inline(always)]
pub(crate) fn forget_upcall(pending: &AtomicU8) {
    pending.store(0, Relaxed);
}

/// Takes the words that have events. The release half keeps [`forget_upcall`] before it, the acquire half keeps the look at the
/// words behind it.
///
/// Pairs with Xen, which sets a port's bit, then the word's bit, then the upcall flag, each by a full barrier.
#[inline(always)]
pub(crate) fn take_selector(selector: &AtomicU64) -> u64 {
    selector.swap(0, AcqRel)
}

/// Takes all events of a word. What the count is added to afterwards cannot be seen before.
///
/// Pairs with Xen's full barrier at the port's bit, which comes after what the peer wrote.
#[inline(always)]
pub(crate) fn take_word(word: &AtomicU64) -> u64 {
    word.swap(0, AcqRel)
}

/// As [`take_word`], for the ports that are not in `mask`.
#[inline]
pub(crate) fn take_unmasked(word: &AtomicU64, mask: u64) -> u64 {
    word.fetch_and(mask, AcqRel) & !mask
}

/// Takes the queues that have events: [`take_selector`] of the FIFO ABI.
///
/// Pairs with Xen, which writes the queue's head, then sets the queue's bit, then the upcall flag.
#[inline]
pub(crate) fn take_ready(ready: &AtomicU32) -> u32 {
    ready.swap(0, AcqRel)
}

/// Clears bits of an event word and answers with what it was: unlinking it, then taking its event.
///
/// Pairs with Xen's full barriers at the same word. A port is unlinked *before* its event is counted: Xen does not link a port that
/// is linked, so that an event until then must be covered by that count.
#[inline]
pub(crate) fn clear(word: &AtomicU32, bits: u32) -> u32 {
    word.fetch_and(!bits, AcqRel)
}

/// Sets bits of a 32-bit word and answers with what it was: a mask bit, a queue's bit.
///
/// Pairs with Xen's reading of the same word; what was done before is visible to it. Pairs with itself as well: of two vCPUs, one
/// that masks a port without an owner and one that gives it an owner and then looks at the mask (by setting no bits), the second
/// one to get here sees what the other did before.
#[inline]
pub(crate) fn set(word: &AtomicU32, bits: u32) -> u32 {
    word.fetch_or(bits, AcqRel)
}

/// Sets bits of a 64-bit word: [`set`] of the 2-level ABI.
#[inline]
pub(crate) fn set_wide(word: &AtomicU64, bits: u64) -> u64 {
    word.fetch_or(bits, AcqRel)
}

/// Calls for another upcall, after [`set`] has said for what.
///
/// Pairs with [`forget_upcall`] of the next pass.
#[inline]
pub(crate) fn raise_upcall(pending: &AtomicU8) {
    pending.store(1, Release);
}

/// Counts an event. Who reads the count with [`read`] sees what the peer did before the event; and this sees what was done
/// before the last [`update`].
#[inline(always)]
pub(crate) fn count(word: &AtomicU64, step: u64) -> u64 {
    word.fetch_add(step, AcqRel)
}

/// Reads a port's count and flags. Pairs with [`count`].
#[inline]
pub(crate) fn read(word: &AtomicU64) -> u64 {
    word.load(Acquire)
}

/// Changes a port's count and flags in one step, unless `change` declines; answers with what they were.
///
/// Pairs with [`count`]. Tries again only when an event was counted, or another change made, in between.
#[inline]
pub(crate) fn update(word: &AtomicU64, change: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
    word.fetch_update(AcqRel, Acquire, change)
}

/// Reads a port's generation. Pairs with [`set_generation`].
#[inline]
pub(crate) fn generation(word: &AtomicU32) -> u32 {
    word.load(Acquire)
}

/// Moves a port on to its next owner, or to none: what the last one did is done. Pairs with [`generation`].
///
/// # Errors
///
/// The generation that it is, where that is not `from`.
#[inline]
pub(crate) fn set_generation(word: &AtomicU32, from: u32, to: u32) -> Result<u32, u32> {
    word.compare_exchange(from, to, AcqRel, Acquire)
}

/// Reads a state that [`change_state`] sets, and sees what was done before it.
#[inline]
pub(crate) fn state(state: &AtomicU8) -> u8 {
    state.load(Acquire)
}

/// Moves a state on, from exactly one other. Pairs with [`state`] and with itself.
#[inline]
pub(crate) fn change_state(state: &AtomicU8, from: u8, to: u8) -> Result<u8, u8> {
    state.compare_exchange(from, to, AcqRel, Acquire)
}

/// Sets a state and answers with what it was. Pairs with [`state`] and with itself: in one thread and in an upcall on top of
/// it, such calls happen in the order in which they are written.
#[inline]
pub(crate) fn swap_state(state: &AtomicU8, to: u8) -> u8 {
    state.swap(to, AcqRel)
}

/// Reads a pointer that [`publish`] set: what it points to is initialised.
#[inline(always)]
pub(crate) fn published<T>(pointer: &AtomicPtr<T>) -> *mut T {
    pointer.load(Acquire)
}

/// Publishes what `to` points to, unless something was before; answers with that then. Pairs with [`published`].
#[inline]
pub(crate) fn publish<T>(pointer: &AtomicPtr<T>, to: *mut T) -> Result<*mut T, *mut T> {
    pointer.compare_exchange(core::ptr::null_mut(), to, AcqRel, Acquire)
}

/// Reads a count of pages that [`grown`] moves on.
#[inline]
pub(crate) fn pages(count: &AtomicU32) -> u32 {
    count.load(Acquire)
}

/// Says that Xen knows so many pages. Pairs with [`pages`].
#[inline]
pub(crate) fn grown(count: &AtomicU32, to: u32) {
    count.store(to, Release);
}

/// Relaxed, by another name where a reader might look for an order. Another vCPU may change the mask at any time: an event that
/// is taken although its port has just been masked is counted, and one that is left although its port has just been unmasked
/// calls again, because Xen unmasks and selects the word anew.
#[inline(always)]
pub(crate) fn mask(word: &AtomicU64) -> u64 {
    word.load(Relaxed)
}
