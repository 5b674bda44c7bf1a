//! Exceptions: each one ends the guest, with its registers and a reason.

use core::arch::{asm, naked_asm};
use core::fmt;
use core::mem::offset_of;

use xen_hypercall::abi::x86::context::{TrapFlags, TrapInfo};
use xen_hypercall::abi::x86::segment::FLAT_KERNEL_CS;
use xen_hypercall::{Errno, pv};

use crate::xen::XEN;

/// What a stub and Xen have pushed when an exception arrives. The lowest address comes first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    vector: u64,
    rcx: u64,
    r11: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

impl Frame {
    /// The registers as they are at the call.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        let mut frame = Self::default();
        // SAFETY: stores the registers, in the order of the fields, and changes none but `rax` and the flags.
        unsafe {
            asm!(
                "mov [rdi + 0], r15",
                "mov [rdi + 8], r14",
                "mov [rdi + 16], r13",
                "mov [rdi + 24], r12",
                "mov [rdi + 32], rbp",
                "mov [rdi + 40], rbx",
                "mov [rdi + 48], r10",
                "mov [rdi + 56], r9",
                "mov [rdi + 64], r8",
                "mov [rdi + 72], rax",
                "mov [rdi + 80], rdx",
                "mov [rdi + 88], rsi",
                "mov [rdi + 96], rdi",
                "mov [rdi + 112], rcx",
                "mov [rdi + 120], r11",
                "lea rax, [rip]",
                "mov [rdi + 136], rax",
                "mov [rdi + 144], cs",
                "pushfq",
                "pop [rdi + 152]",
                "mov [rdi + 160], rsp",
                "mov [rdi + 168], ss",
                in("rdi") &raw mut frame,
                out("rax") _,
            );
        }
        frame
    }
}

const _: () = {
    assert!(offset_of!(Frame, rdi) == 96 && offset_of!(Frame, rcx) == 112 && offset_of!(Frame, rip) == 136);
    assert!(offset_of!(Frame, ss) == 168);
};

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rip {:016x}  rsp {:016x}  rbp {:016x}  rflags {:08x}", self.rip, self.rsp, self.rbp, self.rflags)?;
        writeln!(f, "rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", self.rax, self.rbx, self.rcx, self.rdx)?;
        writeln!(f, "rsi {:016x}  rdi {:016x}  r8  {:016x}  r9  {:016x}", self.rsi, self.rdi, self.r8, self.r9)?;
        writeln!(f, "r10 {:016x}  r11 {:016x}  r12 {:016x}  r13 {:016x}", self.r10, self.r11, self.r12, self.r13)?;
        write!(f, "r14 {:016x}  r15 {:016x}  cs {:04x}  ss {:04x}", self.r14, self.r15, self.cs as u16, self.ss as u16)
    }
}

/// The exceptions of the processor that reach a PV guest, by vector.
const NAMES: [&str; 20] = [
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "spurious interrupt",
    "floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
];

const PAGE_FAULT: u64 = 14;

fn fault_address() -> usize {
    super::shared_info().fault_address()
}

extern "C" fn exception(frame: &Frame) -> ! {
    let name = NAMES.get(frame.vector as usize).copied().unwrap_or("unknown exception");
    if frame.vector == PAGE_FAULT {
        crate::panic::die(frame, format_args!("{name}: {}", PageFault { error: frame.error, address: fault_address() }))
    }
    crate::panic::die(frame, format_args!("{name}, error code {:#x}", frame.error))
}

struct PageFault {
    error: u64,
    address: usize,
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.error {
            error if error & 0x10 != 0 => "execution of",
            error if error & 0x2 != 0 => "write to",
            _ => "read of",
        };
        let why = if self.error & 1 == 0 { "not mapped" } else { "not permitted" };
        write!(f, "{access} {:#x}, which is {why}{}", self.address, super::memory::describe(self.address))
    }
}

/// The tail of every stub: `rcx`, `r11` and the error code lie on the stack in this order, above Xen's frame.
#[unsafe(naked)]
unsafe extern "C" fn common() -> ! {
    naked_asm!(
        "push rdi",
        "push rsi",
        "push rdx",
        "push rax",
        "push r8",
        "push r9",
        "push r10",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "and rsp, -16",
        "cld",
        "call {exception}",
        "ud2",
        exception = sym exception,
    )
}

/// Declares one stub for each vector. Where the processor gives no error code, the stub makes room for one.
macro_rules! stubs {
    ($($name:ident = $vector:literal, $room:ident;)*) => {
        $(
            #[unsafe(naked)]
            unsafe extern "C" fn $name() -> ! {
                naked_asm!(
                    $room!(),
                    "push {vector}",
                    "jmp {common}",
                    vector = const $vector,
                    common = sym common,
                )
            }
        )*

        /// Every vector and its handler, ended by one without.
        static TABLE: [(u8, Option<Handler>); [$($vector),*].len() + 1] = [
            $(($vector, Some($name)),)*
            (0, None),
        ];
    };
}

macro_rules! with_code {
    () => {
        ""
    };
}

macro_rules! without_code {
    () => {
        "pop rcx; pop r11; push 0; push r11; push rcx"
    };
}

stubs! {
    divide_error = 0, without_code;
    debug = 1, without_code;
    breakpoint = 3, without_code;
    overflow = 4, without_code;
    bound_range = 5, without_code;
    invalid_opcode = 6, without_code;
    device_not_available = 7, without_code;
    coprocessor_overrun = 9, without_code;
    invalid_tss = 10, with_code;
    segment_not_present = 11, with_code;
    stack_fault = 12, with_code;
    general_protection = 13, with_code;
    page_fault = 14, with_code;
    spurious = 15, without_code;
    floating_point = 16, without_code;
    alignment_check = 17, with_code;
    machine_check = 18, without_code;
    simd_floating_point = 19, without_code;
}

type Handler = unsafe extern "C" fn() -> !;

/// Registers the handlers with Xen.
pub(super) fn install() -> Result<(), Errno> {
    let table = TABLE.map(|(vector, handler)| TrapInfo {
        vector,
        // No upcalls on the way to the end.
        flags: TrapFlags::MASK_EVENTS,
        cs: FLAT_KERNEL_CS,
        _pad: 0,
        address: handler.map_or(0, |handler| handler as usize as u64),
    });
    // SAFETY: the handlers take Xen's frame as it is, and do not return.
    unsafe { pv::set_trap_table(&XEN, &table) }
}
