//! What a hostile backend writes into rings and pages, past all rules.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;

use crate::Domain;
use crate::memory::Page;
use crate::oracle::{Access, Reach};

/// Writes into the front's pages, where the backend may write. What it may not, is left as it is.
pub(crate) struct Forge<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) front: DomId,
    pub(crate) rng: &'a mut ChaCha8Rng,
}

/// Where in a ring's first page the indices are, and the slots begin.
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;
const RSP_PROD: usize = 8;
const RSP_EVENT: usize = 12;
const SLOTS: usize = 64;

impl Forge<'_> {
    /// A page of the front's, where the backend may write it.
    fn page(&self, gref: Option<GrantRef>) -> Option<Page> {
        let reach = self.domain.machine().lock().reach(self.domain.id());
        let is_it =
            |reach: &&Reach| reach.owner == self.front && Some(reach.gref) == gref && reach.access == Access::ReadWrite;
        reach.iter().find(is_it).map(|reach| reach.page)
    }

    /// Fills a page with junk.
    pub(crate) fn scribble(&mut self, gref: GrantRef) {
        self.scribble_from(gref, 0);
    }

    /// Fills a page with junk, but for the bytes that were asked for.
    pub(crate) fn scribble_around(&mut self, gref: GrantRef, offset: usize, len: usize) {
        let Some(page) = self.page(Some(gref)) else { return };
        let mut asked = vec![0; len];
        page.read(offset, &mut asked);
        self.scribble(gref);
        page.write(offset, &asked);
    }

    /// Fills a page with junk that it has mapped itself.
    pub(crate) fn fill(&mut self, page: Page) {
        let mut bytes = [0; PAGE_SIZE];
        self.rng.fill(&mut bytes);
        page.write(0, &bytes);
    }

    /// Fills all slots of a ring with junk.
    pub(crate) fn scribble_slots(&mut self, ring: &[GrantRef]) {
        for (number, gref) in ring.iter().enumerate() {
            self.scribble_from(*gref, if number == 0 { SLOTS } else { 0 });
        }
    }

    /// Changes every word of a ring's head but the index that is its own.
    pub(crate) fn rewrite_indices(&mut self, ring: &[GrantRef]) {
        if let Some(page) = self.page(ring.first().copied()) {
            for offset in [REQ_PROD, REQ_EVENT, RSP_EVENT, 16, 20, 60] {
                page.u32(offset).store(self.rng.random(), crate::order::BYTES);
            }
        }
    }

    /// Moves the index of answers, past those that there are.
    pub(crate) fn move_producer(&self, ring: &[GrantRef], by: u32) {
        if let Some(page) = self.page(ring.first().copied()) {
            let word = page.u32(RSP_PROD);
            crate::order::put32(word, crate::order::look32(word).wrapping_add(by));
        }
    }

    /// Puts an answer into a ring that has no room for it, whose slots are `size` bytes apart.
    pub(crate) fn force(&self, ring: &[GrantRef], size: usize, answer: &[u8]) {
        let Some(first) = self.page(ring.first().copied()) else { return };
        let index = first.u32(RSP_PROD).load(crate::order::BYTES);
        let slots = 1 << ((ring.len() * PAGE_SIZE - SLOTS) / size).ilog2();
        let at = SLOTS + index as usize % slots * size;
        for (at, byte) in (at..).zip(answer) {
            if let Some(page) = self.page(ring.get(at / PAGE_SIZE).copied()) {
                page.write(at % PAGE_SIZE, &[*byte]);
            }
        }
        self.move_producer(ring, 1);
    }

    fn scribble_from(&mut self, gref: GrantRef, from: usize) {
        if let Some(page) = self.page(Some(gref)) {
            let mut bytes = vec![0; PAGE_SIZE - from];
            self.rng.fill(bytes.as_mut_slice());
            page.write(from, &bytes);
        }
    }
}
