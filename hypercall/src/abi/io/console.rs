//! The console's ring.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The page of the console's ring: two byte rings, whose indices run freely and wrap at 32 bits.
///
/// `struct xencons_interface`, public/io/console.h (may grow)
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Interface {
    /// Bytes to the guest.
    ///
    /// C: `in`
    pub input: [u8; 1024],
    /// Bytes from the guest.
    ///
    /// C: `out`
    pub output: [u8; 2048],
    /// How far the guest has read; the guest writes it.
    pub in_cons: u32,
    /// How far the console has written; the console writes it.
    pub in_prod: u32,
    /// How far the console has read; the console writes it.
    pub out_cons: u32,
    /// How far the guest has written; the guest writes it.
    pub out_prod: u32,
}

const_assert_eq!(size_of::<Interface>(), 3088);
