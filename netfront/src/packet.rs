//! What is known of a packet besides its bytes.

use xen_hypercall::abi::io::netif::{GsoType, HashTypes};

/// Bytes of an Ethernet header. No packet is shorter. (IEEE 802.3, 3.2)
pub const ETHERNET_HEADER: usize = 14;

/// Bytes of a VLAN tag, which a packet may have on top of the MTU. (IEEE 802.1Q, 9.4)
pub(crate) const VLAN_TAG: usize = 4;

/// What is known of the checksum of TCP or UDP in a packet that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: whoever cares has to verify it.
    Unverified,
    /// The backend says that it is right. That is a hint of a peer's, and no more.
    Claimed,
    /// It was not made: the packet comes from this very machine. What stands in its place is the sum of the pseudo-header. That the
    /// place is within the packet has been checked.
    Blank,
}

/// A TCP packet that is longer than the MTU: on a wire it would be several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// What it is.
    pub kind: GsoKind,
    /// Bytes of payload in each of them, but for the last.
    pub size: u16,
}

/// What is cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
}

/// What is so of a packet that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What is known of its checksum.
    pub checksum: Checksum,
    /// Whether it is several packets in one.
    pub gso: Option<Gso>,
    /// The hash of its flow, where the backend was [told](crate::Netfront::steer) to make one, and has.
    pub hash: Option<Hash>,
}

/// The hash of a packet's flow, as the backend says it. That is a hint of a peer's, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The hash.
    pub value: u32,
    /// Over what it was made: one of the types that were asked for.
    pub kind: HashTypes,
}

/// What is so of a packet to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The checksum of its TCP or UDP is left to the backend. In its place stands the sum of the pseudo-header.
    pub checksum: Made,
    /// It is to be cut.
    pub gso: Option<Gso>,
}

/// Whether a checksum was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Made {
    /// It stands in the packet, or there is none.
    #[default]
    Yes,
    /// It is left to the backend.
    No,
}

impl Meta {
    /// Nothing is known.
    pub(crate) const PLAIN: Self = Self::of(Checksum::Unverified);

    /// Nothing is known but what is of the checksum.
    pub(crate) const fn of(checksum: Checksum) -> Self {
        Self { checksum, gso: None, hash: None }
    }
}

impl Order {
    /// Nothing is left to the backend.
    pub const PLAIN: Self = Self { checksum: Made::Yes, gso: None };
    /// The checksum is.
    pub(crate) const LEFT: Self = Self { checksum: Made::No, gso: None };
}

impl GsoKind {
    pub(crate) const fn of(wire: GsoType) -> Option<Self> {
        match wire {
            GsoType::TCPV4 => Some(Self::TcpV4),
            GsoType::TCPV6 => Some(Self::TcpV6),
            _ => None,
        }
    }

    pub(crate) const fn wire(self) -> GsoType {
        match self {
            Self::TcpV4 => GsoType::TCPV4,
            Self::TcpV6 => GsoType::TCPV6,
        }
    }
}
