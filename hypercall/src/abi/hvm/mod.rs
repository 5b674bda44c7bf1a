//! Calls of guests whose memory the hypervisor translates: HVM, PVH and ARM.

mod params;

use super::{DomId, VcpuId};
pub use params::{CALLBACK_TYPE_MASK, CallbackType, PPI_FLAG_LOW_LEVEL, PPI_FLAG_MASK, ParamIndex};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `hvm_op` does.
    ///
    /// `HVMOP_*`, public/hvm/hvm_op.h
    pub struct Command: u32 {
        /// Sets a parameter, see [`Param`].
        ///
        /// `HVMOP_set_param`, public/hvm/hvm_op.h
        SET_PARAM = 0;
        /// Returns a parameter, see [`Param`].
        ///
        /// `HVMOP_get_param`, public/hvm/hvm_op.h
        GET_PARAM = 1;
        /// Flushes the translations of all vCPUs. No argument.
        ///
        /// `HVMOP_flush_tlbs`, public/hvm/hvm_op.h
        FLUSH_TLBS = 5;
        /// Tells that a page table is about to vanish, see [`PagetableDying`].
        ///
        /// `HVMOP_pagetable_dying`, public/hvm/hvm_op.h
        PAGETABLE_DYING = 9;
        /// Returns system time, see [`GetTime`].
        ///
        /// `HVMOP_get_time`, public/hvm/hvm_op.h
        GET_TIME = 10;
        /// Writes a record into Xen's trace buffer, see [`Xentrace`].
        ///
        /// `HVMOP_xentrace`, public/hvm/hvm_op.h
        XENTRACE = 11;
        /// Returns what a frame is, see [`GetMemType`].
        ///
        /// `HVMOP_get_mem_type`, public/hvm/hvm_op.h
        GET_MEM_TYPE = 15;
        /// Sets a vCPU's own vector for events, see [`EvtchnUpcallVector`].
        ///
        /// `HVMOP_set_evtchn_upcall_vector`, public/hvm/hvm_op.h (x86-64)
        SET_EVTCHN_UPCALL_VECTOR = 23;
        /// Raises an event for a monitor outside. No argument.
        ///
        /// `HVMOP_guest_request_vm_event`, public/hvm/hvm_op.h
        GUEST_REQUEST_VM_EVENT = 24;
    }
}

/// Sets or returns a parameter.
///
/// `struct xen_hvm_param`, public/hvm/hvm_op.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Param {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: u16,
    /// Which parameter.
    pub index: ParamIndex,
    /// Its value: out for a get, in for a set.
    pub value: u64,
}

/// Tells that a page table is about to vanish.
///
/// `struct xen_hvm_pagetable_dying`, public/hvm/hvm_op.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PagetableDying {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: [u16; 3],
    /// Guest physical address of the top-level table.
    pub gpa: u64,
}

/// Returns system time.
///
/// `struct xen_hvm_get_time`, public/hvm/hvm_op.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetTime {
    /// Out: nanoseconds since the host booted.
    pub now: u64,
}

/// Writes a record into Xen's trace buffer.
///
/// `struct xen_hvm_xentrace`, public/hvm/hvm_op.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Xentrace {
    /// The kind of event.
    pub event: u16,
    /// How many bytes of data there are.
    pub extra_bytes: u16,
    /// The data.
    pub extra: [u8; 28],
}

/// Returns what a frame is.
///
/// `struct xen_hvm_get_mem_type`, public/hvm/hvm_op.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetMemType {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Out: what it is, see [`MemType`].
    pub mem_type: u16,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: [u16; 2],
    /// The frame.
    pub pfn: super::Gfn,
}

constants! {
    /// What a guest frame is.
    ///
    /// `hvmmem_type_t`, public/hvm/hvm_op.h
    pub struct MemType: u32 {
        /// Memory.
        ///
        /// `HVMMEM_ram_rw`, public/hvm/hvm_op.h
        RAM_RW = 0;
        /// Memory that cannot be written.
        ///
        /// `HVMMEM_ram_ro`, public/hvm/hvm_op.h
        RAM_RO = 1;
        /// Not memory: an emulator gets each access.
        ///
        /// `HVMMEM_mmio_dm`, public/hvm/hvm_op.h
        MMIO_DM = 2;
        /// Memory that an emulator has claimed.
        ///
        /// `HVMMEM_ioreq_server`, public/hvm/hvm_op.h
        IOREQ_SERVER = 4;
    }
}

/// Sets a vCPU's own vector for events, which goes before the domain's.
///
/// `struct xen_hvm_evtchn_upcall_vector`, public/hvm/hvm_op.h (x86-64)
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EvtchnUpcallVector {
    /// The vCPU.
    pub vcpu: VcpuId,
    /// The vector.
    pub vector: u8,
    /// Padding to the structure's alignment.
    pub _pad: [u8; 3],
}

const_assert_eq!(size_of::<Param>(), 16);
const_assert_eq!(size_of::<PagetableDying>(), 16);
const_assert_eq!(size_of::<GetTime>(), 8);
const_assert_eq!(size_of::<Xentrace>(), 32);
const_assert_eq!(size_of::<GetMemType>(), 16);
const_assert_eq!(size_of::<EvtchnUpcallVector>(), 8);
