//! What domains have, and whether they have given it back.

use std::collections::BTreeSet;

use xen_hypercall::abi::grant_table::{GrantRef, Handle};
use xen_hypercall::abi::{DomId, Gfn, Port};

use crate::Machine;
use crate::state::State;
use crate::violation::Violation;

/// What every domain has at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pages: BTreeSet<(DomId, Gfn)>,
    grants: BTreeSet<(DomId, GrantRef)>,
    mappings: BTreeSet<(DomId, Handle)>,
    ports: BTreeSet<(DomId, Port)>,
}

/// What else a page may be that was not given back.
const HINT: &str = " (the tables of xen-grant-table and xen-event-channel keep pages of their own for good: were they first used after \
                    the checkpoint, take it later)";

impl Machine {
    /// Notes what every domain has: pages, grants, mappings, ports.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.0.lock().checkpoint()
    }

    /// What domains have more than at `before`, and freed pages that somebody wrote. Domains that were destroyed are
    /// not asked.
    #[must_use]
    pub fn leaks_since(&self, before: &Checkpoint) -> Vec<Violation> {
        self.settle();
        self.0.lock().leaks(before)
    }

    /// Sees to it that every domain has given back what it has taken since `before`.
    ///
    /// # Panics
    ///
    /// If there is a leak, or a page was written after it was given back; the message names all.
    pub fn assert_no_leaks_since(&self, before: &Checkpoint) {
        let leaks = self.leaks_since(before);
        let all: Vec<String> = leaks.iter().map(ToString::to_string).collect();
        let hint = if leaks.iter().any(|leak| matches!(leak, Violation::LeakedPage { .. })) { HINT } else { "" };
        assert!(leaks.is_empty(), "xen-sim, seed {}: {}{hint}", self.seed(), all.join("; "));
    }

    /// As [`assert_no_leaks_since`](Self::assert_no_leaks_since) the start of the machine. The tables of
    /// `xen-grant-table` and `xen-event-channel` keep pages for good: with these, take a checkpoint after the first
    /// use.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn assert_no_leaks(&self) {
        self.assert_no_leaks_since(&Checkpoint::default());
    }
}

impl State {
    fn checkpoint(&self) -> Checkpoint {
        let mut all = Checkpoint::default();
        for dom in self.domains.values().filter(|dom| !dom.destroyed) {
            let id = dom.id;
            all.pages.extend(self.memory.allocated(id).map(|page| (id, page)));
            all.grants.extend(dom.table.live().map(|live| (id, live.gref)));
            all.mappings.extend(dom.mappings.iter().map(|(handle, _)| (id, handle)));
            let ports = dom.channels.open().filter(|port| !dom.channels.is_to_store(*port));
            all.ports.extend(ports.map(|port| (id, port)));
        }
        all
    }

    fn leaks(&self, before: &Checkpoint) -> Vec<Violation> {
        let now = self.checkpoint();
        let pages = now.pages.difference(&before.pages);
        let mut leaks: Vec<Violation> = pages.map(|&(domain, page)| Violation::LeakedPage { domain, page }).collect();
        for &(domain, gref) in now.grants.difference(&before.grants) {
            let to =
                self.dom(domain).table.live().find(|live| live.gref == gref).map_or(DomId::INVALID, |live| live.to);
            leaks.push(Violation::LeakedGrant { domain, gref, to });
        }
        for &(domain, handle) in now.mappings.difference(&before.mappings) {
            let of = self.dom(domain).mappings.get(handle).map_or(DomId::INVALID, |mapping| mapping.granter);
            leaks.push(Violation::LeakedMapping { domain, handle, of });
        }
        let ports = now.ports.difference(&before.ports);
        leaks.extend(ports.map(|&(domain, port)| Violation::LeakedPort { domain, port }));
        for dom in self.domains.values() {
            let damage = self.memory.damage(dom.id).into_iter();
            leaks.extend(damage.map(|damage| Violation::WrittenAfterFree {
                domain: dom.id,
                page: damage.gfn,
                offset: damage.offset,
            }));
        }
        leaks
    }
}
