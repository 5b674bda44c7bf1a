//! What lies at the guest's physical addresses, and at the machine's.

use crate::abi::{DomId, Gfn, Mfn};
use core::ffi::c_void;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// Where a page comes from that is placed at a guest frame.
    ///
    /// `XENMAPSPACE_*`, public/memory.h
    pub struct MapSpace: u32 {
        /// The shared info page.
        ///
        /// `XENMAPSPACE_shared_info`, public/memory.h
        SHARED_INFO = 0;
        /// The grant table; see [`MAP_INDEX_GRANT_TABLE_STATUS`] for its status pages.
        ///
        /// `XENMAPSPACE_grant_table`, public/memory.h
        GRANT_TABLE = 1;
        /// Another frame of the same domain.
        ///
        /// `XENMAPSPACE_gmfn`, public/memory.h
        GMFN = 2;
        /// A run of frames of the same domain; not in batches.
        ///
        /// `XENMAPSPACE_gmfn_range`, public/memory.h
        GMFN_RANGE = 3;
        /// A frame of another domain; only in batches. Privileged.
        ///
        /// `XENMAPSPACE_gmfn_foreign`, public/memory.h
        GMFN_FOREIGN = 4;
        /// Memory of a device, on ARM.
        ///
        /// `XENMAPSPACE_dev_mmio`, public/memory.h
        DEV_MMIO = 5;
    }
}

/// Added to an index into [`MapSpace::GRANT_TABLE`] to mean the table's status pages.
///
/// `XENMAPIDX_grant_table_status`, public/memory.h
pub const MAP_INDEX_GRANT_TABLE_STATUS: u64 = 0x8000_0000;

/// Places a page at a guest frame.
///
/// `struct xen_add_to_physmap`, public/memory.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddToPhysmap {
    /// The domain whose map changes: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// How many pages a [`MapSpace::GMFN_RANGE`] has.
    pub size: u16,
    /// Where the page comes from.
    pub space: MapSpace,
    /// Which page of that space.
    pub idx: u64,
    /// The frame where it shall appear.
    pub gpfn: Gfn,
}

/// Places many pages at guest frames.
///
/// `struct xen_add_to_physmap_batch`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AddToPhysmapBatch {
    /// The domain whose map changes: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Where the pages come from: a [`MapSpace`], here with 16 bits only.
    pub space: u16,
    /// How many pages there are.
    pub size: u16,
    /// The domain that pages of [`MapSpace::GMFN_FOREIGN`] belong to, zero for other spaces.
    ///
    /// C: `u.foreign_domid`
    pub foreign_domid: DomId,
    /// Which pages of that space.
    pub idxs: *const u64,
    /// The frames where they shall appear.
    pub gpfns: *const Gfn,
    /// Out: zero or a negative error number for each page.
    pub errs: *mut i32,
}

/// Removes the page at a guest frame.
///
/// `struct xen_remove_from_physmap`, public/memory.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveFromPhysmap {
    /// The domain whose map changes: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Padding before the frame.
    pub _pad: [u16; 3],
    /// The frame.
    pub gpfn: Gfn,
}

/// Lists memory by kind.
///
/// `struct xen_memory_map`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MemoryMap {
    /// In: how many entries there is room for. Out: how many were written.
    pub nr_entries: u32,
    /// Padding before the pointer.
    pub _pad: u32,
    /// Room for entries of 20 bytes as the PC firmware's E820 call gives them: a 64-bit address, a 64-bit
    /// size, a 32-bit type.
    pub buffer: *mut c_void,
}

/// The memory map that another domain shall see.
///
/// `struct xen_foreign_memory_map`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ForeignMemoryMap {
    /// The domain.
    pub domid: DomId,
    /// Padding before the map.
    pub _pad: [u16; 3],
    /// Its map.
    pub map: MemoryMap,
}

/// Lists the frames of the machine-to-physical table, in extents of 2 MiB.
///
/// `struct xen_machphys_mfn_list`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MachphysMfnList {
    /// How many extents there is room for.
    pub max_extents: u32,
    /// Padding before the pointer.
    pub _pad0: u32,
    /// Out: the first frame of each extent, zero for a gap.
    pub extent_start: *mut Mfn,
    /// Out: how many were written.
    pub nr_extents: u32,
    /// Padding to the structure's alignment.
    pub _pad1: u32,
}

/// Where the machine-to-physical table is mapped.
///
/// `struct xen_machphys_mapping`, public/memory.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MachphysMapping {
    /// Its first virtual address.
    pub v_start: u64,
    /// The virtual address where it ends.
    pub v_end: u64,
    /// The greatest machine frame that it translates.
    pub max_mfn: u64,
}

const_assert_eq!(size_of::<AddToPhysmap>(), 24);
const_assert_eq!(size_of::<AddToPhysmapBatch>(), 32);
const_assert_eq!(size_of::<RemoveFromPhysmap>(), 16);
const_assert_eq!(size_of::<MemoryMap>(), 16);
const_assert_eq!(size_of::<ForeignMemoryMap>(), 24);
const_assert_eq!(size_of::<MachphysMfnList>(), 24);
const_assert_eq!(size_of::<MachphysMapping>(), 24);
