//! 1. Entry: the notes by which the builder knows a PV kernel, and the first instructions.

use core::arch::naked_asm;
use core::ptr::NonNull;

use xen_hypercall::abi::features::Feature;
use xen_hypercall::{Frame, elf_note};

use crate::memory::{PAGE, Pages};

/// Where the image is linked (see `build.rs`), and where the builder maps the first page of memory.
pub(crate) const VIRT_BASE: usize = 0xffff_ffff_8000_0000;

elf_note!(GUEST_OS: [u8; 4] = *b"own\0");
elf_note!(XEN_VERSION: [u8; 8] = *b"xen-3.0\0");
elf_note!(LOADER: [u8; 8] = *b"generic\0");
elf_note!(VIRT_BASE: u64 = VIRT_BASE as u64);
// Without a linker script the physical addresses in the ELF file are the virtual ones.
elf_note!(PADDR_OFFSET: u64 = VIRT_BASE as u64);
elf_note!(ENTRY: unsafe extern "C" fn() -> ! = _start);
// It may be domain 0, as `cargo xtask run --direct` has it.
elf_note!(SUPPORTED_FEATURES: u32 = Feature::DOM0.mask());

/// 64 KiB of stack, above a page that is taken away: who needs more has a fault, and no other memory.
static STACK: Pages<17> = Pages::new();

/// The page below the stack.
pub(crate) const fn guard() -> NonNull<Frame> {
    STACK.page(0)
}

/// Xen comes with the start info in `rsi`, and in `rsp` with the end of the builder's own small stack, behind which nothing is.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "cld",
        "mov rdi, rsi",
        "mov rsi, rsp",
        "lea rsp, [rip + {stack} + {size}]",
        "xor ebp, ebp",
        "call {start}",
        "ud2",
        stack = sym STACK,
        size = const 17 * PAGE,
        start = sym crate::start,
    )
}
