//! What a disk's owner decides.

use core::time::Duration;

use xen_hypercall::abi::io::blkif::MAX_SEGMENTS_PER_REQUEST;
use xen_xenbus::bus::Limits;

/// Segments that fit in one page of an indirect request; no request has more.
pub const MOST_SEGMENTS: u32 = 512;

/// Queues that a disk has at most.
pub const MOST_QUEUES: u32 = 16;

/// The largest ring, as an order of pages.
pub const MOST_RING_ORDER: u32 = 4;

/// Requests that wait or are under way, at most.
pub const MOST_DEPTH: usize = 1 << 16;

/// What a disk's owner wants. The backend may offer less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many queues at most, 1 to [`MOST_QUEUES`]. Several are for several vCPUs, on either side.
    pub queues: u32,
    /// How large each queue's ring is at most: 2^n pages of 32 requests, 0 to [`MOST_RING_ORDER`].
    pub ring_order: u32,
    /// How many pages one request of the ring has at most. Up to 11 stand in the request itself; more, up to [`MOST_SEGMENTS`], need
    /// a backend with indirect requests.
    pub segments: u32,
    /// Whether the backend may keep pages mapped.
    pub persistent: Persistent,
    /// How far the backend is trusted.
    pub trust: Trust,
    /// How long a request may take before [`Event::Stalled`](crate::Event::Stalled) tells of it.
    pub patience: Duration,
    /// How many bytes of writes are kept that the backend has acknowledged, and that no flush has covered yet. When the backend dies
    /// they are written again. 0 keeps none, and costs nothing: the next flush then says
    /// [`CacheLost`](crate::NotDurable::CacheLost).
    pub journal: usize,
    /// How many pages the backend may keep mapped that it should have given back, over all its connections. One that keeps more
    /// is cut off. Each is a page of memory that is lost for as long.
    pub quarantine: u32,
    /// How many requests may wait or be under way, 1 to [`MOST_DEPTH`].
    pub depth: usize,
    /// What becomes of requests when the device vanishes.
    pub vanished: Vanishing,
    /// How long the halves of the device wait for each other.
    pub limits: Limits,
    /// Where the rings' indices begin: for tests of what becomes of them when they wrap.
    #[doc(hidden)]
    pub first_index: u32,
}

/// Whether pages stay granted, so that the backend can keep them mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistent {
    /// Each request grants its pages and takes them back.
    Never,
    /// Where the backend offers it, all data is copied through pages of the driver's own, which stay granted for as long as the
    /// connection: there are as many as are under way at a time. That spares the backend to map and unmap, and costs a copy.
    IfOffered,
}

/// How far the backend is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It sees what is written, and zeros.
    Untrusted,
    /// It may see whatever was in a page before. That saves clearing pages.
    Trusted,
}

/// What becomes of requests when the device, or its backend's domain, vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vanishing {
    /// They fail at once.
    Fail,
    /// They are kept for this long, for the same disk to come back: [`Blkfront::reattach`](crate::Blkfront::reattach).
    Hold(Duration),
}

impl Options {
    /// One queue of one page, up to 256 pages for a request, no persistent grants, no trust, half a minute of patience, no journal, 512
    /// pages in quarantine, 256 requests; a device that vanishes is waited for for a minute.
    pub const DEFAULT: Self = Self {
        queues: 1,
        ring_order: 0,
        segments: 256,
        persistent: Persistent::Never,
        trust: Trust::Untrusted,
        patience: Duration::from_secs(30),
        journal: 0,
        quarantine: 512,
        depth: 256,
        vanished: Vanishing::Hold(Duration::from_secs(60)),
        limits: Limits::DEFAULT,
        first_index: 0,
    };

    /// The same, each within its bounds.
    pub(crate) fn bounded(self) -> Self {
        Self {
            queues: self.queues.clamp(1, MOST_QUEUES),
            ring_order: self.ring_order.min(MOST_RING_ORDER),
            segments: self.segments.clamp(1, MOST_SEGMENTS),
            depth: self.depth.clamp(1, MOST_DEPTH),
            ..self
        }
    }

    /// Whether requests may be indirect.
    pub(crate) const fn wants_indirect(&self) -> bool {
        self.segments as usize > MAX_SEGMENTS_PER_REQUEST
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}
