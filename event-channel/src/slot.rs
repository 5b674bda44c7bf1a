//! One port as this domain keeps it: count, flags, waiter.

use core::sync::atomic::AtomicU64 as Time;

use atomic_waker::AtomicWaker;

use crate::atomic::{AtomicU32, AtomicU64, Relaxed, Tally, constructor};
use crate::order;

/// How many events a port may have that its owner has not settled; with one more, the port is masked.
///
/// Only ports that another domain can signal have this limit.
pub const BURST: u32 = if cfg!(loom) { 1 } else { 256 };

// A port's word: the count in the upper half; in the lower half, from the top, what makes the dispatch look closer, the events
// since the last settling, and flags.

/// A channel owns this port. The bit says so, not its absence: a table without ports is all zeros, and takes no room in an image.
const OWNED: u64 = 1 << 31;
/// Somebody wants to be woken.
const WAITING: u64 = 1 << 30;
/// [`PROGRESS`] has run over. It runs over no further: each event that finds this bit has it cleared.
const LIMIT: u64 = 1 << 29;
/// Events since the last settling, from [`start`] on.
const PROGRESS: u64 = LIMIT - STEP;
/// One event more in [`PROGRESS`].
const STEP: u64 = 1 << 4;
/// Masked by the owner's wish, which outlasts a hold.
const MASKED: u64 = 1 << 2;
/// Masked, by [`Slot::hold`] or for being spurious.
const HELD: u64 = 1 << 1;
/// Another domain can signal this port.
const LIMITED: u64 = 1 << 0;
/// What a port loses with its owner.
const OWNERS: u64 = OWNED | WAITING | MASKED | HELD | LIMITED;

/// An event that nobody has sent, see [`Slot::hold`].
const COUNT: u64 = 1 << 32;
/// An event.
const EVENT: u64 = COUNT | STEP;

/// What an event found at its port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Whether there is more to do than to count: nobody owns the port, somebody waits for it, or the limit is reached.
    #[inline(always)]
    pub(crate) const fn is_alert(self) -> bool {
        self.0 & (OWNED | WAITING | LIMIT) != OWNED
    }

    pub(crate) const fn is_unowned(self) -> bool {
        self.0 & OWNED == 0
    }

    pub(crate) const fn is_waited_for(self) -> bool {
        self.0 & WAITING != 0
    }

    pub(crate) const fn is_at_limit(self) -> bool {
        self.0 & LIMIT != 0
    }

    pub(crate) const fn is_limited(self) -> bool {
        self.0 & LIMITED != 0
    }

    pub(crate) const fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    /// Whether the owner wants no events.
    pub(crate) const fn is_masked(self) -> bool {
        self.0 & MASKED != 0
    }

    /// Whether there was an event since the port was last settled.
    pub(crate) const fn is_unsettled(self) -> bool {
        self.0 & (PROGRESS | LIMIT) != start(self.0 & LIMITED)
    }

    pub(crate) const fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Where [`PROGRESS`] starts, so that it runs over after [`BURST`] events, or as late as it can.
const fn start(limited: u64) -> u64 {
    if limited == 0 { 0 } else { LIMIT - BURST as u64 * STEP }
}

/// The word without the events since the last settling.
const fn settled(word: u64) -> u64 {
    word & !(PROGRESS | LIMIT) | start(word & LIMITED)
}

/// The word of a port that is held from now on, with a count that calls its owner to another look.
const fn held(word: u64) -> u64 {
    settled(word).wrapping_add(COUNT) | HELD
}

/// Who may signal a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Xen, or this domain itself.
    Trusted,
    /// Another domain, or a device.
    Peer,
}

