//! Two domains on a simulated machine: the one that grants, and its peer.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU16;

use xen_grant_table::{Access, Account, Grant, GrantTable, Limits, Memory, Page, Refusal, Statistics, TableFrame};
use xen_hypercall::Pages;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_sim::{Domain, Leniency, Machine};

/// A machine on which unmapping is seen at once; `front` grants to `back`.
pub struct World {
    pub machine: Machine,
    pub front: Domain,
    pub back: Domain,
}

impl World {
    pub fn new() -> Self {
        Self::on(Machine::builder(1).allow(Leniency::PromptUnmap).build())
    }

    pub fn on(machine: Machine) -> Self {
        Self::with(machine, 64, 128)
    }

    /// A front whose table has at most so many frames, and which has pages for more.
    pub fn with_frames(frames: u32) -> Self {
        Self::with(Machine::builder(1).allow(Leniency::PromptUnmap).build(), frames, 4096)
    }

    pub fn with(machine: Machine, frames: u32, pages: usize) -> Self {
        let pages = NonZeroUsize::new(pages).unwrap();
        let front = machine.domain_builder().max_grant_frames(frames).pages(pages).build();
        let back = machine.domain();
        Self { machine, front, back }
    }

    pub fn account(&self, limits: Limits) -> Account<Domain> {
        Account::open(self.front.clone(), self.back.id(), limits).unwrap()
    }

    pub fn page(&self) -> Page<Domain> {
        Page::alloc(self.front.clone()).unwrap()
    }

    /// A granted page.
    pub fn grant(&self, account: &Account<Domain>, access: Access) -> Grant<Domain> {
        self.page().grant(account, access).unwrap()
    }

    pub fn statistics(&self) -> Statistics {
        self.front.grant_table().statistics()
    }

    pub fn reap(&self) -> u32 {
        GrantTable::reap(&self.front, u32::MAX).freed
    }

    /// The flags of an entry of version 1, as Xen can change them.
    pub fn flags(&self, gref: GrantRef) -> &AtomicU16 {
        let (frame, index) = (gref.0 / 512, gref.0 % 512);
        let frame = self.front.map_table_frame(TableFrame::Shared, frame).unwrap();
        // SAFETY: the entry is in the frame.
        let entry = unsafe { frame.cast::<[AtomicU16; 4]>().add(index as usize) };
        // SAFETY: the machine keeps the frame, which is reached through atomics only.
        let [flags, ..] = unsafe { entry.as_ref() };
        flags
    }
}

/// Grants pages until that is refused, and tells why it was.
pub fn exhaust(world: &World, account: &Account<Domain>) -> (Vec<Grant<Domain>>, Refusal) {
    let mut grants = Vec::new();
    loop {
        match world.page().grant(account, Access::ReadOnly) {
            Ok(grant) => grants.push(grant),
            Err(refused) => return (grants, refused.reason),
        }
    }
}

/// How many pages a domain can still allocate; takes and gives back all of them.
pub fn pages_left(domain: &Domain) -> usize {
    let pages: Vec<_> = std::iter::from_fn(|| domain.alloc(NonZeroUsize::MIN)).collect();
    for page in &pages {
        // SAFETY: just allocated, and not used.
        unsafe { domain.dealloc(*page) };
    }
    pages.len()
}
