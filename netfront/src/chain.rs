//! The grammar of what is received: which slots make a packet, and which packets are dropped.
//!
//! A packet is a response; where that says so, up to four slots of extra information; and where it says so, more responses. Each
//! slot is a copy that was made once; what is decided here holds for that copy. Nothing here touches a page.

use core::fmt;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraGso, ExtraHash, ExtraInfo, ExtraType, HashAlgorithm, HashTypes, MAX_TX_SIZE, NR_SLOTS_MIN,
    RxFlags, RxResponse,
};

use crate::packet::{Checksum, ETHERNET_HEADER, Gso, GsoKind, Hash, Meta, VLAN_TAG};

/// Slots with data that a packet may have.
pub(crate) const MOST_SLOTS: usize = NR_SLOTS_MIN as usize;

/// Slots with extra information that a packet may have: one of each type.
const MOST_EXTRAS: u32 = 4;

/// The smallest segments that a packet may have to be cut into, in bytes of payload. What is smaller would make a thousand packets
/// of one.
const SMALLEST_SEGMENT: u16 = 48;

/// What was agreed upon, as far as it decides what may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) mtu: u16,
    pub(crate) scatter_gather: bool,
    pub(crate) checksums: bool,
    pub(crate) gso_v4: bool,
    pub(crate) gso_v6: bool,
    /// Those that the backend was asked to make.
    pub(crate) hashes: HashTypes,
}

/// Why a packet was dropped. The connection goes on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The backend says that it failed.
    Status,
    /// It has no bytes.
    Empty,
    /// It is shorter than an Ethernet header.
    Runt,
    /// It is longer than the MTU, and not to be cut; or longer than any packet.
    Oversize,
    /// A piece of it is not within its page.
    OutOfPage,
    /// It has several pieces, which was not agreed upon.
    Scattered,
    /// It has more than 18 pieces.
    TooManySlots,
    /// It has more than four slots of extra information.
    TooManyExtras,
    /// Extra information of a type that does not exist.
    ExtraUnknown,
    /// Extra information of one type, twice.
    ExtraDuplicate,
    /// Extra information of a type that was not agreed upon.
    ExtraUnnegotiated,
    /// It is to be cut, in a way that does not exist or was not agreed upon, or into pieces that are too small, or larger than
    /// itself.
    Segments,
    /// The deprecated way to say that it is to be cut.
    GsoPrefix,
    /// Its checksum is blank, which was not agreed upon, or the place of the checksum is not within the packet.
    Blank,
}

/// How many reasons there are to drop a packet.
pub(crate) const REASONS: usize = 14;

/// What becomes of the page of a slot, and of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The bytes of the page that belong to the packet; `None` where the page is of no use.
    pub(crate) piece: Option<Piece>,
    pub(crate) packet: Packet,
}

/// Bytes within a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u16,
    pub(crate) len: u16,
}

/// How far a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// It goes on in the next slot.
    GoesOn,
    /// It has come.
    Whole(Meta, u32),
    /// It has come, and is of no use.
    Dropped(Dropped),
}

/// A packet that is coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    expects: Expects,
    more: bool,
    meta: Meta,
    slots: usize,
    bytes: u32,
    /// Bits of types that have come.
    types: u8,
    extras: u32,
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    First,
    Extra,
    More,
}

impl Chain {
    pub(crate) const START: Self = Self {
        expects: Expects::First,
        more: false,
        meta: Meta::PLAIN,
        slots: 0,
        bytes: 0,
        types: 0,
        extras: 0,
        dropped: None,
    };

    /// Whether the next slot is a response, whose id tells which request it answers.
    pub(crate) const fn expects_response(&self) -> bool {
        !matches!(self.expects, Expects::Extra)
    }

    /// Takes the next slot.
    pub(crate) fn take(&mut self, slot: RxResponse, agreed: &Agreed) -> Taken {
        match self.plain(slot, agreed) {
            Some((piece, checksum)) => {
                Taken { piece: Some(piece), packet: Packet::Whole(Meta::of(checksum), piece.len.into()) }
            }
            None => self.take_any(slot, agreed),
        }
    }

