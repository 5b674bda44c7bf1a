//! Page tables of PV guests, which only Xen may write.

use super::Mfn;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One change of a page table or of the machine-to-physical table.
///
/// `struct mmu_update`, public/xen.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Update {
    /// Machine address of what changes, with an [`UpdateKind`] in its two lowest bits.
    pub ptr: u64,
    /// The new content.
    pub val: u64,
}

impl Update {
    /// The update of `kind` at machine address `target`, whose two lowest bits are ignored.
    #[must_use]
    pub const fn new(kind: UpdateKind, target: u64, val: u64) -> Self {
        Self { ptr: target & !3 | kind.0, val }
    }
}

constants! {
    /// What an [`Update`] changes.
    ///
    /// `MMU_*`, public/xen.h
    pub struct UpdateKind: u64 {
        /// Writes a page table entry, after checking it.
        ///
        /// `MMU_NORMAL_PT_UPDATE`, public/xen.h
        NORMAL_PT_UPDATE = 0;
        /// Writes the machine-to-physical entry of the frame that the address lies in.
        ///
        /// `MMU_MACHPHYS_UPDATE`, public/xen.h
        MACHPHYS_UPDATE = 1;
        /// As a normal update, but keeps the accessed and dirty bits that the processor set meanwhile.
        ///
        /// `MMU_PT_UPDATE_PRESERVE_AD`, public/xen.h
        PT_UPDATE_PRESERVE_AD = 2;
        /// As a normal update, but never translates the new entry's frame.
        ///
        /// `MMU_PT_UPDATE_NO_TRANSLATE`, public/xen.h
        PT_UPDATE_NO_TRANSLATE = 3;
    }
}

/// One extended operation on the memory management unit.
///
/// `struct mmuext_op`, public/xen.h
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ExtOp {
    /// The operation.
    pub cmd: ExtCommand,
    /// Padding before 64-bit operands.
    pub _pad: u32,
    /// The first operand.
    pub arg1: ExtArg1,
    /// The second operand.
    pub arg2: ExtArg2,
}

/// First operand of an [`ExtOp`].
///
/// `struct mmuext_op.arg1`, public/xen.h
#[derive(Clone, Copy)]
#[repr(C)]
pub union ExtArg1 {
    /// The frame that is pinned, installed, cleared or copied to.
    pub mfn: Mfn,
    /// The address that is flushed, or where the local descriptor table starts.
    pub linear_addr: u64,
}

/// Second operand of an [`ExtOp`].
///
/// `struct mmuext_op.arg2`, public/xen.h
#[derive(Clone, Copy)]
#[repr(C)]
pub union ExtArg2 {
    /// Number of entries of the local descriptor table.
    pub nr_ents: u32,
    /// Bitmap of the vCPUs whose translations are flushed.
    pub vcpumask: *const u8,
    /// The frame that is copied from.
    pub src_mfn: Mfn,
}

