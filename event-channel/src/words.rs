//! The words that Xen shares with a domain and with each vCPU, as atomics.
//!
//! Xen is the only other one that writes them; there is no peer behind this memory. The layout is compared with the ABI's
//! below. Under loom the structures are the same in loom's atomics, and the model hands out pointers to them.

use core::cell::UnsafeCell;
#[cfg(not(loom))]
use core::mem::offset_of;

use xen_hypercall::abi::VcpuId;
#[cfg(not(loom))]
use xen_hypercall::abi::arch::SharedInfo;
use xen_hypercall::abi::arch::{LEGACY_MAX_VCPUS, VcpuInfo};

#[cfg(loom)]
use crate::atomic::array;
use crate::atomic::{AtomicU8, AtomicU64, Relaxed};
use crate::{Events, Upcalls, order};

/// Words of ports in the 2-level ABI.
pub(crate) const WORDS: usize = if cfg!(loom) { 2 } else { 64 };
/// Ports in each of them.
pub(crate) const PORTS: u32 = if cfg!(loom) { 4 } else { u64::BITS };

/// The part of the shared info that the 2-level ABI needs.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Shared {
    vcpus: UnsafeCell<[VcpuInfo; LEGACY_MAX_VCPUS]>,
    pub(crate) pending: [AtomicU64; WORDS],
    pub(crate) mask: [AtomicU64; WORDS],
}

/// The part of a vCPU's info that events need.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Vcpu {
    pub(crate) upcall_pending: AtomicU8,
    pub(crate) upcall_mask: AtomicU8,
    _pad: [u8; 6],
    pub(crate) selector: AtomicU64,
}

#[cfg(not(loom))]
const _: () = {
    assert!(offset_of!(Shared, pending) == offset_of!(SharedInfo, evtchn_pending));
    assert!(offset_of!(Shared, mask) == offset_of!(SharedInfo, evtchn_mask));
    assert!(size_of::<Shared>() <= size_of::<SharedInfo>() && align_of::<Shared>() <= align_of::<SharedInfo>());
    assert!(offset_of!(Vcpu, upcall_pending) == offset_of!(VcpuInfo, evtchn_upcall_pending));
    // On ARM64 the byte is there as well, and without a meaning.
    assert!(offset_of!(Vcpu, upcall_mask) == 1);
    assert!(offset_of!(Vcpu, selector) == offset_of!(VcpuInfo, evtchn_pending_sel));
    assert!(size_of::<Vcpu>() <= size_of::<VcpuInfo>() && align_of::<Vcpu>() <= align_of::<VcpuInfo>());
};

/// The domain's words.
#[inline(always)]
pub(crate) fn shared<P: Events>(platform: &P) -> &Shared {
    let shared = platform.shared_info().cast();
    // SAFETY: mapped for as long as the platform, which promises so; everything in it is atomic or never reached.
    unsafe { shared.as_ref() }
}

/// A vCPU's words.
#[inline(always)]
pub(crate) fn vcpu<P: Events>(platform: &P, vcpu: VcpuId) -> Option<&Vcpu> {
    let info = platform.vcpu_info(vcpu)?.cast();
    // SAFETY: as for `shared`.
    Some(unsafe { info.as_ref() })
}

/// The calling vCPU's words.
pub(crate) fn own_vcpu<P: Events>(platform: &P) -> Option<&Vcpu> {
    vcpu(platform, platform.vcpu())
}

impl Shared {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        // SAFETY: plain integers, for which all zeros is a value.
        let vcpus = unsafe { core::mem::zeroed() };
        Self { vcpus, pending: array!(AtomicU64::new(0)), mask: array!(AtomicU64::new(0)) }
    }

    /// The word of pending bits, the word of mask bits, and the bit that is `port`'s in both. `None` beyond the ABI.
    pub(crate) fn port(&self, port: u32) -> Option<(&AtomicU64, &AtomicU64, u64)> {
        let word = (port / PORTS) as usize;
        Some((self.pending.get(word)?, self.mask.get(word)?, 1 << (port % PORTS)))
    }
}

impl Vcpu {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let (upcall_pending, upcall_mask) = (AtomicU8::new(0), AtomicU8::new(0));
        Self { upcall_pending, upcall_mask, _pad: [0; 6], selector: AtomicU64::new(0) }
    }

    /// Only Xen on the same processor reads this byte, so that the order in the program is all that counts.
    pub(crate) fn hold_upcalls(&self) -> Upcalls {
        match order::swap_state(&self.upcall_mask, 1) {
            0 => Upcalls::Open,
            _ => Upcalls::Held,
        }
    }

    /// Says whether an upcall is pending, for which Xen will not call by itself.
    pub(crate) fn release_upcalls(&self) -> bool {
        order::swap_state(&self.upcall_mask, 0);
        self.upcall_pending.load(Relaxed) != 0
    }
}
