//! Page tables of a PV guest.
//!
//! Xen checks every change: a page is a table or writable, never both, and a frame is mapped only by a domain that
//! it belongs to, or was granted to. What Xen cannot check is Rust's side of it, which is why all of this is
//! `unsafe`.

use core::fmt;

use crate::abi::mmu::{ExtArg1, ExtArg2, ExtCommand, ExtOp, Update, UvmFlags};
use crate::abi::{DomId, Mfn, Number};
use crate::{Arg, Errno, Hypercall};

mod flush;

pub use flush::{
    VcpuMask, flush_cache, flush_cache_global, invlpg_all, invlpg_local, invlpg_multi, tlb_flush_all, tlb_flush_local,
    tlb_flush_multi,
};

/// Why a batch stopped, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub errno: Errno,
    /// How many of the first elements took effect nevertheless.
    pub done: usize,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the batch stopped after {} elements: {}", self.done, self.errno)
    }
}

impl core::error::Error for Stopped {}

/// Writes page-table entries, in order, up to the first that Xen refuses. Answers with how many it wrote.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame that is no table or an entry that Xen does not allow. Entries before it are written.
///
/// # Safety
///
/// Rust's references must stay valid: what they point to keeps its page, and the right to what they do.
///
/// Source: `__HYPERVISOR_mmu_update`, public/xen.h
pub unsafe fn update<H: Hypercall>(xen: &H, updates: &[Update]) -> Result<usize, Stopped> {
    let count = count(updates.len())?;
    let mut done = 0_u32;
    let arguments = [
        Arg::pointer(updates.as_ptr().cast_mut()),
        Arg::value(count as usize),
        Arg::pointer(&raw mut done),
        Arg::value(DomId::SELF.0.into()),
    ];
    // SAFETY: Xen reads `count` updates and writes `done`; the caller answers for their effect.
    let answer = Errno::check(unsafe { xen.call(Number::MMU_UPDATE, arguments) });
    finish(answer, done, updates.len())
}

/// Writes the page-table entry that maps `address`, in the tables in use.
///
/// # Errors
///
/// [`Errno::INVAL`] where no table covers the address, or for an entry that Xen does not allow.
///
/// # Safety
///
/// As for [`update`].
///
/// Source: `__HYPERVISOR_update_va_mapping`, public/xen.h
pub unsafe fn update_va_mapping<H: Hypercall>(
    xen: &H,
    address: usize,
    entry: u64,
    flags: UvmFlags,
) -> Result<(), Errno> {
    let arguments = [Arg::value(address), Arg::value(entry as usize), Arg::value(flags.bits() as usize)];
    // SAFETY: the call takes no pointer that Xen follows; the caller answers for its effect.
    Errno::check(unsafe { xen.call(Number::UPDATE_VA_MAPPING, arguments) }).map(drop)
}

/// As [`update_va_mapping`], for a page of another domain that the control domain maps.
///
/// # Errors
///
/// As there, and [`Errno::PERM`] for a domain whose memory is not this one's to map.
///
/// # Safety
///
/// As for [`update`]; and what is mapped may change at any time.
///
/// Source: `__HYPERVISOR_update_va_mapping_otherdomain`, public/xen.h
pub unsafe fn update_va_mapping_otherdomain<H: Hypercall>(
    xen: &H,
    address: usize,
    entry: u64,
    flags: UvmFlags,
    domain: DomId,
) -> Result<(), Errno> {
    let arguments = [
        Arg::value(address),
        Arg::value(entry as usize),
        Arg::value(flags.bits() as usize),
        Arg::value(domain.0.into()),
    ];
    // SAFETY: as above.
    Errno::check(unsafe { xen.call(Number::UPDATE_VA_MAPPING_OTHERDOMAIN, arguments) }).map(drop)
}

/// Carries out operations on tables and translations, in order, up to the first that Xen refuses. Answers with how
/// many it carried out.
///
/// # Errors
///
/// [`Errno::INVAL`] for an operation that Xen does not allow.
///
/// # Safety
///
/// As for [`update`]; pointers in the operations are valid for what Xen reads.
///
/// Source: `__HYPERVISOR_mmuext_op`, public/xen.h
pub unsafe fn extended<H: Hypercall>(xen: &H, operations: &[ExtOp]) -> Result<usize, Stopped> {
    let count = count(operations.len())?;
    let mut done = 0_u32;
    let arguments = [
        Arg::pointer(operations.as_ptr().cast_mut()),
        Arg::value(count as usize),
        Arg::pointer(&raw mut done),
        Arg::value(DomId::SELF.0.into()),
    ];
    // SAFETY: Xen reads `count` operations and writes `done`; the caller answers for their effect.
    let answer = Errno::check(unsafe { xen.call(Number::MMUEXT_OP, arguments) });
    finish(answer, done, operations.len())
}

/// Level of a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Maps pages.
    L1,
    /// Points to tables of level 1.
    L2,
    /// Points to tables of level 2.
    L3,
    /// The top.
    L4,
}

