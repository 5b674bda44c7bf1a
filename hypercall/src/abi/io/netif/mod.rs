//! The messages of a network device's rings: transmit, receive and control.

mod ctrl;

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::grant_table::GrantRef;
pub use ctrl::{CtrlRequest, CtrlResponse, CtrlStatus, CtrlType, Gref, GrefFlags, HashAlgorithm, HashTypes};

/// Slots that a packet may have at least, whatever the backend.
///
/// `XEN_NETIF_NR_SLOTS_MIN`, public/io/netif.h
pub const NR_SLOTS_MIN: u32 = 18;

/// Bytes of the largest packet that can be transmitted.
///
/// `XEN_NETIF_MAX_TX_SIZE`, public/io/netif.h
pub const MAX_TX_SIZE: u32 = 0xffff;

flags! {
    /// What is so of a packet that is transmitted.
    ///
    /// `NETTXF_*`, public/io/netif.h
    pub struct TxFlags: u16 {
        /// The checksum of its transport is blank: whoever needs it makes it.
        ///
        /// `NETTXF_csum_blank`, public/io/netif.h
        CSUM_BLANK = 1 << 0;
        /// The checksum of its transport is known to be right, or does not matter.
        ///
        /// `NETTXF_data_validated`, public/io/netif.h
        DATA_VALIDATED = 1 << 1;
        /// It goes on in the next request.
        ///
        /// `NETTXF_more_data`, public/io/netif.h
        MORE_DATA = 1 << 2;
        /// The next slot says more of it.
        ///
        /// `NETTXF_extra_info`, public/io/netif.h
        EXTRA_INFO = 1 << 3;
    }
}

flags! {
    /// What is so of a packet that was received.
    ///
    /// `NETRXF_*`, public/io/netif.h
    pub struct RxFlags: u16 {
        /// The checksum of its transport was verified, or does not matter: so the backend says.
        ///
        /// `NETRXF_data_validated`, public/io/netif.h
        DATA_VALIDATED = 1 << 0;
        /// The checksum of its transport is blank.
        ///
        /// `NETRXF_csum_blank`, public/io/netif.h
        CSUM_BLANK = 1 << 1;
        /// It goes on in the next response.
        ///
        /// `NETRXF_more_data`, public/io/netif.h
        MORE_DATA = 1 << 2;
        /// The next slot says more of it.
        ///
        /// `NETRXF_extra_info`, public/io/netif.h
        EXTRA_INFO = 1 << 3;
        /// The size of its segments stands before it; no backend does so any more.
        ///
        /// `NETRXF_gso_prefix`, public/io/netif.h
        GSO_PREFIX = 1 << 4;
    }
}

flags! {
    /// What is so of a slot that says more of a packet.
    ///
    /// `XEN_NETIF_EXTRA_FLAG_*`, public/io/netif.h
    pub struct ExtraFlags: u8 {
        /// So does the next one.
        ///
        /// `XEN_NETIF_EXTRA_FLAG_MORE`, public/io/netif.h
        MORE = 1 << 0;
    }
}

constants! {
    /// What a slot says of a packet.
    ///
    /// `XEN_NETIF_EXTRA_TYPE_*`, public/io/netif.h
    pub struct ExtraType: u8 {
        /// Nothing; never used.
        ///
        /// `XEN_NETIF_EXTRA_TYPE_NONE`, public/io/netif.h
        NONE = 0;
        /// How it is to be cut into segments: [`ExtraGso`].
        ///
        /// `XEN_NETIF_EXTRA_TYPE_GSO`, public/io/netif.h
        GSO = 1;
        /// It is none: packets to a group are wanted. [`ExtraMcast`].
        ///
        /// `XEN_NETIF_EXTRA_TYPE_MCAST_ADD`, public/io/netif.h
        MCAST_ADD = 2;
        /// It is none: packets to a group are not wanted any more. [`ExtraMcast`].
        ///
        /// `XEN_NETIF_EXTRA_TYPE_MCAST_DEL`, public/io/netif.h
        MCAST_DEL = 3;
        /// What its hash is: [`ExtraHash`].
        ///
        /// `XEN_NETIF_EXTRA_TYPE_HASH`, public/io/netif.h
        HASH = 4;
    }
}

constants! {
    /// What is cut into segments.
    ///
    /// `XEN_NETIF_GSO_TYPE_*`, public/io/netif.h
    pub struct GsoType: u8 {
        /// Nothing.
        ///
        /// `XEN_NETIF_GSO_TYPE_NONE`, public/io/netif.h
        NONE = 0;
        /// TCP over IPv4.
        ///
        /// `XEN_NETIF_GSO_TYPE_TCPV4`, public/io/netif.h
        TCPV4 = 1;
        /// TCP over IPv6.
        ///
        /// `XEN_NETIF_GSO_TYPE_TCPV6`, public/io/netif.h
        TCPV6 = 2;
    }
}

