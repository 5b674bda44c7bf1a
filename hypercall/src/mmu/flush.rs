//! Forgetting translations and cached data.

use super::{one, operation};
use crate::abi::mmu::{ExtArg1, ExtArg2, ExtCommand, ExtOp};
use crate::{Errno, Hypercall};

/// Forgets the translations of the calling vCPU.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `MMUEXT_TLB_FLUSH_LOCAL`, public/xen.h
pub fn tlb_flush_local<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the operation takes no pointer, and forgets what the tables give again.
    unsafe { one(xen, operation(ExtCommand::TLB_FLUSH_LOCAL)) }
}

/// Forgets the translations of all vCPUs of the domain.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `MMUEXT_TLB_FLUSH_ALL`, public/xen.h
pub fn tlb_flush_all<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the operation takes no pointer, and forgets what the tables give again.
    unsafe { one(xen, operation(ExtCommand::TLB_FLUSH_ALL)) }
}

/// Forgets the translation of one address on the calling vCPU.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `MMUEXT_INVLPG_LOCAL`, public/xen.h
pub fn invlpg_local<H: Hypercall>(xen: &H, address: usize) -> Result<(), Errno> {
    let arg1 = ExtArg1 { linear_addr: address as u64 };
    // SAFETY: the operation takes no pointer that Xen follows, and forgets what the tables give again.
    unsafe { one(xen, ExtOp { arg1, ..operation(ExtCommand::INVLPG_LOCAL) }) }
}

/// Forgets the translation of one address on all vCPUs of the domain.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `MMUEXT_INVLPG_ALL`, public/xen.h
pub fn invlpg_all<H: Hypercall>(xen: &H, address: usize) -> Result<(), Errno> {
    let arg1 = ExtArg1 { linear_addr: address as u64 };
    // SAFETY: the operation takes no pointer that Xen follows, and forgets what the tables give again.
    unsafe { one(xen, ExtOp { arg1, ..operation(ExtCommand::INVLPG_ALL) }) }
}

/// A set of vCPUs, one bit each: as many as a PV domain can have.
pub type VcpuMask = [u64; 8192 / 64];

/// Forgets the translations of the vCPUs in `vcpus`.
///
/// # Errors
///
/// None in today's hypervisors: vCPUs that do not exist are left out.
///
/// Source: `MMUEXT_TLB_FLUSH_MULTI`, public/xen.h
pub fn tlb_flush_multi<H: Hypercall>(xen: &H, vcpus: &VcpuMask) -> Result<(), Errno> {
    let arg2 = ExtArg2 { vcpumask: vcpus.as_ptr().cast() };
    // SAFETY: Xen reads as many bits as the domain has vCPUs, and forgets what the tables give again.
    unsafe { one(xen, ExtOp { arg2, ..operation(ExtCommand::TLB_FLUSH_MULTI) }) }
}

/// Forgets the translation of one address on the vCPUs in `vcpus`.
///
/// # Errors
///
/// None in today's hypervisors: vCPUs that do not exist are left out.
///
/// Source: `MMUEXT_INVLPG_MULTI`, public/xen.h
pub fn invlpg_multi<H: Hypercall>(xen: &H, address: usize, vcpus: &VcpuMask) -> Result<(), Errno> {
    let arg1 = ExtArg1 { linear_addr: address as u64 };
    let arg2 = ExtArg2 { vcpumask: vcpus.as_ptr().cast() };
    // SAFETY: as for `tlb_flush_multi`.
    unsafe { one(xen, ExtOp { arg1, arg2, ..operation(ExtCommand::INVLPG_MULTI) }) }
}

/// Writes the caches of the processor back. Only domains with devices may.
///
/// # Errors
///
/// [`Errno::ACCES`] for a domain without devices.
///
/// Source: `MMUEXT_FLUSH_CACHE`, public/xen.h
pub fn flush_cache<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the operation takes no pointer, and forgets what the tables give again.
    unsafe { one(xen, operation(ExtCommand::FLUSH_CACHE)) }
}

/// Writes the caches of all processors back. Only domains with devices may.
///
/// # Errors
///
/// [`Errno::ACCES`] for a domain without devices.
///
/// Source: `MMUEXT_FLUSH_CACHE_GLOBAL`, public/xen.h
pub fn flush_cache_global<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the operation takes no pointer, and forgets what the tables give again.
    unsafe { one(xen, operation(ExtCommand::FLUSH_CACHE_GLOBAL)) }
}
