//! How often a storm met what it is there for.

use std::fmt;
use xen_shared_ring::PeerError;

/// Counts of a storm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rings that were made.
    pub lives: u64,
    /// Messages that a front put, and that found no room.
    pub pushed: [u64; 2],
    /// Messages that were taken from an honest peer, and from one that had lied before.
    pub taken: [u64; 2],
    /// Takes that found nothing.
    pub empty: u64,
    /// Requests that were completed with what belonged to them.
    pub completed: u64,
    /// Requests that were given up, and answered nevertheless.
    pub late: u64,
    /// Lives that ended with every message answered, and with a broken ring.
    pub ended: [u64; 2],
    /// Violations, by [`NAMES`].
    pub violations: [u64; NAMES.len()],
}

/// The violations of a typed ring.
pub const NAMES: [&str; 6] = ["Responses", "Requests", "IdOutOfRange", "IdNotPending", "IdNotPublished", "IdStale"];

impl Tally {
    /// Counts a ring that broke.
    pub const fn violation(&mut self, violation: PeerError) {
        let place = match violation {
            PeerError::Responses { .. } => 0,
            PeerError::Requests { .. } => 1,
            PeerError::IdOutOfRange { .. } => 2,
            PeerError::IdNotPending { .. } => 3,
            PeerError::IdNotPublished { .. } => 4,
            PeerError::IdStale { .. } => 5,
            _ => return,
        };
        self.violations[place] += 1;
    }

    /// What was met least often. A storm that did not meet everything has shown little.
    #[must_use]
    pub fn least(&self) -> u64 {
        let Self { lives, pushed, taken, empty, completed, late, ended, violations } = *self;
        let all = [pushed.as_slice(), &taken, &ended, &violations, &[lives, empty, completed, late]];
        all.into_iter().flatten().copied().min().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, pushed, taken, empty, completed, late, ended, violations } = self;
        writeln!(f, "rings      {lives}: {} answered to the end, {} broken", ended[0], ended[1])?;
        writeln!(f, "pushed     {}, no room {}", pushed[0], pushed[1])?;
        writeln!(f, "taken      {} of honest peers, {} of others, nothing there {empty}", taken[0], taken[1])?;
        writeln!(f, "completed  {completed}, given up and answered {late}")?;
        write!(f, "refused   ")?;
        NAMES.iter().zip(violations).try_for_each(|(name, count)| write!(f, " {name} {count}"))
    }
}
