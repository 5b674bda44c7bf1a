//! Which places of a device are read, and what is found there.

use crate::{Order, Work};

/// Each piece of the device of so many bytes begins with [`stamp`] of its place.
pub const STAMPED: u64 = 4096;

/// The first eight bytes (little endian) of the piece that begins at byte `at`.
#[must_use]
pub const fn stamp(at: u64) -> u64 {
    (at / STAMPED) ^ 0x5bd1_e995_9e37_79b9
}

/// The places that a work reads, in bytes: an endless sequence, the same each time.
#[derive(Debug, Clone)]
pub struct Places {
    order: Order,
    bytes: u64,
    /// How many requests fit on the device.
    count: u64,
    state: u64,
}

impl Places {
    /// Returns the places for a device of `size` bytes; `None` if it is smaller than one request.
    #[must_use]
    pub const fn new(work: &Work, size: u64) -> Option<Self> {
        let bytes = work.bytes as u64;
        match size.checked_div(bytes) {
            None | Some(0) => None,
            Some(count) => Some(Self { order: work.order, bytes, count, state: 0 }),
        }
    }

    /// Returns the place of the next request.
    #[must_use]
    pub const fn place(&mut self) -> u64 {
        let index = match self.order {
            Order::Sequential => self.state % self.count,
            // SplitMix64 (Steele, Lea, Flood 2014), and its upper half scaled to the number of places.
            Order::Random => ((mix(self.state) >> 32) * self.count) >> 32,
        };
        self.state = self.state.wrapping_add(1);
        index * self.bytes
    }
}

const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str, size: u64, count: usize) -> [u64; 64] {
        let work = text.parse().unwrap();
        let mut places = Places::new(&work, size).unwrap();
        let mut found = [0; 64];
        found.iter_mut().take(count).for_each(|place| *place = places.place());
        found
    }

    #[test]
    fn a_sequence_begins_anew_at_the_end_of_the_device() {
        assert_eq!(places("read 4096 sequential 1 1", 3 * 4096 + 1, 4)[..4], [0, 4096, 8192, 0]);
    }

    #[test]
    fn random_places_lie_on_the_device_and_are_the_same_each_time() {
        let found = places("read 4096 random 1 1", 16 * 4096, 64);
        assert!(found.iter().all(|at| at % 4096 == 0 && *at < 16 * 4096));
        assert_eq!(found, places("read 4096 random 1 1", 16 * 4096, 64));
        let distinct = (0..16).filter(|index| found.contains(&(index * 4096))).count();
        assert!(distinct > 12, "{distinct} of 16");
    }

    #[test]
    fn a_device_may_be_too_small() {
        let work = "read 4096 random 1 1".parse().unwrap();
        assert!(Places::new(&work, 4095).is_none());
    }

    #[test]
    fn pieces_have_different_stamps() {
        assert_ne!(stamp(0), stamp(STAMPED));
        assert_ne!(stamp(0), 0);
    }
}
