//! ARM64: number in `x16`, arguments in `x0` to `x4`, answer in `x0`.

use core::arch::asm;

use crate::abi::Number;
use crate::{Arg, Hypercall};

/// `hvc #0xEA1`, inline. The immediate is `XEN_HYPERCALL_TAG`, public/arch-arm.h.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hvc;

macro_rules! block {
    ($number:ident, $first:expr, $arguments:ident, $($register:tt = $index:tt),*) => {{
        let answer: isize;
        // SAFETY: the caller of `Hypercall::call` vouches for the arguments; every register that Xen may
        // change is declared.
        unsafe {
            asm!(
                "hvc #0xEA1",
                inlateout("x0") $first => answer,
                $(inlateout($register) $arguments[$index].as_ptr::<()>() => _,)*
                inlateout("x16") $number.0 as usize => _,
                options(nostack),
            )
        }
        answer
    }};
}

// SAFETY: `hvc #0xEA1` enters Xen with these registers, and changes nothing else.
unsafe impl Hypercall for Hvc {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        let first = arguments.first().map_or(0, |argument| argument.as_ptr::<()>() as isize);
        match N {
            0 | 1 => block!(number, first, arguments,),
            2 => block!(number, first, arguments, "x1" = 1),
            3 => block!(number, first, arguments, "x1" = 1, "x2" = 2),
            4 => block!(number, first, arguments, "x1" = 1, "x2" = 2, "x3" = 3),
            _ => {
                const { assert!(N <= 5, "a hypercall has at most five arguments") }
                block!(number, first, arguments, "x1" = 1, "x2" = 2, "x3" = 3, "x4" = 4)
            }
        }
    }
}
