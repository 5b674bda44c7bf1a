//! When a backend looks at its rings, in which order it answers, and when it signals.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use xen_event_channel::{Channel, Found};
use xen_grant_table::Mapping;
use xen_shared_ring::{BackRing, Entries, Protocol};

use crate::Domain;

/// In which order requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// As they came, but for those that take longer.
    Kept,
    /// Any, by the machine's seed.
    Mixed,
    /// As they came, and not before so many wait, or nothing new comes.
    Bursts(usize),
}

/// When the front is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notify {
    /// When it has asked for it, once for all answers of a step.
    Asked,
    /// When it has asked for it, with each answer published alone.
    EachAnswer,
    /// For every answer, asked or not.
    Always,
    /// Each n-th time that it has asked for it only.
    Every(u64),
    /// Never.
    Never,
}

/// When the rings are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// When an event has come, so that a front which does not signal gets no answer.
    Events,
    /// At every step.
    Always,
}

/// Hears the front's events about one ring. Two rings may have one channel.
pub(crate) struct Ear {
    channel: Arc<Channel<Domain>>,
    /// How many events were seen.
    seen: Option<u32>,
}

impl Ear {
    pub(crate) const fn new(channel: Arc<Channel<Domain>>) -> Self {
        Self { channel, seen: None }
    }

    pub(crate) fn channel(&self) -> &Channel<Domain> {
        &self.channel
    }

    /// Whether an event has come since it was asked last; at first, one may have come before.
    pub(crate) fn heard(&mut self) -> bool {
        let count = self.channel.count();
        self.seen.replace(count) != Some(count)
    }

    /// What the event was about is done.
    pub(crate) fn settle(&self, now: Duration) {
        // A stale channel is one of a domain that is gone.
        let _ = self.channel.settle(Found::Work, now);
    }

    /// Signals the front so often, for no reason.
    pub(crate) fn storm(&self, times: u32) {
        for _ in 0..times {
            // The front may have closed its end.
            let _ = self.channel.notify();
        }
    }
}

/// Signals the front about one ring.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    asked: u64,
}

impl Bell {
    /// Shows the front what was answered; says whether it was signalled.
    pub(crate) fn show<P: Protocol, S: Entries<P>>(
        &mut self,
        ring: &mut BackRing<P, Mapping<Domain>, S>,
        notify: Notify,
        ear: &Ear,
    ) -> bool {
        if ring.unpublished() == 0 {
            return false;
        }
        let wanted = ring.publish().is_needed();
        self.asked += u64::from(wanted);
        let signals = match notify {
            Notify::Asked | Notify::EachAnswer => wanted,
            Notify::Always => true,
            Notify::Every(nth) => wanted && nth != 0 && self.asked.is_multiple_of(nth),
            Notify::Never => false,
        };
        ear.storm(signals.into());
        signals
    }
}

/// How long the next request takes: any time of a range.
pub(crate) fn latency(range: &std::ops::Range<Duration>, rng: &mut ChaCha8Rng) -> Duration {
    let (start, end) = (range.start, range.end);
    if start >= end {
        return start;
    }
    start + Duration::from_nanos(rng.random_range(0..(end - start).as_nanos() as u64))
}

/// Something that is answered at its time.
pub(crate) trait Due {
    fn due(&self) -> Duration;
}

/// Takes those out that are answered now, in the order that is asked for: what is due, or nothing where answers are gathered and
/// something new has come.
pub(crate) fn due<J: Due>(
    waiting: &mut Vec<J>,
    now: Duration,
    order: Order,
    news: bool,
    rng: &mut ChaCha8Rng,
) -> Vec<J> {
    let ready = waiting.iter().filter(|job| job.due() <= now).count();
    if matches!(order, Order::Bursts(most) if news && ready < most) {
        return Vec::new();
    }
    let next = |left: usize| {
        let chosen = if order == Order::Mixed { rng.random_range(0..left) } else { 0 };
        let mut due = waiting.iter().enumerate().filter(|(_, job)| job.due() <= now);
        due.nth(chosen).map(|(index, _)| index).map(|index| waiting.remove(index))
    };
    (1..=ready).rev().map_while(next).collect()
}