/// Has Xen check a table and all below it, and keep it as one until it is unpinned.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame that cannot be such a table.
///
/// # Safety
///
/// As for [`update`].
///
/// Source: `MMUEXT_PIN_L1_TABLE` to `MMUEXT_PIN_L4_TABLE`, public/xen.h
pub unsafe fn pin<H: Hypercall>(xen: &H, level: Level, table: Mfn) -> Result<(), Errno> {
    let command = match level {
        Level::L1 => ExtCommand::PIN_L1_TABLE,
        Level::L2 => ExtCommand::PIN_L2_TABLE,
        Level::L3 => ExtCommand::PIN_L3_TABLE,
        Level::L4 => ExtCommand::PIN_L4_TABLE,
    };
    let arg1 = ExtArg1 { mfn: table };
    // SAFETY: the operation takes no pointer; the caller answers for its effect.
    unsafe { one(xen, ExtOp { arg1, ..operation(command) }) }
}

/// Ends what [`pin`] began.
///
/// # Errors
///
/// [`Errno::INVAL`] for a table that is not pinned.
///
/// # Safety
///
/// As for [`update`].
///
/// Source: `MMUEXT_UNPIN_TABLE`, public/xen.h
pub unsafe fn unpin<H: Hypercall>(xen: &H, table: Mfn) -> Result<(), Errno> {
    let arg1 = ExtArg1 { mfn: table };
    // SAFETY: the operation takes no pointer; the caller answers for its effect.
    unsafe { one(xen, ExtOp { arg1, ..operation(ExtCommand::UNPIN_TABLE) }) }
}

/// Makes a table of level 4 the one in use.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame that cannot be such a table.
///
/// # Safety
///
/// As for [`update`].
///
/// Source: `MMUEXT_NEW_BASEPTR`, public/xen.h
pub unsafe fn new_baseptr<H: Hypercall>(xen: &H, table: Mfn) -> Result<(), Errno> {
    let arg1 = ExtArg1 { mfn: table };
    // SAFETY: the operation takes no pointer; the caller answers for its effect.
    unsafe { one(xen, ExtOp { arg1, ..operation(ExtCommand::NEW_BASEPTR) }) }
}

/// Names the table of level 4 that is in use while user code runs. 0 for none.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame that cannot be such a table.
///
/// # Safety
///
/// As for [`update`].
///
/// Source: `MMUEXT_NEW_USER_BASEPTR`, public/xen.h
pub unsafe fn new_user_baseptr<H: Hypercall>(xen: &H, table: Mfn) -> Result<(), Errno> {
    let arg1 = ExtArg1 { mfn: table };
    // SAFETY: the operation takes no pointer; the caller answers for its effect.
    unsafe { one(xen, ExtOp { arg1, ..operation(ExtCommand::NEW_USER_BASEPTR) }) }
}

/// Sets the local descriptor table: `entries` of eight bytes at the page-aligned `address`. 0 entries for none.
///
/// # Errors
///
/// [`Errno::INVAL`] for an address or number that Xen does not take.
///
/// # Safety
///
/// The descriptors must be valid, and their pages read-only, for as long as the table is set.
///
/// Source: `MMUEXT_SET_LDT`, public/xen.h
pub unsafe fn set_ldt<H: Hypercall>(xen: &H, address: usize, entries: u32) -> Result<(), Errno> {
    let arg1 = ExtArg1 { linear_addr: address as u64 };
    let arg2 = ExtArg2 { nr_ents: entries };
    // SAFETY: the caller's promise.
    unsafe { one(xen, ExtOp { arg1, arg2, ..operation(ExtCommand::SET_LDT) }) }
}

/// Fills a page with zeros, wherever it is mapped.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame that is not the guest's, or not writable.
///
/// # Safety
///
/// Nothing else uses the page.
///
/// Source: `MMUEXT_CLEAR_PAGE`, public/xen.h
pub unsafe fn clear_page<H: Hypercall>(xen: &H, page: Mfn) -> Result<(), Errno> {
    let arg1 = ExtArg1 { mfn: page };
    // SAFETY: the operation takes no pointer; the caller answers for its effect.
    unsafe { one(xen, ExtOp { arg1, ..operation(ExtCommand::CLEAR_PAGE) }) }
}

/// Copies a page onto another, wherever they are mapped.
///
/// # Errors
///
/// [`Errno::INVAL`] for a frame that is not the guest's, or not writable.
///
/// # Safety
///
/// Nothing else uses the page that is written.
///
/// Source: `MMUEXT_COPY_PAGE`, public/xen.h
pub unsafe fn copy_page<H: Hypercall>(xen: &H, from: Mfn, to: Mfn) -> Result<(), Errno> {
    let arg1 = ExtArg1 { mfn: to };
    let arg2 = ExtArg2 { src_mfn: from };
    // SAFETY: the caller's promise.
    unsafe { one(xen, ExtOp { arg1, arg2, ..operation(ExtCommand::COPY_PAGE) }) }
}

/// Xen counts the elements of a batch in 32 bits.
fn count(elements: usize) -> Result<u32, Stopped> {
    u32::try_from(elements).map_err(|_| Stopped { errno: Errno::INVAL, done: 0 })
}

fn finish(answer: Result<usize, Errno>, done: u32, elements: usize) -> Result<usize, Stopped> {
    let done = elements.min(done as usize);
    answer.map(|_| done).map_err(|errno| Stopped { errno, done })
}

const fn operation(command: ExtCommand) -> ExtOp {
    ExtOp { cmd: command, _pad: 0, arg1: ExtArg1 { linear_addr: 0 }, arg2: ExtArg2 { src_mfn: Mfn(0) } }
}

/// # Safety
///
/// As for [`extended`].
unsafe fn one<H: Hypercall>(xen: &H, operation: ExtOp) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { extended(xen, &[operation]) }.map(drop).map_err(|stopped| stopped.errno)
}
