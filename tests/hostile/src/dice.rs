//! The randomness of a storm.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// Random choices that a seed repeats, by a generator that is quick under Miri too.
#[derive(Debug)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// The dice that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Any 32 bits.
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any 64 bits.
    pub fn long(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, each about as often; 0 when there is none.
    pub fn below(&mut self, end: u32) -> u32 {
        let product = u64::from(self.word()) * u64::from(end);
        (product >> 32) as u32
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// An index that an honest peer whose own is `near` would not write, as often as not.
    pub fn wild_index(&mut self, near: u32, entries: u32) -> u32 {
        match self.below(10) {
            0 => near.wrapping_add(1),
            1 => near.wrapping_sub(1),
            2 => near.wrapping_add(self.below(2 * entries)),
            3 => near.wrapping_sub(self.below(2 * entries)),
            4 => near.wrapping_add(entries),
            5 => near.wrapping_add(entries + 1),
            6 => near.wrapping_add(1 << 31),
            7 => 0,
            8 => u32::MAX,
            _ => self.word(),
        }
    }
}
