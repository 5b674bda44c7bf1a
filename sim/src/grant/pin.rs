//! Using an entry: Xen's bits in it, and the count of uses behind them.

use std::sync::atomic::AtomicU16;

use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef, Status};
use xen_hypercall::abi::{DomId, Gfn};

use super::entry::Header;
use super::{Active, Table};
use crate::builder::Leniency;
use crate::memory::{Page, Use};
use crate::order;
use crate::state::{State, Writing};
use crate::violation::Violation;

/// How often Xen tries to set its bits while the guest changes the entry.
const TRIES: usize = 64;

/// What an entry is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Map,
    Copy,
}

impl Purpose {
    /// The bits that must be exactly so: a part of a page can be copied, not mapped.
    const fn mask(self) -> GrantFlags {
        match self {
            Self::Map => GrantFlags::TYPE_MASK.union(GrantFlags::SUB_PAGE),
            Self::Copy => GrantFlags::TYPE_MASK,
        }
    }
}

impl State {
    /// Begins one use of an entry by `user`: checks it, sets Xen's bits, and answers with the page.
    pub(crate) fn pin(
        &mut self,
        granter: DomId,
        gref: GrantRef,
        user: DomId,
        writing: Writing,
        purpose: Purpose,
    ) -> Result<(Gfn, Page), Status> {
        let table = &self.dom(granter).table;
        table.header(gref).ok_or(Status::BAD_GNTREF)?;
        set_bits(table, gref, user, writing, purpose)?;
        let known = table.active.get(&gref).copied();
        let used = match known {
            // While it is in use the entry is not read again.
            Some(active) => Ok((active.gfn, active.page)),
            None => self.granted_page(granter, gref),
        };
        match used {
            Ok((gfn, page)) => self.count_use(granter, gref, user, writing, (gfn, page)),
            Err(_) => clear_bits(&self.dom(granter).table, gref, GrantFlags::READING | GrantFlags::WRITING),
        }
        used
    }

    /// The page that an entry names, where it is one of the granter's own.
    fn granted_page(&mut self, granter: DomId, gref: GrantRef) -> Result<(Gfn, Page), Status> {
        let gfn = self.dom(granter).table.frame(gref).ok_or(Status::BAD_GNTREF)?;
        let entry = self.memory.find(gfn).filter(|entry| entry.owner == granter).ok_or(Status::BAD_PAGE)?;
        match entry.usage {
            Use::Allocated => {}
            Use::Fresh | Use::Freed => self.violation(Violation::GrantOfFreePage { domain: granter, gref, page: gfn }),
            Use::Gone | Use::Xen => return Err(Status::BAD_PAGE),
        }
        Ok((gfn, entry.page))
    }

    fn count_use(&mut self, granter: DomId, gref: GrantRef, by: DomId, writing: Writing, of: (Gfn, Page)) {
        let fresh = Active { by, gfn: of.0, page: of.1, readers: 0, writers: 0 };
        let active = self.dom_mut(granter).table.active.entry(gref).or_insert(fresh);
        match writing {
            Writing::No => active.readers += 1,
            Writing::Yes => active.writers += 1,
        }
    }

    /// Ends one use of an entry; the last one clears Xen's bits.
    pub(crate) fn unpin(&mut self, granter: DomId, gref: GrantRef, writing: Writing) {
        let table = &mut self.dom_mut(granter).table;
        let Some(active) = table.active.get_mut(&gref) else { return };
        match writing {
            Writing::No => active.readers -= 1,
            Writing::Yes => active.writers -= 1,
        }
        let Active { readers, writers, .. } = *active;
        let mut bits = GrantFlags::empty();
        bits.set(GrantFlags::WRITING, writers == 0);
        bits.set(GrantFlags::READING, readers + writers == 0);
        clear_bits(table, gref, bits);
        if readers + writers == 0 {
            table.active.remove(&gref);
        }
    }

    /// Looks whether guests left the entries alone that are in use. Version 2 lets a guest end an entry first and look
    /// whether it is in use afterwards.
    pub(crate) fn audit(&mut self) {
        if self.is_lenient(Leniency::UncheckedGrants) {
            return;
        }
        let mut found = Vec::new();
        for dom in self.domains.values() {
            let changed = dom.table.active().filter(|(gref, active)| dom.table.has_changed(*gref, active));
            found.extend(changed.map(|(gref, active)| Violation::EntryChangedInUse {
                domain: dom.id,
                gref,
                page: active.gfn,
                by: active.by,
            }));
        }
        for violation in found {
            self.violation(violation);
        }
    }
}

impl Table {
    /// Where Xen's bits of an entry are.
    fn bits(&self, gref: GrantRef) -> Option<&AtomicU16> {
        if self.is_v2() { self.status_word(gref) } else { self.flags(gref) }
    }

    fn has_changed(&self, gref: GrantRef, active: &Active) -> bool {
        let Some(header) = self.header(gref) else { return true };
        let ended = header.kind() == GrantFlags::INVALID;
        if self.is_v2() && ended {
            return false;
        }
        let bits_gone = !self.is_v2() && !header.flags.contains(GrantFlags::READING);
        // An entry by way of another domain has no frame of its own.
        let other_frame = header.kind() == GrantFlags::PERMIT_ACCESS && self.frame(gref) != Some(active.gfn);
        ended || bits_gone || other_frame
    }
}

/// Checks an entry and sets Xen's bits, against a guest that changes it meanwhile.
fn set_bits(table: &Table, gref: GrantRef, user: DomId, writing: Writing, purpose: Purpose) -> Result<(), Status> {
    let bits = match writing {
        Writing::No => GrantFlags::READING,
        Writing::Yes => GrantFlags::READING | GrantFlags::WRITING,
    };
    let word = table.bits(gref).ok_or(Status::BAD_GNTREF)?;
    let look = || table.header(gref).ok_or(Status::BAD_GNTREF);
    if table.is_v2() {
        check(look()?, user, writing, purpose)?;
        // The bits are apart from the entry: set them, then look whether the entry still says the same.
        let before = order::set16(word, bits.bits());
        return check(look()?, user, writing, purpose).inspect_err(|_| {
            order::clear16(word, bits.bits() & !before);
        });
    }
    for _ in 0..TRIES {
        let header = look()?;
        check(header, user, writing, purpose)?;
        if order::replace16(word, header.flags.bits(), header.flags.union(bits).bits()) {
            // With the bits set the entry stays as it is; it may have become another's just before.
            let same = table.domid(gref) == Some(header.domid);
            return if same { Ok(()) } else { Err(undo(word, bits & !header.flags)) };
        }
    }
    Err(Status::EAGAIN)
}

fn undo(word: &AtomicU16, bits: GrantFlags) -> Status {
    order::clear16(word, bits.bits());
    Status::GENERAL_ERROR
}

fn check(header: Header, user: DomId, writing: Writing, purpose: Purpose) -> Result<(), Status> {
    let kind_fits = match header.flags & purpose.mask() {
        GrantFlags::PERMIT_ACCESS => true,
        // By way of another domain one can copy only.
        GrantFlags::TRANSITIVE => purpose == Purpose::Copy,
        _ => false,
    };
    let too_much = writing == Writing::Yes && header.flags.contains(GrantFlags::READONLY);
    if kind_fits && header.domid == user && !too_much { Ok(()) } else { Err(Status::GENERAL_ERROR) }
}

fn clear_bits(table: &Table, gref: GrantRef, bits: GrantFlags) {
    if let Some(word) = table.bits(gref) {
        order::clear16(word, bits.bits());
    }
}
