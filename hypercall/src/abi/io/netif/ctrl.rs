//! The messages of the control ring, by which a front-end says which packets come on which queue.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::grant_table::GrantRef;

flags! {
    /// Over what a hash is made.
    ///
    /// `XEN_NETIF_CTRL_HASH_TYPE_*`, public/io/netif.h
    pub struct HashTypes: u32 {
        /// The addresses of IPv4.
        ///
        /// `XEN_NETIF_CTRL_HASH_TYPE_IPV4`, public/io/netif.h
        IPV4 = 1 << 0;
        /// The addresses of IPv4 and the ports of TCP.
        ///
        /// `XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP`, public/io/netif.h
        IPV4_TCP = 1 << 1;
        /// The addresses of IPv6.
        ///
        /// `XEN_NETIF_CTRL_HASH_TYPE_IPV6`, public/io/netif.h
        IPV6 = 1 << 2;
        /// The addresses of IPv6 and the ports of TCP.
        ///
        /// `XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP`, public/io/netif.h
        IPV6_TCP = 1 << 3;
    }
}

constants! {
    /// How a hash is made.
    ///
    /// `XEN_NETIF_CTRL_HASH_ALGORITHM_*`, public/io/netif.h
    pub struct HashAlgorithm: u32 {
        /// Not at all: the backend chooses the queue of a packet.
        ///
        /// `XEN_NETIF_CTRL_HASH_ALGORITHM_NONE`, public/io/netif.h
        NONE = 0;
        /// By Toeplitz's matrix.
        ///
        /// `XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ`, public/io/netif.h
        TOEPLITZ = 1;
    }
}

constants! {
    /// What the backend is asked for.
    ///
    /// `XEN_NETIF_CTRL_TYPE_*`, public/io/netif.h
    pub struct CtrlType: u16 {
        /// Nothing.
        ///
        /// `XEN_NETIF_CTRL_TYPE_INVALID`, public/io/netif.h
        INVALID = 0;
        /// Over what it can make hashes.
        ///
        /// `XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS`, public/io/netif.h
        GET_HASH_FLAGS = 1;
        /// Over what it is to make them.
        ///
        /// `XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS`, public/io/netif.h
        SET_HASH_FLAGS = 2;
        /// With which key.
        ///
        /// `XEN_NETIF_CTRL_TYPE_SET_HASH_KEY`, public/io/netif.h
        SET_HASH_KEY = 3;
        /// How many entries its table can have.
        ///
        /// `XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE`, public/io/netif.h
        GET_HASH_MAPPING_SIZE = 4;
        /// How many entries its table is to have.
        ///
        /// `XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE`, public/io/netif.h
        SET_HASH_MAPPING_SIZE = 5;
        /// Which hash goes to which queue.
        ///
        /// `XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING`, public/io/netif.h
        SET_HASH_MAPPING = 6;
        /// How hashes are made.
        ///
        /// `XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM`, public/io/netif.h
        SET_HASH_ALGORITHM = 7;
        /// How many pages it can keep mapped.
        ///
        /// `XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE`, public/io/netif.h
        GET_GREF_MAPPING_SIZE = 8;
        /// To keep pages mapped.
        ///
        /// `XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING`, public/io/netif.h
        ADD_GREF_MAPPING = 9;
        /// Not to keep pages mapped any more.
        ///
        /// `XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING`, public/io/netif.h
        DEL_GREF_MAPPING = 10;
    }
}

constants! {
    /// What came of it.
    ///
    /// `XEN_NETIF_CTRL_STATUS_*`, public/io/netif.h
    pub struct CtrlStatus: u32 {
        /// It is done.
        ///
        /// `XEN_NETIF_CTRL_STATUS_SUCCESS`, public/io/netif.h
        SUCCESS = 0;
        /// The backend does not do such a thing.
        ///
        /// `XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED`, public/io/netif.h
        NOT_SUPPORTED = 1;
        /// A value is of no use.
        ///
        /// `XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER`, public/io/netif.h
        INVALID_PARAMETER = 2;
        /// It is more than the backend has room for.
        ///
        /// `XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW`, public/io/netif.h
        BUFFER_OVERFLOW = 3;
    }
}

/// What the backend is asked for, apart from packets.
///
/// `struct xen_netif_ctrl_request`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CtrlRequest {
    /// A number that the response repeats.
    pub id: u16,
    /// What it is asked for.
    ///
    /// C: `type`
    pub kind: CtrlType,
    /// Of what, according to what it is.
    pub data: [u32; 3],
}

/// What the backend answers.
///
/// `struct xen_netif_ctrl_response`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CtrlResponse {
    /// The request's.
    pub id: u16,
    /// The request's.
    ///
    /// C: `type`
    pub kind: CtrlType,
    /// What came of it.
    pub status: CtrlStatus,
    /// What was asked for.
    pub data: u32,
}

flags! {
    /// What is so of a page that the backend keeps mapped.
    ///
    /// `XEN_NETIF_CTRLF_GREF_*`, public/io/netif.h
    pub struct GrefFlags: u16 {
        /// It may only be read.
        ///
        /// `XEN_NETIF_CTRLF_GREF_readonly`, public/io/netif.h
        READONLY = 1 << 0;
    }
}

/// A page that the backend is to keep mapped, or not any more.
///
/// `struct xen_netif_gref`, public/io/netif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Gref {
    /// The page.
    ///
    /// C: `ref`
    pub gref: GrantRef,
    /// What is so of it.
    pub flags: GrefFlags,
    /// What came of it: a [`CtrlStatus`].
    pub status: u16,
}

const_assert_eq!(size_of::<CtrlRequest>(), 16);
const_assert_eq!(size_of::<CtrlResponse>(), 12);
const_assert_eq!(size_of::<Gref>(), 8);
