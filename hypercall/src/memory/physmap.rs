//! What lies at the guest's frames, and at the machine's.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::operation;
use crate::abi::memory::{
    AddToPhysmap, AddToPhysmapBatch, Command, MAP_INDEX_GRANT_TABLE_STATUS, MachphysMapping, MachphysMfnList, MapSpace,
    MemoryMap, RemoveFromPhysmap,
};
use crate::abi::x86::hvm_start_info::MemmapType;
use crate::abi::{DomId, Gfn, Mfn};
use crate::{Errno, Hypercall};

/// A page that can be placed at a guest frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The page that Xen shares with the domain.
    SharedInfo,
    /// A page of the grant table, from 0; the table grows to it.
    GrantTable(u32),
    /// A page of the grant table's status words in version 2, from 0.
    GrantStatus(u32),
    /// The page at another frame of the same domain, which loses it.
    Own(Gfn),
    /// A page of a device's memory, on ARM.
    DeviceMemory(Mfn),
}

impl Source {
    const fn space_and_index(self) -> (MapSpace, u64) {
        match self {
            Self::SharedInfo => (MapSpace::SHARED_INFO, 0),
            Self::GrantTable(page) => (MapSpace::GRANT_TABLE, page as u64),
            Self::GrantStatus(page) => (MapSpace::GRANT_TABLE, page as u64 | MAP_INDEX_GRANT_TABLE_STATUS),
            Self::Own(frame) => (MapSpace::GMFN, frame.0),
            Self::DeviceMemory(frame) => (MapSpace::DEV_MMIO, frame.0),
        }
    }
}

/// Places a page at the frame `at`. Not for PV guests, which map machine frames instead. `dom` is [`DomId::SELF`]
/// for all but privileged domains, here and below.
///
/// # Errors
///
/// [`Errno::INVAL`] for a page that there is not, [`Errno::NOMEM`] where Xen has no memory for it, [`Errno::NOSYS`]
/// for a space that this Xen, or this kind of guest, does not have.
///
/// # Safety
///
/// What was at the frame is gone, and what was elsewhere is no longer there: nothing may refer to either. Pages that
/// Xen writes are reached through atomics or raw pointers only.
///
/// Source: `XENMEM_add_to_physmap`, public/memory.h
pub unsafe fn add_to_physmap<H: Hypercall>(xen: &H, dom: DomId, source: Source, at: Gfn) -> Result<(), Errno> {
    let (space, index) = source.space_and_index();
    // SAFETY: the caller's promise.
    unsafe { add(xen, dom, space, index, 0, at) }
}

/// Moves the `pages` pages from frame `first` on to frame `at` on.
///
/// # Errors
///
/// As for [`add_to_physmap`]. Pages before the one that Xen could not move are moved.
///
/// # Safety
///
/// As for [`add_to_physmap`].
///
/// Source: `XENMAPSPACE_gmfn_range`, public/memory.h
pub unsafe fn add_range_to_physmap<H: Hypercall>(
    xen: &H,
    dom: DomId,
    first: Gfn,
    pages: u16,
    at: Gfn,
) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { add(xen, dom, MapSpace::GMFN_RANGE, first.0, pages, at) }
}

/// # Safety
///
/// As for [`add_to_physmap`].
unsafe fn add<H: Hypercall>(
    xen: &H,
    domid: DomId,
    space: MapSpace,
    idx: u64,
    size: u16,
    gpfn: Gfn,
) -> Result<(), Errno> {
    let mut add = AddToPhysmap { domid, size, space, idx, gpfn };
    // SAFETY: Xen reads the structure; the caller answers for the frames.
    unsafe { operation(xen, Command::ADD_TO_PHYSMAP, &raw mut add) }.map(drop)
}

/// How one page of an [`add_to_physmap_batch`] ended: zero, or a negative error number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Placed(pub i32);

impl Placed {
    /// What every page says before Xen has answered: [`Errno::AGAIN`].
    const NOT_REACHED: Self = Self(-(Errno::AGAIN.0 as i32));

    /// Whether the page is in place.
    ///
    /// # Errors
    ///
    /// Xen's, also one that [`Errno`] does not know; [`Errno::AGAIN`] for a page that Xen did not get to.
    pub const fn check(self) -> Result<(), Errno> {
        match self.0 {
            0 => Ok(()),
            error => Err(Errno(error.unsigned_abs())),
        }
    }
}

