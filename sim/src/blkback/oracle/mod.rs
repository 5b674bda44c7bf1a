//! What a disk must hold, whatever happened to the backend.

mod block;
mod history;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::{SECTOR, SimDisk};
use block::Content;
use history::{History, Kind, Verdict, Version};

/// Knows what was asked of a driver and what it answered, and what the disk may hold therefore.
///
/// Each block that is written holds its number, a generation, and bytes that follow from both. A test tells the oracle of each
/// request when it is submitted and when it ends, and asks at any time whether the [disk](Self::check) is what it may be, and
/// whether a [read](Self::did_read) returned what it may return.
///
/// # The rules
///
/// * A block holds the last write that was acknowledged, or one that could come after it: one that overlapped with it, was
///   submitted later, or whose outcome is unknown.
/// * What a durable flush covers, which is each write that was acknowledged before the flush was submitted, never goes back.
/// * A write that was acknowledged and is covered by no flush may be lost in a crash of the disk's cache, but only if the driver
///   has told so: by a flush after it that was not durable, or by [`cache_lost`](Self::cache_lost).
/// * A block is written as a whole: where a crash [tears](super::Loss::EachSector) writes, blocks must be sectors.
/// * A write that failed may be there or not. One of unknown outcome may come at any time, until [`settle`](Self::settle).
#[derive(Debug)]
pub struct BlockOracle {
    disk: SimDisk,
    block: usize,
    /// Counts what it is told.
    now: u64,
    generation: u64,
    histories: HashMap<u64, History>,
    /// Blocks that have versions which no flush covers.
    dirty: BTreeSet<u64>,
    /// Reads that go on, by when they began.
    reads: BTreeMap<u64, u64>,
    crashes: u64,
}

/// A write, or a discard, that goes on.
#[must_use = "it ends some time"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    first: u64,
    count: u64,
    generation: u64,
    began: u64,
    covers: Covers,
}

/// What the end of a write makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Covers {
    Nothing,
    /// It was a barrier: itself, and all that was acknowledged before it began.
    Earlier,
}

/// A flush that goes on.
#[must_use = "it ends some time"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush(u64);

/// A read that goes on.
#[must_use = "it ends some time"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    first: u64,
    began: u64,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was acknowledged.
    Done,
    /// It failed: it is there or not, and will not come later.
    Failed,
    /// Nobody knows: it may come later.
    Unknown,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flushed {
    /// What it covers is durable.
    Durable,
    /// What it covers may be lost if the disk's cache is.
    NotDurable,
    /// Nobody knows: as `NotDurable`.
    Unknown,
    /// What it covers may be lost already.
    CacheLost,
}

/// What is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number.
    pub block: u64,
    /// What is wrong.
    pub what: Wrong,
}

/// What can be wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// It is none that was ever written: torn, mixed, changed.
    Garbage,
    /// It is another block's.
    OfBlock(u64),
    /// It is a generation that was never written to this block.
    NeverWritten(u64),
    /// A durable write is lost.
    DurableLost {
        /// What is there; 0 is what was there before all writes.
        found: u64,
        /// What was durable.
        durable: u64,
    },
    /// An acknowledged write is lost, and the driver has not said so.
    Lost {
        /// What is there; 0 is what was there before all writes.
        found: u64,
        /// What was acknowledged.
        acknowledged: u64,
    },
}

impl BlockOracle {
    /// An oracle for a disk that is empty, with blocks of so many bytes.
    ///
    /// # Panics
    ///
    /// If these are not whole sectors.
    #[must_use]
    pub fn new(disk: &SimDisk, block: usize) -> Self {
        assert!(block > 0 && block.is_multiple_of(SECTOR), "a block has whole sectors");
        let (histories, dirty, reads) = (HashMap::new(), BTreeSet::new(), BTreeMap::new());
        let crashes = disk.statistics().crashes;
        Self { disk: disk.clone(), block, now: 0, generation: 0, histories, dirty, reads, crashes }
    }

