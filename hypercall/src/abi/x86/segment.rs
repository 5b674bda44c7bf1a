//! Segment selectors and bases of PV guests.

constants! {
    /// Which base `set_segment_base` sets.
    ///
    /// `SEGBASE_*`, public/arch-x86/xen-x86_64.h
    pub struct Base: u32 {
        /// That of FS.
        ///
        /// `SEGBASE_FS`, public/arch-x86/xen-x86_64.h
        FS = 0;
        /// That of GS in user mode.
        ///
        /// `SEGBASE_GS_USER`, public/arch-x86/xen-x86_64.h
        GS_USER = 1;
        /// That of GS in the kernel.
        ///
        /// `SEGBASE_GS_KERNEL`, public/arch-x86/xen-x86_64.h
        GS_KERNEL = 2;
        /// That of GS in user mode, by a selector.
        ///
        /// `SEGBASE_GS_USER_SEL`, public/arch-x86/xen-x86_64.h
        GS_USER_SEL = 3;
    }
}

/// `FLAT_RING3_CS32`, public/arch-x86/xen-x86_64.h
pub const FLAT_RING3_CS32: u16 = 0xe023;

/// `FLAT_RING3_CS64`, public/arch-x86/xen-x86_64.h
pub const FLAT_RING3_CS64: u16 = 0xe033;

/// `FLAT_RING3_DS32`, public/arch-x86/xen-x86_64.h
pub const FLAT_RING3_DS32: u16 = 0xe02b;

/// `FLAT_RING3_DS64`, public/arch-x86/xen-x86_64.h
pub const FLAT_RING3_DS64: u16 = 0;

/// `FLAT_RING3_SS32`, public/arch-x86/xen-x86_64.h
pub const FLAT_RING3_SS32: u16 = 0xe02b;

/// `FLAT_RING3_SS64`, public/arch-x86/xen-x86_64.h
pub const FLAT_RING3_SS64: u16 = 0xe02b;

/// Code of the 64-bit kernel.
///
/// `FLAT_KERNEL_CS`, public/arch-x86/xen-x86_64.h
pub const FLAT_KERNEL_CS: u16 = 0xe033;

/// Data of the 64-bit kernel.
///
/// `FLAT_KERNEL_DS`, public/arch-x86/xen-x86_64.h
pub const FLAT_KERNEL_DS: u16 = 0;

/// Stack of the 64-bit kernel.
///
/// `FLAT_KERNEL_SS`, public/arch-x86/xen-x86_64.h
pub const FLAT_KERNEL_SS: u16 = 0xe02b;

/// Code of 64-bit user mode.
///
/// `FLAT_USER_CS`, public/arch-x86/xen-x86_64.h
pub const FLAT_USER_CS: u16 = 0xe033;

/// Data of 64-bit user mode.
///
/// `FLAT_USER_DS`, public/arch-x86/xen-x86_64.h
pub const FLAT_USER_DS: u16 = 0;

/// Stack of 64-bit user mode.
///
/// `FLAT_USER_SS`, public/arch-x86/xen-x86_64.h
pub const FLAT_USER_SS: u16 = 0xe02b;

/// The first page of the global descriptor table that belongs to Xen.
///
/// `FIRST_RESERVED_GDT_PAGE`, public/arch-x86/xen.h
pub const FIRST_RESERVED_GDT_PAGE: usize = 14;

/// Its offset in the table, in bytes.
///
/// `FIRST_RESERVED_GDT_BYTE`, public/arch-x86/xen.h
pub const FIRST_RESERVED_GDT_BYTE: usize = FIRST_RESERVED_GDT_PAGE * 4096;

/// Its first entry's number.
///
/// `FIRST_RESERVED_GDT_ENTRY`, public/arch-x86/xen.h
pub const FIRST_RESERVED_GDT_ENTRY: usize = FIRST_RESERVED_GDT_BYTE / 8;
