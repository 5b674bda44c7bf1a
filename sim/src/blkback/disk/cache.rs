//! What a crash can take back: the old content of every sector that was written since the last flush.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::pages::Pages;
use crate::blkback::SECTOR;

/// Which of the unflushed writes a crash loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// All.
    All,
    /// None.
    Nothing,
    /// All but the first so many.
    AllAfter(u64),
    /// All after one that this seed chooses.
    After(u64),
    /// Each or not, by this seed; a later one can survive an earlier one.
    Each(u64),
    /// Each sector of each or not, by this seed. What is larger than a sector is torn then.
    EachSector(u64),
}

/// What a crash did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Writes that were unflushed.
    pub unflushed: u64,
    /// Sectors that went back to an older content.
    pub sectors_lost: u64,
}

/// The undo log of what is not durable, in two parts, so that the older one can become durable at little cost.
pub(super) struct Cache {
    older: Log,
    newer: Log,
    /// The number of the write that goes on.
    write: u64,
    limit: usize,
}

#[derive(Default)]
struct Log {
    entries: Vec<Undo>,
    /// What stood there before: a sector for each entry.
    old: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Undo {
    sector: u64,
    write: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { older: Log::default(), newer: Log::default(), write: 0, limit: 1 << 17 }
    }
}

impl Cache {
    pub(super) fn set_limit(&mut self, sectors: usize) {
        self.limit = sectors;
        self.trim();
    }

    /// Begins a write.
    pub(super) const fn begin(&mut self) {
        self.write += 1;
    }

    /// Keeps what stands in sectors that are to be written.
    pub(super) fn keep(&mut self, pages: &Pages, sector: u64, count: u64) {
        if self.limit == 0 {
            return;
        }
        let (write, Log { entries, old }) = (self.write, &mut self.newer);
        entries.extend((sector..sector + count).map(|sector| Undo { sector, write }));
        pages.get(sector, count as usize * SECTOR, |_, bytes| old.extend_from_slice(bytes));
    }

    /// Everything is durable.
    pub(super) fn clear(&mut self) {
        self.older.clear();
        self.newer.clear();
    }

    /// What is too much becomes durable, the oldest first.
    pub(super) fn trim(&mut self) {
        if self.newer.entries.len() > self.limit / 2 {
            std::mem::swap(&mut self.older, &mut self.newer);
            self.newer.clear();
        }
        if self.older.entries.len() + self.newer.entries.len() > self.limit {
            self.older.clear();
        }
    }

    /// No older content of these sectors is left.
    pub(super) fn forget(&mut self, sector: u64, count: u64) {
        let range = sector..sector.saturating_add(count);
        for Log { entries, old } in [&mut self.older, &mut self.newer] {
            for (entry, old) in entries.iter().zip(old.chunks_exact_mut(SECTOR)) {
                if range.contains(&entry.sector) {
                    old.fill(0);
                }
            }
        }
    }

    pub(super) fn writes(&self) -> u64 {
        let (mut count, mut last) = (0, 0);
        for (entry, _) in self.entries() {
            count += u64::from(entry.write != last);
            last = entry.write;
        }
        count
    }

