//! What stands in a block: every sector tells where and when it was written, so that a wrong one says what happened.

use core::fmt;

pub(crate) use xen_rt::blkfront::SECTOR;

/// Words of 8 bytes in a sector.
const WORDS: usize = SECTOR / 8;

/// What a block is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells this run's blocks from those of others.
    pub(crate) seed: u64,
    /// Its number.
    pub(crate) block: u64,
    /// How often it has been written.
    pub(crate) generation: u32,
}

/// A block that does not hold what it is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mismatch {
    wanted: Stamp,
    sector: usize,
    found: Found,
}

/// What the first wrong sector holds instead.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// A whole sector of some block.
    Other { stamp: Stamp, sector: usize },
    /// The right beginning, and something else from this byte on.
    Changed { byte: usize },
    /// Nothing that was ever written here; its first words.
    Foreign([u64; 2]),
}

impl Stamp {
    /// Writes the whole block.
    pub(crate) fn fill(self, block: &mut [u8]) {
        for (sector, bytes) in block.chunks_exact_mut(SECTOR).enumerate() {
            for (word, bytes) in self.words(sector).zip(bytes.chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// Whether the block holds what it is to hold, byte for byte.
    pub(crate) fn check(self, block: &[u8]) -> Result<(), Mismatch> {
        for (sector, bytes) in block.chunks_exact(SECTOR).enumerate() {
            if !self.words(sector).eq(words(bytes)) {
                return Err(Mismatch { wanted: self, sector, found: self.find(sector, bytes) });
            }
        }
        Ok(())
    }

    /// A sector: who it is, a sequence made from that, and a hash of all before.
    fn words(self, sector: usize) -> impl Iterator<Item = u64> {
        let mut hash = START;
        (0..WORDS).map(move |index| {
            let word = match index {
                0 => self.seed,
                1 => self.block,
                2 => u64::from(self.generation) << 32 | sector as u64,
                LAST => hash,
                _ => hash.rotate_left(index as u32),
            };
            hash = mix(hash, word);
            word
        })
    }

    fn find(self, sector: usize, bytes: &[u8]) -> Found {
        let mut head = words(bytes);
        let [seed, block, place] = [(); 3].map(|()| head.next().unwrap_or_default());
        let stamp = Self { seed, block, generation: (place >> 32) as u32 };
        let named = place as u32 as usize;
        if stamp.words(named).eq(words(bytes)) {
            return Found::Other { stamp, sector: named };
        }
        match self.words(sector).zip(words(bytes)).position(|(wanted, found)| wanted != found) {
            Some(word @ 1..) => Found::Changed { byte: word * 8 },
            _ => Found::Foreign([seed, block]),
        }
    }
}

/// The place of the hash, and what it starts with: a sector of zeros is no block.
const LAST: usize = WORDS - 1;
const START: u64 = 0x646f_6d75;

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|bytes| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}

const fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, sector, found } = self;
        write!(f, "block {} sector {sector}: expected generation {}, found ", wanted.block, wanted.generation)?;
        match found {
            Found::Other { stamp, .. } if stamp.seed != wanted.seed => {
                write!(f, "block {} of another run", stamp.block)
            }
            Found::Other { stamp, sector } => {
                write!(f, "block {} sector {sector} generation {}", stamp.block, stamp.generation)
            }
            Found::Changed { byte } => write!(f, "other bytes from {byte} on"),
            Found::Foreign([first, second]) => write!(f, "what was never written: {first:016x} {second:016x}"),
        }
    }
}
