//! What a kernel supplies so that its pages can be granted, and those of others mapped.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::grant_table::Error;
use xen_hypercall::{Frame, Pages};

use crate::GrantTable;

/// Which of the grant table's two kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFrame {
    /// Entries.
    Shared,
    /// The status words that version 2 keeps apart from its entries.
    Status,
}

/// A kernel's memory, as far as grants need it.
///
/// # Implementation safety
///
/// * [`grant_table`](Self::grant_table) is always the same table, at the same address, and that of the domain that
///   [`Hypercall`] calls for. Nothing else changes the entries from [`NR_RESERVED_ENTRIES`] on, or the table's version.
/// * A frame of the table from [`map_table_frame`](Self::map_table_frame) is mapped readable and writable for as long as the
///   domain lives, and reached by nobody else but Xen.
/// * Addresses from [`reserve_foreign`](Self::reserve_foreign) are adjacent, backed by nothing, and nobody else's until they are
///   released; what Xen maps at [`host_address`](Self::host_address) of one is reached at [`mapped`](Self::mapped) of it.
///
/// [`Hypercall`]: xen_hypercall::Hypercall
/// [`NR_RESERVED_ENTRIES`]: xen_hypercall::abi::grant_table::NR_RESERVED_ENTRIES
pub unsafe trait Memory: Pages {
    /// The domain's grant table.
    fn grant_table(&self) -> &GrantTable;

    /// Makes frame `index` of the domain's own grant table reachable, growing the table where it is not so long yet.
    /// Asked once for each frame, in order, and again after a resume; a status frame after the shared frames that it belongs to.
    ///
    /// # Errors
    ///
    /// Xen's refusal: the table is as long as it may become, or Xen has no memory.
    fn map_table_frame(&self, kind: TableFrame, index: u32) -> Result<NonNull<Frame>, Error>;

    /// Sets `count` adjacent page addresses aside, at which foreign pages can be mapped; answers with the first. `None` when
    /// there are not so many, or the kernel maps no foreign pages at all.
    fn reserve_foreign(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        let _ = count;
        None
    }

    /// Gives one page address back. Those that were reserved together may come back one at a time and in any order.
    ///
    /// # Safety
    ///
    /// [`reserve_foreign`](Self::reserve_foreign) gave it, it was not given back, and nothing is mapped there.
    unsafe fn release_foreign(&self, at: NonNull<Frame>) {
        let _ = at;
    }

    /// What `GNTTABOP_map_grant_ref` takes for a reserved address: the address itself in PV, the guest's physical one elsewhere.
    fn host_address(&self, at: NonNull<Frame>) -> u64 {
        at.addr().get() as u64
    }

    /// Where a page that Xen mapped at a reserved address is reached. In a kernel that is the address; a simulator, which has
    /// no page tables, answers with the page. Adjacent addresses must lead to adjacent pages to be used as one mapping.
    fn mapped(&self, at: NonNull<Frame>) -> NonNull<Frame> {
        at
    }
}