/// Places many pages: the page `indices[i]` of `space` at the frame `frames[i]`, and tells in `placed[i]` how that
/// ended. A failed page keeps no other from being placed. `foreign` is the domain that pages of
/// [`MapSpace::GMFN_FOREIGN`] belong to, and zero for other spaces.
///
/// # Errors
///
/// [`Errno::INVAL`], without a call, where the lists differ in length or have more than 65535 elements; others where
/// Xen refused the call as a whole. Pages that it got to have their own answer, the others [`Errno::AGAIN`].
///
/// # Safety
///
/// As for [`add_to_physmap`].
///
/// Source: `XENMEM_add_to_physmap_batch`, public/memory.h
pub unsafe fn add_to_physmap_batch<H: Hypercall>(
    xen: &H,
    space: MapSpace,
    foreign: DomId,
    indices: &[u64],
    frames: &[Gfn],
    placed: &mut [Placed],
) -> Result<(), Errno> {
    if indices.len() != frames.len() || indices.len() != placed.len() {
        return Err(Errno::INVAL);
    }
    placed.fill(Placed::NOT_REACHED);
    let mut batch = AddToPhysmapBatch {
        domid: DomId::SELF,
        space: u16::try_from(space.0).map_err(|_| Errno::INVAL)?,
        size: u16::try_from(indices.len()).map_err(|_| Errno::INVAL)?,
        foreign_domid: foreign,
        idxs: indices.as_ptr(),
        gpfns: frames.as_ptr(),
        errs: placed.as_mut_ptr().cast(),
    };
    // SAFETY: Xen reads and writes lists of `size` elements; the caller answers for the frames.
    unsafe { operation(xen, Command::ADD_TO_PHYSMAP_BATCH, &raw mut batch) }.map(drop)
}

/// Removes the page at a frame. Not for PV guests.
///
/// # Errors
///
/// [`Errno::NOENT`] or [`Errno::INVAL`] where there is none.
///
/// # Safety
///
/// Nothing may refer to the page.
///
/// Source: `XENMEM_remove_from_physmap`, public/memory.h
pub unsafe fn remove_from_physmap<H: Hypercall>(xen: &H, dom: DomId, at: Gfn) -> Result<(), Errno> {
    let mut remove = RemoveFromPhysmap { domid: dom, _pad: [0; 3], gpfn: at };
    // SAFETY: Xen reads the structure; the caller answers for the page.
    unsafe { operation(xen, Command::REMOVE_FROM_PHYSMAP, &raw mut remove) }.map(drop)
}

/// A range of the guest's physical addresses as PC firmware tells it. Not aligned, so fields are read by value.
///
/// Source: `struct xen_memory_map`, public/memory.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed(4))]
pub struct E820Entry {
    /// Its first address.
    pub addr: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: MemmapType,
}

const_assert_eq!(size_of::<E820Entry>(), 20);

/// The memory map that the domain started with: the part of `entries` that Xen has filled. If that is all of them,
/// the map may have more.
///
/// # Errors
///
/// [`Errno::NOSYS`] for a domain without a map.
///
/// Source: `XENMEM_memory_map`, public/memory.h
pub fn memory_map<'a, H: Hypercall>(xen: &H, entries: &'a mut [E820Entry]) -> Result<&'a [E820Entry], Errno> {
    let mut map = MemoryMap {
        nr_entries: u32::try_from(entries.len()).map_err(|_| Errno::INVAL)?,
        _pad: 0,
        buffer: entries.as_mut_ptr().cast(),
    };
    // SAFETY: Xen writes at most `nr_entries` entries, whose type takes any bytes.
    unsafe { operation(xen, Command::MEMORY_MAP, &raw mut map) }?;
    Ok(first(entries, map.nr_entries))
}

/// Where the table is mapped that translates machine frames to the guest's own. PV only.
///
/// # Errors
///
/// [`Errno::NOSYS`] where there is none.
///
/// Source: `XENMEM_machphys_mapping`, public/memory.h
pub fn machphys_mapping<H: Hypercall>(xen: &H) -> Result<MachphysMapping, Errno> {
    let mut mapping = MachphysMapping::default();
    // SAFETY: Xen writes the structure.
    unsafe { operation(xen, Command::MACHPHYS_MAPPING, &raw mut mapping) }?;
    Ok(mapping)
}

/// The machine frames of that table, each the first of 2 MiB, or 0 for a gap: the part of `extents` that Xen has
/// filled.
///
/// # Errors
///
/// [`Errno::NOSYS`] where there is no such table.
///
/// Source: `XENMEM_machphys_mfn_list`, public/memory.h
pub fn machphys_mfn_list<'a, H: Hypercall>(xen: &H, extents: &'a mut [Mfn]) -> Result<&'a [Mfn], Errno> {
    let mut list = MachphysMfnList {
        max_extents: u32::try_from(extents.len()).map_err(|_| Errno::INVAL)?,
        _pad0: 0,
        extent_start: extents.as_mut_ptr(),
        nr_extents: 0,
        _pad1: 0,
    };
    // SAFETY: Xen writes at most `max_extents` frames.
    unsafe { operation(xen, Command::MACHPHYS_MFN_LIST, &raw mut list) }?;
    Ok(first(extents, list.nr_extents))
}

/// The first `count` elements, or all where there are fewer.
fn first<T>(all: &[T], count: u32) -> &[T] {
    &all[..all.len().min(count as usize)]
}
