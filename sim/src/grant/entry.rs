//! Entries of a grant table as the guest writes them, in both versions.

use std::sync::atomic::AtomicU16;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{EntryV1, EntryV2, GrantFlags, GrantRef};
use xen_hypercall::abi::{DomId, Gfn};

use super::Table;
use crate::memory::Page;
use crate::order;

/// An entry that gives leave, as it stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) gref: GrantRef,
    pub(crate) to: DomId,
    pub(crate) flags: GrantFlags,
    pub(crate) gfn: Gfn,
}

/// What an entry starts with: flags, and who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flags: GrantFlags,
    pub(super) domid: DomId,
}

impl Header {
    pub(super) fn kind(self) -> GrantFlags {
        self.flags & GrantFlags::TYPE_MASK
    }
}

const V1: usize = size_of::<EntryV1>();
const V2: usize = size_of::<EntryV2>();

impl Table {
    pub(super) const fn is_v2(&self) -> bool {
        self.version == 2
    }

    const fn entry_size(&self) -> usize {
        if self.is_v2() { V2 } else { V1 }
    }

    /// How many entries there are.
    pub(super) const fn len(&self) -> usize {
        self.shared.len() * (PAGE_SIZE / self.entry_size())
    }

    fn place(&self, gref: GrantRef) -> Option<(&Page, usize)> {
        let each = PAGE_SIZE / self.entry_size();
        let frame = self.shared.get(gref.0 as usize / each)?;
        Some((&frame.page, gref.0 as usize % each * self.entry_size()))
    }

    /// Flags and domain of an entry. The flags come first: what they say is published with them.
    pub(super) fn header(&self, gref: GrantRef) -> Option<Header> {
        let flags = GrantFlags::from_bits_retain(order::look16(self.flags(gref)?));
        Some(Header { flags, domid: self.domid(gref)? })
    }

    pub(super) fn flags(&self, gref: GrantRef) -> Option<&AtomicU16> {
        let (page, offset) = self.place(gref)?;
        Some(page.u16(offset))
    }

    pub(super) fn domid(&self, gref: GrantRef) -> Option<DomId> {
        let (page, offset) = self.place(gref)?;
        Some(DomId(order::look16(page.u16(offset + 2))))
    }

    /// Writes what an entry starts with.
    pub(super) fn put_header(&self, gref: GrantRef, header: Header) {
        let Some((page, offset)) = self.place(gref) else { return };
        page.u16(offset + 2).store(header.domid.0, order::BYTES);
        order::set16(page.u16(offset), header.flags.bits());
    }

    /// The status word of an entry in version 2.
    pub(super) fn status_word(&self, gref: GrantRef) -> Option<&AtomicU16> {
        const EACH: usize = PAGE_SIZE / size_of::<u16>();
        let frame = self.status.get(gref.0 as usize / EACH)?;
        Some(frame.page.u16(gref.0 as usize % EACH * size_of::<u16>()))
    }

    /// The frame that an entry names.
    pub(super) fn frame(&self, gref: GrantRef) -> Option<Gfn> {
        let (page, offset) = self.place(gref)?;
        Some(Gfn(if self.is_v2() {
            page.u64(offset + 8).load(order::BYTES)
        } else {
            u64::from(page.u32(offset + 4).load(order::BYTES))
        }))
    }

    /// Writes the frame of an entry.
    pub(super) fn put_frame(&self, gref: GrantRef, frame: u64) {
        let Some((page, offset)) = self.place(gref) else { return };
        if self.is_v2() {
            page.u64(offset + 8).store(frame, order::BYTES);
        } else {
            page.u32(offset + 4).store(frame as u32, order::BYTES);
        }
    }

    /// Offset and length of a grant for a part of a page.
    pub(super) fn part(&self, gref: GrantRef) -> Option<(u16, u16)> {
        let (page, offset) = self.place(gref)?;
        Some((page.u16(offset + 4).load(order::BYTES), page.u16(offset + 6).load(order::BYTES)))
    }

    /// The entry that a transitive one leads to.
    pub(super) fn transitive(&self, gref: GrantRef) -> Option<(DomId, GrantRef)> {
        let (page, offset) = self.place(gref)?;
        let domain = DomId(page.u16(offset + 4).load(order::BYTES));
        Some((domain, GrantRef(page.u32(offset + 8).load(order::BYTES))))
    }

    /// The entries that give somebody leave to use a page.
    pub(crate) fn live(&self) -> impl Iterator<Item = Live> + '_ {
        (0..self.len() as u32).map(GrantRef).filter_map(|gref| self.live_at(gref))
    }

    fn live_at(&self, gref: GrantRef) -> Option<Live> {
        let flags = GrantFlags::from_bits_retain(order::look16(self.flags(gref)?));
        if flags & GrantFlags::TYPE_MASK != GrantFlags::PERMIT_ACCESS {
            return None;
        }
        Some(Live { gref, to: self.domid(gref)?, flags, gfn: self.frame(gref)? })
    }

    /// Exchanges two entries as they stand.
    pub(super) fn swap(&self, a: GrantRef, b: GrantRef) -> Option<()> {
        let ((page_a, at_a), (page_b, at_b)) = (self.place(a)?, self.place(b)?);
        let (mut old_a, mut old_b) = ([0; V2], [0; V2]);
        let size = self.entry_size();
        page_a.read(at_a, &mut old_a[..size]);
        page_b.read(at_b, &mut old_b[..size]);
        page_a.write(at_a, &old_b[..size]);
        page_b.write(at_b, &old_a[..size]);
        Some(())
    }
}