    /// A packet of one piece that nothing has to be said about, as most are; `None` is for all others, those to be dropped included.
    #[inline]
    pub(crate) fn plain(&self, slot: RxResponse, agreed: &Agreed) -> Option<(Piece, Checksum)> {
        let odd = !(RxFlags::DATA_VALIDATED | RxFlags::CSUM_BLANK).bits();
        let (len, offset) = (u16::try_from(slot.status.0).ok()?, slot.offset);
        let has_size = (ETHERNET_HEADER..=longest(agreed)).contains(&len.into());
        let is_within = usize::from(offset) + usize::from(len) <= PAGE_SIZE;
        if self.expects != Expects::First || slot.flags.bits() & odd != 0 || !has_size || !is_within {
            return None;
        }
        let checksum = match slot.flags.contains(RxFlags::CSUM_BLANK) {
            true if agreed.checksums => Checksum::Blank,
            true => return None,
            false if slot.flags.contains(RxFlags::DATA_VALIDATED) => Checksum::Claimed,
            false => Checksum::Unverified,
        };
        Some((Piece { offset, len }, checksum))
    }

    fn take_any(&mut self, slot: RxResponse, agreed: &Agreed) -> Taken {
        let piece = match self.expects {
            Expects::First => {
                self.begin(slot.flags, agreed);
                self.piece(slot, agreed)
            }
            Expects::Extra => {
                self.extra(zerocopy::transmute!(slot), agreed);
                None
            }
            Expects::More => self.piece(slot, agreed),
        };
        if self.expects != Expects::First {
            return Taken { piece, packet: Packet::GoesOn };
        }
        let packet = self.conclude(agreed);
        *self = Self::START;
        Taken { piece, packet }
    }

    const fn begin(&mut self, flags: RxFlags, agreed: &Agreed) {
        if flags.contains(RxFlags::CSUM_BLANK) {
            self.meta.checksum = Checksum::Blank;
            self.drop_if(!agreed.checksums, Dropped::Blank);
        } else if flags.contains(RxFlags::DATA_VALIDATED) {
            self.meta.checksum = Checksum::Claimed;
        }
        self.drop_if(flags.contains(RxFlags::GSO_PREFIX), Dropped::GsoPrefix);
        if flags.contains(RxFlags::EXTRA_INFO) {
            self.expects = Expects::Extra;
        }
    }

    /// A response with data.
    fn piece(&mut self, slot: RxResponse, agreed: &Agreed) -> Option<Piece> {
        self.more = slot.flags.contains(RxFlags::MORE_DATA);
        self.drop_if(self.more && !agreed.scatter_gather, Dropped::Scattered);
        if self.expects != Expects::Extra {
            self.expects = if self.more { Expects::More } else { Expects::First };
        }
        let Ok(len) = u16::try_from(slot.status.0) else {
            self.drop_if(true, Dropped::Status);
            return None;
        };
        let fits = usize::from(slot.offset) + usize::from(len) <= PAGE_SIZE;
        self.drop_if(!fits, Dropped::OutOfPage);
        self.drop_if(self.slots >= MOST_SLOTS, Dropped::TooManySlots);
        if self.dropped.is_some() || len == 0 {
            return None;
        }
        (self.slots, self.bytes) = (self.slots + 1, self.bytes + u32::from(len));
        Some(Piece { offset: slot.offset, len })
    }

