//! Where Xen enters the guest: the first instruction, and the upcall.

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ops::Range;

use super::PAGE;
use crate::shared_info::Shared;

/// Bytes of the main stack.
pub(super) const STACK: usize = 64 * 1024;

/// The main stack, above a page that is unmapped at boot: an overflow is a fault, never a silent overwrite.
#[repr(C, align(4096))]
pub(super) struct Stack {
    guard: UnsafeCell<[u8; PAGE]>,
    stack: UnsafeCell<[u8; STACK]>,
}

// SAFETY: Rust code never touches the stack's bytes through this value.
unsafe impl Sync for Stack {}

pub(super) static MAIN_STACK: Stack = Stack { guard: UnsafeCell::new([0; PAGE]), stack: UnsafeCell::new([0; STACK]) };

/// The virtual page at which Xen's shared info is mapped at boot, in place of the page of the image.
#[repr(C, align(4096))]
pub(super) struct SharedInfoPage {
    pub(super) shared: Shared,
}

pub(super) static SHARED_INFO: SharedInfoPage = SharedInfoPage { shared: Shared::new() };

/// The first instruction of the guest: `rsi` is the start info, `rsp` the end of the builder's boot stack, behind
/// which the memory is free.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry")]
pub(super) unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "cld",
        "mov rdi, rsi",
        "mov rsi, rsp",
        "lea rsp, [rip + {stack} + {top}]",
        "xor ebp, ebp",
        "call {start}",
        "ud2",
        stack = sym MAIN_STACK,
        top = const size_of::<Stack>(),
        start = sym super::start,
    )
}

/// Xen's event upcall.
///
/// Xen has pushed `ss`, `rsp`, `rflags`, `cs`, `rip`, `r11` and `rcx` on the interrupted stack and has masked
/// upcalls. The way back is a direct `iretq`, which costs a twentieth of the hypercall for it.
///
/// Between unmasking and `iretq` a new upcall may come. All registers hold the interrupted code's values by then, so
/// the new frame is dropped and its events are handled on the old one: however many events come, the stack holds
/// one frame.
///
/// `or` with 3: Xen shows the kernel's selectors with privilege level 0, at which `iretq` would fault.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn upcall() -> ! {
    naked_asm!(
        "cmp qword ptr [rsp + 16], offset .Lunmasked",
        "jb 2f",
        "cmp qword ptr [rsp + 16], offset .Lmasked",
        "jae 2f",
        "pop rcx",
        "pop r11",
        "mov rsp, [rsp + 24]",
        "push r11",
        "push rcx",
        "jmp 3f",
        "2:",
        "or byte ptr [rsp + 24], 3",
        "or byte ptr [rsp + 48], 3",
        // With Xen's seven words and these seven the stack is aligned for the call. What a function may change and
        // is not saved here, Xen has saved.
        "3:",
        "push rax",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        // Whatever was interrupted may have turned the direction of string instructions; `iretq` turns it back.
        "cld",
        "call {dispatch}",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rax",
        "pop rcx",
        "pop r11",
        "mov byte ptr [rip + {shared} + {mask}], 0",
        ".Lunmasked:",
        "cmp byte ptr [rip + {shared} + {pending}], 0",
        "jne 4f",
        "iretq",
        // An event came before unmasking, and Xen will not call for it again.
        "4:",
        "mov byte ptr [rip + {shared} + {mask}], 1",
        ".Lmasked:",
        "push r11",
        "push rcx",
        "jmp 3b",
        dispatch = sym crate::events::upcall,
        shared = sym SHARED_INFO,
        mask = const offset_of!(SharedInfoPage, shared) + Shared::MASK,
        pending = const offset_of!(SharedInfoPage, shared) + Shared::PENDING,
    )
}

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __image_end: u8;
}

/// The addresses of the text.
pub(super) fn text() -> Range<usize> {
    (&raw const __text_start).addr()..(&raw const __text_end).addr()
}

/// The addresses of the constants.
pub(super) fn constants() -> Range<usize> {
    (&raw const __text_end).addr()..(&raw const __rodata_end).addr()
}

/// Where the image ends.
pub(super) fn image_end() -> usize {
    (&raw const __image_end).addr()
}

/// The addresses of the page below the stack.
pub(super) fn guard_page() -> Range<usize> {
    let start = MAIN_STACK.guard.get().addr();
    start..start + PAGE
}
