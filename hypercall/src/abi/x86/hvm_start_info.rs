//! What a PVH guest finds at boot, by the address in EBX.

use super::start_info::StartFlags;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What [`HvmStartInfo::magic`] must be: "xEn3" with the uppermost bit of the "E" set.
///
/// `XEN_HVM_START_MAGIC_VALUE`, public/arch-x86/hvm/start_info.h
pub const MAGIC_VALUE: u32 = 0x336e_c578;

/// What a PVH guest finds at boot; addresses are physical, and zero where there is nothing.
///
/// `struct hvm_start_info`, public/arch-x86/hvm/start_info.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmStartInfo {
    /// [`MAGIC_VALUE`].
    pub magic: u32,
    /// The structure's version; the fields after `rsdp_paddr` are there from version 1 on.
    pub version: u32,
    /// What the domain is.
    pub flags: StartFlags,
    /// How many modules there are.
    pub nr_modules: u32,
    /// Address of that many [`ModlistEntry`].
    pub modlist_paddr: u64,
    /// Address of the command line, which ends with a zero byte.
    pub cmdline_paddr: u64,
    /// Address of the ACPI root pointer.
    pub rsdp_paddr: u64,
    /// Address of `memmap_entries` times [`MemmapEntry`].
    pub memmap_paddr: u64,
    /// How many entries the memory map has; zero where there is none.
    pub memmap_entries: u32,
    /// Must be zero.
    ///
    /// C: `reserved`
    pub _reserved: u32,
}

/// A module that was loaded with the kernel.
///
/// `struct hvm_modlist_entry`, public/arch-x86/hvm/start_info.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModlistEntry {
    /// Its physical address.
    pub paddr: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Physical address of its command line, which ends with a zero byte.
    pub cmdline_paddr: u64,
    /// Unused.
    ///
    /// C: `reserved`
    pub _reserved: u64,
}

/// A range of physical addresses.
///
/// `struct hvm_memmap_table_entry`, public/arch-x86/hvm/start_info.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemmapEntry {
    /// Its first address.
    pub addr: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    ///
    /// C: `type`
    pub kind: MemmapType,
    /// Must be zero.
    ///
    /// C: `reserved`
    pub _reserved: u32,
}

constants! {
    /// What a range of physical addresses is, numbered as in ACPI and E820.
    ///
    /// `XEN_HVM_MEMMAP_TYPE_*`, public/arch-x86/hvm/start_info.h
    pub struct MemmapType: u32 {
        /// Memory that is free for use.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_RAM`, public/arch-x86/hvm/start_info.h
        RAM = 1;
        /// Not for use.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_RESERVED`, public/arch-x86/hvm/start_info.h
        RESERVED = 2;
        /// ACPI tables; free once they are read.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_ACPI`, public/arch-x86/hvm/start_info.h
        ACPI = 3;
        /// The firmware's, to be kept over sleep.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_NVS`, public/arch-x86/hvm/start_info.h
        NVS = 4;
        /// Memory with errors.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_UNUSABLE`, public/arch-x86/hvm/start_info.h
        UNUSABLE = 5;
        /// Memory that is off.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_DISABLED`, public/arch-x86/hvm/start_info.h
        DISABLED = 6;
        /// Memory that keeps its content without power.
        ///
        /// `XEN_HVM_MEMMAP_TYPE_PMEM`, public/arch-x86/hvm/start_info.h
        PMEM = 7;
    }
}

const_assert_eq!(size_of::<HvmStartInfo>(), 56);
const_assert_eq!(size_of::<ModlistEntry>(), 32);
const_assert_eq!(size_of::<MemmapEntry>(), 24);
