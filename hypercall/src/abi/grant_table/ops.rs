//! Operations on grants, each over an array of one of these types.

use super::{GrantRef, Status};
use crate::abi::{DomId, Gfn, Mfn};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The number of a mapping of a foreign page, which its removal needs.
///
/// `grant_handle_t`, public/grant_table.h
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Handle(pub u32);

/// Maps a foreign page.
///
/// `struct gnttab_map_grant_ref`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapGrantRef {
    /// Where: a virtual address, the machine address of a page table entry with
    /// [`MapFlags::CONTAINS_PTE`], a guest physical address in translated guests.
    pub host_addr: u64,
    /// How.
    pub flags: MapFlags,
    /// The entry in the other domain's table.
    ///
    /// C: `ref`
    pub gref: GrantRef,
    /// The other domain.
    pub dom: DomId,
    /// Out: how it ended.
    pub status: Status,
    /// Out: the mapping's number.
    pub handle: Handle,
    /// Out: the page's address for devices, with [`MapFlags::DEVICE_MAP`].
    pub dev_bus_addr: u64,
}

flags! {
    /// How a foreign page is mapped.
    ///
    /// The upper 16 bits are for the kernel's own bits of the page table entry.
    ///
    /// `GNTMAP_*`, public/grant_table.h
    pub struct MapFlags: u32 {
        /// For devices.
        ///
        /// `GNTMAP_device_map`, public/grant_table.h
        DEVICE_MAP = 1 << 0;
        /// For processors.
        ///
        /// `GNTMAP_host_map`, public/grant_table.h
        HOST_MAP = 1 << 1;
        /// For reading only.
        ///
        /// `GNTMAP_readonly`, public/grant_table.h
        READONLY = 1 << 2;
        /// For user mode too.
        ///
        /// `GNTMAP_application_map`, public/grant_table.h
        APPLICATION_MAP = 1 << 3;
        /// At a page table entry, not at an address.
        ///
        /// `GNTMAP_contains_pte`, public/grant_table.h
        CONTAINS_PTE = 1 << 4;
        /// The bits that are for the kernel's own bits of the entry.
        ///
        /// `GNTMAP_guest_avail_mask`, public/grant_table.h
        GUEST_AVAIL_MASK = 0xffff_0000;
    }
}

/// Removes a mapping of a foreign page.
///
/// `struct gnttab_unmap_grant_ref`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapGrantRef {
    /// Where it is mapped for processors; zero leaves that mapping alone.
    pub host_addr: u64,
    /// Where it is mapped for devices; zero leaves that mapping alone.
    pub dev_bus_addr: u64,
    /// The mapping's number.
    pub handle: Handle,
    /// Out: how it ended.
    pub status: Status,
    /// Padding to the structure's alignment.
    pub _pad: u16,
}

/// Removes a mapping and moves another one to its place.
///
/// `struct gnttab_unmap_and_replace`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapAndReplace {
    /// Where it is mapped.
    pub host_addr: u64,
    /// The mapping that takes its place, and leaves its own.
    pub new_addr: u64,
    /// The mapping's number.
    pub handle: Handle,
    /// Out: how it ended.
    pub status: Status,
    /// Padding to the structure's alignment.
    pub _pad: u16,
}

/// Makes the table at least so long and lists its frames.
///
/// `struct gnttab_setup_table`, public/grant_table.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SetupTable {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
    /// Padding before the number.
    pub _pad0: u16,
    /// How many frames the table shall have, and the list has room for.
    pub nr_frames: u32,
    /// Out: how it ended.
    pub status: Status,
    /// Padding before the pointer.
    pub _pad1: [u16; 3],
    /// Out: the frames.
    pub frame_list: *mut Gfn,
}

/// Prints the table on Xen's console.
///
/// `struct gnttab_dump_table`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DumpTable {
    /// The domain.
    pub dom: DomId,
    /// Out: how it ended.
    pub status: Status,
}

/// Gives a page to another domain, which has made an entry for it. PV only.
///
/// The page is gone even where this fails, unless with [`Status::BAD_PAGE`].
///
/// `struct gnttab_transfer`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Transfer {
    /// The page.
    pub mfn: Mfn,
    /// The other domain.
    pub domid: DomId,
    /// Padding before the entry.
    pub _pad0: u16,
    /// The entry in its table.
    ///
    /// C: `ref`
    pub gref: GrantRef,
    /// Out: how it ended.
    pub status: Status,
    /// Padding to the structure's alignment.
    pub _pad1: [u16; 3],
}

/// Copies bytes between pages.
///
/// `struct gnttab_copy`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Copy {
    /// From where.
    pub source: CopyPtr,
    /// To where.
    pub dest: CopyPtr,
    /// How many bytes; neither end may leave its page.
    pub len: u16,
    /// Which of the two is a grant.
    pub flags: CopyFlags,
    /// Out: how it ended.
    pub status: Status,
    /// Padding to the structure's alignment.
    pub _pad: u16,
}

