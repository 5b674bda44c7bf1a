//! The seam between a guest and its hypervisor.

use crate::abi::Number;
use crate::abi::errno::Errno;

/// One argument of a hypercall: a plain value, or a pointer that keeps its provenance.
///
/// The pointer form lets a simulator follow an argument under Miri's strict provenance rules; on real Xen
/// both forms are the same register.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Arg(*mut ());

impl Arg {
    /// An argument that is a number.
    #[inline(always)]
    #[must_use]
    pub const fn value(value: usize) -> Self {
        Self(core::ptr::without_provenance_mut(value))
    }

    /// An argument that Xen reads or writes through.
    #[inline(always)]
    #[must_use]
    pub const fn pointer<T>(pointer: *mut T) -> Self {
        Self(pointer.cast())
    }

    /// The argument as the pointer it was made from.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr<T>(self) -> *mut T {
        self.0.cast()
    }

    /// The argument as a number.
    #[inline(always)]
    #[must_use]
    pub fn as_value(self) -> usize {
        self.0.addr()
    }
}

/// A way to call the hypervisor: the only door out of the guest.
///
/// Everything in this crate, and in the crates above it, is written against this trait; the types of
/// [`crate::issue`] implement it for real hardware, a simulator implements it for tests.
///
/// # Implementation safety
///
/// [`call`](Self::call) must give the call to a hypervisor (or a faithful simulation of one) with exactly
/// the number and arguments it got, and must return what the hypervisor returned. Memory that the call's
/// contract does not name must be left untouched.
pub unsafe trait Hypercall {
    /// Issues hypercall `number` with up to five arguments and returns Xen's answer: negative values are
    /// `-errno`, the meaning of others depends on the call.
    ///
    /// The number of arguments is part of the type, so that a call with two arguments loads two registers.
    ///
    /// # Safety
    ///
    /// The arguments must satisfy the contract of the hypercall: pointers valid for what Xen reads and
    /// writes through them, and no change of the guest's own memory, page tables or control flow that
    /// breaks Rust's rules.
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize;
}

// SAFETY: forwards every call unchanged to an implementation that keeps the contract.
unsafe impl<H: Hypercall + ?Sized> Hypercall for &H {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { H::call(self, number, arguments) }
    }
}

/// A call of the usual form: a command, and a structure that Xen reads or writes.
///
/// # Safety
///
/// As for [`Hypercall::call`]; `argument` is valid for what the command reads and writes.
#[inline(always)]
pub(crate) unsafe fn command<H: Hypercall, T>(
    xen: &H,
    number: Number,
    command: u32,
    argument: *mut T,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(number, [Arg::value(command as usize), Arg::pointer(argument)]) })
}
