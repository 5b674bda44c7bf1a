//! Features that a guest has, or asks for.

constants! {
    /// A feature: a bit number in what [`version::Command::GET_FEATURES`](super::version::Command::GET_FEATURES)
    /// answers and in the ELF note of the same purpose.
    ///
    /// `XENFEAT_*`, public/features.h
    pub struct Feature: u32 {
        /// Page tables need no write protection and may be written directly.
        ///
        /// `XENFEAT_writable_page_tables`, public/features.h
        WRITABLE_PAGE_TABLES = 0;
        /// Segment descriptor tables need no write protection and may be written directly.
        ///
        /// `XENFEAT_writable_descriptor_tables`, public/features.h
        WRITABLE_DESCRIPTOR_TABLES = 1;
        /// The hypervisor translates guest frames to machine frames.
        ///
        /// `XENFEAT_auto_translated_physmap`, public/features.h
        AUTO_TRANSLATED_PHYSMAP = 2;
        /// The kernel runs in the processor's most privileged mode.
        ///
        /// `XENFEAT_supervisor_mode_kernel`, public/features.h
        SUPERVISOR_MODE_KERNEL = 3;
        /// Page directories of 32-bit PAE guests may lie above 4 GiB.
        ///
        /// `XENFEAT_pae_pgdir_above_4gb`, public/features.h
        PAE_PGDIR_ABOVE_4GB = 4;
        /// Xen knows [`PT_UPDATE_PRESERVE_AD`](super::mmu::UpdateKind::PT_UPDATE_PRESERVE_AD).
        ///
        /// `XENFEAT_mmu_pt_update_preserve_ad`, public/features.h
        MMU_PT_UPDATE_PRESERVE_AD = 5;
        /// Xen can clear and copy pages for the guest.
        ///
        /// `XENFEAT_highmem_assist`, public/features.h
        HIGHMEM_ASSIST = 6;
        /// Mapping a grant can set the bits of a page table entry that are free for the kernel.
        ///
        /// `XENFEAT_gnttab_map_avail_bits`, public/features.h
        GNTTAB_MAP_AVAIL_BITS = 7;
        /// Events can be delivered to an HVM guest as an interrupt vector.
        ///
        /// `XENFEAT_hvm_callback_vector`, public/features.h
        HVM_CALLBACK_VECTOR = 8;
        /// The paravirtual clock is safe in an HVM guest.
        ///
        /// `XENFEAT_hvm_safe_pvclock`, public/features.h
        HVM_SAFE_PVCLOCK = 9;
        /// HVM guests can bind physical interrupts to event channels.
        ///
        /// `XENFEAT_hvm_pirqs`, public/features.h
        HVM_PIRQS = 10;
        /// The kernel can run as the initial domain.
        ///
        /// `XENFEAT_dom0`, public/features.h
        DOM0 = 11;
        /// Memory can be asked for by virtual node.
        ///
        /// `XENFEAT_memory_op_vnode_supported`, public/features.h
        MEMORY_OP_VNODE_SUPPORTED = 13;
        /// Hypercalls of the ARM SMC calling convention are understood.
        ///
        /// `XENFEAT_ARM_SMCCC_supported`, public/features.h
        ARM_SMCCC_SUPPORTED = 14;
        /// The ACPI root table may lie anywhere in a PVH guest.
        ///
        /// `XENFEAT_linux_rsdp_unrestricted`, public/features.h
        LINUX_RSDP_UNRESTRICTED = 15;
        /// Guest frames of the domain's own memory differ from machine frames.
        ///
        /// `XENFEAT_not_direct_mapped`, public/features.h
        NOT_DIRECT_MAPPED = 16;
        /// Guest frames of the domain's own memory are the machine frames.
        ///
        /// `XENFEAT_direct_mapped`, public/features.h
        DIRECT_MAPPED = 17;
        /// Xen knows [`REGISTER_RUNSTATE_PHYS_AREA`](super::vcpu::Command::REGISTER_RUNSTATE_PHYS_AREA).
        ///
        /// `XENFEAT_runstate_phys_area`, public/features.h (from Xen 4.18)
        RUNSTATE_PHYS_AREA = 18;
        /// Xen knows [`REGISTER_VCPU_TIME_PHYS_AREA`](super::vcpu::Command::REGISTER_VCPU_TIME_PHYS_AREA).
        ///
        /// `XENFEAT_vcpu_time_phys_area`, public/features.h (from Xen 4.18)
        VCPU_TIME_PHYS_AREA = 19;
        /// Device models see all writes to a device's message table.
        ///
        /// `XENFEAT_dm_msix_all_writes`, public/features.h (from Xen 4.19)
        DM_MSIX_ALL_WRITES = 20;
    }
}

impl Feature {
    /// Which word of 32 features the feature is in.
    #[must_use]
    pub const fn submap(self) -> u32 {
        self.0 / 32
    }

    /// The feature's bit in its word.
    #[must_use]
    pub const fn mask(self) -> u32 {
        1 << (self.0 % 32)
    }
}

/// How many words of 32 features there are.
///
/// `XENFEAT_NR_SUBMAPS`, public/features.h
pub const NR_SUBMAPS: u32 = 1;
