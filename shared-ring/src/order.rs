//! The orderings that the rings rest on; nothing else in this crate uses one stronger than relaxed.
//!
//! Two rules. *Data before index*: a side fills slots or bytes, then publishes its index; the other reads the index, then
//! touches them. Acquire and release are enough. *Store before look*: a producer publishes and then looks whether the
//! consumer sleeps; a consumer says that it will sleep and then looks whether anything came. Each needs a full barrier
//! between its store and its load, or both look too early and the wake-up is lost.
//!
//! All stay in a guest with one CPU: the peer runs on another one. (`tests/loom.rs` models both rules on this code; the
//! list of mutants takes each ordering away and sees a model fail.)

use crate::memory::SharedWord;
use crate::sync::{Ordering, fence};

/// Reads an index that the peer publishes: what we do with slots or bytes afterwards cannot happen before.
///
/// Pairs with the peer's write barrier before its index (a producer's data are then visible), or with its full barrier
/// between reading the bytes and publishing its consumer index (the room is then really free). When the peer uses this
/// crate, that is [`publish`].
#[inline]
pub(crate) fn peer_index(word: &SharedWord) -> u32 {
    word.atomic().load(Ordering::Acquire)
}

/// Publishes our index: what we did with slots or bytes before cannot happen afterwards.
///
/// Pairs with the peer's barrier after it has read the index. When the peer uses this crate, that is [`peer_index`].
#[inline]
pub(crate) fn publish(word: &SharedWord, index: u32) {
    word.atomic().store(index, Ordering::Release);
}

/// Publishes our index, and then reads the index at which the peer wants to be woken.
///
/// The fence pairs with the peer's between setting its event index and its last look (`RING_FINAL_CHECK_FOR_REQUESTS`,
/// `RING_FINAL_CHECK_FOR_RESPONSES`, public/io/ring.h). When the peer uses this crate, that is [`arm_then_look`].
#[inline]
pub(crate) fn publish_then_look(producer: &SharedWord, index: u32, event: &SharedWord) -> u32 {
    publish(producer, index);
    fence(Ordering::SeqCst);
    event.load()
}

/// Sets the index at which we want to be woken, and then reads the peer's index for the last time before we sleep.
///
/// The fence pairs with the peer's between publishing and its look at our event index
/// (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`, public/io/ring.h). When the peer uses this crate, that is
/// [`publish_then_look`].
#[inline]
pub(crate) fn arm_then_look(event: &SharedWord, at: u32, producer: &SharedWord) -> u32 {
    event.store(at);
    fence(Ordering::SeqCst);
    peer_index(producer)
}
