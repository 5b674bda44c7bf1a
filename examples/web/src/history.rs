//! The last minute.

use alloc::vec::Vec;
use core::time::Duration;

use crate::metrics::{Kind, METRICS, Reading};

/// How many samples are kept.
pub(crate) const SAMPLES: usize = 60;
/// The time between two of them.
pub(crate) const STEP: Duration = Duration::from_secs(1);

/// One sample of all figures a second: levels as they were, and what is counted as its increase.
#[derive(Debug)]
pub(crate) struct History {
    samples: Vec<[u32; METRICS.len()]>,
    /// Where the next one goes.
    next: usize,
    /// The totals when the last one was taken.
    before: [u64; METRICS.len()],
    due: Option<Duration>,
}

impl History {
    pub(crate) const fn new() -> Self {
        Self { samples: Vec::new(), next: 0, before: [0; METRICS.len()], due: None }
    }

    /// When the next sample is to be taken.
    pub(crate) fn due(&self) -> Duration {
        self.due.unwrap_or_default()
    }

    /// Takes a sample. The first is only what the next one is compared with.
    pub(crate) fn take(&mut self, reading: &Reading<'_>, now: Duration) {
        let totals = METRICS.map(|metric| (metric.value)(reading));
        if let Some(due) = self.due {
            let steps = (now.saturating_sub(due).as_secs() + 1).min(SAMPLES as u64);
            let sample = self.sample(&totals, steps);
            // A guest that slept, or was suspended, has its increase spread over the time.
            (0..steps).for_each(|_| self.keep(sample));
        }
        self.before = totals;
        self.due = Some(self.due.map_or(now, |due| due.max(now.saturating_sub(STEP))) + STEP);
    }

    /// The samples of one figure, the oldest first.
    pub(crate) fn of(&self, metric: usize) -> impl ExactSizeIterator<Item = u32> + Clone {
        let (count, next) = (self.samples.len(), self.next);
        let start = if count < SAMPLES { 0 } else { next };
        (0..count).map(move |index| self.samples[(start + index) % count][metric])
    }

    /// The last sample of a figure.
    pub(crate) fn last(&self, metric: usize) -> u32 {
        self.of(metric).last().unwrap_or(0)
    }

    fn sample(&self, totals: &[u64; METRICS.len()], steps: u64) -> [u32; METRICS.len()] {
        core::array::from_fn(|index| {
            let value = match METRICS[index].kind {
                Kind::Level => totals[index],
                Kind::Count => totals[index].saturating_sub(self.before[index]) / steps.max(1),
            };
            u32::try_from(value).unwrap_or(u32::MAX)
        })
    }

    fn keep(&mut self, sample: [u32; METRICS.len()]) {
        match self.samples.get_mut(self.next) {
            Some(place) => *place = sample,
            None => self.samples.push(sample),
        }
        self.next = (self.next + 1) % SAMPLES;
    }
}
