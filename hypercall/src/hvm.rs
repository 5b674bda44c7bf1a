//! Calls of guests whose memory Xen translates: HVM, PVH and ARM.
//!
//! `HVMOP_pagetable_dying` (a hint to shadow paging), `HVMOP_xentrace` and `HVMOP_altp2m` are not offered.

use core::time::Duration;

use crate::abi::hvm::{CallbackType, Command, EvtchnUpcallVector, GetMemType, GetTime, Param};
pub use crate::abi::hvm::{MemType, ParamIndex};
use crate::abi::{DomId, Gfn, Number, VcpuId};
use crate::call::command;
use crate::{Errno, Hypercall};

#[inline(always)]
fn operation<H: Hypercall, T>(xen: &H, which: Command, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: each command reads and writes its own structure; those that enter the guest are `unsafe` functions.
    unsafe { command(xen, Number::HVM_OP, which.0, core::ptr::from_mut(argument)) }.map(drop)
}

/// A command that takes no argument.
fn bare<H: Hypercall>(xen: &H, which: Command) -> Result<(), Errno> {
    // SAFETY: without an argument no command touches memory.
    unsafe { command::<_, ()>(xen, Number::HVM_OP, which.0, core::ptr::null_mut()) }.map(drop)
}

/// A parameter of `dom`, which is [`DomId::SELF`] for all but privileged domains, here and below.
///
/// # Errors
///
/// [`Errno::INVAL`] for a parameter that there is not, [`Errno::PERM`] for one that is not this domain's to see.
///
/// Source: `HVMOP_get_param`, public/hvm/hvm_op.h
pub fn get_param<H: Hypercall>(xen: &H, dom: DomId, index: ParamIndex) -> Result<u64, Errno> {
    let mut param = Param { domid: dom, index, ..Param::default() };
    operation(xen, Command::GET_PARAM, &mut param)?;
    Ok(param.value)
}

/// Sets a parameter.
///
/// # Errors
///
/// [`Errno::INVAL`] for a parameter or value that there is not, [`Errno::PERM`] for one that is not this domain's to
/// set, [`Errno::EXIST`] for one that can be set once and is.
///
/// # Safety
///
/// What the parameter names must be fit for it. See [`set_callback`] for the one that most guests set.
///
/// Source: `HVMOP_set_param`, public/hvm/hvm_op.h
pub unsafe fn set_param<H: Hypercall>(xen: &H, dom: DomId, index: ParamIndex, value: u64) -> Result<(), Errno> {
    let mut param = Param { domid: dom, index, value, ..Param::default() };
    operation(xen, Command::SET_PARAM, &mut param)
}

/// How Xen tells the first vCPU of an x86-64 guest that an event is pending.
///
/// ARM64 guests have no choice: an interrupt of the vCPU's own, which the device tree or ACPI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Callback {
    /// Not at all.
    Off,
    /// By an interrupt vector, on every vCPU, where Xen has
    /// [`Feature::HVM_CALLBACK_VECTOR`](crate::abi::features::Feature::HVM_CALLBACK_VECTOR).
    Vector(u8),
    /// By a line of the interrupt controller, other than line 0.
    Gsi(u32),
    /// By an interrupt pin of a PCI device.
    PciIntx {
        /// The device's segment.
        domain: u16,
        /// Its bus.
        bus: u8,
        /// Its number, and its function in the three lowest bits.
        devfn: u8,
        /// The pin: 0 for A to 3 for D.
        intx: u8,
    },
}