    /// The first sector of a block.
    #[must_use]
    pub const fn sector(&self, block: u64) -> u64 {
        block * (self.block / SECTOR) as u64
    }

    /// A write of blocks from `first` on is submitted, as many as fit into `bytes`, which are filled with what is to be written.
    pub fn write(&mut self, first: u64, bytes: &mut [u8]) -> Write {
        let write = self.submit(first, (bytes.len() / self.block) as u64, Kind::Write, Covers::Nothing);
        for (number, bytes) in (first..).zip(bytes.chunks_exact_mut(self.block)) {
            block::fill(bytes, number, write.generation);
        }
        write
    }

    /// As [`write`](Self::write), with a barrier.
    pub fn write_barrier(&mut self, first: u64, bytes: &mut [u8]) -> Write {
        Write { covers: Covers::Earlier, ..self.write(first, bytes) }
    }

    /// A discard of blocks is submitted. A block that is discarded may hold zeros or any earlier content.
    pub fn discard(&mut self, first: u64, count: u64) -> Write {
        self.submit(first, count, Kind::Discard, Covers::Nothing)
    }

    /// A write or a discard has ended.
    pub fn ended(&mut self, write: Write, outcome: Outcome) {
        let now = self.tick();
        for block in write.first..write.first + write.count {
            if let Some(history) = self.histories.get_mut(&block) {
                history.end(write.generation, outcome, now);
            }
        }
        if write.covers == Covers::Earlier && outcome == Outcome::Done {
            self.cover(write.began);
            let blocks = write.first..write.first + write.count;
            blocks.for_each(|block| self.histories.entry(block).or_default().make_durable(write.generation));
        }
    }

    /// A flush is submitted.
    pub fn flush(&mut self) -> Flush {
        Flush(self.tick())
    }

    /// A flush has ended.
    pub fn flushed(&mut self, flush: Flush, how: Flushed) {
        self.tick();
        match how {
            Flushed::Durable => self.cover(flush.0),
            Flushed::NotDurable | Flushed::Unknown => self.excuse(flush.0, Version::excuse),
            Flushed::CacheLost => self.excuse(flush.0, Version::lose),
        }
    }

    /// The driver has told that acknowledged writes may be lost: those so far that no flush covers.
    pub fn cache_lost(&mut self) {
        let now = self.tick();
        self.excuse(now, Version::lose);
    }

    /// No request of unknown outcome will come any more: whoever had them is gone.
    pub fn settle(&mut self) {
        let now = self.tick();
        self.histories.values_mut().for_each(|history| history.settle(now));
    }

    /// A read of blocks from `first` on is submitted.
    pub fn read(&mut self, first: u64) -> Read {
        let began = self.tick();
        *self.reads.entry(began).or_default() += 1;
        Read { first, began }
    }

    /// A read has returned these blocks.
    ///
    /// # Errors
    ///
    /// The first block that it must not have returned.
    pub fn did_read(&mut self, read: Read, bytes: &[u8]) -> Result<(), Finding> {
        self.tick();
        self.forget_read(read);
        let mut blocks = (read.first..).zip(bytes.chunks_exact(self.block));
        blocks.try_for_each(|(number, bytes)| self.judge(number, bytes, read.began))
    }

    /// A read has failed.
    pub fn did_not_read(&mut self, read: Read) {
        self.forget_read(read);
    }

    /// Looks at each block of the disk that was ever written.
    ///
    /// # Errors
    ///
    /// All that is wrong, by the blocks' numbers.
    pub fn check(&mut self) -> Result<(), Vec<Finding>> {
        let now = self.tick();
        let mut numbers: Vec<u64> = self.histories.keys().copied().collect();
        numbers.sort_unstable();
        let mut bytes = vec![0; self.block];
        let mut findings = Vec::new();
        for number in numbers {
            self.disk.read(self.sector(number), &mut bytes);
            findings.extend(self.judge(number, &bytes, now).err());
        }
        if findings.is_empty() { Ok(()) } else { Err(findings) }
    }

