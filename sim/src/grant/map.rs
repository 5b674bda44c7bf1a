//! Mapping foreign pages.

use xen_hypercall::abi::grant_table::{GrantRef, Handle, MapFlags, MapGrantRef, Status, UnmapGrantRef};
use xen_hypercall::abi::{DomId, Gfn};

use super::{Era, Mapping, Purpose};
use crate::builder::Leniency;
use crate::memory::Entry;
use crate::state::{Delayed, Effect, State, Writing};
use crate::violation::Violation;

impl State {
    /// Maps one page; answers with the handle and the page's machine address.
    pub(crate) fn map(&mut self, user: DomId, operation: &MapGrantRef) -> Result<(Handle, u64), Status> {
        let MapGrantRef { host_addr: address, flags, gref, dom: granter, .. } = *operation;
        if !flags.intersects(MapFlags::HOST_MAP | MapFlags::DEVICE_MAP) {
            return Err(Status::BAD_GNTREF);
        }
        // A domain's own id is a domain; `DOMID_SELF` is none here.
        if !self.exists(granter) {
            return Err(Status::BAD_DOMAIN);
        }
        let mappings = &self.dom(user).mappings;
        if mappings.by_handle.len() >= mappings.max {
            return Err(Status::NO_SPACE);
        }
        if flags.contains(MapFlags::CONTAINS_PTE) {
            return Err(Status::GENERAL_ERROR);
        }
        if mappings.addresses.get(&address) != Some(&None) {
            return Err(Status::BAD_VIRT_ADDR);
        }
        let writing = if flags.contains(MapFlags::READONLY) { Writing::No } else { Writing::Yes };
        let (gfn, page) = self.pin(granter, gref, user, writing, Purpose::Map)?;
        let handle = self.enter(user, Mapping { granter, gref, address, writing, page, gfn, era: Era::Present });
        Ok((handle, gfn.address()))
    }

    fn enter(&mut self, user: DomId, mapping: Mapping) -> Handle {
        let mappings = &mut self.dom_mut(user).mappings;
        let handle = Handle(mappings.next_handle);
        mappings.next_handle += 1;
        mappings.addresses.insert(mapping.address, Some(handle));
        mappings.by_handle.insert(handle, mapping);
        handle
    }

    /// Removes one mapping. The page's owner sees it some steps later.
    pub(crate) fn unmap(&mut self, user: DomId, operation: &UnmapGrantRef) -> Result<(), Status> {
        let mapping = *self.dom(user).mappings.get(operation.handle).ok_or(Status::BAD_HANDLE)?;
        if operation.dev_bus_addr != 0 && operation.dev_bus_addr != mapping.gfn.address() {
            return Err(Status::GENERAL_ERROR);
        }
        if operation.host_addr != mapping.address {
            return Err(Status::GENERAL_ERROR);
        }
        self.remove_mapping(user, operation.handle);
        Ok(())
    }

    fn remove_mapping(&mut self, user: DomId, handle: Handle) {
        let mappings = &mut self.dom_mut(user).mappings;
        let Some(mapping) = mappings.by_handle.remove(&handle) else { return };
        let Mapping { granter, gref, address, writing, era, .. } = mapping;
        mappings.addresses.insert(address, None);
        if era == Era::LeftBehind {
            return;
        }
        if self.is_lenient(Leniency::PromptUnmap) {
            self.unpin(granter, gref, writing);
        } else {
            self.delay(Effect::Unpin { granter, gref, writing });
        }
    }

    /// Has come what was delayed of the ends of uses of a domain's pages.
    pub(crate) fn settle_unmaps(&mut self, of: DomId) {
        let is_it = |delayed: &Delayed| matches!(delayed.effect, Effect::Unpin { granter, .. } if granter == of);
        while let Some(index) = self.delayed.iter().position(is_it) {
            if let Effect::Unpin { granter, gref, writing } = self.delayed.swap_remove(index).effect {
                self.unpin(granter, gref, writing);
            }
        }
    }

    /// A domain has no mappings any more: it was resumed elsewhere.
    pub(crate) fn drop_mappings(&mut self, user: DomId) {
        let handles: Vec<Handle> = self.dom(user).mappings.iter().map(|(handle, _)| handle).collect();
        for handle in handles {
            self.remove_mapping(user, handle);
        }
    }

    /// Ends all use of a domain's pages by its table, which is a new one. What others have mapped they keep; it is what the
    /// domain left behind.
    pub(crate) fn leave_users(&mut self, granter: DomId) {
        let mappings = self.domains.values_mut().flat_map(|dom| dom.mappings.by_handle.values_mut());
        mappings.filter(|mapping| mapping.granter == granter).for_each(|mapping| mapping.era = Era::LeftBehind);
        self.delayed.retain(|delayed| !matches!(delayed.effect, Effect::Unpin { granter: of, .. } if of == granter));
    }

    /// The page that stands for `entry` when its owner gives it back: another one, if a domain still maps the old one from
    /// before its owner was migrated. On real Xen, too, these have been two since then.
    pub(crate) fn stand_in(&mut self, entry: Entry) -> Entry {
        let left_behind = |mapping: &Mapping| mapping.era == Era::LeftBehind && mapping.page == entry.page;
        let mut mappings = self.domains.values().flat_map(|dom| dom.mappings.by_handle.values());
        if mappings.any(left_behind) { self.memory.replace(&entry) } else { entry }
    }

    /// What speaks against giving a page back: somebody uses it, or could at any time.
    pub(crate) fn still_used(&self, domain: DomId, page: Gfn) -> Option<Violation> {
        if let Some((gref, by)) = self.user_of(domain, page) {
            return Some(Violation::FreedWhileMapped { domain, page, gref, by });
        }
        let live = self.dom(domain).table.live().find(|live| live.gfn == page)?;
        Some(Violation::FreedWhileGranted { domain, page, gref: live.gref, to: live.to })
    }

    /// Who else uses the page by an entry of its owner's table.
    pub(crate) fn user_of(&self, granter: DomId, gfn: Gfn) -> Option<(GrantRef, DomId)> {
        self.dom(granter).table.active().find(|(_, active)| active.gfn == gfn).map(|(gref, active)| (gref, active.by))
    }
}