constants! {
    /// How a transmission ended, or, from 0 on, how many bytes were received.
    ///
    /// `NETIF_RSP_*`, public/io/netif.h
    pub struct Status: i16 {
        /// The packet was dropped.
        ///
        /// `NETIF_RSP_DROPPED`, public/io/netif.h
        DROPPED = -2;
        /// The packet was of no use.
        ///
        /// `NETIF_RSP_ERROR`, public/io/netif.h
        ERROR = -1;
        /// It is done.
        ///
        /// `NETIF_RSP_OKAY`, public/io/netif.h
        OKAY = 0;
        /// The answer to a slot that was no request.
        ///
        /// `NETIF_RSP_NULL`, public/io/netif.h
        NULL = 1;
    }
}

/// A packet, or a piece of one, to be transmitted. A first one says how long the whole packet is.
///
/// `struct netif_tx_request`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxRequest {
    /// The page.
    pub gref: GrantRef,
    /// Where in the page it begins.
    pub offset: u16,
    /// What is so of it.
    pub flags: TxFlags,
    /// A number that the response repeats.
    pub id: u16,
    /// Bytes: of a packet's first request those of the whole packet, of the others those of the piece.
    pub size: u16,
}

/// A slot that says more of a packet, in the place of a message of either ring.
///
/// `struct netif_extra_info`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(2))]
pub struct ExtraInfo {
    /// What it says.
    ///
    /// C: `type`
    pub kind: ExtraType,
    /// What is so of it.
    pub flags: ExtraFlags,
    /// What it is, as one of the types below.
    ///
    /// C: `u`
    pub data: [u8; 6],
}

/// How a packet is to be cut into segments.
///
/// `struct netif_extra_info`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraGso {
    /// [`ExtraType::GSO`].
    ///
    /// C: `type`
    pub kind: ExtraType,
    /// What is so of it.
    pub flags: ExtraFlags,
    /// Bytes of payload in a segment.
    ///
    /// C: `u.gso.size`
    pub size: u16,
    /// What it is.
    ///
    /// C: `u.gso.type`
    pub gso_type: GsoType,
    #[doc(hidden)]
    pub _pad: u8,
    /// Of no use at present.
    ///
    /// C: `u.gso.features`
    pub features: u16,
}

/// A group whose packets are wanted, or not any more.
///
/// `struct netif_extra_info`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(2))]
pub struct ExtraMcast {
    /// [`ExtraType::MCAST_ADD`] or [`ExtraType::MCAST_DEL`].
    ///
    /// C: `type`
    pub kind: ExtraType,
    /// What is so of it.
    pub flags: ExtraFlags,
    /// The address of the group.
    ///
    /// C: `u.mcast.addr`
    pub addr: [u8; 6],
}

/// What the hash of a packet is.
///
/// `struct netif_extra_info`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(2))]
pub struct ExtraHash {
    /// [`ExtraType::HASH`].
    ///
    /// C: `type`
    pub kind: ExtraType,
    /// What is so of it.
    pub flags: ExtraFlags,
    /// Over what it was made: the number of a bit of [`HashTypes`].
    ///
    /// C: `u.hash.type`
    pub hash_type: u8,
    /// How it was made: a [`HashAlgorithm`].
    ///
    /// C: `u.hash.algorithm`
    pub algorithm: u8,
    /// The hash, least significant byte first on x86-64 and ARM64.
    ///
    /// C: `u.hash.value`
    pub value: [u8; 4],
}

/// How a transmission ended.
///
/// `struct netif_tx_response`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxResponse {
    /// The request's.
    pub id: u16,
    /// How it ended.
    pub status: Status,
}

/// Memory to receive into.
///
/// `struct netif_rx_request`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxRequest {
    /// A number that the response repeats.
    pub id: u16,
    #[doc(hidden)]
    pub _pad: u16,
    /// The page.
    pub gref: GrantRef,
}

/// A packet, or a piece of one, that was received.
///
/// `struct netif_rx_response`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxResponse {
    /// The request's.
    pub id: u16,
    /// Where in the page it begins.
    pub offset: u16,
    /// What is so of it.
    pub flags: RxFlags,
    /// Bytes, or why there are none.
    pub status: Status,
}

const_assert_eq!(size_of::<TxRequest>(), 12);
const_assert_eq!(size_of::<ExtraInfo>(), 8);
const_assert_eq!(size_of::<ExtraGso>(), 8);
const_assert_eq!(size_of::<ExtraMcast>(), 8);
const_assert_eq!(size_of::<ExtraHash>(), 8);
const_assert_eq!(size_of::<TxResponse>(), 4);
const_assert_eq!(size_of::<RxRequest>(), 8);
const_assert_eq!(size_of::<RxResponse>(), 8);
