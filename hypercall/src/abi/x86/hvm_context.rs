//! The first state of a PVH or HVM guest's vCPU.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first state of a vCPU.
///
/// `struct vcpu_hvm_context`, public/hvm/hvm_vcpu.h
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VcpuHvmContext {
    /// Which form the registers have.
    pub mode: Mode,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: u32,
    /// Registers.
    pub cpu_regs: CpuRegs,
}

constants! {
    /// The mode that a vCPU starts in.
    ///
    /// `VCPU_HVM_MODE_*`, public/hvm/hvm_vcpu.h
    pub struct Mode: u32 {
        /// Real, protected or compatibility mode.
        ///
        /// `VCPU_HVM_MODE_32B`, public/hvm/hvm_vcpu.h
        BITS_32 = 0;
        /// 64-bit mode.
        ///
        /// `VCPU_HVM_MODE_64B`, public/hvm/hvm_vcpu.h
        BITS_64 = 1;
    }
}

/// Registers in the form that the mode asks for.
///
/// `struct vcpu_hvm_context.cpu_regs`, public/hvm/hvm_vcpu.h
#[derive(Clone, Copy)]
#[repr(C)]
pub union CpuRegs {
    /// With [`Mode::BITS_32`].
    pub x86_32: X86_32,
    /// With [`Mode::BITS_64`].
    pub x86_64: X86_64,
}

/// Registers of a vCPU that starts in 32-bit mode.
///
/// The last letters of segment fields are `_ar` for access rights: the descriptor's bits 40 to 47 and 52 to
/// 55 without the gap between.
///
/// `struct vcpu_hvm_x86_32`, public/hvm/hvm_vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' names say it all")]
pub struct X86_32 {
    pub eax: u32,
    pub ecx: u32,
    pub edx: u32,
    pub ebx: u32,
    pub esp: u32,
    pub ebp: u32,
    pub esi: u32,
    pub edi: u32,
    pub eip: u32,
    pub eflags: u32,
    pub cr0: u32,
    pub cr3: u32,
    pub cr4: u32,
    /// C: `pad1`
    pub _pad1: u32,
    pub efer: u64,
    pub cs_base: u32,
    pub ds_base: u32,
    pub ss_base: u32,
    pub es_base: u32,
    pub tr_base: u32,
    pub cs_limit: u32,
    pub ds_limit: u32,
    pub ss_limit: u32,
    pub es_limit: u32,
    pub tr_limit: u32,
    pub cs_ar: u16,
    pub ds_ar: u16,
    pub ss_ar: u16,
    pub es_ar: u16,
    pub tr_ar: u16,
    /// C: `pad2`
    pub _pad2: [u16; 3],
}

/// Registers of a vCPU that starts in 64-bit mode.
///
/// `struct vcpu_hvm_x86_64`, public/hvm/hvm_vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' names say it all")]
pub struct X86_64 {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbx: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rip: u64,
    pub rflags: u64,
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
}

const_assert_eq!(size_of::<VcpuHvmContext>(), 128);
const_assert_eq!(size_of::<X86_32>(), 120);
const_assert_eq!(size_of::<X86_64>(), 112);
