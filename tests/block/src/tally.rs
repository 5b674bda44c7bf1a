//! How often a storm met what it is there for.

use std::fmt;
use std::time::Duration;

use xen_blkfront::{Flushed, IoError, NotDurable};

use crate::perils::PERILS;

/// Counts of a storm.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Disks that were used to the end.
    pub lives: u64,
    /// Requests that were taken.
    pub requests: u64,
    /// Those that succeeded, failed, have unknown outcomes, and were never sent.
    pub ends: [u64; 4],
    /// Flushes that were durable, were told of a loss, failed or were refused, and could not know.
    pub flushes: [u64; 4],
    /// Requests that were given up.
    pub abandoned: u64,
    /// Requests that were sent again, and changes made again out of the journal.
    pub again: [u64; 2],
    /// Sectors that crashes took back.
    pub sectors_lost: u64,
    /// Faults, by [`PERILS`].
    pub perils: [u64; PERILS.len()],
    /// Connections that were made anew, and how long the longest and all of them took.
    pub recoveries: u64,
    /// The longest time without a connection whose backend was well.
    pub longest: Duration,
    /// All of these times.
    pub away: Duration,
}

impl Tally {
    /// Counts the end of a request.
    pub const fn end(&mut self, error: Option<IoError>) {
        let place = match error {
            None => 0,
            Some(IoError::Failed | IoError::Unsupported | IoError::Status(_)) => 1,
            Some(IoError::NotSent | IoError::Rejected(_)) => 3,
            Some(_) => 2,
        };
        self.ends[place] += 1;
    }

    /// Counts what a flush said.
    pub const fn flush(&mut self, flushed: Flushed) {
        let place = match flushed {
            Flushed::Durable => 0,
            Flushed::NotDurable(NotDurable::CacheLost) => 1,
            Flushed::NotDurable(_) => 2,
            Flushed::Unknown(_) => 3,
        };
        self.flushes[place] += 1;
    }

    /// Counts a connection that was made anew.
    pub fn recovered(&mut self, took: Duration) {
        self.recoveries += 1;
        self.longest = self.longest.max(took);
        self.away += took;
    }

    /// What was met least often. A storm that did not meet everything has shown little.
    #[must_use]
    pub fn least(&self) -> u64 {
        let Self { ends, flushes, again, perils, abandoned, sectors_lost, recoveries, .. } = self;
        let all = [ends.as_slice(), flushes, again, perils, &[*abandoned, *sectors_lost, *recoveries]];
        all.into_iter().flatten().copied().min().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, requests, ends, flushes, abandoned, again, sectors_lost, .. } = self;
        writeln!(f, "lives      {lives}, {requests} requests, {abandoned} given up")?;
        writeln!(f, "ends       {} well, {} failed, {} unknown, {} never sent", ends[0], ends[1], ends[2], ends[3])?;
        let [durable, lost, failed, unknown] = flushes;
        writeln!(f, "flushes    {durable} durable, {lost} told of a loss, {failed} failed, {unknown} cannot know")?;
        writeln!(
            f,
            "again      {} sent, {} out of the journal; crashes took {sectors_lost} sectors",
            again[0], again[1]
        )?;
        let mean = self.away.checked_div(self.recoveries as u32).unwrap_or_default();
        writeln!(f, "recovered  {} times, after {mean:.1?} on average, {:.1?} at most", self.recoveries, self.longest)?;
        write!(f, "faults    ")?;
        PERILS.iter().zip(self.perils).try_for_each(|((name, _), count)| write!(f, " {name} {count}"))
    }
}
