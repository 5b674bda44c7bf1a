//! Event channels: opening, signalling, closing.
//!
//! Nothing here touches memory that two sides share; the pending and mask bits are the business of the crate
//! `xen-event-channel`.

use crate::abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindPirq, BindPirqFlags, BindVcpu, BindVirq, Close, Command, ExpandArray,
    InitControl, Reset, Send, SetPriority, Status, Unmask,
};
use crate::abi::{DomId, Gfn, Number, Port, VcpuId, Virq};
use crate::call::command;
use crate::{Errno, Hypercall};

#[inline(always)]
fn operation<H: Hypercall, T>(xen: &H, which: Command, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: each command reads and writes its own structure; those that give memory away are `unsafe` functions.
    unsafe { command(xen, Number::EVENT_CHANNEL_OP, which.0, core::ptr::from_mut(argument)) }.map(drop)
}

/// Opens a port of `dom` that `remote` may bind to. `dom` is [`DomId::SELF`] for all but privileged domains.
///
/// # Errors
///
/// [`Errno::NOSPC`] when no port is left, [`Errno::PERM`] where a policy forbids the pair.
///
/// Source: `EVTCHNOP_alloc_unbound`, public/event_channel.h
pub fn alloc_unbound<H: Hypercall>(xen: &H, dom: DomId, remote: DomId) -> Result<Port, Errno> {
    let mut bind = AllocUnbound { dom, remote_dom: remote, port: Port(0) };
    operation(xen, Command::ALLOC_UNBOUND, &mut bind)?;
    Ok(bind.port)
}

/// Opens a port and connects it to one that `remote` keeps open for this domain.
///
/// # Errors
///
/// [`Errno::INVAL`] where the remote port is not open for this domain, [`Errno::NOSPC`] when no port is left.
///
/// Source: `EVTCHNOP_bind_interdomain`, public/event_channel.h
pub fn bind_interdomain<H: Hypercall>(xen: &H, remote: DomId, remote_port: Port) -> Result<Port, Errno> {
    let mut bind = BindInterdomain { remote_dom: remote, remote_port, ..BindInterdomain::default() };
    operation(xen, Command::BIND_INTERDOMAIN, &mut bind)?;
    Ok(bind.local_port)
}

/// Opens a port for a virtual interrupt. Per-vCPU interrupts are bound once on each, global ones on vCPU 0.
///
/// # Errors
///
/// [`Errno::EXIST`] where the interrupt is bound on that vCPU already, [`Errno::PERM`] for one that is not this
/// domain's, [`Errno::NOENT`] for a vCPU that does not exist.
///
/// Source: `EVTCHNOP_bind_virq`, public/event_channel.h
pub fn bind_virq<H: Hypercall>(xen: &H, virq: Virq, vcpu: VcpuId) -> Result<Port, Errno> {
    let mut bind = BindVirq { virq, vcpu, port: Port(0) };
    operation(xen, Command::BIND_VIRQ, &mut bind)?;
    Ok(bind.port)
}

/// Opens a port for a physical interrupt.
///
/// # Errors
///
/// [`Errno::PERM`] for an interrupt that is not this domain's, [`Errno::EXIST`] where it is bound already.
///
/// Source: `EVTCHNOP_bind_pirq`, public/event_channel.h
pub fn bind_pirq<H: Hypercall>(xen: &H, pirq: u32, flags: BindPirqFlags) -> Result<Port, Errno> {
    let mut bind = BindPirq { pirq, flags, port: Port(0) };
    operation(xen, Command::BIND_PIRQ, &mut bind)?;
    Ok(bind.port)
}

/// Opens a port by which vCPUs of this domain signal `vcpu`.
///
/// # Errors
///
/// [`Errno::NOENT`] for a vCPU that does not exist, [`Errno::NOSPC`] when no port is left.
///
/// Source: `EVTCHNOP_bind_ipi`, public/event_channel.h
pub fn bind_ipi<H: Hypercall>(xen: &H, vcpu: VcpuId) -> Result<Port, Errno> {
    let mut bind = BindIpi { vcpu, port: Port(0) };
    operation(xen, Command::BIND_IPI, &mut bind)?;
    Ok(bind.port)
}

/// Closes a port. An interdomain channel's other end becomes unbound.
///
/// # Errors
///
/// [`Errno::INVAL`] for a port that is not open, or that Xen uses itself.
///
/// Source: `EVTCHNOP_close`, public/event_channel.h
pub fn close<H: Hypercall>(xen: &H, port: Port) -> Result<(), Errno> {
    operation(xen, Command::CLOSE, &mut Close { port })
}

