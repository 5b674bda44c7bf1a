//! Oracles: what must hold whatever a peer or a fault does.

use std::collections::BTreeMap;
use std::fmt::Debug;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef};
use xen_hypercall::abi::{DomId, Gfn};

use crate::grant::{Era, Mapping};
use crate::state::{State, Writing};
use crate::{Domain, Machine};

/// A page that a domain can read now, without its owner's help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// Whose page it is.
    pub owner: DomId,
    /// The entry by which the domain reaches it.
    pub gref: GrantRef,
    /// The page.
    pub page: Gfn,
    /// Whether the domain may write it too.
    pub access: Access,
    /// What is in it.
    pub bytes: Box<[u8; PAGE_SIZE]>,
}

/// What a domain may do with a page of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

impl Readable {
    /// Where a pattern is in the page.
    #[must_use]
    pub fn find(&self, pattern: &[u8]) -> Option<usize> {
        if pattern.is_empty() {
            return None;
        }
        self.bytes.windows(pattern.len()).position(|bytes| bytes == pattern)
    }
}

impl Machine {
    /// Every page of other domains that `domain` can read now: those that it has mapped, and those that an entry
    /// gives it leave for, whether it knows of it or not.
    #[must_use]
    pub fn readable_by(&self, domain: &Domain) -> Vec<Readable> {
        self.0.check_thread();
        let state = self.0.lock();
        state.reach(domain.id()).into_iter().map(Reach::read).collect()
    }

    /// Sees to it that `domain` cannot read a secret now.
    ///
    /// # Panics
    ///
    /// If it can; the message says where.
    pub fn assert_hidden_from(&self, domain: &Domain, secret: &[u8]) {
        for page in self.readable_by(domain) {
            let found = page.find(secret);
            assert!(
                found.is_none(),
                "xen-sim, seed {}: domain {} can read the secret at {:#x} in frame {:#x} of domain {}, by entry {}",
                self.seed(),
                domain.id(),
                found.unwrap_or(0),
                page.page.0,
                page.owner,
                page.gref.0
            );
        }
    }
}

/// A page that a domain can reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) owner: DomId,
    pub(crate) gref: GrantRef,
    pub(crate) gfn: Gfn,
    pub(crate) access: Access,
    pub(crate) page: crate::memory::Page,
}

impl Reach {
    fn read(self) -> Readable {
        let Self { owner, gref, gfn, access, page } = self;
        Readable { owner, gref, page: gfn, access, bytes: page.bytes() }
    }
}

impl State {
    /// The pages of others that a domain has mapped or could map.
    pub(crate) fn reach(&self, domain: DomId) -> Vec<Reach> {
        let mut all = self.mapped(domain);
        for owner in self.domains.values().filter(|owner| owner.id != domain) {
            for live in owner.table.live().filter(|live| live.to == domain) {
                let page = self.memory.find(live.gfn).filter(|entry| entry.owner == owner.id);
                let read_only = live.flags.contains(GrantFlags::READONLY);
                let access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
                all.extend(page.map(|entry| Reach {
                    owner: owner.id,
                    gref: live.gref,
                    gfn: live.gfn,
                    access,
                    page: entry.page,
                }));
            }
        }
        all
    }

    fn mapped(&self, domain: DomId) -> Vec<Reach> {
        let of_others = |mapping: &&Mapping| mapping.granter != domain && mapping.era == Era::Present;
        let mappings = self.dom(domain).mappings.iter().map(|(_, mapping)| mapping).filter(of_others);
        let reach = mappings.map(|mapping| Reach {
            owner: mapping.granter,
            gref: mapping.gref,
            gfn: mapping.gfn,
            access: if mapping.writing == Writing::Yes { Access::ReadWrite } else { Access::ReadOnly },
            page: mapping.page,
        });
        reach.collect()
    }
}

/// Counts that everything which was begun ends exactly once.
#[derive(Clone, Debug, Default)]
pub struct Ledger<K> {
    open: BTreeMap<K, u32>,
    completed: u64,
}

impl<K: Ord + Debug> Ledger<K> {
    /// A ledger without entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { open: BTreeMap::new(), completed: 0 }
    }

    /// Something begins.
    pub fn submit(&mut self, what: K) {
        *self.open.entry(what).or_default() += 1;
    }

    /// It ends.
    ///
    /// # Panics
    ///
    /// If it has not begun, or has ended before.
    pub fn complete(&mut self, what: &K) {
        match self.open.get_mut(what) {
            Some(1) => {
                self.open.remove(what);
            }
            Some(count) => *count -= 1,
            None => panic!("{what:?} was completed, but is not open"),
        }
        self.completed += 1;
    }

    /// How many have ended.
    #[must_use]
    pub const fn completed(&self) -> u64 {
        self.completed
    }

    /// What has begun and not ended.
    pub fn open(&self) -> impl Iterator<Item = &K> {
        self.open.keys()
    }

    /// Sees to it that everything has ended.
    ///
    /// # Panics
    ///
    /// If something has not.
    pub fn assert_complete(&self) {
        assert!(self.open.is_empty(), "never completed: {:?}", self.open);
    }
}

/// Fuel for a loop that a peer must not keep going for ever.
#[derive(Clone, Copy, Debug)]
pub struct Fuel(u64);

impl Fuel {
    /// Fuel for so many turns.
    #[must_use]
    pub const fn new(turns: u64) -> Self {
        Self(turns)
    }

    /// Uses one up.
    ///
    /// # Panics
    ///
    /// If there is none left: the loop does not end.
    pub const fn burn(&mut self) {
        self.0 = self.0.checked_sub(1).expect("out of fuel: the loop does not end");
    }

    /// How many turns are left.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_balances() {
        let mut ledger = Ledger::new();
        ledger.submit(1);
        ledger.submit(2);
        ledger.complete(&1);
        assert_eq!(ledger.open().collect::<Vec<_>>(), [&2]);
        ledger.complete(&2);
        ledger.assert_complete();
        assert_eq!(ledger.completed(), 2);
    }

    #[test]
    #[should_panic(expected = "not open")]
    fn a_second_completion_is_found() {
        let mut ledger = Ledger::new();
        ledger.submit(1);
        ledger.complete(&1);
        ledger.complete(&1);
    }

    #[test]
    #[should_panic(expected = "never completed")]
    fn a_missing_completion_is_found() {
        let mut ledger = Ledger::new();
        ledger.submit(1);
        ledger.assert_complete();
    }

    #[test]
    #[should_panic(expected = "out of fuel")]
    fn fuel_ends() {
        let mut fuel = Fuel::new(1);
        fuel.burn();
        assert_eq!(fuel.left(), 0);
        fuel.burn();
    }
}