constants! {
    /// What an [`ExtOp`] does.
    ///
    /// `MMUEXT_*`, public/xen.h
    pub struct ExtCommand: u32 {
        /// Declares a frame a page table of level 1.
        ///
        /// `MMUEXT_PIN_L1_TABLE`, public/xen.h
        PIN_L1_TABLE = 0;
        /// Declares a frame a page table of level 2.
        ///
        /// `MMUEXT_PIN_L2_TABLE`, public/xen.h
        PIN_L2_TABLE = 1;
        /// Declares a frame a page table of level 3.
        ///
        /// `MMUEXT_PIN_L3_TABLE`, public/xen.h
        PIN_L3_TABLE = 2;
        /// Declares a frame a page table of level 4.
        ///
        /// `MMUEXT_PIN_L4_TABLE`, public/xen.h
        PIN_L4_TABLE = 3;
        /// Takes the declaration back.
        ///
        /// `MMUEXT_UNPIN_TABLE`, public/xen.h
        UNPIN_TABLE = 4;
        /// Installs the kernel's top-level page table.
        ///
        /// `MMUEXT_NEW_BASEPTR`, public/xen.h
        NEW_BASEPTR = 5;
        /// Flushes all translations of this vCPU.
        ///
        /// `MMUEXT_TLB_FLUSH_LOCAL`, public/xen.h
        TLB_FLUSH_LOCAL = 6;
        /// Flushes the translation of one address on this vCPU.
        ///
        /// `MMUEXT_INVLPG_LOCAL`, public/xen.h
        INVLPG_LOCAL = 7;
        /// Flushes all translations of the vCPUs in a bitmap.
        ///
        /// `MMUEXT_TLB_FLUSH_MULTI`, public/xen.h
        TLB_FLUSH_MULTI = 8;
        /// Flushes the translation of one address on the vCPUs in a bitmap.
        ///
        /// `MMUEXT_INVLPG_MULTI`, public/xen.h
        INVLPG_MULTI = 9;
        /// Flushes all translations of all vCPUs.
        ///
        /// `MMUEXT_TLB_FLUSH_ALL`, public/xen.h
        TLB_FLUSH_ALL = 10;
        /// Flushes the translation of one address on all vCPUs.
        ///
        /// `MMUEXT_INVLPG_ALL`, public/xen.h
        INVLPG_ALL = 11;
        /// Writes back and flushes this processor's caches.
        ///
        /// `MMUEXT_FLUSH_CACHE`, public/xen.h
        FLUSH_CACHE = 12;
        /// Installs a local descriptor table.
        ///
        /// `MMUEXT_SET_LDT`, public/xen.h
        SET_LDT = 13;
        /// Installs the top-level page table of user mode.
        ///
        /// `MMUEXT_NEW_USER_BASEPTR`, public/xen.h
        NEW_USER_BASEPTR = 15;
        /// Fills a frame with zeros.
        ///
        /// `MMUEXT_CLEAR_PAGE`, public/xen.h
        CLEAR_PAGE = 16;
        /// Copies a frame.
        ///
        /// `MMUEXT_COPY_PAGE`, public/xen.h
        COPY_PAGE = 17;
        /// Writes back and flushes the caches of all processors.
        ///
        /// `MMUEXT_FLUSH_CACHE_GLOBAL`, public/xen.h
        FLUSH_CACHE_GLOBAL = 18;
        /// Declares a frame the first of a large page.
        ///
        /// `MMUEXT_MARK_SUPER`, public/xen.h
        MARK_SUPER = 19;
        /// Takes the declaration of a large page back.
        ///
        /// `MMUEXT_UNMARK_SUPER`, public/xen.h
        UNMARK_SUPER = 20;
    }
}

flags! {
    /// Which translations `update_va_mapping` flushes.
    ///
    /// With [`MULTI`](Self::MULTI), the address of a bitmap of vCPUs is added to the word.
    ///
    /// `UVMF_*`, public/xen.h
    pub struct UvmFlags: u64 {
        /// Nothing is flushed.
        ///
        /// `UVMF_NONE`, public/xen.h
        NONE = 0;
        /// All translations are flushed.
        ///
        /// `UVMF_TLB_FLUSH`, public/xen.h
        TLB_FLUSH = 1 << 0;
        /// The one translation that changes is flushed.
        ///
        /// `UVMF_INVLPG`, public/xen.h
        INVLPG = 1 << 1;
        /// The bits that say what is flushed.
        ///
        /// `UVMF_FLUSHTYPE_MASK`, public/xen.h
        FLUSHTYPE_MASK = 3;
        /// On the vCPUs of a bitmap.
        ///
        /// `UVMF_MULTI`, public/xen.h
        MULTI = 0;
        /// On this vCPU only.
        ///
        /// `UVMF_LOCAL`, public/xen.h
        LOCAL = 0;
        /// On all vCPUs.
        ///
        /// `UVMF_ALL`, public/xen.h
        ALL = 1 << 2;
    }
}

const_assert_eq!(size_of::<Update>(), 16);
const_assert_eq!(size_of::<ExtOp>(), 24);
