//! Where Xen enters a PV kernel.

use crate::abi::Number;
use crate::abi::callback::{Command, Flags, Register, Type, Unregister};
use crate::call::command;
use crate::{Arg, Errno, Hypercall};

/// Registers the address at which Xen enters the kernel for `kind`.
///
/// # Errors
///
/// [`Errno::NOSYS`] for a kind that this Xen does not know, [`Errno::INVAL`] for an address that is not the guest's.
///
/// # Safety
///
/// `address` must be code that follows the entry convention of `kind`: it finds Xen's frame on the stack, and
/// returns to what it interrupted with every register as it was.
///
/// Source: `CALLBACKOP_register`, public/callback.h
pub unsafe fn register<H: Hypercall>(xen: &H, kind: Type, flags: Flags, address: u64) -> Result<(), Errno> {
    let mut register = Register { kind, flags, _pad: 0, address };
    // SAFETY: Xen reads the structure; the caller answers for the address.
    unsafe { command(xen, Number::CALLBACK_OP, Command::REGISTER.0, &raw mut register) }.map(drop)
}

/// Withdraws a callback. Xen keeps those for events and failsafe.
///
/// # Errors
///
/// [`Errno::INVAL`] for a kind that cannot be withdrawn.
///
/// Source: `CALLBACKOP_unregister`, public/callback.h
pub fn unregister<H: Hypercall>(xen: &H, kind: Type) -> Result<(), Errno> {
    let mut unregister = Unregister { kind, _unused: 0 };
    // SAFETY: Xen reads the structure; without a callback it ends the guest rather than enter it.
    unsafe { command(xen, Number::CALLBACK_OP, Command::UNREGISTER.0, &raw mut unregister) }.map(drop)
}

/// Registers the three classic callbacks at once: events, failsafe, and the `syscall` instruction of user code.
///
/// # Errors
///
/// [`Errno::INVAL`] for an address that is not the guest's.
///
/// # Safety
///
/// As for [`register`].
///
/// Source: `__HYPERVISOR_set_callbacks`, public/xen.h
pub unsafe fn set_callbacks<H: Hypercall>(xen: &H, event: u64, failsafe: u64, syscall: u64) -> Result<(), Errno> {
    let arguments = [event, failsafe, syscall].map(|address| Arg::value(address as usize));
    // SAFETY: the call takes no pointer that Xen follows; the caller answers for the addresses.
    Errno::check(unsafe { xen.call(Number::SET_CALLBACKS, arguments) }).map(drop)
}
