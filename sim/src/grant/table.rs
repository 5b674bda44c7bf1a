//! The size, the version and the frames of a table.

use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{EntryV2, GrantRef, NR_RESERVED_ENTRIES, Status};

use super::Table;
use super::entry::Header;
use crate::memory::{Entry, Memory};
use crate::state::State;

impl Table {
    /// The frames of entries, as many as there are.
    pub(crate) fn frames(&self) -> &[Entry] {
        &self.shared
    }

    /// The frames of status words; none in version 1.
    pub(crate) fn status_frames(&self) -> &[Entry] {
        &self.status
    }

    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    /// Looks the frames' numbers up again.
    pub(crate) fn refresh(&mut self, memory: &Memory) {
        self.shared.iter_mut().chain(&mut self.status).for_each(|frame| memory.refresh(frame));
    }

    /// How many frames of status words so many frames of entries need.
    const fn status_for(frames: usize) -> usize {
        let entries = frames * (PAGE_SIZE / size_of::<EntryV2>());
        (entries * size_of::<u16>()).div_ceil(PAGE_SIZE)
    }
}

impl State {
    /// Makes a table at least so long.
    pub(crate) fn grow_table(&mut self, domain: DomId, frames: u32) -> Result<(), Status> {
        if frames > self.dom(domain).table.max_frames {
            return Err(Status::GENERAL_ERROR);
        }
        while self.dom(domain).table.shared.len() < frames as usize {
            let page = self.memory.xen_page(domain);
            self.dom_mut(domain).table.shared.push(page);
        }
        self.grow_status(domain);
        Ok(())
    }

    fn grow_status(&mut self, domain: DomId) {
        let table = &self.dom(domain).table;
        let wanted = if table.is_v2() { Table::status_for(table.shared.len()) } else { 0 };
        while self.dom(domain).table.status.len() < wanted {
            let page = self.memory.xen_page(domain);
            self.dom_mut(domain).table.status.push(page);
        }
    }

    /// Changes the form of the entries. Those that the tools have filled keep their meaning, the others are cleared.
    pub(crate) fn set_table_version(&mut self, domain: DomId, version: u32) -> Result<(), Errno> {
        if !(1..=2).contains(&version) {
            return Err(Errno::INVAL);
        }
        let table = &self.dom(domain).table;
        if table.version == version {
            return Ok(());
        }
        if !table.active.is_empty() {
            return Err(Errno::BUSY);
        }
        let reserved = self.reserved_entries(domain);
        let table = &mut self.dom_mut(domain).table;
        table.version = version;
        for frame in table.shared.iter().chain(&table.status) {
            frame.page.write(0, &[0; PAGE_SIZE]);
        }
        self.grow_status(domain);
        self.restore_reserved(domain, &reserved);
        Ok(())
    }

    /// Exchanges two entries, neither of which is in use.
    pub(crate) fn swap_entries(&self, domain: DomId, a: GrantRef, b: GrantRef) -> Result<(), Status> {
        let table = &self.dom(domain).table;
        if a.0.max(b.0) as usize >= table.len() {
            return Err(Status::BAD_GNTREF);
        }
        if table.active.contains_key(&a) || table.active.contains_key(&b) {
            return Err(Status::EAGAIN);
        }
        table.swap(a, b).ok_or(Status::BAD_GNTREF)
    }

    fn reserved_entries(&self, domain: DomId) -> Vec<(GrantRef, Header, u64)> {
        let table = &self.dom(domain).table;
        let read = |gref| Some((gref, table.header(gref)?, table.frame(gref)?.0));
        (0..NR_RESERVED_ENTRIES).map(GrantRef).filter_map(read).collect()
    }

    fn restore_reserved(&self, domain: DomId, entries: &[(GrantRef, Header, u64)]) {
        let table = &self.dom(domain).table;
        for (gref, header, frame) in entries {
            table.put_frame(*gref, *frame);
            table.put_header(*gref, *header);
        }
    }

    /// Back to what a new domain has.
    pub(crate) fn reset_table(&mut self, domain: DomId) {
        let table = &mut self.dom_mut(domain).table;
        table.version = 1;
        table.active.clear();
        for frame in table.shared.iter().chain(&table.status) {
            frame.page.write(0, &[0; PAGE_SIZE]);
        }
        table.status.clear();
        table.shared.truncate(1);
    }
}
