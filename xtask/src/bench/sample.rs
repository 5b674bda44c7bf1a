//! One measurement, as domain 0 tells it.

use std::str::FromStr;

use anyhow::{Context as _, Error, Result};
use bench_load::Figures;

/// What a guest did, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample<W> {
    pub(super) work: W,
    pub(super) figures: Figures,
    /// How long domain 0 ran meanwhile, in nanoseconds.
    pub(super) domain0: u64,
}

impl<W> Sample<W> {
    /// Requests per second.
    pub(super) fn rate(&self) -> Option<f64> {
        Some(self.figures.requests as f64 * 1e9 / (self.figures.elapsed as f64).max(1.0))
    }

    /// What the guest's processor took for a request, in nanoseconds.
    pub(super) fn guest(&self) -> Option<f64> {
        Some(self.per_request(self.figures.running))
    }

    /// What domain 0's processors took for a request.
    pub(super) fn domain0(&self) -> Option<f64> {
        Some(self.per_request(self.domain0))
    }

    /// What passed on the clock for a request.
    pub(super) fn machine(&self) -> Option<f64> {
        Some(self.per_request(self.figures.elapsed))
    }

    /// How often the guest called Xen for a request, if it counts that.
    pub(super) fn hypercalls(&self) -> Option<f64> {
        self.figures.hypercalls.map(|hypercalls| self.per_request(hypercalls))
    }

    /// How long it took, in seconds.
    pub(super) fn seconds(&self) -> Option<f64> {
        Some(self.figures.elapsed as f64 / 1e9)
    }

    fn per_request(&self, number: u64) -> f64 {
        number as f64 / (self.figures.requests as f64).max(1.0)
    }
}

impl<W: FromStr> FromStr for Sample<W> {
    type Err = Error;

    /// Reads a line of `linux-bench`: `WORK: FIGURES; domain 0 NANOSECONDS`.
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
    use bench_load::{Traffic, Work};

    use super::*;

    #[test]
    fn a_line_of_the_meter_is_read() {
        let sample: Sample<Work> =
            "read 4096 random 1 1000: done 1000 93000000 69000000; domain 0 31000000".parse().unwrap();
        assert_eq!(sample.work.depth, 1);
        let figures = [sample.rate().map(f64::round), sample.guest(), sample.domain0(), sample.machine()];
        assert_eq!(figures, [10_753.0, 69_000.0, 31_000.0, 93_000.0].map(Some));
        assert_eq!(sample.hypercalls(), None);
        assert!("read 4096 random 1 1000".parse::<Sample<Work>>().is_err());
    }

    #[test]
    fn hypercalls_are_told_where_they_are_counted() {
        let sample: Sample<Traffic> = "transmit 60 32 1000: done 1000 2000000000 1 50; domain 0 1".parse().unwrap();
        assert_eq!((sample.hypercalls(), sample.seconds()), (Some(0.05), Some(2.0)));
    }
}
