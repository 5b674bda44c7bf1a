//! Help that a guest can switch on or off.

use crate::abi::Number;
use crate::abi::vm_assist::{Command, Type};
use crate::{Arg, Errno, Hypercall};

/// Switches a kind of help on.
///
/// # Errors
///
/// [`Errno::NOSYS`] or [`Errno::INVAL`] for one that this Xen, or this kind of guest, does not have.
///
/// Source: `VMASST_CMD_enable`, public/xen.h
pub fn enable<H: Hypercall>(xen: &H, kind: Type) -> Result<(), Errno> {
    call(xen, Command::ENABLE, kind)
}

/// Switches a kind of help off.
///
/// # Errors
///
/// As for [`enable`].
///
/// Source: `VMASST_CMD_disable`, public/xen.h
pub fn disable<H: Hypercall>(xen: &H, kind: Type) -> Result<(), Errno> {
    call(xen, Command::DISABLE, kind)
}

fn call<H: Hypercall>(xen: &H, command: Command, kind: Type) -> Result<(), Errno> {
    let arguments = [Arg::value(command.0 as usize), Arg::value(kind.0 as usize)];
    // SAFETY: the call takes no pointer, and no assistance changes what the guest's memory holds.
    Errno::check(unsafe { xen.call(Number::VM_ASSIST, arguments) }).map(drop)
}
