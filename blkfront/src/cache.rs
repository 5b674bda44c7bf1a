//! What the backend has acknowledged, and no flush has covered.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use xen_grant_table::Memory;
use xen_hypercall::abi::io::blkif::Status;

use crate::disk::Disk;
use crate::jobs::Job;
use crate::request::{Discard, Flushed, Kind, NotDurable, Unknown};

/// What is known of durability, over all connections of a disk.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Changes that were acknowledged; each has its number.
    acknowledged: u64,
    /// Those up to this number are durable, or their loss was noted.
    covered: u64,
    /// How often changes were lost, and how many of these losses flushes have told of.
    losses: u64,
    told: u64,
    /// Flushes up to this one were submitted before the last loss was told.
    told_until: u64,
    /// Said to each flush of this connection.
    refusal: Option<NotDurable>,
    /// Some backend of this disk offered to flush.
    was_offered: bool,
    journal: Journal,
}

/// Copies of changes that are acknowledged and not covered.
#[derive(Debug)]
struct Journal {
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
    /// A change up to this number did not fit.
    missing_until: u64,
}

/// A change that may have to be made again.
#[derive(Debug)]
pub(crate) struct Entry {
    number: u64,
    pub(crate) at: u64,
    pub(crate) change: Change,
}

#[derive(Debug)]
pub(crate) enum Change {
    Write(Vec<u8>),
    Discard { sectors: u64, how: Discard },
}

/// What a flush covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) const NOTHING: Self = Self(0);
}

impl Cache {
    pub(crate) const fn new(limit: usize) -> Self {
        let journal = Journal { entries: VecDeque::new(), bytes: 0, limit, missing_until: 0 };
        Self {
            acknowledged: 0,
            covered: 0,
            losses: 0,
            told: 0,
            told_until: 0,
            refusal: None,
            was_offered: false,
            journal,
        }
    }

    /// A new connection begins.
    pub(crate) const fn begin(&mut self, disk: &Disk) {
        self.refusal = if self.was_offered && !disk.has_flush() { Some(NotDurable::Withdrawn) } else { None };
        self.was_offered |= disk.has_flush();
    }

    /// Whether something was acknowledged that no flush has covered.
    pub(crate) const fn is_dirty(&self) -> bool {
        self.acknowledged > self.covered
    }

    /// A change was acknowledged.
    pub(crate) fn acknowledge<P: Memory>(&mut self, job: &Job<P>) {
        self.acknowledged += 1;
        if self.journal.limit > 0 {
            self.journal.keep(self.acknowledged, job);
        }
    }

    /// What a flush that is sent now covers.
    pub(crate) const fn mark(&self) -> Mark {
        Mark(self.acknowledged)
    }

    /// The backend is lost. Answers whether there is something to be written again.
    pub(crate) fn backend_lost(&mut self) -> bool {
        if !self.is_dirty() {
            return false;
        }
        let kept = self.journal.limit > 0 && self.journal.missing_until <= self.covered;
        if !kept {
            self.give_up();
        }
        kept
    }

    /// What was acknowledged and not covered counts as lost.
    pub(crate) fn give_up(&mut self) {
        self.losses += u64::from(self.is_dirty());
        self.cover(self.mark());
    }

    /// The owner knows that a flush failed, and goes on from here. Other losses are still to be told.
    pub(crate) const fn accept_loss(&mut self) {
        if let Some(NotDurable::Failed(_)) = self.refusal {
            self.refusal = None;
        }
    }

    /// What a flush need not be sent for: it is known already.
    pub(crate) const fn verdict(&self, disk: &Disk) -> Option<Flushed> {
        match self.refusal {
            Some(refusal) => Some(Flushed::NotDurable(refusal)),
            None if disk.has_flush() || disk.has_barrier() => None,
            None => Some(Flushed::Unknown(Unknown::NotOffered)),
        }
    }

    /// What is to be said of a flush that came back with this status, but for losses.
    pub(crate) fn conclude(&mut self, mark: Mark, status: Status, disk: &Disk) -> Flushed {
        match status {
            // What an earlier flush did not make durable this one may not have, either.
            Status::OKAY if let Some(refusal) = self.refusal => Flushed::NotDurable(refusal),
            Status::OKAY if disk.has_flush() => {
                self.cover(mark);
                Flushed::Durable
            }
            Status::OKAY => Flushed::Unknown(Unknown::BarrierOnly),
            Status::EOPNOTSUPP => self.refuse(NotDurable::Refused),
            Status(status) => self.refuse(NotDurable::Failed(status)),
        }
    }

    /// What is said to a flush with this number, and of how many losses that tells: of a loss is told each flush that was submitted
    /// before one has told of it.
    pub(crate) const fn judged(&self, verdict: Flushed, serial: u64) -> (Flushed, u64) {
        let lost = Flushed::NotDurable(NotDurable::CacheLost);
        if serial <= self.told_until {
            // Its owner takes it for the loss that was told already: a later one is to be told to another.
            (lost, 0)
        } else if self.losses > self.told {
            (lost, self.losses)
        } else {
            (verdict, 0)
        }
    }

    /// The owner was told of so many losses, when the last flush that it had submitted was this one, or was before it.
    pub(crate) const fn told(&mut self, losses: u64, latest: u64) {
        if losses > self.told {
            (self.told, self.told_until) = (losses, latest);
        }
    }

    /// Whether all that was acknowledged is durable, and no loss is to be told.
    pub(crate) const fn is_clean(&self) -> bool {
        !self.is_dirty() && self.losses == self.told && self.refusal.is_none()
    }

    /// The changes to be made again, by place.
    pub(crate) fn entry(&self, index: usize) -> Option<&Entry> {
        self.journal.entries.get(index)
    }

    const fn refuse(&mut self, refusal: NotDurable) -> Flushed {
        self.refusal = Some(refusal);
        Flushed::NotDurable(refusal)
    }

    fn cover(&mut self, mark: Mark) {
        self.covered = self.covered.max(mark.0);
        self.journal.forget(self.covered);
    }
}

impl Journal {
    fn keep<P: Memory>(&mut self, number: u64, job: &Job<P>) {
        match copy(job, self.limit - self.bytes.min(self.limit)) {
            Some(change) if self.entries.try_reserve(1).is_ok() => {
                self.bytes += change.bytes();
                self.entries.push_back(Entry { number, at: job.at, change });
            }
            // Half a journal is worth nothing.
            _ => {
                self.entries.clear();
                (self.bytes, self.missing_until) = (0, number);
            }
        }
    }

    fn forget(&mut self, until: u64) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.number <= until) {
            self.bytes -= entry.change.bytes();
        }
    }
}

impl Change {
    /// What it takes in the journal.
    const fn bytes(&self) -> usize {
        let data = match self {
            Self::Write(data) => data.len(),
            Self::Discard { .. } => 0,
        };
        data + size_of::<Entry>()
    }
}

/// A copy of what a job changes, if it takes no more room than there is.
fn copy<P: Memory>(job: &Job<P>, room: usize) -> Option<Change> {
    if let Kind::Discard { sectors, how } = job.kind {
        let change = Change::Discard { sectors, how };
        return (change.bytes() <= room).then_some(change);
    }
    let len = job.buffer.len();
    if len.saturating_add(size_of::<Entry>()) > room {
        return None;
    }
    let mut data = Vec::new();
    data.try_reserve_exact(len).ok()?;
    data.resize(len, 0);
    (job.buffer.copy_out(0, &mut data) == len).then_some(Change::Write(data))
}
