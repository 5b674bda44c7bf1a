//! Non-maskable interrupts of PV guests.
//!
//! Xen gives the machine's to the first vCPU of the hardware domain; any vCPU gets those of
//! [`send_nmi`](crate::vcpu::send_nmi).

use crate::abi::Number;
use crate::abi::nmi::{Callback, Command};
use crate::call::command;
use crate::{Errno, Hypercall};

/// Registers the address at which Xen enters the kernel for a non-maskable interrupt.
///
/// # Errors
///
/// [`Errno::INVAL`] for an address that is not the guest's, and for vCPUs that Xen does not let register one.
///
/// # Safety
///
/// `address` must be code that finds Xen's frame on the stack, and returns to what it interrupted with every register
/// as it was, by way of [`pv::iret`](crate::pv) with the mark of a non-maskable interrupt.
///
/// Source: `XENNMI_register_callback`, public/nmi.h
pub unsafe fn register_callback<H: Hypercall>(xen: &H, address: u64) -> Result<(), Errno> {
    let mut callback = Callback { handler_address: address, _pad: 0 };
    // SAFETY: Xen reads the structure; the caller answers for the address.
    unsafe { command(xen, Number::NMI_OP, Command::REGISTER_CALLBACK.0, &raw mut callback) }.map(drop)
}

/// Withdraws the callback.
///
/// # Errors
///
/// [`Errno::INVAL`] where none can be registered.
///
/// Source: `XENNMI_unregister_callback`, public/nmi.h
pub fn unregister_callback<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the command takes no argument.
    unsafe { command::<_, ()>(xen, Number::NMI_OP, Command::UNREGISTER_CALLBACK.0, core::ptr::null_mut()) }.map(drop)
}
