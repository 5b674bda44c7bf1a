//! What only x86-64 guests see.

pub mod context;
pub mod cpuid;
pub mod hvm_context;
pub mod hvm_start_info;
pub mod segment;
mod shared_info;
pub mod start_info;

pub use shared_info::{ArchSharedInfo, ArchVcpuInfo, LEGACY_MAX_VCPUS, SharedInfo, VcpuInfo};

/// First virtual address of the area that PV guests must leave to Xen.
///
/// `HYPERVISOR_VIRT_START`, public/arch-x86/xen-x86_64.h
pub const HYPERVISOR_VIRT_START: u64 = 0xffff_8000_0000_0000;

/// Virtual address where the area that PV guests must leave to Xen ends.
///
/// `HYPERVISOR_VIRT_END`, public/arch-x86/xen-x86_64.h
pub const HYPERVISOR_VIRT_END: u64 = 0xffff_8800_0000_0000;

/// Virtual address of the machine-to-physical table in PV guests: a 64-bit frame number per machine frame.
///
/// `MACH2PHYS_VIRT_START`, public/arch-x86/xen-x86_64.h
pub const MACH2PHYS_VIRT_START: u64 = 0xffff_8000_0000_0000;

/// Virtual address where the machine-to-physical table ends.
///
/// `MACH2PHYS_VIRT_END`, public/arch-x86/xen-x86_64.h
pub const MACH2PHYS_VIRT_END: u64 = 0xffff_8040_0000_0000;

/// How many machine frames the machine-to-physical table can translate.
///
/// `MACH2PHYS_NR_ENTRIES`, public/arch-x86/xen-x86_64.h
pub const MACH2PHYS_NR_ENTRIES: u64 = (MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) / 8;

/// I/O port whose bytes Xen prints, for HVM guests and where the log level lets them through.
///
/// `XEN_HVM_DEBUGCONS_IOPORT`, public/arch-x86/xen.h
pub const HVM_DEBUGCONS_IOPORT: u16 = 0xe9;
