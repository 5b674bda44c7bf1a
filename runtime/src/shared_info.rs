//! The page that Xen shares with the guest, as atomics.
//!
//! Xen is the only other one that writes it; there is no backend behind this page. The layout is that of
//! [`SharedInfo`], to which it is compared below.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64};

use xen_hypercall::abi::arch::{ArchVcpuInfo, LEGACY_MAX_VCPUS, SharedInfo, VcpuInfo};
use xen_hypercall::abi::time::VcpuTimeInfo;

/// Words of ports in the 2-level ABI.
pub(crate) const WORDS: usize = 64;

#[repr(C)]
pub(crate) struct Shared {
    pub(crate) vcpus: [Vcpu; LEGACY_MAX_VCPUS],
    pub(crate) pending: [AtomicU64; WORDS],
    pub(crate) mask: [AtomicU64; WORDS],
    rest: UnsafeCell<[u8; size_of::<SharedInfo>() - offset_of!(SharedInfo, wc_version)]>,
}

#[repr(C)]
pub(crate) struct Vcpu {
    pub(crate) upcall_pending: AtomicU8,
    pub(crate) upcall_mask: AtomicU8,
    pub(crate) selector: AtomicU64,
    pub(crate) fault_address: AtomicU64,
    _pad: u64,
    time: UnsafeCell<VcpuTimeInfo>,
}

const _: () = {
    assert!(size_of::<Shared>() == size_of::<SharedInfo>());
    assert!(offset_of!(Shared, pending) == offset_of!(SharedInfo, evtchn_pending));
    assert!(offset_of!(Shared, mask) == offset_of!(SharedInfo, evtchn_mask));
    assert!(offset_of!(Shared, rest) == offset_of!(SharedInfo, wc_version));
    assert!(size_of::<Vcpu>() == size_of::<VcpuInfo>());
    assert!(offset_of!(Vcpu, upcall_mask) == offset_of!(VcpuInfo, evtchn_upcall_mask));
    assert!(offset_of!(Vcpu, selector) == offset_of!(VcpuInfo, evtchn_pending_sel));
    assert!(offset_of!(Vcpu, fault_address) == offset_of!(VcpuInfo, arch) + offset_of!(ArchVcpuInfo, cr2));
    assert!(offset_of!(Vcpu, time) == offset_of!(VcpuInfo, time));
};

// SAFETY: everything that is not atomic is reached through volatile reads only.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) const fn new() -> Self {
        Self {
            vcpus: [const { Vcpu::new() }; LEGACY_MAX_VCPUS],
            pending: [const { AtomicU64::new(0) }; WORDS],
            mask: [const { AtomicU64::new(0) }; WORDS],
            rest: UnsafeCell::new([0; _]),
        }
    }

    /// The page as the ABI has it, for readers of its time fields.
    pub(crate) const fn as_abi(&self) -> NonNull<SharedInfo> {
        NonNull::from_ref(self).cast()
    }
}

impl Vcpu {
    const fn new() -> Self {
        Self {
            upcall_pending: AtomicU8::new(0),
            upcall_mask: AtomicU8::new(0),
            selector: AtomicU64::new(0),
            fault_address: AtomicU64::new(0),
            _pad: 0,
            time: UnsafeCell::new(VcpuTimeInfo {
                version: 0,
                _pad0: 0,
                tsc_timestamp: 0,
                system_time: 0,
                tsc_to_system_mul: 0,
                tsc_shift: 0,
                flags: 0,
                _pad1: [0; 2],
            }),
        }
    }

    pub(crate) const fn time(&self) -> NonNull<VcpuTimeInfo> {
        NonNull::from_ref(&self.time).cast()
    }
}
