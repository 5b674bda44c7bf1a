//! Pages of the guest's own memory, as the crates above this one ask a kernel for them.

use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use crate::Hypercall;
use crate::abi::Gfn;
use crate::abi::frame::PAGE_SIZE;

/// One page of memory, as Xen counts pages. Only ever used behind a pointer: what is in it may be another domain's
/// to change.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Frame(UnsafeCell<[u8; PAGE_SIZE]>);

const _: () = assert!(size_of::<Frame>() == PAGE_SIZE && align_of::<Frame>() == PAGE_SIZE);

/// A kernel's page allocator, and its knowledge of what Xen calls each page.
///
/// # Implementation safety
///
/// * All values of a type that names one grant table, and all clones of a value, are handles for the same domain with the same
///   allocator: a zero-sized type in a kernel, an `Arc` in a simulator. So are values of different types that name one grant
///   table; a page that one of them gave may come back by another.
/// * Pages from [`alloc`](Self::alloc) are zeroed, mapped readable and writable, adjacent in the given order, and
///   nobody else's until [`dealloc`](Self::dealloc) gets them back. Those of one call are one allocation, as Rust has it: the
///   pointer has provenance for all of them.
/// * [`alloc`](Self::alloc), [`gfn`](Self::gfn) and [`Hypercall::call`] are about the same domain.
/// * [`gfn`](Self::gfn) tells the page that is mapped at that address, and no other one. (What it tells may differ after
///   a suspend.)
pub unsafe trait Pages: Hypercall {
    /// `count` adjacent pages, zeroed; answers with the first. `None` when there are not so many.
    fn alloc(&self, count: NonZeroUsize) -> Option<NonNull<Frame>>;

    /// Takes one page back. Pages that were allocated together may come back one at a time and in any order.
    ///
    /// # Safety
    ///
    /// The page is one that [`alloc`](Self::alloc) gave and has not got back, nothing uses it any more, and no other domain
    /// can reach it.
    unsafe fn dealloc(&self, page: NonNull<Frame>);

    /// What Xen calls a page that [`alloc`](Self::alloc) gave: its machine frame in PV, its guest frame elsewhere.
    fn gfn(&self, page: NonNull<Frame>) -> Gfn;
}
