//! Bringing up vCPUs, their timers, and what Xen tells about them.

use core::time::Duration;

use crate::abi::time::VcpuTimeInfo;
use crate::abi::vcpu::{
    Command, GetPhysid, RegisterRunstateMemoryArea, RegisterTimeMemoryArea, RegisterVcpuInfo, RunstateInfo,
    SetPeriodicTimer, SetSingleshotTimer, SingleshotFlags,
};
use crate::abi::x86::context::VcpuGuestContext;
use crate::abi::x86::hvm_context::VcpuHvmContext;
use crate::abi::{Gfn, Number, VcpuId};
use crate::timer::nanoseconds;
use crate::{Arg, Errno, Hypercall};

/// # Safety
///
/// `argument` is valid for what the command reads and writes, and its effect on memory is sound.
#[inline(always)]
unsafe fn operation<H: Hypercall, T>(xen: &H, which: Command, vcpu: VcpuId, argument: *mut T) -> Result<usize, Errno> {
    let arguments = [Arg::value(which.0 as usize), Arg::value(vcpu.0 as usize), Arg::pointer(argument)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::VCPU_OP, arguments) })
}

/// A command that takes no argument.
fn bare<H: Hypercall>(xen: &H, which: Command, vcpu: VcpuId) -> Result<usize, Errno> {
    // SAFETY: without an argument no command touches memory.
    unsafe { operation::<_, ()>(xen, which, vcpu, core::ptr::null_mut()) }
}

/// Sets the first state of a PV guest's vCPU, for [`up`] to start. A vCPU is initialised once.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::EXIST`] for one that is initialised, [`Errno::INVAL`]
/// for a state that Xen does not allow.
///
/// # Safety
///
/// The state must be one in which code can run: page tables, stack, descriptors, handlers.
///
/// Source: `VCPUOP_initialise`, public/vcpu.h
pub unsafe fn initialise<H: Hypercall>(xen: &H, vcpu: VcpuId, context: &VcpuGuestContext) -> Result<(), Errno> {
    let context = core::ptr::from_ref(context).cast_mut();
    // SAFETY: Xen reads the context; the caller answers for what it holds.
    unsafe { operation(xen, Command::INITIALISE, vcpu, context) }.map(drop)
}

/// As [`initialise`], for a guest of kind PVH or HVM on x86-64.
///
/// # Errors
///
/// As there.
///
/// # Safety
///
/// As there.
///
/// Source: `VCPUOP_initialise`, public/vcpu.h
pub unsafe fn initialise_hvm<H: Hypercall>(xen: &H, vcpu: VcpuId, context: &VcpuHvmContext) -> Result<(), Errno> {
    let context = core::ptr::from_ref(context).cast_mut();
    // SAFETY: Xen reads the context; the caller answers for what it holds.
    unsafe { operation(xen, Command::INITIALISE, vcpu, context) }.map(drop)
}

/// Lets a vCPU run: in its first state, or from where [`down`] stopped it.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::INVAL`] for one that is not initialised.
///
/// Source: `VCPUOP_up`, public/vcpu.h
pub fn up<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<(), Errno> {
    bare(xen, Command::UP, vcpu).map(drop)
}

/// Stops a vCPU: at once where it is the caller, some time later where it is another, even if [`is_up`] denies it.
/// Its page tables and descriptors stay in use.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::PERM`] for the last one that is up.
///
/// Source: `VCPUOP_down`, public/vcpu.h
pub fn down<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<(), Errno> {
    bare(xen, Command::DOWN, vcpu).map(drop)
}

/// Whether a vCPU is up.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist.
///
/// Source: `VCPUOP_is_up`, public/vcpu.h
pub fn is_up<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<bool, Errno> {
    bare(xen, Command::IS_UP, vcpu).map(|answer| answer != 0)
}

/// How a vCPU has spent its time.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist.
///
/// Source: `VCPUOP_get_runstate_info`, public/vcpu.h
pub fn get_runstate_info<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<RunstateInfo, Errno> {
    let mut info = RunstateInfo::default();
    // SAFETY: Xen writes the structure.
    unsafe { operation(xen, Command::GET_RUNSTATE_INFO, vcpu, &raw mut info) }?;
    Ok(info)
}

/// Has Xen keep at `area` how the vCPU spends its time. The place can be replaced but not withdrawn.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::FAULT`] for a place that Xen cannot write.
///
/// # Safety
///
/// From here on Xen writes the place, whenever the vCPU gets a processor. It must stay the caller's and mapped, and
/// be read through atomics or volatile only.
///
/// Source: `VCPUOP_register_runstate_memory_area`, public/vcpu.h
pub unsafe fn register_runstate_memory_area<H: Hypercall>(
    xen: &H,
    vcpu: VcpuId,
    area: *mut RunstateInfo,
) -> Result<(), Errno> {
    let mut register = RegisterRunstateMemoryArea { addr: area };
    // SAFETY: Xen reads the structure; the caller answers for the place.
    unsafe { operation(xen, Command::REGISTER_RUNSTATE_MEMORY_AREA, vcpu, &raw mut register) }.map(drop)
}

