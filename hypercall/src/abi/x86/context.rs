//! State of a PV guest's vCPU, and how it enters and leaves the kernel.

use crate::abi::Mfn;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The handler of one exception or software interrupt; a list of them ends with one whose address is zero.
///
/// `struct trap_info`, public/arch-x86/xen.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrapInfo {
    /// The vector.
    pub vector: u8,
    /// The privilege level that may enter by `int`, and whether events are masked, see [`TrapFlags`].
    pub flags: TrapFlags,
    /// The handler's code selector.
    pub cs: u16,
    /// Padding before the address.
    pub _pad: u32,
    /// The handler's virtual address.
    pub address: u64,
}

flags! {
    /// Who may enter a trap by `int`, and how.
    ///
    /// The two lowest bits hold the least privileged level: zero is nobody, one the kernel, three everybody.
    ///
    /// Origin: domu
    pub struct TrapFlags: u8 {
        /// The kernel may enter.
        ///
        /// Origin: domu
        DPL_KERNEL = 1;
        /// Everybody may enter.
        ///
        /// Origin: domu
        DPL_USER = 3;
        /// Events are masked on entry.
        ///
        /// Origin: domu
        MASK_EVENTS = 1 << 2;
    }
}

/// Registers of a vCPU.
///
/// `struct cpu_user_regs`, public/arch-x86/xen-x86_64.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' names say it all")]
pub struct CpuUserRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Xen's own.
    pub error_code: u32,
    /// Xen's own.
    pub entry_vector: u32,
    pub rip: u64,
    pub cs: u16,
    /// C: `_pad0`
    pub _pad0: [u16; 1],
    /// The event mask at entry; the interrupt flag is its opposite.
    pub saved_upcall_mask: u8,
    /// C: `_pad1`
    pub _pad1: [u8; 3],
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u16,
    /// C: `_pad2`
    pub _pad2: [u16; 3],
    pub es: u16,
    /// C: `_pad3`
    pub _pad3: [u16; 3],
    pub ds: u16,
    /// C: `_pad4`
    pub _pad4: [u16; 3],
    pub fs: u16,
    /// C: `_pad5`
    pub _pad5: [u16; 3],
    pub gs: u16,
    /// C: `_pad6`
    pub _pad6: [u16; 3],
}

/// The first state of a PV guest's vCPU.
///
/// `struct vcpu_guest_context`, public/arch-x86/xen.h
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuGuestContext {
    /// Floating point state as `fxsave` stores it.
    pub fpu_ctxt: [u8; 512],
    /// What is valid, and how the vCPU starts.
    pub flags: ContextFlags,
    /// Registers.
    pub user_regs: CpuUserRegs,
    /// Exception handlers by vector.
    pub trap_ctxt: [TrapInfo; 256],
    /// Virtual address of the local descriptor table.
    pub ldt_base: u64,
    /// Number of its entries.
    pub ldt_ents: u64,
    /// Frames of the global descriptor table.
    pub gdt_frames: [Mfn; 16],
    /// Number of its entries.
    pub gdt_ents: u64,
    /// Selector of the kernel's stack on entry from user mode.
    pub kernel_ss: u64,
    /// Address of the kernel's stack on entry from user mode.
    pub kernel_sp: u64,
    /// Control registers 0 to 7; number 1 holds the page table of user mode.
    pub ctrlreg: [u64; 8],
    /// Debug registers 0 to 7.
    pub debugreg: [u64; 8],
    /// Entry point for events.
    pub event_callback_eip: u64,
    /// Entry point for state that could not be restored.
    pub failsafe_callback_eip: u64,
    /// Entry point for system calls.
    pub syscall_callback_eip: u64,
    /// A bit per [`vm_assist::Type`](crate::abi::vm_assist::Type) that is on.
    pub vm_assist: u64,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS in the kernel.
    pub gs_base_kernel: u64,
    /// Base of GS in user mode.
    pub gs_base_user: u64,
}

flags! {
    /// What is valid in a context and how its vCPU starts; also the flags of an [`IretContext`].
    ///
    /// `VGCF_*`, public/arch-x86/xen.h
    pub struct ContextFlags: u64 {
        /// The floating point state is valid.
        ///
        /// `VGCF_i387_valid`, public/arch-x86/xen.h
        I387_VALID = 1 << 0;
        /// The vCPU starts in the kernel.
        ///
        /// `VGCF_in_kernel`, public/arch-x86/xen.h
        IN_KERNEL = 1 << 2;
        /// Events are masked when the failsafe callback is entered.
        ///
        /// `VGCF_failsafe_disables_events`, public/arch-x86/xen.h
        FAILSAFE_DISABLES_EVENTS = 1 << 3;
        /// Events are masked when a system call enters.
        ///
        /// `VGCF_syscall_disables_events`, public/arch-x86/xen.h
        SYSCALL_DISABLES_EVENTS = 1 << 4;
        /// The vCPU is up.
        ///
        /// `VGCF_online`, public/arch-x86/xen.h
        ONLINE = 1 << 5;
        /// The return is to a system call: RCX and R11 are not restored.
        ///
        /// `VGCF_in_syscall`, public/arch-x86/xen-x86_64.h
        IN_SYSCALL = 1 << 8;
    }
}

/// What the `iret` hypercall finds on top of the kernel's stack.
///
/// `struct iret_context`, public/arch-x86/xen-x86_64.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' names say it all")]
pub struct IretContext {
    pub rax: u64,
    pub r11: u64,
    pub rcx: u64,
    /// How to return: [`ContextFlags::IN_SYSCALL`] or nothing.
    pub flags: ContextFlags,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const_assert_eq!(size_of::<TrapInfo>(), 16);
const_assert_eq!(size_of::<CpuUserRegs>(), 200);
const_assert_eq!(size_of::<VcpuGuestContext>(), 5168);
const_assert_eq!(core::mem::offset_of!(VcpuGuestContext, trap_ctxt), 720);
const_assert_eq!(size_of::<IretContext>(), 72);
