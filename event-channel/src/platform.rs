//! What a kernel supplies so that its events can be dispatched.

use core::ptr::NonNull;

use xen_hypercall::Pages;
use xen_hypercall::abi::VcpuId;
use xen_hypercall::abi::arch::{SharedInfo, VcpuInfo};

use crate::EventChannels;

/// A kernel's event channels.
///
/// # Implementation safety
///
/// * [`event_channels`](Self::event_channels) is always the same table, and that of the domain that [`Hypercall`] calls for.
/// * [`shared_info`](Self::shared_info) and [`vcpu_info`](Self::vcpu_info) are the structures that Xen and this domain share, mapped
///   readable and writable for as long as the domain lives; this domain reaches their event words through atomics only.
///
/// [`Hypercall`]: xen_hypercall::Hypercall
pub unsafe trait Events: Pages {
    /// The domain's event channels.
    fn event_channels(&self) -> &EventChannels;

    /// The vCPU that asks.
    fn vcpu(&self) -> VcpuId;

    /// The page that Xen and the domain share: pending and mask bits of the 2-level ABI.
    fn shared_info(&self) -> NonNull<SharedInfo>;

    /// What Xen and one vCPU share: its pending flag, its mask, its selector. `None` for a vCPU that does not exist.
    fn vcpu_info(&self, vcpu: VcpuId) -> Option<NonNull<VcpuInfo>>;
}
