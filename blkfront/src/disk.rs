//! What a backend says about its disk.

use alloc::vec::Vec;
use core::fmt;

use xen_hypercall::abi::io::blkif::{DiskInfo, MAX_SEGMENTS_PER_REQUEST};
use xen_xenbus::bus::{KeyError, Keys};

use crate::error::Rejection;
use crate::options::{MOST_QUEUES, MOST_RING_ORDER, MOST_SEGMENTS, Options};
use crate::request::{Discard, Kind};
use crate::sector::{Extent, SECTOR};

/// What a backend writes before it is offered anything.
pub(crate) const LIMIT_KEYS: &[&str] =
    &["max-ring-page-order", "max-ring-pages", "multi-queue-max-queues", "feature-persistent"];

/// What it writes when it has agreed.
pub(crate) const DISK_KEYS: &[&str] = &[
    "sectors",
    "sector-size",
    "physical-sector-size",
    "info",
    "feature-flush-cache",
    "feature-barrier",
    "feature-discard",
    "discard-granularity",
    "discard-alignment",
    "discard-secure",
    "feature-max-indirect-segments",
    "feature-persistent",
];

/// The largest sectors that a disk may have, in bytes: a page.
const LARGEST_SECTOR: u32 = 4096;

/// A disk, as its backend describes it, and the connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    sectors: u64,
    sector_size: u32,
    physical_sector_size: u32,
    info: DiskInfo,
    flush: bool,
    barrier: bool,
    discard: Option<DiscardLimits>,
    persistent: bool,
    segments: u32,
    queues: u32,
    ring_slots: u32,
    /// What the tools call it; `None` where that could not be read.
    params: Option<Vec<u8>>,
}

/// What can be discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardLimits {
    /// In units of so many bytes; a power of two. Parts of units are not discarded, which is no error.
    pub granularity: u32,
    /// Bytes before the first unit.
    pub alignment: u32,
    /// Whether [`Discard::Secure`](crate::Discard::Secure) is offered.
    pub secure: bool,
}

/// How a connection is to be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) queues: u32,
    pub(crate) ring_order: u32,
}

impl Disk {
    /// How many units of 512 bytes it has.
    #[must_use]
    pub const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        // `sectors` was refused where this would not fit.
        self.sectors.saturating_mul(SECTOR as u64)
    }

    /// Requests begin and end at multiples of so many bytes: 512 to 4096.
    #[must_use]
    pub const fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// What is below is written in units of so many bytes. Smaller writes are possible, and slow.
    #[must_use]
    pub const fn physical_sector_size(&self) -> u32 {
        self.physical_sector_size
    }

    /// Whether it can only be read.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.info.contains(DiskInfo::READONLY)
    }

    /// Whether its medium can be removed.
    #[must_use]
    pub const fn is_removable(&self) -> bool {
        self.info.contains(DiskInfo::REMOVABLE)
    }

    /// Whether it is a CD-ROM.
    #[must_use]
    pub const fn is_cdrom(&self) -> bool {
        self.info.contains(DiskInfo::CDROM)
    }

    /// Whether the backend offers to flush.
    #[must_use]
    pub const fn has_flush(&self) -> bool {
        self.flush
    }

    /// Whether it offers write barriers.
    #[must_use]
    pub const fn has_barrier(&self) -> bool {
        self.barrier
    }

    /// What it discards; `None` where it does not offer to, or says so in a way that makes no sense.
    #[must_use]
    pub const fn discard(&self) -> Option<DiscardLimits> {
        self.discard
    }

    /// Whether pages stay granted.
    #[must_use]
    pub const fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// How many pages one request of the ring has at most.
    #[must_use]
    pub const fn segments(&self) -> u32 {
        self.segments
    }

    /// How many queues there are.
    #[must_use]
    pub const fn queues(&self) -> u32 {
        self.queues
    }

    /// How many requests each queue's ring holds.
    #[must_use]
    pub const fn ring_slots(&self) -> u32 {
        self.ring_slots
    }

    /// What the keys say, for a connection that was asked for with `options`.
    pub(crate) fn read(keys: &Keys, options: &Options, layout: Layout, ring_slots: u32) -> Result<Self, KeyError> {
        let sector_size = sector_size(keys)?;
        Ok(Self {
            sectors: sectors(keys)?,
            sector_size,
            physical_sector_size: physical(keys, sector_size),
            info: DiskInfo::from_bits_retain(keys.u32_or("info", 0)?),
            flush: is_offered(keys, "feature-flush-cache"),
            barrier: is_offered(keys, "feature-barrier"),
            discard: discard(keys, sector_size),
            persistent: options.persistent == crate::Persistent::IfOffered && is_offered(keys, "feature-persistent"),
            segments: segments(keys, options),
            queues: layout.queues,
            ring_slots,
            params: None,
        })
    }

    /// With what the tools call it: nothing that is told to anybody, but the same for the same disk.
    pub(crate) fn with_params(self, params: Option<Vec<u8>>) -> Self {
        Self { params, ..self }
    }

    /// Whether this can be the disk that was there before, so that what it was owed may be written to it.
    pub(crate) fn is_like(&self, before: &Self) -> bool {
        let same = (self.sectors, self.sector_size, self.info.bits())
            == (before.sectors, before.sector_size, before.info.bits());
        same && self.params.is_some() && self.params == before.params
    }

    /// Takes over what may change while connected. Answers whether something did.
    pub(crate) fn review(&mut self, keys: &Keys) -> Result<bool, KeyError> {
        let info = DiskInfo::from_bits_retain(keys.u32_or("info", 0)?);
        let (sectors, before) = (sectors(keys)?, (self.sectors, self.info.bits()));
        (self.sectors, self.info) = (sectors, info);
        Ok(before != (sectors, info.bits()))
    }

    /// Whether a request can be made of this disk.
    pub(crate) fn check(&self, kind: Kind, extent: Extent, bytes: usize) -> Result<(), Rejection> {
        if kind == Kind::Flush {
            return Ok(());
        }
        let unit = self.sector_size;
        let whole = bytes.is_multiple_of(unit as usize);
        let sectors_in_unit = u64::from(unit) / SECTOR as u64;
        if extent.sectors == 0 && whole {
            return Err(Rejection::Empty);
        }
        if !whole || !extent.at.is_multiple_of(sectors_in_unit) || !extent.sectors.is_multiple_of(sectors_in_unit) {
            return Err(Rejection::Misaligned { sector_size: unit });
        }
        if extent.end().is_none_or(|end| end > self.sectors) {
            return Err(Rejection::beyond(extent, self.sectors));
        }
        if kind.changes() && self.is_read_only() {
            return Err(Rejection::ReadOnly);
        }
        self.check_offer(kind)
    }

    const fn check_offer(&self, kind: Kind) -> Result<(), Rejection> {
        match (kind, self.discard) {
            (Kind::Barrier, _) if !self.barrier => Err(Rejection::Unsupported { what: "write barriers" }),
            (Kind::Discard { .. }, None) => Err(Rejection::Unsupported { what: "to discard" }),
            (Kind::Discard { how: Discard::Secure, .. }, Some(limits)) if !limits.secure => {
                Err(Rejection::Unsupported { what: "to discard securely" })
            }
            _ => Ok(()),
        }
    }

    /// The backend said that it does not do this after all.
    pub(crate) const fn withdraw(&mut self, kind: Kind) {
        match (kind, &mut self.discard) {
            (Kind::Barrier, _) => self.barrier = false,
            (Kind::Discard { how: Discard::Secure, .. }, Some(limits)) => limits.secure = false,
            (Kind::Discard { .. }, _) => self.discard = None,
            _ => {}
        }
    }
}

