//! ELF notes in which a kernel tells the domain builder what it needs.

constants! {
    /// The type of a note whose name is "Xen".
    ///
    /// Numbers have four or eight bytes, texts end with a zero byte.
    ///
    /// `XEN_ELFNOTE_*`, public/elfnote.h
    pub struct ElfNote: u32 {
        /// Text of the form `NAME=VALUE`.
        ///
        /// `XEN_ELFNOTE_INFO`, public/elfnote.h
        INFO = 0;
        /// Virtual address of a PV kernel's entry point.
        ///
        /// `XEN_ELFNOTE_ENTRY`, public/elfnote.h
        ENTRY = 1;
        /// Virtual address of the page that Xen fills with hypercall stubs.
        ///
        /// `XEN_ELFNOTE_HYPERCALL_PAGE`, public/elfnote.h
        HYPERCALL_PAGE = 2;
        /// Virtual address where pseudo-physical address zero is mapped.
        ///
        /// `XEN_ELFNOTE_VIRT_BASE`, public/elfnote.h
        VIRT_BASE = 3;
        /// What to subtract from the ELF file's physical addresses.
        ///
        /// `XEN_ELFNOTE_PADDR_OFFSET`, public/elfnote.h
        PADDR_OFFSET = 4;
        /// Text: the version of the interface, "xen-3.0".
        ///
        /// `XEN_ELFNOTE_XEN_VERSION`, public/elfnote.h
        XEN_VERSION = 5;
        /// Text: the name of the operating system.
        ///
        /// `XEN_ELFNOTE_GUEST_OS`, public/elfnote.h
        GUEST_OS = 6;
        /// Text: its version.
        ///
        /// `XEN_ELFNOTE_GUEST_VERSION`, public/elfnote.h
        GUEST_VERSION = 7;
        /// Text: the kind of loader, "generic".
        ///
        /// `XEN_ELFNOTE_LOADER`, public/elfnote.h
        LOADER = 8;
        /// Text: whether a 32-bit kernel supports PAE.
        ///
        /// `XEN_ELFNOTE_PAE_MODE`, public/elfnote.h
        PAE_MODE = 9;
        /// Text: features, separated by `|`, a required one with `!` before its name.
        ///
        /// `XEN_ELFNOTE_FEATURES`, public/elfnote.h
        FEATURES = 10;
        /// Text: "yes" where the symbol table must be loaded.
        ///
        /// `XEN_ELFNOTE_BSD_SYMTAB`, public/elfnote.h
        BSD_SYMTAB = 11;
        /// The lowest virtual address that Xen's own area may start at.
        ///
        /// `XEN_ELFNOTE_HV_START_LOW`, public/elfnote.h
        HV_START_LOW = 12;
        /// Pairs of mask and value that tell page table entries with a valid frame.
        ///
        /// `XEN_ELFNOTE_L1_MFN_VALID`, public/elfnote.h
        L1_MFN_VALID = 13;
        /// One where the kernel copes with a cancelled suspend.
        ///
        /// `XEN_ELFNOTE_SUSPEND_CANCEL`, public/elfnote.h
        SUSPEND_CANCEL = 14;
        /// Virtual address where the initial physical-to-machine map shall be placed.
        ///
        /// `XEN_ELFNOTE_INIT_P2M`, public/elfnote.h
        INIT_P2M = 15;
        /// One where the kernel copes with modules that are not mapped.
        ///
        /// `XEN_ELFNOTE_MOD_START_PFN`, public/elfnote.h
        MOD_START_PFN = 16;
        /// A bit per supported [`Feature`](super::features::Feature).
        ///
        /// `XEN_ELFNOTE_SUPPORTED_FEATURES`, public/elfnote.h
        SUPPORTED_FEATURES = 17;
        /// Physical address of the 32-bit entry point of a PVH kernel.
        ///
        /// `XEN_ELFNOTE_PHYS32_ENTRY`, public/elfnote.h
        PHYS32_ENTRY = 18;
        /// A PVH kernel may be loaded elsewhere: up to three 32-bit numbers, the alignment, the lowest address of
        /// its start and the highest of its last byte.
        ///
        /// `XEN_ELFNOTE_PHYS32_RELOC`, public/elfnote.h (from Xen 4.19)
        PHYS32_RELOC = 19;
    }
}
