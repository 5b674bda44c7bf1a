//! Every ordering stronger than relaxed, and every fence, with what it pairs with.
//!
//! The peer reaches a page through Xen, which reads and changes the page's entry by locked operations on its own
//! processors. They count as another thread's.

use crate::sync::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// Makes an entry valid: what the page holds, and the entry's other fields, are written before.
///
/// Pairs with Xen's read of the flags before it reads the rest of the entry and maps the page.
#[inline]
pub(crate) fn permit(flags: &AtomicU16, value: u16) {
    flags.store(value, Ordering::Release);
}

/// Makes an entry of version 1 invalid if it still says `known`; else tells what it says.
///
/// The page is ours after all that the peer did to it, and what we make of the entry next comes after Xen's last look at it.
/// Pairs with Xen's clearing of `GTF_reading` and `GTF_writing` when the last mapping is gone. That it is one step with our look
/// at those flags is what counts against Xen's compare-exchange, which sets them before it maps.
#[inline]
pub(crate) fn withdraw(flags: &AtomicU16, known: u16) -> Result<(), u16> {
    flags.compare_exchange(known, 0, Ordering::Acquire, Ordering::Relaxed).map(drop)
}

/// Makes an entry of version 2 invalid, and tells what the status word says then.
///
/// The fence is between our store of the flags and our load of the status. Pairs with Xen's barrier between its store of
/// the status and its second look at the flags: at least one of the two sees what the other did. The acquire pairs with Xen's
/// clearing of the status after the last mapping is gone.
#[inline]
pub(crate) fn withdraw_v2(flags: &AtomicU16, status: &AtomicU16) -> u16 {
    flags.store(0, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    status.load(Ordering::Acquire)
}

/// Takes what there is of `bits` out of a word of free references.
///
/// Pairs with [`give`]: what the last owner did to the entries, or growth to the places of the frames, happened before.
#[inline]
pub(crate) fn take(word: &AtomicU64, bits: u64) -> u64 {
    word.fetch_and(!bits, Ordering::Acquire) & bits
}

/// Puts bits into a word of free references. Pairs with [`take`].
#[inline]
pub(crate) fn give(word: &AtomicU64, bits: u64) {
    word.fetch_or(bits, Ordering::Release);
}

/// Replaces an account's numbers by ones that use more references, if they are still `known`.
///
/// Pairs with [`repay`]: who is allowed a reference sees the free bit of one, so that its search finds it.
#[inline]
pub(crate) fn charge(usage: &AtomicU64, known: u64, wanted: u64) -> Result<(), u64> {
    usage.compare_exchange_weak(known, wanted, Ordering::Acquire, Ordering::Relaxed).map(drop)
}

/// Replaces an account's numbers by ones that use fewer references, if they are still `known`. Pairs with [`charge`].
#[inline]
pub(crate) fn release(usage: &AtomicU64, known: u64, wanted: u64) -> Result<(), u64> {
    usage.compare_exchange_weak(known, wanted, Ordering::Release, Ordering::Relaxed).map(drop)
}

/// Takes an account's place if its owner is still `known`. Pairs with [`vacate`]: what the last account did to the numbers
/// happened before.
#[inline]
pub(crate) fn occupy(owner: &AtomicU32, known: u32, wanted: u32) -> bool {
    owner.compare_exchange(known, wanted, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

/// Leaves an account's place to others. Pairs with [`occupy`].
#[inline]
pub(crate) fn vacate(owner: &AtomicU32, left: u32) {
    owner.store(left, Ordering::Release);
}

/// Takes from an account's numbers references that it has given back; tells what they were. Pairs with [`charge`].
#[inline]
pub(crate) fn repay(usage: &AtomicU64, less: u64) -> u64 {
    usage.fetch_sub(less, Ordering::Release)
}

/// Takes up to `wanted` of the references that belong to no account; tells how many. Pairs with [`pool`].
#[inline]
pub(crate) fn draw(common: &AtomicU32, wanted: u32) -> u32 {
    let mut there = common.load(Ordering::Relaxed);
    loop {
        let got = wanted.min(there);
        match common.compare_exchange_weak(there, there - got, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return got,
            Err(now) => there = now,
        }
    }
}

/// Adds references to those that belong to no account. Pairs with [`draw`].
#[inline]
pub(crate) fn pool(common: &AtomicU32, count: u32) {
    common.fetch_add(count, Ordering::Release);
}

/// Shows quarantined entries to whoever reaps: what is known of their pages is written before. Pairs with [`claim`].
#[inline]
pub(crate) fn quarantine(word: &AtomicU64, bit: u64) {
    word.fetch_or(bit, Ordering::Release);
}

/// Takes a quarantined entry, and says whether nobody else did. Pairs with [`quarantine`].
#[inline]
pub(crate) fn claim(word: &AtomicU64, bit: u64) -> bool {
    word.fetch_and(!bit, Ordering::Acquire) & bit != 0
}

/// Becomes the only one that changes the table's size, unless another is. Pairs with [`unlock`].
#[inline]
pub(crate) fn try_lock(lock: &AtomicBool) -> bool {
    !lock.swap(true, Ordering::Acquire)
}

/// Lets others change the table's size. Pairs with [`try_lock`].
#[inline]
pub(crate) fn unlock(lock: &AtomicBool) {
    lock.store(false, Ordering::Release);
}
