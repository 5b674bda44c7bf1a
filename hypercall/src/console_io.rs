//! The emergency console: bytes to and from Xen's own console.
//!
//! Whether anything becomes visible is Xen's decision: a domain other than the control domain is heard with
//! `guest_loglvl=all` on x86, and refused on ARM64 by hypervisors built without debugging.

use crate::abi::Number;
use crate::abi::console_io::Command;
use crate::{Arg, Errno, Hypercall};

/// Prints bytes on Xen's console. They appear at once, other than on the console ring.
///
/// # Errors
///
/// [`Errno::PERM`] where Xen does not let this domain print.
///
/// Source: `CONSOLEIO_write`, public/xen.h
pub fn write<H: Hypercall>(xen: &H, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: Xen only reads the bytes.
    unsafe { call(xen, Command::WRITE, bytes.len(), bytes.as_ptr().cast_mut()) }.map(drop)
}

/// Takes input from Xen's console, if there is any, and says how many bytes. Never waits.
///
/// # Errors
///
/// [`Errno::PERM`] where Xen does not let this domain read.
///
/// Source: `CONSOLEIO_read`, public/xen.h
pub fn read<H: Hypercall>(xen: &H, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: Xen writes at most the buffer's length.
    let count = unsafe { call(xen, Command::READ, buffer.len(), buffer.as_mut_ptr()) }?;
    Ok(count.min(buffer.len()))
}

/// # Safety
///
/// `buffer` is valid for what the command does with `count` bytes of it.
unsafe fn call<H: Hypercall>(xen: &H, command: Command, count: usize, buffer: *mut u8) -> Result<usize, Errno> {
    // Xen takes the count as an `int`.
    let count = count.min(i32::MAX as usize);
    let arguments = [Arg::value(command.0 as usize), Arg::value(count), Arg::pointer(buffer)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::CONSOLE_IO, arguments) })
}