    /// As [`check`](Self::check), for a test.
    ///
    /// # Panics
    ///
    /// If anything is wrong, with the first few findings.
    pub fn assert_disk(&mut self) {
        if let Err(findings) = self.check() {
            let first: Vec<String> = findings.iter().take(8).map(ToString::to_string).collect();
            panic!("{} of the disk's blocks are wrong: {}", findings.len(), first.join("; "));
        }
    }
}

impl BlockOracle {
    /// One more thing that it is told; crashes that it was not told of were before.
    fn tick(&mut self) -> u64 {
        let crashes = self.disk.statistics().crashes;
        if crashes != self.crashes {
            self.crashes = crashes;
            self.each_dirty(Version::strike);
        }
        self.now += 1;
        self.now
    }

    fn submit(&mut self, first: u64, count: u64, kind: Kind, covers: Covers) -> Write {
        let began = self.tick();
        self.generation += 1;
        let generation = self.generation;
        for block in first..first + count {
            self.histories.entry(block).or_default().begin(Version::new(generation, began, kind));
            self.dirty.insert(block);
        }
        Write { first, count, generation, began, covers }
    }

    /// What was acknowledged before `began` is durable.
    fn cover(&mut self, began: u64) {
        let oldest_read = self.reads.keys().next().copied().unwrap_or(u64::MAX);
        let histories = &mut self.histories;
        self.dirty.retain(|block| histories.get_mut(block).is_some_and(|history| history.cover(began, oldest_read)));
    }

    /// What was acknowledged before `began` and is not durable may be lost, in one way or the other.
    fn excuse(&mut self, began: u64, how: fn(&mut Version)) {
        self.each_dirty(|version| {
            if version.was_acknowledged_before(began) {
                how(version);
            }
        });
    }

    fn each_dirty(&mut self, what: impl Fn(&mut Version)) {
        for block in &self.dirty {
            let versions = self.histories.get_mut(block).into_iter().flat_map(History::volatile_mut);
            versions.for_each(&what);
        }
    }

    fn forget_read(&mut self, read: Read) {
        if let Some(count) = self.reads.get_mut(&read.began) {
            *count -= 1;
            if *count == 0 {
                self.reads.remove(&read.began);
            }
        }
    }

    /// Whether a block may have been this at some time since `from`.
    fn judge(&self, block: u64, bytes: &[u8], from: u64) -> Result<(), Finding> {
        let wrong = |what| Err(Finding { block, what });
        let content = block::parse(bytes);
        let fresh = History::default();
        let history = self.histories.get(&block).unwrap_or(&fresh);
        let generation = match content {
            Content::Zero => None,
            Content::Garbage => return wrong(Wrong::Garbage),
            Content::Block { number, .. } if number != block => return wrong(Wrong::OfBlock(number)),
            Content::Block { generation, .. } => Some(generation),
        };
        match history.judge(generation, from) {
            Verdict::Allowed => Ok(()),
            Verdict::NeverWritten => wrong(Wrong::NeverWritten(generation.unwrap_or(0))),
            Verdict::DurableLost(durable) => wrong(Wrong::DurableLost { found: generation.unwrap_or(0), durable }),
            Verdict::Lost(acknowledged) => wrong(Wrong::Lost { found: generation.unwrap_or(0), acknowledged }),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {}: ", self.block)?;
        match self.what {
            Wrong::Garbage => f.write_str("no block that was ever written"),
            Wrong::OfBlock(other) => write!(f, "it is block {other}"),
            Wrong::NeverWritten(generation) => write!(f, "generation {generation}, which was never written there"),
            Wrong::DurableLost { found, durable } => write!(f, "generation {found}, but {durable} was durable"),
            Wrong::Lost { found, acknowledged } => write!(f, "generation {found}, but {acknowledged} was acknowledged"),
        }
    }
}

impl std::error::Error for Finding {}