/// One port: a cache line of its own.
///
/// Count and flags are one word, so that an event is one instruction which also tells whether anybody wants to know.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    word: AtomicU64,
    /// Odd while a channel owns the port.
    generation: AtomicU32,
    spurious_in_a_row: Tally,
    /// System time in nanoseconds until which the port stays masked.
    held_until: Time,
    waker: AtomicWaker,
    spurious: Tally,
    storms: Tally,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                word: AtomicU64::new(0),
                generation: AtomicU32::new(0),
                spurious_in_a_row: Tally::new(0),
                held_until: Time::new(0),
                waker: AtomicWaker::new(),
                spurious: Tally::new(0),
                storms: Tally::new(0),
            }
        }
    }

    /// Counts an event.
    #[inline(always)]
    pub(crate) fn count_event(&self) -> Seen {
        Seen(order::count(&self.word, EVENT))
    }

    pub(crate) fn look(&self) -> Seen {
        Seen(order::read(&self.word))
    }

    pub(crate) fn generation(&self) -> u32 {
        order::generation(&self.generation)
    }

    /// Gives the port to a new channel, whose generation is the answer. Where the table has an owner on record, that one is
    /// stale from here on: Xen gives a port out again only when it has been closed.
    pub(crate) fn open(&self, sender: Sender) -> u32 {
        loop {
            let last = self.generation();
            if let Ok(generation) = self.take_over(last, sender) {
                return generation;
            }
        }
    }

    /// As [`open`](Self::open), for a port that has no owner.
    pub(crate) fn adopt(&self, sender: Sender) -> Option<u32> {
        let last = self.generation();
        if last % 2 == 1 { None } else { self.take_over(last, sender).ok() }
    }

    #[inline(never)]
    fn take_over(&self, last: u32, sender: Sender) -> Result<u32, u32> {
        // From even or odd to the next odd one.
        let next = last.wrapping_add(1 + last % 2);
        order::set_generation(&self.generation, last, next)?;
        for tally in [&self.spurious_in_a_row, &self.spurious, &self.storms] {
            tally.store(0, Relaxed);
        }
        self.held_until.store(0, Relaxed);
        self.change(|word| settled(word & !OWNERS | OWNED | sender.flag()));
        Ok(next)
    }

    /// Ends the ownership of `generation`. Says whether it had lasted until now.
    #[inline(never)]
    pub(crate) fn close(&self, generation: u32) -> Result<(), u32> {
        order::set_generation(&self.generation, generation, generation.wrapping_add(1))?;
        self.change(|word| settled(word & !OWNERS));
        drop(self.waker.take());
        Ok(())
    }

    /// Ends any ownership, and wakes who waits, to find that out. For when the domain's ports are gone.
    pub(crate) fn abandon(&self) {
        let last = self.generation();
        if last % 2 == 1 && order::set_generation(&self.generation, last, last.wrapping_add(1)).is_ok() {
            self.change(|word| settled(word & !OWNERS));
            self.waker.wake();
        }
    }

    /// Arranges for a wake at the next event, unless there was one after `seen`; then answers with the count.
    pub(crate) fn arm(&self, waker: &core::task::Waker, seen: u32) -> Result<(), u32> {
        self.waker.register(waker);
        let arm = |word| (Seen(word).count() == seen).then_some(word | WAITING);
        order::update(&self.word, arm).map(drop).map_err(|word| Seen(word).count())
    }

    /// Wakes who waits.
    pub(crate) fn wake(&self) {
        self.change(|word| word & !WAITING);
        self.waker.wake();
    }

    /// Notes that the port, which the caller has masked, had too many events. Answers with what was there before.
    ///
    /// This counts as one more event. The owner may have noted the count and settled between the event and the mask, and may
    /// sleep now, with its next event behind the mask; so it has to look once more.
    pub(crate) fn hold(&self) -> Seen {
        self.storms.fetch_add(1, Relaxed);
        self.change(held)
    }

    /// As [`hold`](Self::hold), for a port that had no owner when its event was counted, and may have one since. Answers with
    /// what was there before.
    pub(crate) fn hold_if_owned(&self) -> Seen {
        self.change(|word| if word & OWNED == 0 { word } else { held(word) })
    }

    /// Notes that the port, which is masked, stays so until a time; 0 is when the owner next looks.
    ///
    /// The events so far have been settled by this. Without one that comes after it, a look has nobody to blame.
    pub(crate) fn hold_until(&self, nanoseconds: u64) {
        self.held_until.store(nanoseconds, Relaxed);
        self.change(|word| settled(word) | HELD);
    }

    /// Notes that the owner wants no events.
    pub(crate) fn mask(&self) {
        self.change(|word| word | MASKED);
    }

    /// Notes that the owner wants events again, and ends a hold.
    pub(crate) fn unmask(&self) {
        self.change(|word| word & !MASKED);
        self.release();
    }

    pub(crate) fn held_until(&self) -> u64 {
        self.held_until.load(Relaxed)
    }

    /// Starts the count to the limit afresh, for a port without one.
    pub(crate) fn restart(&self) {
        self.change(settled);
    }

    /// Starts the count to the limit afresh and ends a hold; answers with what was there before.
    pub(crate) fn release(&self) -> Seen {
        self.held_until.store(0, Relaxed);
        self.change(|word| settled(word) & !HELD)
    }

    /// One more event without work; answers with how many there were in a row.
    pub(crate) fn count_spurious(&self) -> u32 {
        self.spurious.fetch_add(1, Relaxed);
        self.spurious_in_a_row.fetch_add(1, Relaxed).saturating_add(1)
    }

    pub(crate) fn end_spurious_run(&self) {
        self.spurious_in_a_row.store(0, Relaxed);
    }

    pub(crate) fn spurious(&self) -> u32 {
        self.spurious.load(Relaxed)
    }

    pub(crate) fn storms(&self) -> u32 {
        self.storms.load(Relaxed)
    }

    fn change(&self, mut change: impl FnMut(u64) -> u64) -> Seen {
        let (Ok(before) | Err(before)) = order::update(&self.word, |word| Some(change(word)));
        Seen(before)
    }
}

