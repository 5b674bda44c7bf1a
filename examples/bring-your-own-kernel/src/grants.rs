//! 7. Grants: where the frames of the grant table are mapped. What other domains grant is not: no front-end needs it.

use core::ptr::NonNull;

use xen_grant_table::{GrantTable, Memory, TableFrame};
use xen_hypercall::abi::{DomId, Gfn, Mfn};
use xen_hypercall::grant_table::{self, Error};
use xen_hypercall::{Errno, Frame};

use crate::hypercall::{XEN, Xen};
use crate::memory::{self, Pages};

static GRANT_TABLE: GrantTable = GrantTable::new();
static TABLE: Pages<FRAMES> = Pages::new();

/// Frames of 512 grants each: more than the pages that there are to be granted.
const FRAMES: usize = 4;

// SAFETY: there is one table, whose frames are mapped for good, each at a page of its own that nothing else uses.
unsafe impl Memory for Xen {
    fn grant_table(&self) -> &GrantTable {
        &GRANT_TABLE
    }

    fn map_table_frame(&self, kind: TableFrame, index: u32) -> Result<NonNull<Frame>, Error> {
        let (index, mut frames) = (index as usize, [Gfn(0); FRAMES]);
        // Version 2 of the table, which alone has others, was not asked for.
        let room = if kind == TableFrame::Shared { frames.get_mut(..=index) } else { None }.ok_or(Errno::NOSPC)?;
        grant_table::setup_table(&XEN, DomId::SELF, room)?;
        let at = TABLE.page(index);
        // SAFETY: the page has no other use, and the crate keeps to the rules of the table.
        unsafe { memory::map(at, Some(Mfn(frames[index].0))) }?;
        Ok(at)
    }
}
