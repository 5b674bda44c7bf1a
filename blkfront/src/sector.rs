//! Places on a disk.

use core::fmt;

/// Bytes of the unit in which disks are counted.
pub const SECTOR: usize = 512;

/// The same, for places on the disk.
const SECTOR_64: u64 = SECTOR as u64;

/// A place on a disk in units of 512 bytes, whatever the disk's own sectors are.
///
/// That is how the protocol counts. Larger sectors of the disk only say where a request may begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sector512(pub u64);

impl Sector512 {
    /// The place that so many bytes lie before, if it is one.
    #[must_use]
    pub const fn of_byte(offset: u64) -> Option<Self> {
        if offset.is_multiple_of(SECTOR_64) { Some(Self(offset / SECTOR_64)) } else { None }
    }

    /// How many bytes lie before it; `None` beyond 2^64.
    #[must_use]
    pub const fn byte(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_64)
    }
}

impl fmt::Display for Sector512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {}", self.0)
    }
}

/// Adjacent sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) at: u64,
    pub(crate) sectors: u64,
}

impl Extent {
    /// The sector behind the last one; `None` where there is no such number.
    pub(crate) const fn end(self) -> Option<u64> {
        self.at.checked_add(self.sectors)
    }
}
