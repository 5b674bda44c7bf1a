//! Protocols whose rings are compared: their messages as our rings need them, and their names in `c/end.c`.
//!
//! That the layouts are those of Xen's headers is not assumed: C takes the messages apart field by field, and the comparison of
//! the shared memory shows a field that is in another place.

use xen_shared_ring::{self as ring, Entries, FrontRing, Region};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A ring protocol that both sides of the comparison know.
pub trait Protocol: ring::Protocol + Copy + std::fmt::Debug + 'static {
    /// Its name in `c/end.c`.
    const NAME: &'static str;

    /// Makes the bytes of a random message one that C can carry: what C regards as padding is zero.
    fn tidy_request(_request: &mut [u8]) {}

    /// As [`tidy_request`](Self::tidy_request).
    fn tidy_response(_response: &mut [u8]) {}

    /// Puts a request into our ring, no more of it than matters.
    fn push<M: Region, S: Entries<Self>>(ring: &mut FrontRing<Self, M, S>, request: &[u8]) -> bool {
        ring.push(whole::<Self::Request>(request)).is_ok()
    }
}

/// A message of these bytes.
///
/// # Panics
///
/// When they are too few or too many.
#[must_use]
pub fn whole<T: FromBytes>(bytes: &[u8]) -> T {
    T::read_from_bytes(bytes).expect("a message of the protocol")
}

macro_rules! protocol {
    ($(#[$doc:meta])* $name:ident, $c:literal, $request:ident, $response:ident $(, $tidy:item)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl ring::Protocol for $name {
            type Request = $request;
            type Response = $response;
        }

        impl Protocol for $name {
            const NAME: &'static str = $c;
            $($tidy)*
        }
    };
}

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
        #[repr(C)]
        #[expect(missing_docs, reason = "the fields are the header's")]
        pub struct $name {
            $(pub $field: $type),*
        }
    };
}

protocol! {
    /// The transmit ring of a network interface.
    NetifTx, "netif_tx", NetifTxRequest, NetifTxResponse
}
message! {
    /// `struct netif_tx_request`, `public/io/netif.h`
    NetifTxRequest { gref: u32, offset: u16, flags: u16, id: u16, size: u16 }
}
message! {
    /// `struct netif_tx_response`, `public/io/netif.h`
    NetifTxResponse { id: u16, status: i16 }
}

protocol! {
    /// The receive ring of a network interface.
    NetifRx, "netif_rx", NetifRxRequest, NetifRxResponse
}
message! {
    /// `struct netif_rx_request`, `public/io/netif.h`
    NetifRxRequest { id: u16, pad: u16, gref: u32 }
}
message! {
    /// `struct netif_rx_response`, `public/io/netif.h`
    NetifRxResponse { id: u16, offset: u16, flags: u16, status: i16 }
}

protocol! {
    /// The ring of a block device.
    Blkif, "blkif", BlkifRequest, BlkifResponse,
    fn tidy_request(request: &mut [u8]) {
        request[1] = if request[1].is_multiple_of(2) { 1 } else { 11 };
        request[4..8].fill(0);
        for segment in request[24..].chunks_exact_mut(8) {
            segment[6..].fill(0);
        }
    },
    fn push<M: Region, S: Entries<Self>>(ring: &mut FrontRing<Self, M, S>, request: &[u8]) -> bool {
        match BlkifRequest1::read_from_prefix(request) {
            Ok((short, _)) if short.nr_segments == 1 => ring.push_all([short]) == 1,
            _ => ring.push(whole::<BlkifRequest>(request)).is_ok(),
        }
    },
    fn tidy_response(response: &mut [u8]) {
        response[9] = 0;
        response[12..].fill(0);
    }
}
message! {
    /// `struct blkif_request`, `public/io/blkif.h`
    BlkifRequest {
        operation: u8,
        nr_segments: u8,
        handle: u16,
        pad: u32,
        id: u64,
        sector_number: u64,
        seg: [BlkifSegment; 11],
    }
}
message! {
    /// As much of a [`BlkifRequest`] as one with one segment needs.
    BlkifRequest1 {
        operation: u8,
        nr_segments: u8,
        handle: u16,
        pad: u32,
        id: u64,
        sector_number: u64,
        seg: [BlkifSegment; 1],
    }
}
impl ring::Prefix<BlkifRequest> for BlkifRequest1 {}
message! {
    /// `struct blkif_request_segment`, `public/io/blkif.h`
    BlkifSegment { gref: u32, first_sect: u8, last_sect: u8, pad: u16 }
}
message! {
    /// `struct blkif_response`, `public/io/blkif.h`
    BlkifResponse { id: u64, operation: u8, pad: u8, status: i16, pad_end: u32 }
}

protocol! {
    /// No protocol of Xen's: the smallest slots, and a response that is larger than its request.
    Small, "small", SmallRequest, SmallResponse
}
message! {
    /// `struct small_request`, `c/protocols.h`
    SmallRequest { value: u32 }
}
message! {
    /// `struct small_response`, `c/protocols.h`
    SmallResponse { value: [u32; 3] }
}
