//! Pages of other domains, mapped.

mod pages;

use core::fmt;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::{GrantRef, MapFlags};
use xen_hypercall::grant_table;
use xen_shared_ring::{Region, SharedMem};

use crate::platform::Memory;
use crate::run::MAX_RUN;

use pages::Pages;

/// Why a foreign page is not mapped.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The caller: no page, or more than [`MAX_RUN`].
    Count,
    /// Resources: the kernel has no addresses to map so many pages at.
    NoAddresses,
    /// The kernel cannot reach the pages as adjacent ones, though it set adjacent addresses aside.
    NotAdjacent,
    /// Xen refused a page. `GENERAL_ERROR` (no such grant, or not for this use), `BAD_GNTREF` and `BAD_DOMAIN` are
    /// the peer's doing, and so may be `EAGAIN`: the page
    /// was away all of 256 times.
    Xen {
        /// Which of the pages.
        index: usize,
        /// What Xen said.
        error: grant_table::Error,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => write!(f, "between 1 and {MAX_RUN} pages can be mapped together"),
            Self::NoAddresses => f.write_str("the kernel has no addresses left for foreign pages"),
            Self::NotAdjacent => f.write_str("the foreign pages are not reached as adjacent ones"),
            Self::Xen { index, error } => write!(f, "foreign page {index} cannot be mapped: {error}"),
        }
    }
}

impl core::error::Error for MapError {}

/// Pages of another domain at adjacent addresses, readable and writable: the memory of a ring that the other domain made.
///
/// The other domain can change what is in them at any time, and cannot take them away: revoking fails as long as they are
/// mapped here. Dropping it unmaps them in one call. Addresses at which Xen would not unmap are never used again; they
/// are counted in [`Statistics::lost_addresses`](crate::Statistics::lost_addresses).
#[derive(Debug)]
pub struct Mapping<P: Memory> {
    memory: SharedMem,
    pages: Pages<P>,
}

// SAFETY: the pages stay mapped for as long as the value lives; only it reaches them in this domain.
unsafe impl<P: Memory> Region for Mapping<P> {
    fn memory(&self) -> &SharedMem {
        &self.memory
    }
}

impl<P: Memory> Mapping<P> {
    /// Maps pages that `peer` granted for writing, in this order. All of them, or none.
    ///
    /// # Errors
    ///
    /// [`MapError`]; pages that Xen had mapped are unmapped again.
    pub fn map(platform: P, peer: DomId, grefs: &[GrantRef]) -> Result<Self, MapError> {
        Pages::map(platform, peer, grefs, MapFlags::HOST_MAP).and_then(Self::new)
    }

    /// Maps pages that `peer` granted for writing, each by itself, in as few calls as possible, and tells what became of each,
    /// with its place in `grefs`. One that fails keeps no other from being mapped.
    pub fn map_each(platform: &P, peer: DomId, grefs: &[GrantRef], mut each: impl FnMut(usize, Result<Self, MapError>))
    where
        P: Clone,
    {
        pages::map_each(platform, peer, grefs, MapFlags::HOST_MAP, |index, pages| {
            each(index, pages.and_then(Self::new))
        });
    }

    /// Unmaps the pages.
    ///
    /// # Errors
    ///
    /// The first refusal of Xen; such pages stay mapped, and their addresses are lost.
    pub fn unmap(mut self) -> Result<(), MapError> {
        self.pages.unmap()
    }

    fn new(pages: Pages<P>) -> Result<Self, MapError> {
        Ok(Self { memory: pages.memory()?, pages })
    }
}

/// Pages of another domain at adjacent addresses, which can only be copied from.
///
/// Otherwise as a [`Mapping`].
#[derive(Debug)]
pub struct ReadMapping<P: Memory> {
    memory: SharedMem,
    pages: Pages<P>,
}

impl<P: Memory> ReadMapping<P> {
    /// Maps pages that `peer` granted, in this order. All of them, or none.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::map`].
    pub fn map(platform: P, peer: DomId, grefs: &[GrantRef]) -> Result<Self, MapError> {
        Pages::map(platform, peer, grefs, MapFlags::HOST_MAP | MapFlags::READONLY).and_then(Self::new)
    }

    /// Copies bytes from `offset` on into `into`, and returns how many there were before the end of the pages. The other
    /// domain may have changed them when the call is back.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        self.memory.read(offset, into)
    }

    /// Maps pages that `peer` granted, each by itself, as [`Mapping::map_each`].
    pub fn map_each(platform: &P, peer: DomId, grefs: &[GrantRef], mut each: impl FnMut(usize, Result<Self, MapError>))
    where
        P: Clone,
    {
        let flags = MapFlags::HOST_MAP | MapFlags::READONLY;
        pages::map_each(platform, peer, grefs, flags, |index, pages| each(index, pages.and_then(Self::new)));
    }

    /// Unmaps the pages.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::unmap`].
    pub fn unmap(mut self) -> Result<(), MapError> {
        self.pages.unmap()
    }

    fn new(pages: Pages<P>) -> Result<Self, MapError> {
        Ok(Self { memory: pages.memory()?, pages })
    }
}