impl Layout {
    /// As much as both sides want.
    pub(crate) fn read(keys: &Keys, options: &Options) -> Self {
        // Who writes nonsense is taken for one who writes nothing. The order is cut before anything is shifted by it.
        let queues = keys.u32_or("multi-queue-max-queues", 1).unwrap_or(1);
        let order = match keys.u32("max-ring-page-order") {
            Ok(Some(order)) => order,
            _ => keys.u32_or("max-ring-pages", 1).unwrap_or(1).checked_ilog2().unwrap_or(0),
        };
        Self {
            queues: queues.clamp(1, options.queues.min(MOST_QUEUES)),
            ring_order: order.min(options.ring_order.min(MOST_RING_ORDER)),
        }
    }
}

/// A feature whose key is malformed is not offered.
fn is_offered(keys: &Keys, name: &str) -> bool {
    keys.is_set(name).unwrap_or(false)
}

fn sectors(keys: &Keys) -> Result<u64, KeyError> {
    const EXPECTED: &str = "the size of the disk in units of 512 bytes, less than 2^63 bytes in all";
    let sectors = keys.u64("sectors")?.ok_or_else(|| keys.missing("sectors", EXPECTED))?;
    let fits = sectors.checked_mul(SECTOR as u64).is_some_and(|bytes| bytes <= i64::MAX.cast_unsigned());
    if fits { Ok(sectors) } else { Err(keys.unfit("sectors", EXPECTED)) }
}

fn sector_size(keys: &Keys) -> Result<u32, KeyError> {
    let size = keys.u32_or("sector-size", SECTOR as u32)?;
    let fits = size.is_power_of_two() && (SECTOR as u32..=LARGEST_SECTOR).contains(&size);
    if fits { Ok(size) } else { Err(keys.unfit("sector-size", "a power of two from 512 to 4096")) }
}

/// What makes no sense is left out: nothing depends on it.
fn physical(keys: &Keys, sector_size: u32) -> u32 {
    let size = keys.u32_or("physical-sector-size", sector_size).unwrap_or(sector_size);
    if size.is_power_of_two() && size >= sector_size { size } else { sector_size }
}

fn segments(keys: &Keys, options: &Options) -> u32 {
    let direct = MAX_SEGMENTS_PER_REQUEST as u32;
    let offered = keys.u32_or("feature-max-indirect-segments", 0).unwrap_or(0).min(MOST_SEGMENTS);
    let most = if options.wants_indirect() { offered.max(direct) } else { direct };
    most.min(options.segments)
}

fn discard(keys: &Keys, sector_size: u32) -> Option<DiscardLimits> {
    if !is_offered(keys, "feature-discard") {
        return None;
    }
    let granularity = keys.u32_or("discard-granularity", sector_size).ok()?;
    let alignment = keys.u32_or("discard-alignment", 0).ok()?;
    let fits = granularity.is_power_of_two() && alignment < granularity;
    fits.then(|| DiscardLimits { granularity, alignment, secure: is_offered(keys, "discard-secure") })
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.is_read_only() { "read-only" } else { "writable" };
        write!(f, "{} sectors of {} bytes, {mode}", self.bytes() / u64::from(self.sector_size), self.sector_size)
    }
}