    fn extra(&mut self, extra: ExtraInfo, agreed: &Agreed) {
        self.extras = self.extras.saturating_add(1);
        self.drop_if(self.extras > MOST_EXTRAS, Dropped::TooManyExtras);
        match extra.kind {
            ExtraType::GSO | ExtraType::MCAST_ADD | ExtraType::MCAST_DEL | ExtraType::HASH => {
                self.drop_if(self.types & 1 << extra.kind.0 != 0, Dropped::ExtraDuplicate);
                self.types |= 1 << extra.kind.0;
            }
            _ => self.drop_if(true, Dropped::ExtraUnknown),
        }
        match extra.kind {
            ExtraType::GSO => self.segments(zerocopy::transmute!(extra), agreed),
            ExtraType::HASH => self.hash(zerocopy::transmute!(extra), agreed),
            _ => self.drop_if(true, Dropped::ExtraUnnegotiated),
        }
        if !extra.flags.contains(ExtraFlags::MORE) {
            self.expects = if self.more { Expects::More } else { Expects::First };
        }
    }

    fn segments(&mut self, gso: ExtraGso, agreed: &Agreed) {
        let kind = GsoKind::of(gso.gso_type).filter(|kind| match kind {
            GsoKind::TcpV4 => agreed.gso_v4,
            GsoKind::TcpV6 => agreed.gso_v6,
        });
        match kind {
            Some(kind) if gso.size >= SMALLEST_SEGMENT => self.meta.gso = Some(Gso { kind, size: gso.size }),
            _ => self.drop_if(true, Dropped::Segments),
        }
    }

    fn hash(&mut self, hash: ExtraHash, agreed: &Agreed) {
        let kind = HashTypes::from_bits_retain(1_u32.checked_shl(hash.hash_type.into()).unwrap_or(0));
        let is_made_so = u32::from(hash.algorithm) == HashAlgorithm::TOEPLITZ.0;
        if is_made_so && agreed.hashes.intersects(kind) {
            self.meta.hash = Some(Hash { value: u32::from_le_bytes(hash.value), kind });
        } else {
            self.drop_if(true, Dropped::ExtraUnnegotiated);
        }
    }

    fn conclude(&mut self, agreed: &Agreed) -> Packet {
        let longest = match self.meta.gso {
            Some(_) => MAX_TX_SIZE,
            None => longest(agreed) as u32,
        };
        self.drop_if(self.bytes == 0, Dropped::Empty);
        self.drop_if((self.bytes as usize) < ETHERNET_HEADER, Dropped::Runt);
        self.drop_if(self.bytes > longest, Dropped::Oversize);
        if let Some(gso) = self.meta.gso {
            self.drop_if(u32::from(gso.size) >= self.bytes, Dropped::Segments);
            if self.meta.checksum != Checksum::Blank {
                // A checksum of the whole is none of the segments'.
                self.meta.checksum = Checksum::Unverified;
            }
        }
        self.dropped.map_or(Packet::Whole(self.meta, self.bytes), Packet::Dropped)
    }

    /// The first reason counts.
    const fn drop_if(&mut self, wrong: bool, reason: Dropped) {
        if wrong && self.dropped.is_none() {
            self.dropped = Some(reason);
        }
    }
}

/// Bytes of a packet that is not to be cut.
const fn longest(agreed: &Agreed) -> usize {
    agreed.mtu as usize + ETHERNET_HEADER + VLAN_TAG
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "the backend failed to give it",
            Self::Empty => "it has no bytes",
            Self::Runt => "it is shorter than an Ethernet header",
            Self::Oversize => "it is longer than the MTU",
            Self::OutOfPage => "a piece of it is not within its page",
            Self::Scattered => "it has several pieces, which was not agreed upon",
            Self::TooManySlots => "it has more than 18 pieces",
            Self::TooManyExtras => "it has more than four slots of extra information",
            Self::ExtraUnknown => "it has extra information of an unknown type",
            Self::ExtraDuplicate => "it has extra information of one type twice",
            Self::ExtraUnnegotiated => "it has extra information that was not agreed upon",
            Self::Segments => "it is to be cut in a way that makes no sense or was not agreed upon",
            Self::GsoPrefix => "it is to be cut in a way that is deprecated",
            Self::Blank => "its checksum is blank, which was not agreed upon, or has no place in it",
        })
    }
}

#[cfg(test)]
mod tests;
