//! x86-64: number in `rax`, arguments in `rdi`, `rsi`, `rdx`, `r10`, `r8`, answer in `rax`.

use core::arch::asm;
use core::ptr::NonNull;

use crate::abi::Number;
use crate::{Arg, Hypercall};

/// One `asm!` block. Argument registers are in and out: Xen may destroy them. `syscall` overwrites `rcx`
/// and `r11`; declaring them for the others costs nothing.
macro_rules! block {
    ($template:literal, ($($operand:tt)*), $number:ident, $arguments:ident, $($register:tt = $index:tt),*) => {{
        let answer: isize;
        // SAFETY: the caller of `Hypercall::call` vouches for the arguments; every register that Xen or the
        // instruction may change is declared.
        unsafe {
            asm!(
                $template,
                inlateout("rax") $number.0 as isize => answer,
                $(inlateout($register) $arguments[$index].as_ptr::<()>() => _,)*
                lateout("rcx") _,
                lateout("r11") _,
                $($operand)*
            )
        }
        answer
    }};
}

/// Issues a call with as many argument registers as it has: `N` is a constant, so one arm is left, and unused
/// arguments cost nothing.
macro_rules! issue {
    ($template:literal, $operands:tt, $number:ident, $arguments:ident) => {
        match N {
            0 => block!($template, $operands, $number, $arguments,),
            1 => block!($template, $operands, $number, $arguments, "rdi" = 0),
            2 => block!($template, $operands, $number, $arguments, "rdi" = 0, "rsi" = 1),
            3 => block!($template, $operands, $number, $arguments, "rdi" = 0, "rsi" = 1, "rdx" = 2),
            4 => block!($template, $operands, $number, $arguments, "rdi" = 0, "rsi" = 1, "rdx" = 2, "r10" = 3),
            _ => {
                const { assert!(N <= 5, "a hypercall has at most five arguments") }
                block!($template, $operands, $number, $arguments, "rdi" = 0, "rsi" = 1, "rdx" = 2, "r10" = 3, "r8" = 4)
            }
        }
    };
}

/// PV: the `syscall` instruction, inline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Syscall;

// SAFETY: `syscall` in a PV guest kernel enters Xen with these registers, and changes nothing else.
// `nostack`: the instruction pushes nothing. An upcall on the way back does, below `rsp`, which is why a
// kernel on Xen has no red zone (`x86_64-unknown-none` has none).
unsafe impl Hypercall for Syscall {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        issue!("syscall", (options(nostack)), number, arguments)
    }
}

/// PVH and HVM on Intel: the `vmcall` instruction, inline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vmcall;

// SAFETY: `vmcall` enters Xen with these registers, and changes nothing else.
unsafe impl Hypercall for Vmcall {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        issue!("vmcall", (options(nostack)), number, arguments)
    }
}

/// PVH and HVM on AMD: the `vmmcall` instruction, inline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vmmcall;

// SAFETY: `vmmcall` enters Xen with these registers, and changes nothing else.
unsafe impl Hypercall for Vmmcall {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        issue!("vmmcall", (options(nostack)), number, arguments)
    }
}

/// Any x86-64 guest of an old hypervisor: a call into the page that Xen fills with one stub for each number.
///
/// The page is named by the ELF note `XEN_ELFNOTE_HYPERCALL_PAGE` (PV) or registered through the MSR that
/// CPUID leaf `0x4000_0002` names (PVH and HVM).
#[derive(Clone, Copy, Debug)]
pub struct HypercallPage(NonNull<[[u8; Self::STUB]; Self::STUBS]>);

impl HypercallPage {
    const STUB: usize = 32;
    const STUBS: usize = 128;

    /// Calls through `page`.
    ///
    /// # Safety
    ///
    /// `page` must stay mapped, executable and filled by Xen for as long as the value, or a copy, is used.
    #[must_use]
    pub const unsafe fn new(page: NonNull<[[u8; 32]; 128]>) -> Self {
        Self(page)
    }
}

// SAFETY: the value is an address that `new`'s caller vouches for; it is only ever called.
unsafe impl Send for HypercallPage {}
// SAFETY: as above; the page is never written by the guest.
unsafe impl Sync for HypercallPage {}

// SAFETY: Xen's stubs load `rax` with their number, enter Xen and return. A number beyond the page's stubs
// calls the last one, whose answer is `-ENOSYS`.
unsafe impl Hypercall for HypercallPage {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        let index = (number.0 as usize).min(Self::STUBS - 1);
        let stub = self.0.as_ptr().cast::<[u8; Self::STUB]>().wrapping_add(index);
        issue!("call {stub}", (stub = in(reg) stub,), number, arguments)
    }
}
