//! The page that Xen shares with the guest.
//!
//! Xen is the only other one that writes it; there is no backend behind this page. Its event words are reached by
//! `xen-event-channel`, through atomics; its time fields by `xen_hypercall::pvclock`, volatile and under their version.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr::NonNull;

use volatile::{VolatilePtr, map_field};
use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::arch::{ArchVcpuInfo, SharedInfo, VcpuInfo};

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

    /// The address of the page.
    pub(crate) fn address(&self) -> usize {
        self.as_abi().addr().get()
    }

    /// The part of vCPU 0.
    #[inline(always)]
    pub(crate) const fn vcpu(&self) -> NonNull<VcpuInfo> {
        const { assert!(offset_of!(SharedInfo, vcpu_info) == 0) };
        self.as_abi().cast()
    }

    /// Tells the toolstack how many pages the guest has, and where the lists are by which it finds their frames.
    pub(crate) fn publish_p2m(&self, pages: usize, root: Mfn) {
        // SAFETY: mapped for good; Xen leaves the fields alone, and the toolstack reads them while the guest is stopped.
        let info = unsafe { VolatilePtr::new(self.as_abi()) };
        let arch = map_field!(info.arch);
        map_field!(arch.max_pfn).write(pages as u64);
        // The form by virtual addresses has precedence where it is there, as it is not.
        map_field!(arch.p2m_cr3).write(0);
        map_field!(arch.pfn_to_mfn_frame_list_list).write(root);
    }

    /// Whether the page holds what [`publish_p2m`](Self::publish_p2m) wrote: it does not in a guest that was restored.
    pub(crate) fn has_p2m(&self) -> bool {
        // SAFETY: as above.
        let info = unsafe { VolatilePtr::new(self.as_abi()) };
        let arch = map_field!(info.arch);
        map_field!(arch.pfn_to_mfn_frame_list_list).read() != Mfn(0)
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