/// Signals the other end. On a port whose other end is gone nothing happens.
///
/// # Errors
///
/// [`Errno::INVAL`] for a port that has no other end to signal.
///
/// Source: `EVTCHNOP_send`, public/event_channel.h
#[inline]
pub fn send<H: Hypercall>(xen: &H, port: Port) -> Result<(), Errno> {
    operation(xen, Command::SEND, &mut Send { port })
}

/// What a port is bound to. `dom` is [`DomId::SELF`] for all but privileged domains.
///
/// # Errors
///
/// [`Errno::INVAL`] for a number beyond the domain's ports.
///
/// Source: `EVTCHNOP_status`, public/event_channel.h
pub fn status<H: Hypercall>(xen: &H, dom: DomId, port: Port) -> Result<Status, Errno> {
    let mut status = Status { dom, port, ..Status::default() };
    operation(xen, Command::STATUS, &mut status)?;
    Ok(status)
}

/// Has a port's events go to `vcpu`. Ports of per-vCPU interrupts and IPIs stay where they are.
///
/// # Errors
///
/// [`Errno::INVAL`] for a port that cannot move, [`Errno::NOENT`] for a vCPU that does not exist.
///
/// Source: `EVTCHNOP_bind_vcpu`, public/event_channel.h
pub fn bind_vcpu<H: Hypercall>(xen: &H, port: Port, vcpu: VcpuId) -> Result<(), Errno> {
    operation(xen, Command::BIND_VCPU, &mut BindVcpu { port, vcpu })
}

/// Clears a port's mask bit, and calls for an event that came meanwhile.
///
/// # Errors
///
/// [`Errno::INVAL`] for a port that is not open.
///
/// Source: `EVTCHNOP_unmask`, public/event_channel.h
pub fn unmask<H: Hypercall>(xen: &H, port: Port) -> Result<(), Errno> {
    operation(xen, Command::UNMASK, &mut Unmask { port })
}

/// Closes all ports of `dom`, and returns to the 2-level ABI. Events that are pending get lost.
///
/// # Errors
///
/// [`Errno::PERM`] for another domain than [`DomId::SELF`].
///
/// Source: `EVTCHNOP_reset`, public/event_channel.h
pub fn reset<H: Hypercall>(xen: &H, dom: DomId) -> Result<(), Errno> {
    operation(xen, Command::RESET, &mut Reset { dom })
}

/// Starts the FIFO ABI on a vCPU, with a control block at `offset` bytes into a page. Answers with the number of
/// bits in an event word that link it to the next. Events that are pending get lost.
///
/// # Errors
///
/// [`Errno::NOSYS`] where Xen has no FIFO ABI, [`Errno::INVAL`] for a page or offset that it does not take.
///
/// # Safety
///
/// From here on Xen writes the page. It must be the caller's, and reached through atomics only.
///
/// Source: `EVTCHNOP_init_control`, public/event_channel.h
pub unsafe fn init_control<H: Hypercall>(xen: &H, control: Gfn, offset: u32, vcpu: VcpuId) -> Result<u8, Errno> {
    let mut init = InitControl { control_gfn: control, offset, vcpu, ..InitControl::default() };
    operation(xen, Command::INIT_CONTROL, &mut init)?;
    Ok(init.link_bits)
}

/// Adds a page of event words for the next ports of the FIFO ABI.
///
/// # Errors
///
/// [`Errno::OPNOTSUPP`] before [`init_control`], [`Errno::NOSPC`] when the array is as large as it gets.
///
/// # Safety
///
/// From here on Xen writes the page. It must be the caller's, zeroed, and reached through atomics only.
///
/// Source: `EVTCHNOP_expand_array`, public/event_channel.h
pub unsafe fn expand_array<H: Hypercall>(xen: &H, array: Gfn) -> Result<(), Errno> {
    operation(xen, Command::EXPAND_ARRAY, &mut ExpandArray { array_gfn: array })
}

/// Sets a port's priority in the FIFO ABI, 0 (highest) to 15.
///
/// # Errors
///
/// [`Errno::OPNOTSUPP`] in the 2-level ABI, [`Errno::INVAL`] for a priority beyond 15 or a port that does not exist,
/// [`Errno::ACCES`] for one that is not this domain's to set.
///
/// Source: `EVTCHNOP_set_priority`, public/event_channel.h
pub fn set_priority<H: Hypercall>(xen: &H, port: Port, priority: u32) -> Result<(), Errno> {
    operation(xen, Command::SET_PRIORITY, &mut SetPriority { port, priority })
}