impl Callback {
    /// The parameter's value.
    ///
    /// # Errors
    ///
    /// [`Errno::INVAL`] for line 0, which to Xen means [`Callback::Off`], and for a pin that there is not.
    ///
    /// Source: `HVM_PARAM_CALLBACK_IRQ`, public/hvm/params.h
    pub const fn encode(self) -> Result<u64, Errno> {
        Ok(match self {
            Self::Off => 0,
            Self::Vector(vector) => CallbackType::VECTOR.with(vector as u64),
            Self::Gsi(0) | Self::PciIntx { intx: 4.., .. } => return Err(Errno::INVAL),
            Self::Gsi(line) => CallbackType::GSI.with(line as u64),
            Self::PciIntx { domain, bus, devfn, intx } => {
                let device = (domain as u64) << 32 | (bus as u64) << 16 | (devfn as u64) << 8;
                CallbackType::PCI_INTX.with(device | intx as u64)
            }
        })
    }
}

/// Sets how Xen tells that an event is pending.
///
/// # Errors
///
/// [`Errno::INVAL`], without a call, as for [`Callback::encode`]; Xen's, where it refuses.
///
/// # Safety
///
/// The interrupt must have a handler that returns to what it interrupted with every register as it was.
///
/// Source: `HVM_PARAM_CALLBACK_IRQ`, public/hvm/params.h
pub unsafe fn set_callback<H: Hypercall>(xen: &H, callback: Callback) -> Result<(), Errno> {
    let value = callback.encode()?;
    // SAFETY: the caller's promise.
    unsafe { set_param(xen, DomId::SELF, ParamIndex::CALLBACK_IRQ, value) }
}

/// Sets the vector by which Xen tells one vCPU that an event is pending. It goes before [`set_callback`]'s, and
/// comes through the vCPU's interrupt controller, which wants to be told the end of the interrupt. x86-64 only.
///
/// # Errors
///
/// [`Errno::INVAL`] for a vector below 16, [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::NOSYS`] where
/// Xen cannot: use [`set_callback`].
///
/// # Safety
///
/// As for [`set_callback`].
///
/// Source: `HVMOP_set_evtchn_upcall_vector`, public/hvm/hvm_op.h
pub unsafe fn set_evtchn_upcall_vector<H: Hypercall>(xen: &H, vcpu: VcpuId, vector: u8) -> Result<(), Errno> {
    let mut set = EvtchnUpcallVector { vcpu, vector, ..EvtchnUpcallVector::default() };
    operation(xen, Command::SET_EVTCHN_UPCALL_VECTOR, &mut set)
}

/// Forgets the translations of all vCPUs of the domain.
///
/// # Errors
///
/// [`Errno::NOSYS`] where this Xen, or this kind of guest, does not have the call.
///
/// Source: `HVMOP_flush_tlbs`, public/hvm/hvm_op.h
pub fn flush_tlbs<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    bare(xen, Command::FLUSH_TLBS)
}

/// The time since the host booted.
///
/// # Errors
///
/// [`Errno::NOSYS`] where this kind of guest does not have the call.
///
/// Source: `HVMOP_get_time`, public/hvm/hvm_op.h
pub fn get_time<H: Hypercall>(xen: &H) -> Result<Duration, Errno> {
    let mut time = GetTime::default();
    operation(xen, Command::GET_TIME, &mut time)?;
    Ok(Duration::from_nanos(time.now))
}

/// What a frame of `dom` is.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame or a kind of guest that has no such thing.
///
/// Source: `HVMOP_get_mem_type`, public/hvm/hvm_op.h
pub fn get_mem_type<H: Hypercall>(xen: &H, dom: DomId, frame: Gfn) -> Result<MemType, Errno> {
    let mut get = GetMemType { domid: dom, pfn: frame, ..GetMemType::default() };
    operation(xen, Command::GET_MEM_TYPE, &mut get)?;
    Ok(MemType(get.mem_type.into()))
}

/// Raises an event for a monitor outside the domain, which may pause the vCPU to look at it.
///
/// # Errors
///
/// [`Errno::NOSYS`] where Xen cannot.
///
/// Source: `HVMOP_guest_request_vm_event`, public/hvm/hvm_op.h
pub fn guest_request_vm_event<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    bare(xen, Command::GUEST_REQUEST_VM_EVENT)
}
