//! The orderings that the rings rest on; nothing else in this crate uses one stronger than relaxed.
//!
//! Both ends of a byte ring follow one rule: look at the other's index, touch the bytes, publish one's own
//! index. An acquire load and a release store are enough for it, because each end only ever *answers* an
//! index that it has read; no decision of this crate needs a store of ours to be seen before a load of ours.
//! They stay in a guest with one CPU: the peer runs on another one.

use core::sync::atomic::Ordering;

use crate::memory::SharedWord;

/// Reads an index that the peer publishes: what we do with the bytes afterwards cannot happen before.
///
/// Pairs with the peer's write barrier before its index (a producer's bytes are then visible), or with its
/// full barrier between reading the bytes and publishing its consumer index (the room is then really free).
/// When the peer uses this crate, that is [`publish`].
#[inline]
pub(crate) fn peer_index(word: &SharedWord) -> u32 {
    word.atomic().load(Ordering::Acquire)
}

/// Publishes our index: what we did with the bytes before cannot happen afterwards.
///
/// Pairs with the peer's barrier after it has read the index. When the peer uses this crate, that is
/// [`peer_index`].
#[inline]
pub(crate) fn publish(word: &SharedWord, index: u32) {
    word.atomic().store(index, Ordering::Release);
}