/// Has Xen raise `VIRQ_TIMER` on the vCPU again and again.
///
/// # Errors
///
/// [`Errno::INVAL`] for less than a millisecond, or more than Xen can keep.
///
/// Source: `VCPUOP_set_periodic_timer`, public/vcpu.h
pub fn set_periodic_timer<H: Hypercall>(xen: &H, vcpu: VcpuId, period: Duration) -> Result<(), Errno> {
    let mut set = SetPeriodicTimer { period_ns: nanoseconds(period) };
    // SAFETY: Xen reads the structure.
    unsafe { operation(xen, Command::SET_PERIODIC_TIMER, vcpu, &raw mut set) }.map(drop)
}

/// Stops the periodic timer.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist.
///
/// Source: `VCPUOP_stop_periodic_timer`, public/vcpu.h
pub fn stop_periodic_timer<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<(), Errno> {
    bare(xen, Command::STOP_PERIODIC_TIMER, vcpu).map(drop)
}

/// Has Xen raise `VIRQ_TIMER` once, at `deadline` in system time. Only the calling vCPU's timer can be set; it is
/// another one than that of [`timer`](crate::timer).
///
/// # Errors
///
/// [`Errno::TIME`] for a time that has passed, with [`SingleshotFlags::FUTURE`]; [`Errno::INVAL`] for another vCPU.
///
/// Source: `VCPUOP_set_singleshot_timer`, public/vcpu.h
pub fn set_singleshot_timer<H: Hypercall>(
    xen: &H,
    vcpu: VcpuId,
    deadline: Duration,
    flags: SingleshotFlags,
) -> Result<(), Errno> {
    let mut set = SetSingleshotTimer { timeout_abs_ns: nanoseconds(deadline), flags, _pad: 0 };
    // SAFETY: Xen reads the structure.
    unsafe { operation(xen, Command::SET_SINGLESHOT_TIMER, vcpu, &raw mut set) }.map(drop)
}

/// Stops the single-shot timer of the calling vCPU.
///
/// # Errors
///
/// [`Errno::INVAL`] for another vCPU.
///
/// Source: `VCPUOP_stop_singleshot_timer`, public/vcpu.h
pub fn stop_singleshot_timer<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<(), Errno> {
    bare(xen, Command::STOP_SINGLESHOT_TIMER, vcpu).map(drop)
}

/// Moves the vCPU's info out of the shared info page to `offset` bytes into a page. Once for each vCPU.
///
/// # Errors
///
/// [`Errno::INVAL`] for an info that is moved already, or that would cross the page's end; [`Errno::NOENT`] for a
/// vCPU that does not exist; [`Errno::NOSYS`] where Xen cannot: stay with the shared info page.
///
/// # Safety
///
/// From here on Xen writes the place. It must be the caller's, and reached through atomics only.
///
/// Source: `VCPUOP_register_vcpu_info`, public/vcpu.h
pub unsafe fn register_vcpu_info<H: Hypercall>(xen: &H, vcpu: VcpuId, page: Gfn, offset: u32) -> Result<(), Errno> {
    let mut register = RegisterVcpuInfo { mfn: page, offset, _rsvd: 0 };
    // SAFETY: Xen reads the structure; the caller answers for the place.
    unsafe { operation(xen, Command::REGISTER_VCPU_INFO, vcpu, &raw mut register) }.map(drop)
}

/// Sends a non-maskable interrupt.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist.
///
/// Source: `VCPUOP_send_nmi`, public/vcpu.h
pub fn send_nmi<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<(), Errno> {
    bare(xen, Command::SEND_NMI, vcpu).map(drop)
}

/// The ids of the processor that a vCPU is pinned to.
///
/// # Errors
///
/// [`Errno::INVAL`] for a vCPU that is not pinned.
///
/// Source: `VCPUOP_get_physid`, public/vcpu.h
pub fn get_physid<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<GetPhysid, Errno> {
    let mut physid = GetPhysid::default();
    // SAFETY: Xen writes the structure.
    unsafe { operation(xen, Command::GET_PHYSID, vcpu, &raw mut physid) }?;
    Ok(physid)
}

/// Has Xen keep at `area` a second copy of the vCPU's time, fit for user code to read.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::FAULT`] for a place that Xen cannot write.
///
/// # Safety
///
/// As for [`register_runstate_memory_area`].
///
/// Source: `VCPUOP_register_vcpu_time_memory_area`, public/vcpu.h
pub unsafe fn register_vcpu_time_memory_area<H: Hypercall>(
    xen: &H,
    vcpu: VcpuId,
    area: *mut VcpuTimeInfo,
) -> Result<(), Errno> {
    let mut register = RegisterTimeMemoryArea { addr: area };
    // SAFETY: Xen reads the structure; the caller answers for the place.
    unsafe { operation(xen, Command::REGISTER_VCPU_TIME_MEMORY_AREA, vcpu, &raw mut register) }.map(drop)
}
