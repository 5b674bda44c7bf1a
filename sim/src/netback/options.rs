//! What a backend offers, and how it works.

use std::ops::Range;
use std::time::Duration;

use super::{Listen, Notify, Order};

/// What a backend offers, and how it works. By default it offers what Linux's does, and answers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `multi-queue-max-queues`.
    pub queues: u32,
    /// `feature-sg`: packets may have several slots.
    pub sg: bool,
    /// `feature-gso-tcpv4`.
    pub gso_tcpv4: bool,
    /// `feature-gso-tcpv6`.
    pub gso_tcpv6: bool,
    /// Whether packets over IPv4 may come with a blank checksum; `feature-no-csum-offload` where not.
    pub csum: bool,
    /// `feature-ipv6-csum-offload`.
    pub ipv6_csum: bool,
    /// `feature-rx-copy`, without which fronts of today go away.
    pub rx_copy: bool,
    /// `feature-rx-notify`.
    pub rx_notify: bool,
    /// `feature-split-event-channels`.
    pub split_event_channels: bool,
    /// `feature-multicast-control` and its dynamic form.
    pub multicast: Multicast,
    /// `feature-ctrl-ring`.
    pub ctrl_ring: bool,
    /// `feature-xdp-headroom`.
    pub xdp_headroom: bool,
    /// `carrier`; without the key the link is up.
    pub carrier: Option<Carrier>,
    /// How many slots a transmitted packet may have, extras apart. Linux's backend takes one more than the protocol promises.
    pub slots: usize,
    /// With more than so many slots the front is taken for hostile.
    pub fatal_slots: usize,
    /// How many packets of a queue wait for buffers at most.
    pub backlog: usize,
    /// How long a packet waits for buffers.
    pub patience: Duration,
    /// Bytes of a received packet that go into one buffer at most. Less than a page has packets in several slots, if the front
    /// takes such.
    pub piece: usize,
    /// Where in a buffer a received packet begins: any place of this range, by the machine's seed.
    pub offset: Range<u16>,
    /// How many entries the table from hashes to queues can have.
    pub hash_mapping: usize,
    /// How long the answer to a transmitted slot takes: any time of this range, by the machine's seed.
    pub latency: Range<Duration>,
    /// In which order slots are answered that wait at the same time.
    pub order: Order,
    /// When the front is signalled.
    pub notify: Notify,
    /// When the rings are looked at.
    pub listen: Listen,
}

/// How a front can say which groups' packets it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// Not at all: it gets all.
    Flooded,
    /// Before it connects.
    Static,
    /// At any time.
    Dynamic,
}

/// Whether a link is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// It is.
    #[default]
    Up,
    /// It is not: what is sent is lost, and nothing is received.
    Down,
}

impl Options {
    /// What Linux's backend offers.
    pub const DEFAULT: Self = Self {
        queues: 4,
        sg: true,
        gso_tcpv4: true,
        gso_tcpv6: true,
        csum: true,
        ipv6_csum: true,
        rx_copy: true,
        rx_notify: true,
        split_event_channels: true,
        multicast: Multicast::Dynamic,
        ctrl_ring: true,
        xdp_headroom: true,
        carrier: None,
        slots: 18,
        fatal_slots: 20,
        backlog: 64,
        patience: Duration::from_secs(10),
        piece: 4096,
        offset: 0..0,
        hash_mapping: 128,
        latency: Duration::ZERO..Duration::ZERO,
        order: Order::Kept,
        notify: Notify::Asked,
        listen: Listen::Events,
    };

    /// What the oldest backends have: one queue, packets of one slot, checksums.
    pub const BARE: Self = Self {
        queues: 1,
        sg: false,
        gso_tcpv4: false,
        gso_tcpv6: false,
        ipv6_csum: false,
        rx_notify: false,
        split_event_channels: false,
        multicast: Multicast::Flooded,
        ctrl_ring: false,
        xdp_headroom: false,
        ..Self::DEFAULT
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}
