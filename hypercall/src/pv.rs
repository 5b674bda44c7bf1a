//! What a PV kernel on x86-64 has Xen do to the processor in its place.

use crate::abi::x86::context::TrapInfo;
use crate::abi::x86::segment::Base;
use crate::abi::{Mfn, Number};
use crate::{Arg, Errno, Hypercall};

/// Registers handlers of exceptions: a table that ends with an entry whose address is 0.
///
/// # Errors
///
/// [`Errno::INVAL`] for a table without an end, or an address that is not the guest's.
///
/// # Safety
///
/// The addresses must be code that finds Xen's exception frame on the stack, and either does not return or returns
/// to a state in which the interrupted code can go on.
///
/// Source: `__HYPERVISOR_set_trap_table`, public/xen.h
pub unsafe fn set_trap_table<H: Hypercall>(xen: &H, table: &[TrapInfo]) -> Result<(), Errno> {
    if table.last().is_none_or(|last| last.address != 0) {
        return Err(Errno::INVAL);
    }
    // SAFETY: Xen reads the table up to its end; the caller answers for the handlers.
    Errno::check(unsafe { xen.call(Number::SET_TRAP_TABLE, [Arg::pointer(table.as_ptr().cast_mut())]) }).map(drop)
}

/// Sets the global descriptor table: `entries` of eight bytes in the given frames.
///
/// # Errors
///
/// [`Errno::INVAL`] for more than 14 frames, a frame that is mapped writable, or a descriptor that Xen does not allow.
///
/// # Safety
///
/// The selectors in use must mean the same as before.
///
/// Source: `__HYPERVISOR_set_gdt`, public/xen.h
pub unsafe fn set_gdt<H: Hypercall>(xen: &H, frames: &[Mfn], entries: usize) -> Result<(), Errno> {
    const BYTES: usize = 8;
    if entries * BYTES > frames.len() * 4096 {
        return Err(Errno::INVAL);
    }
    let arguments = [Arg::pointer(frames.as_ptr().cast_mut()), Arg::value(entries)];
    // SAFETY: Xen reads as many frames as the entries need; the caller answers for the descriptors.
    Errno::check(unsafe { xen.call(Number::SET_GDT, arguments) }).map(drop)
}

/// Writes one descriptor at a machine address within a descriptor table.
///
/// # Errors
///
/// [`Errno::INVAL`] for an address or descriptor that Xen does not allow.
///
/// # Safety
///
/// As for [`set_gdt`].
///
/// Source: `__HYPERVISOR_update_descriptor`, public/xen.h
pub unsafe fn update_descriptor<H: Hypercall>(xen: &H, address: u64, descriptor: u64) -> Result<(), Errno> {
    let arguments = [Arg::value(address as usize), Arg::value(descriptor as usize)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::UPDATE_DESCRIPTOR, arguments) }).map(drop)
}

/// Sets the stack on which Xen enters the kernel from user code.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// # Safety
///
/// The stack must be mapped, writable, and used by nothing else while user code runs.
///
/// Source: `__HYPERVISOR_stack_switch`, public/xen.h
pub unsafe fn stack_switch<H: Hypercall>(xen: &H, selector: u16, pointer: usize) -> Result<(), Errno> {
    let arguments = [Arg::value(selector.into()), Arg::value(pointer)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::STACK_SWITCH, arguments) }).map(drop)
}

/// What the next use of the floating-point unit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fpu {
    /// It works.
    Available,
    /// It raises "device not available", so that the kernel can load the state of another thread.
    Trapping,
}

/// Sets or clears the task-switched flag of the processor.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `__HYPERVISOR_fpu_taskswitch`, public/xen.h
pub fn fpu_taskswitch<H: Hypercall>(xen: &H, fpu: Fpu) -> Result<(), Errno> {
    let set = usize::from(fpu == Fpu::Trapping);
    // SAFETY: the call takes no pointer, and the worst it brings is an exception.
    Errno::check(unsafe { xen.call(Number::FPU_TASKSWITCH, [Arg::value(set)]) }).map(drop)
}

/// Sets the base address of a segment register.
///
/// # Errors
///
/// [`Errno::INVAL`] for an address that is not canonical.
///
/// # Safety
///
/// Code that addresses memory through the register must find there what it expects.
///
/// Source: `__HYPERVISOR_set_segment_base`, public/xen.h
pub unsafe fn set_segment_base<H: Hypercall>(xen: &H, which: Base, base: u64) -> Result<(), Errno> {
    let arguments = [Arg::value(which.0 as usize), Arg::value(base as usize)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::SET_SEGMENT_BASE, arguments) }).map(drop)
}

/// Sets a debug register, 0 to 3, 6 or 7.
///
/// # Errors
///
/// [`Errno::INVAL`] or [`Errno::PERM`] for a register or value that Xen does not allow.
///
/// # Safety
///
/// A debug exception must have a handler.
///
/// Source: `__HYPERVISOR_set_debugreg`, public/xen.h
pub unsafe fn set_debugreg<H: Hypercall>(xen: &H, register: u32, value: u64) -> Result<(), Errno> {
    let arguments = [Arg::value(register as usize), Arg::value(value as usize)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::SET_DEBUGREG, arguments) }).map(drop)
}

/// Reads a debug register, 0 to 3, 6 or 7. Debug registers that hold an address of the kernel's upper half look like
/// errors to Xen's calling convention, so the answer is the bare value.
///
/// Source: `__HYPERVISOR_get_debugreg`, public/xen.h
pub fn get_debugreg<H: Hypercall>(xen: &H, register: u32) -> u64 {
    // SAFETY: the call takes no pointer.
    unsafe { xen.call(Number::GET_DEBUGREG, [Arg::value(register as usize)]) as u64 }
}

/// Loads a whole context at once: the way to user code, and back from a non-maskable interrupt.
///
/// For a return within the kernel, `iretq` does the same at a twentieth of the price.
///
/// # Safety
///
/// The context must be one in which code can go on, and `context` must be on a stack that Xen may use: above it lies
/// what the context needs, below it nothing.
///
/// Source: `__HYPERVISOR_iret`, public/arch-x86/xen-x86_64.h
#[cfg(target_arch = "x86_64")]
pub unsafe fn iret(context: *const crate::abi::x86::context::IretContext) -> ! {
    // SAFETY: the caller's promise. The call has no arguments in registers and comes back only as the context says.
    unsafe {
        core::arch::asm!(
            "mov rsp, {context}",
            "mov eax, {number}",
            "syscall",
            "ud2",
            context = in(reg) context,
            number = const Number::IRET.0,
            options(noreturn),
        )
    }
}
