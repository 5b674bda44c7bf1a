//! The page that Xen shares with every x86-64 guest.

use crate::abi::Mfn;
use crate::abi::time::VcpuTimeInfo;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many vCPUs have their info in the shared info page.
///
/// `XEN_LEGACY_MAX_VCPUS`, public/arch-x86/xen.h
pub const LEGACY_MAX_VCPUS: usize = 32;

/// Events and time of one vCPU.
///
/// `struct vcpu_info`, public/xen.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuInfo {
    /// Not zero while an event may be pending; the guest clears it before it looks.
    pub evtchn_upcall_pending: u8,
    /// Not zero while the guest wants no upcalls. Only Xen on the same processor reads it.
    pub evtchn_upcall_mask: u8,
    /// Padding before the selector.
    pub _pad: [u8; 6],
    /// A bit per word of [`SharedInfo::evtchn_pending`] that has events for this vCPU.
    pub evtchn_pending_sel: u64,
    /// What the architecture adds.
    pub arch: ArchVcpuInfo,
    /// The vCPU's time.
    pub time: VcpuTimeInfo,
}

/// What x86-64 adds to a vCPU's info.
///
/// `struct arch_vcpu_info`, public/arch-x86/xen-x86_64.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ArchVcpuInfo {
    /// The address of a PV guest's last page fault.
    pub cr2: u64,
    /// Unused.
    ///
    /// C: `pad`
    pub _pad: u64,
}

/// The page that Xen shares with the guest; it may grow in later versions.
///
/// `struct shared_info`, public/xen.h
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SharedInfo {
    /// Info of the first vCPUs, as long as they have not been moved elsewhere.
    pub vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
    /// A bit per port that has an event; Xen sets, the guest clears.
    pub evtchn_pending: [u64; 64],
    /// A bit per port that does not notify; only the guest writes it.
    pub evtchn_mask: [u64; 64],
    /// Counts updates of the wall clock; odd while one is going on.
    pub wc_version: u32,
    /// Seconds from the Unix epoch to system time zero, lower 32 bits.
    pub wc_sec: u32,
    /// Nanoseconds on top of the seconds.
    pub wc_nsec: u32,
    /// Upper 32 bits of the seconds.
    pub wc_sec_hi: u32,
    /// What the architecture adds.
    pub arch: ArchSharedInfo,
}

/// What x86-64 adds to the shared info page: where a PV guest keeps its physical-to-machine map.
///
/// `struct arch_shared_info`, public/arch-x86/xen.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ArchSharedInfo {
    /// How many entries the map has.
    pub max_pfn: u64,
    /// Frame of the root of the map's three-level form; zero not set yet, all ones where it is not used.
    pub pfn_to_mfn_frame_list_list: Mfn,
    /// Why the last non-maskable interrupt came, see [`nmi::Reason`](crate::abi::nmi::Reason).
    pub nmi_reason: u64,
    /// CR3 of the address space where the linear form is mapped; zero where it is not used.
    pub p2m_cr3: u64,
    /// Virtual address of the linear form.
    pub p2m_vaddr: u64,
    /// Counts the guest's changes to the linear form's mappings; odd during one.
    pub p2m_generation: u64,
}

const_assert_eq!(size_of::<VcpuInfo>(), 64);
const_assert_eq!(size_of::<SharedInfo>(), 3136);
const_assert_eq!(core::mem::offset_of!(SharedInfo, evtchn_pending), 2048);
const_assert_eq!(core::mem::offset_of!(SharedInfo, wc_version), 3072);
