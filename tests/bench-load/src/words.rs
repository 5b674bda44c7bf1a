//! The lines that are exchanged.

use core::fmt;
use core::str::{FromStr, SplitWhitespace};

/// A line is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the line is malformed")
    }
}

impl core::error::Error for Malformed {}

/// In which order a device is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// In no order that a cache could make use of.
    Random,
    /// From its beginning to its end, and again.
    Sequential,
}

impl Order {
    const fn word(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sequential => "sequential",
        }
    }
}

/// Reads of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Work {
    /// The size of a request.
    pub bytes: u32,
    /// Where the requests go.
    pub order: Order,
    /// How many are under way at a time.
    pub depth: u32,
    /// How many there are in all.
    pub requests: u64,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, order, depth, requests } = self;
        write!(f, "read {bytes} {} {depth} {requests}", order.word())
    }
}

impl FromStr for Work {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        let mut words = line.split_whitespace();
        expect(&mut words, "read")?;
        let bytes = number(&mut words)?;
        let order = match words.next() {
            Some("random") => Order::Random,
            Some("sequential") => Order::Sequential,
            _ => return Err(Malformed),
        };
        let work = Self { bytes, order, depth: number(&mut words)?, requests: number(&mut words)? };
        if words.next().is_some() || work.bytes == 0 || work.depth == 0 { Err(Malformed) } else { Ok(work) }
    }
}

/// What a work took, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// The requests that were answered.
    pub requests: u64,
    /// The guest's clock.
    pub elapsed: u64,
    /// How long the guest's processor ran, what Xen did on its behalf included (`RUNSTATE_running`).
    pub running: u64,
    /// How often the guest called Xen, where it counts.
    pub hypercalls: Option<u64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "done {} {} {}", self.requests, self.elapsed, self.running)?;
        self.hypercalls.map_or(Ok(()), |hypercalls| write!(f, " {hypercalls}"))
    }
}

impl FromStr for Figures {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        let mut words = line.split_whitespace();
        expect(&mut words, "done")?;
        let (requests, elapsed) = (number(&mut words)?, number(&mut words)?);
        let running = number(&mut words)?;
        let hypercalls = words.next().map(str::parse).transpose().map_err(|_| Malformed)?;
        Ok(Self { requests, elapsed, running, hypercalls })
    }
}

pub(crate) fn expect(words: &mut SplitWhitespace<'_>, word: &str) -> Result<(), Malformed> {
    if words.next() == Some(word) { Ok(()) } else { Err(Malformed) }
}

pub(crate) fn number<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Result<T, Malformed> {
    words.next().and_then(|word| word.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let work = Work { bytes: 4096, order: Order::Random, depth: 32, requests: 100 };
        assert_eq!(work.to_string(), "read 4096 random 32 100");
        assert_eq!(work.to_string().parse(), Ok(work));
        for hypercalls in [None, Some(4)] {
            let figures = Figures { requests: 1, elapsed: 2, running: 3, hypercalls };
            assert_eq!(figures.to_string().parse(), Ok(figures));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in
            ["", "read", "read 0 random 1 1", "read 1 random 0 1", "read 1 backwards 1 1", "read 1 random 1 1 1"]
        {
            assert_eq!(line.parse::<Work>(), Err(Malformed), "{line}");
        }
        assert_eq!("done 1 2".parse::<Figures>(), Err(Malformed));
        assert_eq!("done 1 2 3 x".parse::<Figures>(), Err(Malformed));
    }
}
