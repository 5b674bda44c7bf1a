//! The front's pages, mapped.

use xen_grant_table::Mapping;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::{GrantRef, Handle, MapFlags, MapGrantRef, Status, UnmapGrantRef};
use xen_hypercall::grant_table;

use crate::Domain;
use crate::memory::Page;
use crate::oracle::Access;

/// A page of the front's that is mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) gref: GrantRef,
    pub(crate) page: Page,
    address: u64,
    handle: Handle,
}

/// Addresses for the front's pages, and how pages get there. The lists are kept, so that no request allocates.
pub(crate) struct Window {
    domain: Domain,
    front: DomId,
    free: Vec<u64>,
    /// Where `maps` map: Xen may have overwritten what it was given.
    addresses: Vec<u64>,
    maps: Vec<MapGrantRef>,
    unmaps: Vec<UnmapGrantRef>,
    pub(crate) mapped: u64,
    pub(crate) unmapped: u64,
}

/// How often a page is tried that is away for the moment.
const TRIES: usize = 256;

impl Window {
    pub(crate) fn new(domain: Domain, front: DomId) -> Self {
        let (free, addresses, maps, unmaps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { domain, front, free, addresses, maps, unmaps, mapped: 0, unmapped: 0 }
    }

    /// Maps pages, all or none, and adds them to `into`.
    pub(crate) fn map(&mut self, grefs: &[GrantRef], access: Access, into: &mut Vec<Mapped>) -> Result<(), Status> {
        if grefs.is_empty() {
            return Ok(());
        }
        let (first, mut result) = (into.len(), Ok(()));
        self.map_all(grefs, access);
        let state = self.domain.machine().lock();
        for ((operation, address), gref) in self.maps.iter().zip(&self.addresses).zip(grefs) {
            let (MapGrantRef { handle, status, .. }, gref, address) = (*operation, *gref, *address);
            match state.dom(self.domain.id()).mappings.at(address).map(|mapping| mapping.page) {
                Some(page) if status == Status::OKAY => into.push(Mapped { gref, page, address, handle }),
                _ => {
                    self.free.push(address);
                    result = result.and(Err(status));
                }
            }
        }
        drop(state);
        self.mapped += (into.len() - first) as u64;
        if result.is_err() {
            let mut rest = into.split_off(first);
            self.unmap(&mut rest);
        }
        result
    }

    fn map_all(&mut self, grefs: &[GrantRef], access: Access) {
        let mut flags = MapFlags::HOST_MAP;
        flags.set(MapFlags::READONLY, access == Access::ReadOnly);
        self.maps.clear();
        self.addresses.clear();
        for gref in grefs {
            let host_addr = self.address();
            self.addresses.push(host_addr);
            self.maps.push(MapGrantRef { host_addr, flags, gref: *gref, dom: self.front, ..MapGrantRef::default() });
        }
        // SAFETY: addresses that are set aside for this; what is there is reached through atomics only.
        let called = unsafe { grant_table::map(&self.domain, &mut self.maps) };
        if called.is_ok() {
            self.retry(grefs, flags);
        }
    }

    /// Tries again what was away.
    fn retry(&mut self, grefs: &[GrantRef], flags: MapFlags) {
        let places = self.maps.iter_mut().zip(&self.addresses).zip(grefs);
        for ((operation, host_addr), gref) in places {
            let mut left = TRIES;
            while operation.status == Status::EAGAIN && left > 0 {
                left -= 1;
                let (host_addr, gref, dom) = (*host_addr, *gref, self.front);
                *operation = MapGrantRef { host_addr, flags, gref, dom, ..MapGrantRef::default() };
                // SAFETY: as in `map_all`. What the call says is in the status as well.
                let _ = unsafe { grant_table::map(&self.domain, std::slice::from_mut(operation)) };
            }
        }
    }

    /// Unmaps pages, and empties the list. It is at once that the front sees it, as on real Xen.
    pub(crate) fn unmap(&mut self, pages: &mut Vec<Mapped>) {
        if pages.is_empty() {
            return;
        }
        let operation =
            |page: &Mapped| UnmapGrantRef { host_addr: page.address, handle: page.handle, ..UnmapGrantRef::default() };
        self.unmaps.clear();
        self.unmaps.extend(pages.iter().map(operation));
        // SAFETY: nothing uses the addresses any more: the pages are taken off the list.
        let called = unsafe { grant_table::unmap(&self.domain, &mut self.unmaps) };
        self.domain.machine().lock().settle_unmaps(self.front);
        for (page, operation) in pages.drain(..).zip(&self.unmaps) {
            // An address where Xen would not unmap is not used again.
            if called.is_ok() && operation.status == Status::OKAY {
                self.free.push(page.address);
                self.unmapped += 1;
            }
        }
    }

    fn address(&mut self) -> u64 {
        let reserve = || self.domain.machine().lock().dom_mut(self.domain.id()).mappings.reserve(1);
        self.free.pop().unwrap_or_else(reserve)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut state = self.domain.machine().lock();
        let mappings = &mut state.dom_mut(self.domain.id()).mappings;
        for address in &self.free {
            mappings.release(*address);
        }
    }
}

/// What stays mapped though the connection has ended.
#[derive(Default)]
pub(crate) struct Leftovers {
    pages: Vec<Mapped>,
    rings: Vec<Mapping<Domain>>,
}

impl Leftovers {
    /// Pages of a connection that ended.
    pub(crate) fn add_pages(&mut self, pages: &mut Vec<Mapped>) {
        self.pages.append(pages);
    }

    /// A ring of one.
    pub(crate) fn add_ring(&mut self, ring: Mapping<Domain>) {
        self.rings.push(ring);
    }

    /// Unmaps all. The front sees it at once, as on real Xen.
    pub(crate) fn let_go(&mut self, window: &mut Window) {
        window.unmap(&mut self.pages);
        self.rings.clear();
        window.domain.machine().lock().settle_unmaps(window.front);
    }
}