impl Sender {
    const fn flag(self) -> u64 {
        match self {
            Self::Trusted => 0,
            Self::Peer => LIMITED,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_an_owned_port_that_nobody_waits_for_and_below_its_limit_needs_no_more_than_counting() {
        for bits in 0..8_u64 {
            for rest in [0, PROGRESS, HELD | LIMITED, PROGRESS | HELD | LIMITED, !0 << 32] {
                let (owned, waiting, limit) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                let word = [(owned, OWNED), (waiting, WAITING), (limit, LIMIT)];
                let word = word.iter().filter(|(set, _)| *set).fold(rest, |word, (_, bit)| word | bit);
                assert_eq!(Seen(word).is_alert(), !owned || waiting || limit, "{word:#x}");
            }
        }
    }

    #[test]
    fn the_event_after_a_burst_is_at_the_limit_and_none_before() {
        let slot = Slot::new();
        slot.open(Sender::Peer);
        for _ in 0..BURST {
            assert!(!slot.count_event().is_alert());
        }
        assert!(slot.count_event().is_at_limit());
        assert_eq!(slot.look().count(), BURST + 1);
    }

    #[test]
    fn the_count_wraps_and_leaves_the_flags_alone() {
        let slot = Slot::new();
        slot.open(Sender::Trusted);
        slot.change(|word| word | u64::from(u32::MAX) << 32);
        slot.count_event();
        assert_eq!((slot.look().count(), slot.look().is_alert()), (0, false));
    }

    #[test]
    fn hc_095_a_generation_belongs_to_one_owner() {
        let slot = Slot::new();
        let first = slot.open(Sender::Peer);
        assert_eq!(slot.adopt(Sender::Peer), None, "it has an owner");
        let second = slot.open(Sender::Peer);
        assert!(slot.close(first).is_err(), "the first owner's handle closes nothing");
        assert!(slot.close(second).is_ok());
        assert!(slot.close(second).is_err(), "nor does one that is closed");
        let third = slot.adopt(Sender::Peer).expect("it has none");
        assert!(![first, second].contains(&third));
    }
}
