//! 2. Hypercalls: the handle by which all crates know the kernel.

use xen_hypercall::abi::Number;
use xen_hypercall::issue::Syscall;
use xen_hypercall::{Arg, Hypercall};

/// This kernel. It has no size, and every one is the same; later files give it pages, events, a clock and grants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Xen;

/// The handle.
pub(crate) const XEN: Xen = Xen;

// SAFETY: a PV guest calls Xen by the instruction `syscall`.
unsafe impl Hypercall for Xen {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        // SAFETY: the caller's promise.
        unsafe { Syscall.call(number, arguments) }
    }
}
