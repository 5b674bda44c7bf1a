//! Which references are free.
//!
//! Of each reference there are two bits, 32 references to a word: it can be taken, or it rests. They are taken from the word at
//! the cursor until none of it is left. One that comes back rests until the cursor has left its word, and is taken when the
//! cursor has come round to it. So a late use of the last grant by a slow peer meets an entry that is invalid, and not soon
//! another page.
//!
//! Both bits are in one word, so that at no instant a free reference is in neither state, and nothing is ever put on a list:
//! an old view of a word can make a change of it fail, never go wrong.

use crate::order;
use crate::sync::{AtomicU64, Ordering, constructor, each};

/// References in a word.
pub(crate) const PER_WORD: u32 = 32;

/// How often the words are searched once more for a reference that others keep moving.
const LAPS: usize = 16;

/// The half of a word that can be taken at once.
const AWAKE: u64 = u32::MAX as u64;
/// Both halves.
const ANY: u64 = u64::MAX;

/// How often waking the references that rest in a word is tried while others change the word.
const TRIES: usize = 8;

/// The free references among `WORDS * 32`.
#[derive(Debug)]
pub(crate) struct References<const WORDS: usize> {
    /// Low half: can be taken. High half: rests.
    words: [AtomicU64; WORDS],
    /// The word from which they are taken. Only grows: its remainder is the word, the rest counts the laps.
    cursor: AtomicU64,
}

/// References of one word that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) word: u32,
    pub(crate) bits: u32,
}

impl Taken {
    pub(crate) const fn count(self) -> u32 {
        self.bits.count_ones()
    }

    /// The lowest of them, which they are without then.
    #[inline]
    pub(crate) const fn pop(&mut self) -> Option<u32> {
        if self.bits == 0 {
            return None;
        }
        let reference = self.word * PER_WORD + self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        Some(reference)
    }
}

impl<const WORDS: usize> References<WORDS> {
    constructor! {
        /// No free references.
        pub(crate) fn new() -> Self {
            Self { words: each!(AtomicU64::new(0)), cursor: AtomicU64::new(0) }
        }
    }

    /// Takes up to `count` references of one word among the first `in_use` words.
    ///
    /// The first lap wakes those that rest; from then on it takes either kind, so that none is missed for being woken just
    /// now. `None` if it met no free one in 16 laps more: there is none, or others moved one out of its way each time.
    #[inline]
    pub(crate) fn take(&self, in_use: impl FnOnce() -> usize, count: u32) -> Option<Taken> {
        let place = self.cursor.load(Ordering::Relaxed);
        self.take_at(place, count, AWAKE).or_else(|| self.search(place, in_use(), count))
    }

    /// Takes references of the word at a place, of those `halves` of it. One step takes a reference from wherever it is by then.
    #[inline]
    fn take_at(&self, place: u64, count: u32, halves: u64) -> Option<Taken> {
        let index = place as usize % WORDS;
        let word = self.words.get(index)?;
        let there = either(look(word, halves) & halves);
        if there == 0 {
            return None;
        }
        let wanted = u64::from(lowest(there, count));
        let bits = either(order::take(word, (wanted | wanted << PER_WORD) & halves));
        (bits != 0).then_some(Taken { word: index as u32, bits })
    }

    /// Moves the cursor to the next place that has references, and takes from there. What rests in the words that it leaves
    /// can be taken the next time.
    #[cold]
    fn search(&self, from: u64, in_use: usize, count: u32) -> Option<Taken> {
        let mut place = from;
        for step in 0..(1 + LAPS) * in_use + 1 {
            self.words.get(place as usize % WORDS).map(wake);
            place = within(place + 1, in_use, WORDS);
            let halves = if step < in_use { AWAKE } else { ANY };
            if let Some(taken) = self.take_at(place, count, halves) {
                self.cursor.fetch_max(place, Ordering::Relaxed);
                return Some(taken);
            }
        }
        None
    }

    /// Puts references back, to rest.
    #[inline]
    pub(crate) fn put(&self, taken: Taken) {
        if let Some(word) = self.words.get(taken.word as usize) {
            order::give(word, u64::from(taken.bits) << PER_WORD);
        }
    }

    /// Adds references that can be taken at once.
    pub(crate) fn add(&self, taken: Taken) {
        if let Some(word) = self.words.get(taken.word as usize) {
            order::give(word, u64::from(taken.bits));
        }
    }

