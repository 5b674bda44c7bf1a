//! Packets.

use xen_hypercall::abi::io::netif::{ExtraGso, ExtraHash, ExtraInfo, ExtraType, GsoType, RxFlags, TxFlags};

use super::offload::Headers;

/// Bytes of a packet's Ethernet header.
pub(super) const ETH_HLEN: usize = 14;

/// The address of a station, or of a group.
pub type Mac = [u8; 6];

/// A packet, from its Ethernet header on, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Its bytes.
    pub data: Vec<u8>,
    /// What is known of its transport's checksum.
    pub checksum: Checksum,
    /// How it is to be cut into segments, where it is larger than one.
    pub gso: Option<Gso>,
    /// Its hash, where the sender has made one.
    pub hash: Option<Hash>,
}

/// What is known of a packet's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing.
    #[default]
    Unknown,
    /// It is right, or does not matter.
    Validated,
    /// It is blank: in its place stands the sum over the pseudo header.
    Blank,
}

/// How a packet is to be cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// What it is.
    pub kind: GsoType,
    /// Bytes of payload in a segment.
    pub size: u16,
}

/// The hash of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Over what it was made: the number of a bit of [`HashTypes`](xen_hypercall::abi::io::netif::HashTypes).
    pub kind: u8,
    /// How it was made: a [`HashAlgorithm`](xen_hypercall::abi::io::netif::HashAlgorithm).
    pub algorithm: u8,
    /// The hash.
    pub value: u32,
}

impl Packet {
    /// A packet of which nothing is known but its bytes.
    #[must_use]
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// To whom it goes; zeros where it is too short to say.
    #[must_use]
    pub fn destination(&self) -> Mac {
        self.mac(0)
    }

    /// From whom it comes; zeros where it is too short to say.
    #[must_use]
    pub fn source(&self) -> Mac {
        self.mac(6)
    }

    /// Makes its checksum, where it is blank.
    #[must_use]
    pub fn finished(mut self) -> Self {
        if self.checksum == Checksum::Blank
            && let Some(headers) = Headers::of(&self.data)
        {
            headers.fill(&mut self.data);
            self.checksum = Checksum::Unknown;
        }
        self
    }

    fn mac(&self, at: usize) -> Mac {
        self.data.get(at..at + 6).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
    }
}

/// Whether an address is that of a group, or of all.
pub(super) const fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

impl Checksum {
    pub(super) const fn of_transmitted(flags: TxFlags) -> Self {
        if flags.contains(TxFlags::CSUM_BLANK) {
            Self::Blank
        } else if flags.contains(TxFlags::DATA_VALIDATED) {
            Self::Validated
        } else {
            Self::Unknown
        }
    }

    /// As Linux's backend says it: what it has made itself, and is blank therefore, needs no look.
    pub(super) fn received(self) -> RxFlags {
        match self {
            Self::Unknown => RxFlags::empty(),
            Self::Validated => RxFlags::DATA_VALIDATED,
            Self::Blank => RxFlags::CSUM_BLANK | RxFlags::DATA_VALIDATED,
        }
    }
}

impl Gso {
    pub(super) fn extra(self) -> ExtraInfo {
        let gso = ExtraGso { kind: ExtraType::GSO, size: self.size, gso_type: self.kind, ..ExtraGso::default() };
        zerocopy::transmute!(gso)
    }

    pub(super) fn from_extra(extra: ExtraInfo) -> Self {
        let gso: ExtraGso = zerocopy::transmute!(extra);
        Self { kind: gso.gso_type, size: gso.size }
    }
}

impl Hash {
    pub(super) fn extra(self) -> ExtraInfo {
        let Self { kind, algorithm, value } = self;
        let (hash_type, value) = (kind, value.to_le_bytes());
        let hash = ExtraHash { kind: ExtraType::HASH, hash_type, algorithm, value, ..ExtraHash::default() };
        zerocopy::transmute!(hash)
    }

    pub(super) fn from_extra(extra: ExtraInfo) -> Self {
        let hash: ExtraHash = zerocopy::transmute!(extra);
        Self { kind: hash.hash_type, algorithm: hash.algorithm, value: u32::from_le_bytes(hash.value) }
    }
}