    /// Takes writes back, the last one first. A sector is settled with the last write of it that survives.
    pub(super) fn crash(&mut self, pages: &mut Pages, loss: Loss) -> Crash {
        let unflushed = self.writes();
        let mut fate = Fate::new(loss, unflushed);
        let (mut settled, mut lost) = (HashSet::new(), HashSet::new());
        for (entry, old) in self.entries().rev() {
            let survives = fate.of(entry.write);
            if settled.contains(&entry.sector) {
                continue;
            }
            if survives {
                settled.insert(entry.sector);
            } else {
                pages.put(entry.sector, SECTOR, |_, into| into.copy_from_slice(old));
                lost.insert(entry.sector);
            }
        }
        self.clear();
        Crash { unflushed, sectors_lost: lost.len() as u64 }
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (&Undo, &[u8])> {
        let newer = self.newer.entries.iter().zip(self.newer.old.chunks_exact(SECTOR));
        self.older.entries.iter().zip(self.older.old.chunks_exact(SECTOR)).chain(newer)
    }
}

impl Log {
    fn clear(&mut self) {
        self.entries.clear();
        self.old.clear();
    }
}

/// Who survives, asked from the last write to the first.
struct Fate {
    loss: Loss,
    rng: ChaCha8Rng,
    /// How many writes are left, with the one that is asked for now.
    left: u64,
    /// How many of the first ones survive.
    first: u64,
    last: Option<u64>,
    survives: bool,
}

impl Fate {
    fn new(loss: Loss, writes: u64) -> Self {
        let seed = match loss {
            Loss::After(seed) | Loss::Each(seed) | Loss::EachSector(seed) => seed,
            Loss::All | Loss::Nothing | Loss::AllAfter(_) => 0,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let first = match loss {
            Loss::Nothing => writes,
            Loss::AllAfter(count) => count,
            Loss::After(_) => rng.random_range(0..=writes),
            Loss::All | Loss::Each(_) | Loss::EachSector(_) => 0,
        };
        Self { loss, rng, left: writes + 1, first, last: None, survives: false }
    }

    fn of(&mut self, write: u64) -> bool {
        let another = self.last != Some(write);
        if another {
            self.left -= 1;
            self.last = Some(write);
        }
        match self.loss {
            Loss::EachSector(_) => self.survives = self.rng.random(),
            Loss::Each(_) if another => self.survives = self.rng.random(),
            Loss::Each(_) => {}
            _ => self.survives = self.left <= self.first,
        }
        self.survives
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Discard, Honesty, SimDisk};
    use super::*;

    const END: u64 = 6 << 30;

    fn first_byte(disk: &SimDisk, sector: u64) -> u8 {
        let mut bytes = [0; SECTOR];
        disk.read(sector, &mut bytes);
        bytes[0]
    }

    /// A disk of 3 TiB with a durable 1 in sector 7, and unflushed: 2 in 7 and 8, 3 in 7, 4 in the last one.
    fn disk() -> SimDisk {
        let disk = SimDisk::new(END);
        disk.write(7, &[1; SECTOR]);
        disk.flush();
        disk.write(7, &[2; 2 * SECTOR]);
        disk.write(7, &[3; SECTOR]);
        disk.write(END - 1, &[4; SECTOR]);
        disk
    }

    fn content(disk: &SimDisk) -> [u8; 3] {
        [7, 8, END - 1].map(|sector| first_byte(disk, sector))
    }

    #[test]
    fn a_crash_loses_what_it_is_told_to() {
        let after = |loss| {
            let disk = disk();
            assert_eq!(disk.crash(loss).unflushed, 3);
            assert_eq!(disk.unflushed(), 0);
            content(&disk)
        };
        assert_eq!(content(&disk()), [3, 2, 4]);
        assert_eq!(after(Loss::Nothing), [3, 2, 4]);
        assert_eq!(after(Loss::All), [1, 0, 0]);
        assert_eq!(after(Loss::AllAfter(1)), [2, 2, 0]);
        assert_eq!(after(Loss::AllAfter(2)), [3, 2, 0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "hundreds of crashes")]
    fn chance_finds_every_outcome_that_there_is_and_no_other() {
        let outcomes = |loss: fn(u64) -> Loss| -> HashSet<[u8; 3]> {
            let outcome = |seed| {
                let disk = disk();
                disk.crash(loss(seed));
                content(&disk)
            };
            (0..300).map(outcome).collect()
        };
        assert_eq!(outcomes(Loss::After), HashSet::from([[1, 0, 0], [2, 2, 0], [3, 2, 0], [3, 2, 4]]));
        let each = outcomes(Loss::Each);
        assert_eq!(each.len(), 8, "2 is in 7 only where it is in 8: {each:?}");
        assert!(!each.contains(&[2, 0, 0]) && each.contains(&[3, 0, 4]));
        assert_eq!(outcomes(Loss::EachSector).len(), 12);
    }

    #[test]
    fn a_flush_makes_durable_unless_the_disk_lies() {
        let disk = disk();
        disk.flush();
        disk.crash(Loss::All);
        assert_eq!(content(&disk), [3, 2, 4]);
        disk.set_honesty(Honesty::IgnoresFlushes);
        disk.write(7, &[9; SECTOR]);
        disk.flush();
        disk.crash(Loss::All);
        assert_eq!(content(&disk), [3, 2, 4]);
    }

    #[test]
    fn a_small_cache_writes_back() {
        let disk = disk();
        disk.set_cache(2);
        disk.crash(Loss::All);
        assert_eq!(content(&disk), [3, 2, 4], "there was too much of it");
        disk.write(8, &[5; SECTOR]);
        disk.write(7, &[6; SECTOR]);
        disk.write(7, &[7; SECTOR]);
        disk.crash(Loss::All);
        assert_eq!(content(&disk), [6, 5, 4], "the older ones became durable");
        disk.set_cache(0);
        disk.write(7, &[9; SECTOR]);
        assert_eq!(disk.unflushed(), 0);
    }

    #[test]
    fn a_discard_can_be_lost_and_a_secure_one_cannot() {
        let disk = disk();
        disk.discard(0, END, Discard::Plain);
        assert_eq!(content(&disk), [0, 0, 0]);
        disk.crash(Loss::AllAfter(3));
        assert_eq!(content(&disk), [3, 2, 4]);
        disk.write(7, &[5; SECTOR]);
        disk.discard(7, 1, Discard::Secure);
        disk.crash(Loss::All);
        assert_eq!(content(&disk), [0, 2, 4]);
    }
}
