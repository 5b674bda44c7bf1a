//! What the `cpuid` instruction tells a guest of Xen.
//!
//! Xen's leaves start at [`FIRST_LEAF`] or at one of the next multiples of 0x100, where another hypervisor's
//! interface comes first; the signature tells which.

/// Where Xen's leaves start, unless another hypervisor's come first.
///
/// `XEN_CPUID_FIRST_LEAF`, public/arch-x86/cpuid.h
pub const FIRST_LEAF: u32 = 0x4000_0000;

/// How many leaves Xen has at most, after the first.
///
/// `XEN_CPUID_MAX_NUM_LEAVES`, public/arch-x86/cpuid.h
pub const MAX_NUM_LEAVES: u32 = 5;

/// EBX of the first leaf: "XenV".
///
/// `XEN_CPUID_SIGNATURE_EBX`, public/arch-x86/cpuid.h
pub const SIGNATURE_EBX: u32 = u32::from_le_bytes(*b"XenV");

/// ECX of the first leaf: "MMXe".
///
/// `XEN_CPUID_SIGNATURE_ECX`, public/arch-x86/cpuid.h
pub const SIGNATURE_ECX: u32 = u32::from_le_bytes(*b"MMXe");

/// EDX of the first leaf: "nVMM".
///
/// `XEN_CPUID_SIGNATURE_EDX`, public/arch-x86/cpuid.h
pub const SIGNATURE_EDX: u32 = u32::from_le_bytes(*b"nVMM");

/// The leaf, counted from the first, whose EAX is the version: major in the upper 16 bits, minor in the lower.
///
/// Origin: domu
pub const LEAF_VERSION: u32 = 1;

/// The leaf, counted from the first, whose EBX is the register that places a hypercall page and whose ECX
/// holds [`Features1`].
///
/// Origin: domu
pub const LEAF_HYPERCALL: u32 = 2;

/// The leaf, counted from the first, that tells about the time stamp counter.
///
/// Origin: domu
pub const LEAF_TIME: u32 = 3;

/// The leaf, counted from the first, whose EAX holds [`HvmFeatures`], EBX the vCPU's id, ECX the domain's.
///
/// Origin: domu
pub const LEAF_HVM: u32 = 4;

/// The leaf, counted from the first, that tells PV guests how wide machine addresses are.
///
/// Origin: domu
pub const LEAF_PV: u32 = 5;

flags! {
    /// ECX of [`LEAF_HYPERCALL`].
    ///
    /// `XEN_CPUID_FEAT1_*`, public/arch-x86/cpuid.h
    pub struct Features1: u32 {
        /// Xen knows [`PT_UPDATE_PRESERVE_AD`](crate::abi::mmu::UpdateKind::PT_UPDATE_PRESERVE_AD).
        ///
        /// `XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD`, public/arch-x86/cpuid.h
        MMU_PT_UPDATE_PRESERVE_AD = 1 << 0;
    }
}

flags! {
    /// EAX of [`LEAF_TIME`], sub-leaf 0.
    ///
    /// Origin: domu
    pub struct TimeFeatures: u32 {
        /// Reading the counter is emulated.
        ///
        /// `XEN_CPUID_TSC_EMULATED`, public/arch-x86/cpuid.h (from Xen 4.18)
        TSC_EMULATED = 1 << 0;
        /// The host's counter is known to be reliable.
        ///
        /// `XEN_CPUID_HOST_TSC_RELIABLE`, public/arch-x86/cpuid.h (from Xen 4.18)
        HOST_TSC_RELIABLE = 1 << 1;
        /// The `rdtscp` instruction can be used.
        ///
        /// `XEN_CPUID_RDTSCP_INSTR_AVAIL`, public/arch-x86/cpuid.h (from Xen 4.18)
        RDTSCP_INSTR_AVAIL = 1 << 2;
    }
}

constants! {
    /// EBX of [`LEAF_TIME`], sub-leaf 0: what the tools have chosen for the counter.
    ///
    /// Origin: domu
    pub struct TscMode: u32 {
        /// Emulated where that is necessary.
        ///
        /// `XEN_CPUID_TSC_MODE_DEFAULT`, public/arch-x86/cpuid.h (from Xen 4.18)
        DEFAULT = 0;
        /// Always emulated.
        ///
        /// `XEN_CPUID_TSC_MODE_ALWAYS_EMULATE`, public/arch-x86/cpuid.h (from Xen 4.18)
        ALWAYS_EMULATE = 1;
        /// Never emulated.
        ///
        /// `XEN_CPUID_TSC_MODE_NEVER_EMULATE`, public/arch-x86/cpuid.h (from Xen 4.18)
        NEVER_EMULATE = 2;
        /// Never emulated, with a count of migrations for `rdtscp`.
        ///
        /// `XEN_CPUID_TSC_MODE_PVRDTSCP`, public/arch-x86/cpuid.h (from Xen 4.18)
        PVRDTSCP = 3;
    }
}

flags! {
    /// EAX of [`LEAF_HVM`], sub-leaf 0.
    ///
    /// `XEN_HVM_CPUID_*`, public/arch-x86/cpuid.h
    pub struct HvmFeatures: u32 {
        /// Registers of the interrupt controller are virtual in hardware.
        ///
        /// `XEN_HVM_CPUID_APIC_ACCESS_VIRT`, public/arch-x86/cpuid.h
        APIC_ACCESS_VIRT = 1 << 0;
        /// The same in x2APIC mode.
        ///
        /// `XEN_HVM_CPUID_X2APIC_VIRT`, public/arch-x86/cpuid.h
        X2APIC_VIRT = 1 << 1;
        /// Devices can reach foreign pages that are mapped.
        ///
        /// `XEN_HVM_CPUID_IOMMU_MAPPINGS`, public/arch-x86/cpuid.h
        IOMMU_MAPPINGS = 1 << 2;
        /// EBX holds the vCPU's id.
        ///
        /// `XEN_HVM_CPUID_VCPU_ID_PRESENT`, public/arch-x86/cpuid.h
        VCPU_ID_PRESENT = 1 << 3;
        /// ECX holds the domain's id.
        ///
        /// `XEN_HVM_CPUID_DOMID_PRESENT`, public/arch-x86/cpuid.h
        DOMID_PRESENT = 1 << 4;
        /// Interrupts can name destinations of 15 bits.
        ///
        /// `XEN_HVM_CPUID_EXT_DEST_ID`, public/arch-x86/cpuid.h
        EXT_DEST_ID = 1 << 5;
        /// A vCPU's own vector for events works with physical interrupts.
        ///
        /// `XEN_HVM_CPUID_UPCALL_VECTOR`, public/arch-x86/cpuid.h
        UPCALL_VECTOR = 1 << 6;
    }
}

/// The bits in EBX of [`LEAF_PV`] that tell how many bits a machine address has.
///
/// `XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK`, public/arch-x86/cpuid.h
pub const MACHINE_ADDRESS_WIDTH_MASK: u32 = 0xff;
