//! What the backend and the tools say about an interface.

use core::fmt;

use xen_hypercall::abi::io::netif::HashTypes;
use xen_xenbus::bus::{KeyError, Keys};

use crate::chain::Agreed;
use crate::multicast::Multicast;
use crate::options::{Channels, Checksums, MOST_QUEUES, Options};
use crate::packet::{ETHERNET_HEADER, VLAN_TAG};
use crate::takes::Takes;

/// What a backend writes before it is offered anything.
pub(crate) const BACK_KEYS: &[&str] = &[
    "feature-rx-copy",
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-no-csum-offload",
    "feature-ipv6-csum-offload",
    "feature-split-event-channels",
    "feature-multicast-control",
    "feature-ctrl-ring",
    "multi-queue-max-queues",
    "carrier",
];

/// What stands in our own directory: of the tools, and of earlier connections.
pub(crate) const FRONT_KEYS: &[&str] =
    &["mac", "mtu", "multi-queue-num-queues", "event-channel-tx", "queue-0/event-channel-tx", "ctrl-ring-ref"];

/// What a backend may change while it is connected.
pub(crate) const CARRIER_KEYS: &[&str] = &["carrier"];

/// The MTU where nobody says anything.
const USUAL_MTU: u16 = 1500;

/// The smallest MTU. (RFC 791)
const SMALLEST_MTU: u32 = 68;

/// The largest one: a packet has at most 65535 bytes.
const LARGEST_MTU: u32 = 65_535 - (ETHERNET_HEADER + VLAN_TAG) as u32;

/// An interface, as it was agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    mac: [u8; 6],
    mtu: u16,
    carrier: Carrier,
    layout: Layout,
}

/// Whether the backend has a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// It has, as far as it says.
    Up,
    /// It has none: nothing that is sent goes anywhere.
    Down,
}

/// How a connection is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) queues: u32,
    pub(crate) channels: Channels,
    /// Whether the backend is asked to leave out packets to groups that were not joined.
    pub(crate) filters: bool,
    /// Whether it has a control ring.
    pub(crate) control: bool,
    mtu: u16,
    takes: Takes,
    agreed: Agreed,
}

impl Link {
    /// The address of the interface.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Bytes of a packet at most, without its Ethernet header: 68 to 65517. 1500 where the tools say nothing.
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Whether the backend has a link.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// How many queues there are.
    #[must_use]
    pub const fn queues(&self) -> u32 {
        self.layout.queues
    }

    /// How many event channels a queue has.
    #[must_use]
    pub const fn channels(&self) -> Channels {
        self.layout.channels
    }

    /// Whether packets to be sent may be longer than a page.
    #[must_use]
    pub const fn sends_scattered(&self) -> bool {
        self.layout.takes.scatter_gather
    }

    /// Whether the checksums of packets to be sent may be left blank: over IPv4, and over IPv6.
    #[must_use]
    pub const fn sends_blank(&self) -> (bool, bool) {
        (self.layout.takes.checksum_v4, self.layout.takes.checksum_v6)
    }

    /// Whether TCP packets to be sent may be longer than the MTU: over IPv4, and over IPv6.
    #[must_use]
    pub const fn sends_segments(&self) -> (bool, bool) {
        (self.layout.takes.gso_v4, self.layout.takes.gso_v6)
    }

    /// Whether the backend was asked to leave out packets to groups that were not joined.
    #[must_use]
    pub const fn filters_multicast(&self) -> bool {
        self.layout.filters
    }

    /// Whether the backend can be told which packets are to come on which queue: see [`Netfront::steer`](crate::Netfront::steer).
    #[must_use]
    pub const fn steers(&self) -> bool {
        self.layout.control
    }

    pub(crate) const fn set_carrier(&mut self, carrier: Carrier) {
        self.carrier = carrier;
    }

    /// Reads what has been agreed upon. The layout is the one with which the queues were made, whatever the backend says now.
    pub(crate) fn read(back: &Keys, front: &Keys, layout: Layout) -> Result<Self, KeyError> {
        let mac = front.mac("mac")?.ok_or_else(|| front.missing("mac", "the MAC address of this interface"))?;
        Ok(Self { mac, mtu: layout.mtu, carrier: Carrier::read(back), layout })
    }
}

impl Carrier {
    /// A link that nobody mentions, or of which something else is said, is up. (`carrier`, public/io/netif.h)
    pub(crate) fn read(back: &Keys) -> Self {
        if back.flag("carrier") == Ok(Some(false)) { Self::Down } else { Self::Up }
    }
}

impl Layout {
    /// What the backend offers, cut to what the owner wants. A feature whose key is malformed is not offered.
    pub(crate) fn read(back: &Keys, front: &Keys, options: &Options) -> Result<Self, KeyError> {
        let has = |name: &str| back.is_set(name).unwrap_or(false);
        if !has("feature-rx-copy") {
            return Err(back.missing("feature-rx-copy", "1: the backend copies what is received to our pages"));
        }
        let queues = back.u32_or("multi-queue-max-queues", 1).unwrap_or(1);
        let channels = if has("feature-split-event-channels") { options.channels } else { Channels::One };
        let offloads = options.checksums == Checksums::Offload;
        let scatter_gather = options.scatter_gather.is_made() && has("feature-sg");
        // Missing, it is on for IPv4 and off for IPv6. (`feature-no-csum-offload`, public/io/netif.h)
        let checksum_v4 = offloads && back.flag("feature-no-csum-offload").is_ok_and(|no| no != Some(true));
        let checksum_v6 = offloads && has("feature-ipv6-csum-offload");
        let mtu = mtu(front, scatter_gather);
        let takes = Takes {
            most: usize::from(mtu) + ETHERNET_HEADER + VLAN_TAG,
            scatter_gather,
            checksum_v4,
            checksum_v6,
            gso_v4: checksum_v4 && scatter_gather && has("feature-gso-tcpv4"),
            gso_v6: checksum_v6 && scatter_gather && has("feature-gso-tcpv6"),
        };
        let agreed = Agreed {
            mtu,
            scatter_gather: options.scatter_gather.is_made(),
            checksums: offloads,
            gso_v4: options.segmentation.is_made(),
            gso_v6: options.segmentation.is_made(),
            hashes: HashTypes::empty(),
        };
        let filters = options.multicast == Multicast::Joined && has("feature-multicast-control");
        // Where the key of an earlier connection stands, the backend takes it for ours.
        let control = options.control_ring.is_made() || front.u32("ctrl-ring-ref") != Ok(None);
        let control = control && has("feature-ctrl-ring");
        let queues = queues.clamp(1, options.queues.min(MOST_QUEUES));
        Ok(Self { queues, channels, filters, control, mtu, takes, agreed })
    }

    pub(crate) const fn takes(&self) -> Takes {
        self.takes
    }

    pub(crate) const fn agreed(&self) -> Agreed {
        self.agreed
    }
}

/// What makes no sense is taken for the usual one. Without scatter-gather a backend has no larger packets to give or to take.
fn mtu(front: &Keys, scatter_gather: bool) -> u16 {
    let wanted = front.u32_or("mtu", USUAL_MTU.into()).unwrap_or_else(|_| USUAL_MTU.into());
    let largest = if scatter_gather { LARGEST_MTU } else { USUAL_MTU.into() };
    wanted.clamp(SMALLEST_MTU, largest) as u16
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.mac;
        let carrier = if self.carrier == Carrier::Up { "up" } else { "down" };
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}, MTU {}, link {carrier}", self.mtu)
    }
}
