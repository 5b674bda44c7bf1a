//! Copying between pages.

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{Copy, CopyFlags, CopyPtr, GrantFlags, GrantRef, Status};
use xen_hypercall::abi::{DomId, Gfn};

use super::Purpose;
use crate::memory::{Page, Use};
use crate::state::{State, Writing};

/// One end of a copy that is ready for it, and what to undo afterwards.
struct End {
    page: Page,
    pinned: Vec<(DomId, GrantRef)>,
}

impl State {
    pub(crate) fn copy(&mut self, user: DomId, operation: &Copy) -> Result<(), Status> {
        let Copy { source, dest, len, flags, .. } = *operation;
        if [source.offset, dest.offset].iter().any(|offset| usize::from(*offset) + usize::from(len) > PAGE_SIZE) {
            return Err(Status::BAD_COPY_ARG);
        }
        let from = self.end(user, &source, flags & CopyFlags::SOURCE_GREF, Writing::No, len)?;
        let to = self.end(user, &dest, flags & CopyFlags::DEST_GREF, Writing::Yes, len);
        let copied = to.map(|to| {
            let mut bytes = vec![0; usize::from(len)];
            from.page.read(usize::from(source.offset), &mut bytes);
            to.page.write(usize::from(dest.offset), &bytes);
            self.release(to, Writing::Yes);
        });
        self.release(from, Writing::No);
        copied
    }

    /// One end of a copy: a grant where its flag is there, a frame of the caller's own otherwise.
    fn end(&mut self, user: DomId, at: &CopyPtr, flag: CopyFlags, writing: Writing, len: u16) -> Result<End, Status> {
        let owner = self.resolve(user, at.domid).map_err(|_| Status::BAD_DOMAIN)?;
        if !flag.is_empty() {
            let gref = GrantRef(at.u as u32);
            return self.granted_end(user, owner, gref, writing, (at.offset, len), 0);
        }
        if owner != user {
            return Err(Status::PERMISSION_DENIED);
        }
        let entry = self.memory.find(Gfn(at.u)).filter(|entry| entry.owner == user).ok_or(Status::BAD_PAGE)?;
        match entry.usage {
            Use::Allocated => Ok(End { page: entry.page, pinned: Vec::new() }),
            _ => Err(Status::BAD_PAGE),
        }
    }

    /// A granted page, maybe by way of one other domain.
    fn granted_end(
        &mut self,
        user: DomId,
        granter: DomId,
        gref: GrantRef,
        writing: Writing,
        range: (u16, u16),
        depth: usize,
    ) -> Result<End, Status> {
        let table = &self.dom(granter).table;
        let header = table.header(gref).ok_or(Status::BAD_GNTREF)?;
        if header.kind() == GrantFlags::TRANSITIVE && table.is_v2() {
            if depth > 0 || header.domid != user {
                return Err(Status::GENERAL_ERROR);
            }
            let (owner, gref) = table.transitive(gref).ok_or(Status::BAD_GNTREF)?;
            let owner = self.resolve(granter, owner).map_err(|_| Status::BAD_DOMAIN)?;
            return self.granted_end(granter, owner, gref, writing, range, depth + 1);
        }
        if table.is_v2() && header.flags.contains(GrantFlags::SUB_PAGE) && !table.covers(gref, range) {
            return Err(Status::GENERAL_ERROR);
        }
        let (_, page) = self.pin(granter, gref, user, writing, Purpose::Copy)?;
        Ok(End { page, pinned: vec![(granter, gref)] })
    }

    fn release(&mut self, end: End, writing: Writing) {
        for (granter, gref) in end.pinned {
            self.unpin(granter, gref, writing);
        }
    }
}

impl super::Table {
    /// Whether a grant for a part of a page is for these bytes.
    fn covers(&self, gref: GrantRef, (offset, len): (u16, u16)) -> bool {
        self.part(gref).is_some_and(|(from, length)| {
            let (end, last) = (u32::from(from) + u32::from(length), u32::from(offset) + u32::from(len));
            offset >= from && last <= end
        })
    }
}
