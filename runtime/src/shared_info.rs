//! The page that Xen shares with the guest.
//!
//! Xen is the only other one that writes it; there is no backend behind this page. Its event words are reached by
//! `xen-event-channel`, through atomics; its time fields by `xen_hypercall::pvclock`, volatile and under their version.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr::NonNull;

use xen_hypercall::abi::arch::{ArchVcpuInfo, SharedInfo, VcpuInfo};
use xen_hypercall::abi::time::VcpuTimeInfo;

/// Room for the page's contents, never reached through a reference.
#[repr(C, align(8))]
pub(crate) struct Shared(UnsafeCell<[u8; size_of::<SharedInfo>()]>);

const _: () = assert!(align_of::<Shared>() == align_of::<SharedInfo>());

// SAFETY: nothing here reaches the bytes, and who does by a pointer does so as the module's documentation says.
unsafe impl Sync for Shared {}

impl Shared {
    /// Bytes from the start of the page to the pending flag of vCPU 0, and to the mask of its upcalls.
    pub(crate) const PENDING: usize = offset_of!(SharedInfo, vcpu_info) + offset_of!(VcpuInfo, evtchn_upcall_pending);
    pub(crate) const MASK: usize = offset_of!(SharedInfo, vcpu_info) + offset_of!(VcpuInfo, evtchn_upcall_mask);

    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new([0; _]))
    }

    /// The page as the ABI has it.
    pub(crate) const fn as_abi(&self) -> NonNull<SharedInfo> {
        NonNull::from_ref(&self.0).cast()
    }

    /// The part of vCPU 0.
    #[inline(always)]
    pub(crate) const fn vcpu(&self) -> NonNull<VcpuInfo> {
        const { assert!(offset_of!(SharedInfo, vcpu_info) == 0) };
        self.as_abi().cast()
    }

    /// The time of vCPU 0.
    pub(crate) const fn time(&self) -> NonNull<VcpuTimeInfo> {
        // SAFETY: within the structure.
        unsafe { self.vcpu().byte_add(offset_of!(VcpuInfo, time)) }.cast()
    }

    /// The address of the last page fault of vCPU 0.
    pub(crate) fn fault_address(&self) -> usize {
        let offset = offset_of!(VcpuInfo, arch) + offset_of!(ArchVcpuInfo, cr2);
        // SAFETY: within the structure.
        let address = unsafe { self.vcpu().byte_add(offset) }.cast::<usize>();
        // SAFETY: mapped for good; Xen writes it before it calls the handler of a fault, and not at other times.
        unsafe { address.read_volatile() }
    }
}