    /// Forgets all of them. Nobody else may use them meanwhile.
    pub(crate) fn clear(&self) {
        for word in &self.words {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// How many are free, by the bits; a snapshot.
    pub(crate) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }
}

/// The place, or the start of the next lap, where it is beyond the words in use.
#[inline]
const fn within(place: u64, in_use: usize, words: usize) -> u64 {
    let index = place as usize % words;
    if index < in_use { place } else { place + (words - index) as u64 }
}

/// What a word says. Where it must not be missed that is what it says now: a load may be late, a change is not.
#[inline]
fn look(word: &AtomicU64, halves: u64) -> u64 {
    if halves == ANY { word.fetch_or(0, Ordering::Relaxed) } else { word.load(Ordering::Relaxed) }
}

/// The references that have a bit in either half.
#[inline]
const fn either(word: u64) -> u32 {
    (word | word >> PER_WORD) as u32
}

/// The `count` lowest bits of those that are set.
#[inline]
const fn lowest(bits: u32, count: u32) -> u32 {
    if count == 1 {
        return bits & bits.wrapping_neg();
    }
    let mut above = bits;
    let mut left = count;
    while left > 0 && above != 0 {
        above &= above - 1;
        left -= 1;
    }
    bits & !above
}

/// Lets the references that rest in a word be taken the next time.
fn wake(word: &AtomicU64) {
    let mut known = word.load(Ordering::Relaxed);
    for _ in 0..TRIES {
        let resting = known >> PER_WORD;
        if resting == 0 {
            return;
        }
        let awake = (known | resting) & u64::from(u32::MAX);
        match word.compare_exchange(known, awake, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => known = now,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use std::collections::HashSet;
    use std::vec::Vec;

    use super::*;

    /// Takes of the first `in_use` words.
    fn take(references: &References<4>, in_use: usize, count: u32) -> Option<Taken> {
        references.take(|| in_use, count)
    }

    const ALL: u32 = 4 * PER_WORD;

    fn full() -> References<4> {
        let references = References::new();
        for word in 0..4 {
            references.add(Taken { word, bits: u32::MAX });
        }
        references
    }

    fn one(references: &References<4>) -> u32 {
        take(references, 4, 1).unwrap().pop().unwrap()
    }

    fn put(references: &References<4>, reference: u32) {
        references.put(Taken { word: reference / PER_WORD, bits: 1 << (reference % PER_WORD) });
    }

    #[test]
    fn each_is_given_once() {
        let references = full();
        let all: HashSet<u32> = (0..ALL).map(|_| one(&references)).collect();
        assert_eq!(all.len() as u32, ALL);
        assert_eq!(take(&references, 4, 1), None);
    }

    /// As many others are taken in between as are free in the other words, from wherever the cursor was.
    #[test]
    fn hc_082_a_reference_that_comes_back_is_not_used_again_soon() {
        for before in (0..ALL).step_by(if cfg!(miri) { 17 } else { 1 }) {
            let references = full();
            let held: Vec<u32> = (0..before).map(|_| one(&references)).collect();
            let next = one(&references);
            held.into_iter().for_each(|reference| put(&references, reference));
            put(&references, next);
            let free = references.words.iter().map(|word| (word.load(Ordering::Relaxed) as u32).count_ones());
            let elsewhere: u32 = free.enumerate().filter(|(i, _)| *i as u32 != next / PER_WORD).map(|(_, n)| n).sum();
            let distance = (0..).take_while(|_| one(&references) != next).count() as u32;
            assert!(distance >= elsewhere, "{next} after {distance} others, with {elsewhere} free elsewhere");
        }
    }

    /// Each thread never has more than two, and there are as many: one is always free for it, and seldom where it was.
    #[test]
    fn storm_of_takes_with_none_to_spare() {
        let steps = std::env::var("DOMU_STORM_STEPS").map_or(20_000, |steps| steps.parse().expect("a number of steps"));
        let references = References::<4>::new();
        (0..4).for_each(|word| references.add(Taken { word, bits: 0b11 }));
        let run = || {
            for _ in 0..if cfg!(miri) { 20 } else { steps } {
                let (first, second) = (one(&references), one(&references));
                put(&references, first);
                let third = one(&references);
                put(&references, second);
                put(&references, third);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
        assert_eq!(references.count(), 8);
    }

    /// It is of the word at the cursor: without its rest it would be the next one.
    #[test]
    fn hc_082_a_reference_at_the_cursor_rests() {
        let references = full();
        let first = one(&references);
        put(&references, first);
        let others: Vec<u32> = (1..ALL).map(|_| one(&references)).collect();
        assert!(!others.contains(&first));
        assert_eq!(one(&references), first);
    }

    #[test]
    fn many_are_taken_from_one_word_at_a_time() {
        let references = full();
        assert_eq!(take(&references, 4, 5), Some(Taken { word: 0, bits: 0x1f }));
        assert_eq!(take(&references, 4, 100), Some(Taken { word: 0, bits: !0x1f }));
        assert_eq!(take(&references, 4, 100), Some(Taken { word: 1, bits: !0 }));
    }

    #[test]
    fn words_beyond_those_in_use_are_not_searched() {
        let references = full();
        assert_eq!((0..).take_while(|_| take(&references, 2, 1).is_some()).count() as u32, 2 * PER_WORD);
        assert_eq!(references.count(), 2 * PER_WORD);
        assert!(take(&references, 4, 1).is_some(), "growth makes the others free");
    }

    #[test]
    fn the_last_free_reference_is_found_from_every_place() {
        for last in (0..ALL).step_by(if cfg!(miri) { 17 } else { 1 }) {
            let references = References::<4>::new();
            references.cursor.store(4 * 7 + 2, Ordering::Relaxed);
            put(&references, last);
            assert_eq!(one(&references), last);
        }
    }
}