/// One end of a [`struct@Copy`].
///
/// `struct gnttab_copy_ptr`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CopyPtr {
    /// An entry of the domain's table in the lower 32 bits, or a guest frame; [`CopyFlags`] tell which.
    pub u: u64,
    /// The domain that has the page.
    pub domid: DomId,
    /// Where in the page, in bytes.
    pub offset: u16,
    /// Padding to the structure's alignment.
    pub _pad: u32,
}

impl CopyPtr {
    /// A place in a page that `domid` has granted.
    #[must_use]
    pub const fn grant(domid: DomId, gref: GrantRef, offset: u16) -> Self {
        Self { u: gref.0 as u64, domid, offset, _pad: 0 }
    }

    /// A place in a page of the domain's own.
    #[must_use]
    pub const fn own(gfn: Gfn, offset: u16) -> Self {
        Self { u: gfn.0, domid: DomId::SELF, offset, _pad: 0 }
    }
}

flags! {
    /// Which end of a [`struct@Copy`] is a grant, not a frame.
    ///
    /// `GNTCOPY_*`, public/grant_table.h
    pub struct CopyFlags: u16 {
        /// Where it copies from.
        ///
        /// `GNTCOPY_source_gref`, public/grant_table.h
        SOURCE_GREF = 1 << 0;
        /// Where it copies to.
        ///
        /// `GNTCOPY_dest_gref`, public/grant_table.h
        DEST_GREF = 1 << 1;
    }
}

/// Asks how long the table is and may become, in frames.
///
/// `struct gnttab_query_size`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySize {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
    /// Padding before the numbers.
    pub _pad0: u16,
    /// Out: how long it is.
    pub nr_frames: u32,
    /// Out: how long it may become.
    pub max_nr_frames: u32,
    /// Out: how it ended.
    pub status: Status,
    /// Padding to the structure's alignment.
    pub _pad1: u16,
}

/// Chooses the table's version, while no grant is in use.
///
/// `struct gnttab_set_version`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVersion {
    /// In: 1 or 2. Out: the version that the table has.
    pub version: u32,
}

/// Lists the frames of version 2's status words.
///
/// `struct gnttab_get_status_frames`, public/grant_table.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GetStatusFrames {
    /// How many frames the list has room for.
    pub nr_frames: u32,
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
    /// Out: how it ended.
    pub status: Status,
    /// Out: the frames.
    pub frame_list: *mut Gfn,
}

/// Asks for the table's version.
///
/// `struct gnttab_get_version`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetVersion {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub dom: DomId,
    /// Unused.
    ///
    /// C: `pad`
    pub _pad: u16,
    /// Out: the version.
    pub version: u32,
}

/// Swaps two entries.
///
/// `struct gnttab_swap_grant_ref`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SwapGrantRef {
    /// The one.
    pub ref_a: GrantRef,
    /// The other.
    pub ref_b: GrantRef,
    /// Out: how it ended.
    pub status: Status,
    /// Padding to the structure's alignment.
    pub _pad: u16,
}

/// Cleans or invalidates caches over a part of a foreign page, on ARM.
///
/// `struct gnttab_cache_flush`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CacheFlush {
    /// The page's address for devices, or its grant with [`CacheFlushOp::SOURCE_GREF`].
    pub a: u64,
    /// Where in the page, in bytes.
    pub offset: u16,
    /// How many bytes.
    pub length: u16,
    /// What to do.
    pub op: CacheFlushOp,
}

flags! {
    /// What a [`CacheFlush`] does.
    ///
    /// `GNTTAB_CACHE_*`, public/grant_table.h
    pub struct CacheFlushOp: u32 {
        /// Writes caches back.
        ///
        /// `GNTTAB_CACHE_CLEAN`, public/grant_table.h
        CLEAN = 1 << 0;
        /// Drops what caches hold.
        ///
        /// `GNTTAB_CACHE_INVAL`, public/grant_table.h
        INVAL = 1 << 1;
        /// The page is named by its grant.
        ///
        /// `GNTTAB_CACHE_SOURCE_GREF`, public/grant_table.h
        SOURCE_GREF = 1 << 31;
    }
}

const_assert_eq!(size_of::<MapGrantRef>(), 32);
const_assert_eq!(size_of::<UnmapGrantRef>(), 24);
const_assert_eq!(size_of::<UnmapAndReplace>(), 24);
const_assert_eq!(size_of::<SetupTable>(), 24);
const_assert_eq!(size_of::<DumpTable>(), 4);
const_assert_eq!(size_of::<Transfer>(), 24);
const_assert_eq!(size_of::<Copy>(), 40);
const_assert_eq!(size_of::<CopyPtr>(), 16);
const_assert_eq!(size_of::<QuerySize>(), 16);
const_assert_eq!(size_of::<SetVersion>(), 4);
const_assert_eq!(size_of::<GetStatusFrames>(), 16);
const_assert_eq!(size_of::<GetVersion>(), 8);
const_assert_eq!(size_of::<SwapGrantRef>(), 12);
const_assert_eq!(size_of::<CacheFlush>(), 16);
