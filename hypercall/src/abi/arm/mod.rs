//! What only ARM64 guests see.

pub mod platform;
mod shared_info;

pub use shared_info::{ArchSharedInfo, ArchVcpuInfo, LEGACY_MAX_VCPUS, SharedInfo, VcpuInfo};

/// The immediate operand of the `hvc` instruction that makes it a hypercall.
///
/// `XEN_HYPERCALL_TAG`, public/arch-arm.h
pub const HYPERCALL_TAG: u16 = 0xea1;
