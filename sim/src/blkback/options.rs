//! What a backend offers, and how it works.

use std::ops::Range;
use std::time::Duration;

use xen_hypercall::abi::io::blkif::DiskInfo;

use super::{Listen, Notify, Order};

/// What a backend offers, and how it works. By default it offers what Linux's does, and answers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `multi-queue-max-queues`.
    pub queues: u32,
    /// `max-ring-page-order`.
    pub ring_order: u32,
    /// `feature-max-indirect-segments`; without indirect requests where it is 0.
    pub indirect_segments: u32,
    /// `feature-persistent`: pages stay mapped where the front wants that too.
    pub persistent: bool,
    /// How many pages of a queue stay mapped at most.
    pub persistent_pages: usize,
    /// How long a page stays mapped that is not used.
    pub persistent_unused: Duration,
    /// `feature-flush-cache`.
    pub flush: bool,
    /// `feature-barrier`.
    pub barrier: bool,
    /// `feature-discard` and what belongs to it.
    pub discard: Option<DiscardOffer>,
    /// `sector-size`: what requests are aligned to, in bytes.
    pub sector_size: u32,
    /// `physical-sector-size`, in bytes.
    pub physical_sector_size: u32,
    /// What stands in `info`; [`DiskInfo::READONLY`] has writes refused.
    pub info: DiskInfo,
    /// How long a request takes: any time of this range, by the machine's seed.
    pub latency: Range<Duration>,
    /// In which order requests are answered that wait at the same time.
    pub order: Order,
    /// When the front is signalled.
    pub notify: Notify,
    /// When the rings are looked at.
    pub listen: Listen,
}

/// `discard-granularity`, `discard-alignment`, `discard-secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardOffer {
    /// In bytes.
    pub granularity: u32,
    /// In bytes.
    pub alignment: u32,
    /// Whether secure ones are done as such.
    pub secure: bool,
}

impl Options {
    /// What Linux's backend offers.
    pub const DEFAULT: Self = Self {
        queues: 4,
        ring_order: 4,
        indirect_segments: 256,
        persistent: true,
        persistent_pages: 1056,
        persistent_unused: Duration::from_secs(60),
        flush: true,
        barrier: true,
        discard: Some(DiscardOffer { granularity: 4096, alignment: 0, secure: false }),
        sector_size: 512,
        physical_sector_size: 4096,
        info: DiskInfo::empty(),
        latency: Duration::ZERO..Duration::ZERO,
        order: Order::Kept,
        notify: Notify::Asked,
        listen: Listen::Events,
    };

    /// What the oldest backends have: one queue, one page, direct requests, barriers.
    pub const BARE: Self = Self {
        queues: 1,
        ring_order: 0,
        indirect_segments: 0,
        persistent: false,
        flush: false,
        discard: None,
        ..Self::DEFAULT
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}
