//! The page that Xen shares with every ARM64 guest.

use crate::abi::time::VcpuTimeInfo;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many vCPUs have their info in the shared info page.
///
/// `XEN_LEGACY_MAX_VCPUS`, public/arch-arm.h
pub const LEGACY_MAX_VCPUS: usize = 1;

/// Events and time of one vCPU.
///
/// `struct vcpu_info`, public/xen.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuInfo {
    /// Not zero while an event may be pending; the guest clears it before it looks.
    pub evtchn_upcall_pending: u8,
    /// Unused: the processor's own mask holds upcalls back.
    ///
    /// C: `pad0`
    pub _pad0: u8,
    /// Padding before the selector.
    pub _pad1: [u8; 6],
    /// A bit per word of [`SharedInfo::evtchn_pending`] that has events for this vCPU.
    pub evtchn_pending_sel: u64,
    /// What the architecture adds.
    pub arch: ArchVcpuInfo,
    /// The vCPU's time.
    pub time: VcpuTimeInfo,
}

/// What ARM64 adds to a vCPU's info: nothing.
///
/// `struct arch_vcpu_info`, public/arch-arm.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ArchVcpuInfo {}

/// The page that Xen shares with the guest; it may grow in later versions.
///
/// `struct shared_info`, public/xen.h
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SharedInfo {
    /// Info of the first vCPU, as long as it has not been moved elsewhere.
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

/// What ARM64 adds to the shared info page: nothing.
///
/// `struct arch_shared_info`, public/arch-arm.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ArchSharedInfo {}

const_assert_eq!(size_of::<VcpuInfo>(), 48);
const_assert_eq!(size_of::<SharedInfo>(), 1088);
const_assert_eq!(core::mem::offset_of!(SharedInfo, evtchn_pending), 48);
const_assert_eq!(core::mem::offset_of!(SharedInfo, wc_version), 1072);
