//! Grant tables and foreign mappings, as Xen keeps them.

mod copy;
mod entry;
mod map;
mod pin;
mod table;

use std::collections::BTreeMap;

use xen_hypercall::abi::grant_table::{GrantRef, Handle};
use xen_hypercall::abi::{DomId, Gfn};

use crate::memory::{Entry, Page};
use crate::state::Writing;

pub(crate) use pin::Purpose;

/// A domain's own table.
#[derive(Debug)]
pub(crate) struct Table {
    version: u32,
    shared: Vec<Entry>,
    status: Vec<Entry>,
    pub(crate) max_frames: u32,
    /// What is in use by others, or by the domain itself.
    active: BTreeMap<GrantRef, Active>,
}

/// An entry that somebody uses: what it said when the use began, and how many uses there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    pub(crate) by: DomId,
    pub(crate) gfn: Gfn,
    page: Page,
    readers: u32,
    writers: u32,
}

impl Table {
    pub(crate) fn new(max_frames: u32, first: Entry) -> Self {
        Self { version: 1, shared: vec![first], status: Vec::new(), max_frames, active: BTreeMap::new() }
    }

    /// The entries in use.
    pub(crate) fn active(&self) -> impl Iterator<Item = (GrantRef, &Active)> {
        self.active.iter().map(|(gref, active)| (*gref, active))
    }
}

/// The foreign pages that a domain has mapped.
#[derive(Debug)]
pub(crate) struct Mappings {
    by_handle: BTreeMap<Handle, Mapping>,
    /// Addresses set aside for foreign pages, with what is mapped there.
    addresses: BTreeMap<u64, Option<Handle>>,
    next_address: u64,
    next_handle: u32,
    pub(crate) max: usize,
}

/// A foreign page that is mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub(crate) granter: DomId,
    pub(crate) gref: GrantRef,
    pub(crate) address: u64,
    pub(crate) writing: Writing,
    pub(crate) page: Page,
    pub(crate) gfn: Gfn,
    pub(crate) era: Era,
}

/// Which memory of its owner a mapping is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Present,
    /// The memory that a domain left behind when it was migrated. No entry of its table stands for the mapping any more.
    LeftBehind,
}

impl Mappings {
    pub(crate) fn new(domain: DomId, max: usize) -> Self {
        // Far from everything that the host maps, and another range for each domain.
        let next_address = 0x0100_0000_0000_0000 + (u64::from(domain.0) << 36);
        let next_handle = 1 + u32::from(domain.0) % 7;
        Self { by_handle: BTreeMap::new(), addresses: BTreeMap::new(), next_address, next_handle, max }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &Mapping)> {
        self.by_handle.iter().map(|(handle, mapping)| (*handle, mapping))
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&Mapping> {
        self.by_handle.get(&handle)
    }

    /// Sets adjacent addresses aside, with a gap before the next ones.
    pub(crate) fn reserve(&mut self, count: usize) -> u64 {
        let first = self.next_address;
        self.next_address += (count as u64 + 1) << 12;
        self.addresses.extend((0..count as u64).map(|page| (first + (page << 12), None)));
        first
    }

    /// Whether the address was reserved, with nothing mapped, and now is not any more.
    pub(crate) fn release(&mut self, address: u64) -> bool {
        let free = self.addresses.get(&address) == Some(&None);
        if free {
            self.addresses.remove(&address);
        }
        free
    }

    /// What is mapped at a reserved address.
    pub(crate) fn at(&self, address: u64) -> Option<&Mapping> {
        self.by_handle.get(&(*self.addresses.get(&address)?)?)
    }
}
