//! What was ever written to one block, as far as it still matters.

use super::Outcome;

/// The versions of a block, in the order in which they were submitted. Before the first one the block is zero.
#[derive(Debug, Default)]
pub(super) struct History {
    versions: Vec<Version>,
    /// The zeros of the start can be there no more.
    started: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Discard,
}

/// One write of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    generation: u64,
    kind: Kind,
    began: u64,
    /// From then on it does not come any more, if it has not.
    ended: Option<u64>,
    outcome: Option<Outcome>,
    durable: bool,
    /// A crash may have taken it.
    struck: bool,
    /// The driver has told that a crash could take it.
    excused: bool,
}

/// What is to be said of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    NeverWritten,
    /// Lost is a durable one of this generation.
    DurableLost(u64),
    /// Lost is an acknowledged one.
    Lost(u64),
}

impl Verdict {
    /// How bad it is.
    const fn weight(self) -> u8 {
        match self {
            Self::Allowed => 0,
            Self::Lost(_) => 1,
            Self::DurableLost(_) => 2,
            Self::NeverWritten => 3,
        }
    }
}

impl Version {
    pub(super) const fn new(generation: u64, began: u64, kind: Kind) -> Self {
        let (ended, outcome) = (None, None);
        Self { generation, kind, began, ended, outcome, durable: false, struck: false, excused: false }
    }

    fn is_acknowledged(&self) -> bool {
        self.outcome == Some(Outcome::Done)
    }

    /// Whether it may be gone, by its own fault or that of a crash that was told of.
    const fn is_lost(&self) -> bool {
        !self.durable && self.struck && self.excused
    }

    pub(super) fn was_acknowledged_before(&self, time: u64) -> bool {
        self.is_acknowledged() && self.ended.is_some_and(|ended| ended < time)
    }

    /// There was a crash.
    pub(super) const fn strike(&mut self) {
        self.struck = true;
    }

    /// The driver has said that a crash could take it.
    pub(super) const fn excuse(&mut self) {
        self.excused = true;
    }

    /// The driver has said that there was a crash.
    pub(super) const fn lose(&mut self) {
        (self.struck, self.excused) = (true, true);
    }

    /// Whether it stands above one that ended then, at `time`: it was acknowledged before, and began when the other had ended.
    fn covers(&self, ended: Option<u64>, time: u64) -> bool {
        let there = self.is_acknowledged() && self.ended.is_some_and(|own| own <= time) && !self.is_lost();
        there && ended.is_some_and(|ended| ended < self.began)
    }
}

impl History {
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.versions.len()
    }

    pub(super) fn begin(&mut self, version: Version) {
        self.versions.push(version);
    }

    pub(super) fn end(&mut self, generation: u64, outcome: Outcome, now: u64) {
        for version in self.versions.iter_mut().filter(|version| version.generation == generation) {
            version.outcome = Some(outcome);
            version.ended = (outcome != Outcome::Unknown).then_some(now);
        }
    }

    pub(super) fn settle(&mut self, now: u64) {
        let unknown = |version: &&mut Version| version.outcome == Some(Outcome::Unknown) && version.ended.is_none();
        self.versions.iter_mut().filter(unknown).for_each(|version| version.ended = Some(now));
    }

    pub(super) fn make_durable(&mut self, generation: u64) {
        let is_it = |version: &&mut Version| version.generation == generation && version.is_acknowledged();
        self.versions.iter_mut().filter(is_it).for_each(|version| version.durable = true);
    }

    /// Those that are not durable.
    pub(super) fn volatile_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        self.versions.iter_mut().filter(|version| !version.durable)
    }

    /// What was acknowledged before `began` is durable; what can be there no more, and is in no read that goes on, is forgotten.
    /// Says whether anything is left that is not durable.
    pub(super) fn cover(&mut self, began: u64, oldest_read: u64) -> bool {
        for version in self.versions.iter_mut().filter(|version| version.was_acknowledged_before(began)) {
            version.durable |= !version.is_lost();
        }
        let durable: Vec<Version> = self.versions.iter().copied().filter(|version| version.durable).collect();
        let is_gone = |ended| durable.iter().any(|above| above.covers(ended, oldest_read.saturating_sub(1)));
        self.versions.retain(|version| !is_gone(version.ended));
        self.started |= is_gone(Some(0));
        self.versions.iter().any(|version| !version.durable)
    }

    /// Whether the block may have held this at some time since `from`; `None` is zeros.
    pub(super) fn judge(&self, generation: Option<u64>, from: u64) -> Verdict {
        let found = match generation {
            None => return self.judge_zeros(from),
            Some(generation) => self.versions.iter().find(|version| version.generation == generation),
        };
        let Some(found) = found else { return self.judge_forgotten(generation, from) };
        if self.is_discarded_after(found.began, from) {
            return Verdict::Allowed;
        }
        self.above(found.ended, from)
    }

    fn judge_zeros(&self, from: u64) -> Verdict {
        let discarded = self.versions.iter().filter(|version| version.kind == Kind::Discard);
        // Where a discard can be what is seen, what is lost is what came after that.
        let after = discarded.map(|version| self.above(version.ended, from));
        match after.min_by_key(|verdict| verdict.weight()) {
            Some(verdict) if verdict.weight() < Verdict::DurableLost(0).weight() => return verdict,
            _ => {}
        }
        match self.above(Some(0), from) {
            Verdict::Allowed if self.started => Verdict::DurableLost(self.last_durable()),
            verdict => verdict,
        }
    }

    /// What was forgotten was below something durable.
    fn judge_forgotten(&self, generation: Option<u64>, from: u64) -> Verdict {
        let newest = self.versions.iter().map(|version| version.generation).max().unwrap_or(0);
        if generation.is_none_or(|generation| generation >= newest) || !self.started {
            return Verdict::NeverWritten;
        }
        if self.is_discarded_after(0, from) {
            return Verdict::Allowed;
        }
        Verdict::DurableLost(self.last_durable())
    }

    /// A block that is discarded may hold anything that it ever held.
    fn is_discarded_after(&self, began: u64, from: u64) -> bool {
        let later = |version: &&Version| version.kind == Kind::Discard && version.began > began;
        self.versions.iter().filter(later).any(|version| self.above(version.ended, from) == Verdict::Allowed)
    }

    /// What stands above a version that ended then.
    fn above(&self, ended: Option<u64>, from: u64) -> Verdict {
        let above = self.versions.iter().filter(|version| version.covers(ended, from));
        match above.max_by_key(|version| (version.durable, version.generation)) {
            Some(version) if version.durable => Verdict::DurableLost(version.generation),
            Some(version) => Verdict::Lost(version.generation),
            None => Verdict::Allowed,
        }
    }

    fn last_durable(&self) -> u64 {
        self.versions.iter().filter(|version| version.durable).map(|version| version.generation).max().unwrap_or(0)
    }
}
