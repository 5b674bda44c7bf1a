//! One measurement, as domain 0 tells it.

use std::str::FromStr;

use anyhow::{Context as _, Error, Result};
use bench_load::{Figures, Work};

/// What a guest did, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) work: Work,
    pub(super) figures: Figures,
    /// How long domain 0 ran meanwhile, in nanoseconds.
    pub(super) domain0: u64,
}

impl Sample {
    /// Requests per second of the guest's clock.
    pub(super) fn rate(&self) -> f64 {
        self.figures.requests as f64 * 1e9 / (self.figures.elapsed as f64).max(1.0)
    }

    /// What the guest's processor took for a request, in nanoseconds.
    pub(super) fn guest(&self) -> f64 {
        self.per_request(self.figures.running)
    }

    /// What domain 0's processors took for a request.
    pub(super) fn domain0(&self) -> f64 {
        self.per_request(self.domain0)
    }

    /// What passed on the guest's clock for a request.
    pub(super) fn machine(&self) -> f64 {
        self.per_request(self.figures.elapsed)
    }

    fn per_request(&self, nanoseconds: u64) -> f64 {
        nanoseconds as f64 / (self.figures.requests as f64).max(1.0)
    }
}

impl FromStr for Sample {
    type Err = Error;

    /// Reads a line of `linux-bench meter`: `WORK: FIGURES; domain 0 NANOSECONDS`.
    fn from_str(line: &str) -> Result<Self> {
        let parts = || {
            let (work, rest) = line.split_once(": ")?;
            let (figures, domain0) = rest.split_once("; domain 0 ")?;
            Some(Self {
                work: work.parse().ok()?,
                figures: figures.parse().ok()?,
                domain0: domain0.trim().parse().ok()?,
            })
        };
        parts().with_context(|| format!("{line:?} is no measurement"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_meter_is_read() {
        let sample: Sample = "read 4096 random 1 1000: done 1000 93000000 69000000; domain 0 31000000".parse().unwrap();
        assert_eq!(sample.work.depth, 1);
        let figures = [sample.rate().round(), sample.guest(), sample.domain0(), sample.machine()];
        assert_eq!(figures, [10_753.0, 69_000.0, 31_000.0, 93_000.0]);
        assert!("read 4096 random 1 1000".parse::<Sample>().is_err());
    }
}
