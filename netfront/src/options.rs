//! What the owner of an interface decides.

use core::time::Duration;

use xen_hypercall::abi::io::netif::NR_SLOTS_MIN;
use xen_xenbus::bus::Limits;

use crate::multicast::Multicast;

/// Queues that an interface has at most.
pub const MOST_QUEUES: u32 = 16;

/// Slots of a ring: pages that a queue has at most for each direction.
pub const RING_SLOTS: u32 = 256;

/// What the owner of an interface wants. The backend may offer less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many queues at most, 1 to [`MOST_QUEUES`]. Several are for several vCPUs, on either side.
    pub queues: u32,
    /// Whether the two directions of a queue have an event channel each.
    pub channels: Channels,
    /// Whether packets may be longer than a page, in both directions.
    pub scatter_gather: Offer,
    /// Whether TCP packets may come that are longer than the MTU, for the stack to take as one. It takes
    /// [`scatter_gather`](Self::scatter_gather) and [`checksums`](Self::checksums).
    pub segmentation: Offer,
    /// Who makes the checksums of TCP and UDP, and verifies them.
    pub checksums: Checksums,
    /// Which packets to groups are to come.
    pub multicast: Multicast,
    /// Whether the backend is given a control ring, where it can have one: [`steer`](crate::Netfront::steer) takes that. It is two pages and
    /// an event channel more.
    pub control_ring: Offer,
    /// Pages for packets to be sent, of each queue: 18 to [`RING_SLOTS`]. They are taken when the interface is connected.
    pub transmit_pages: u32,
    /// Pages for packets to be received, of each queue: 32 to [`RING_SLOTS`].
    pub receive_pages: u32,
    /// How long a packet may be with the backend before [`Event::Stalled`](crate::Event::Stalled) tells of it, and how long it may leave
    /// unanswered how it is to [steer](crate::Netfront::steer).
    pub patience: Duration,
    /// How many pages the backend may keep mapped that it should have given back, over all its connections: at least as many as it has
    /// rings, at most all that a connection has. One that keeps so many is cut off until it lets go. Each is a page of memory that is
    /// lost for as long.
    pub quarantine: u32,
    /// How long a device that has vanished is waited for: see [`Event::Detached`](crate::Event::Detached).
    pub hold: Duration,
    /// How long the halves of the device wait for each other.
    pub limits: Limits,
    /// Where the rings' indices begin: for tests of what becomes of them when they wrap.
    #[doc(hidden)]
    pub first_index: u32,
}

/// How many event channels a queue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One for both directions.
    One,
    /// One for each, where the backend offers that, and there are ports.
    Split,
}

/// Whether the backend is offered something that it may make use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is not.
    No,
    /// It is.
    Yes,
}

/// Who makes the checksums of TCP and UDP, and verifies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// The stack makes and verifies all. A packet that comes without one is dropped.
    Stack,
    /// The backend may leave them blank, and the stack may. A packet says what is known of its checksum: see
    /// [`Checksum`](crate::Checksum). Segments of TCP that are sent in one go and follow each other are one packet for a backend that cuts
    /// such, if their checksums are left to it: it has a fraction of the work.
    Offload,
}

impl Options {
    /// One queue with two channels, packets longer than a page but no longer than the MTU, checksums made and verified by the stack,
    /// packets to all groups, no control ring, 128 pages for each direction (1 MiB in all), 10 s of patience, 512 pages in quarantine; a
    /// device that vanishes is waited for for a minute.
    pub const DEFAULT: Self = Self {
        queues: 1,
        channels: Channels::Split,
        scatter_gather: Offer::Yes,
        segmentation: Offer::No,
        checksums: Checksums::Stack,
        multicast: Multicast::All,
        control_ring: Offer::No,
        transmit_pages: 128,
        receive_pages: 128,
        patience: Duration::from_secs(10),
        quarantine: 512,
        hold: Duration::from_secs(60),
        limits: Limits::DEFAULT,
        first_index: 0,
    };

    /// The same, each within its bounds, and nothing that takes what is not there.
    pub(crate) fn bounded(self) -> Self {
        let whole = self.scatter_gather == Offer::Yes && self.checksums == Checksums::Offload;
        Self {
            queues: self.queues.clamp(1, MOST_QUEUES),
            segmentation: if whole { self.segmentation } else { Offer::No },
            transmit_pages: self.transmit_pages.clamp(NR_SLOTS_MIN, RING_SLOTS),
            receive_pages: self.receive_pages.clamp(32, RING_SLOTS),
            ..self
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Offer {
    pub(crate) const fn is_made(self) -> bool {
        matches!(self, Self::Yes)
    }
}
