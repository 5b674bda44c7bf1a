//! `memory_op`.

use xen_hypercall::Errno;
use xen_hypercall::abi::memory::{AddToPhysmap, Command, Domain, MAP_INDEX_GRANT_TABLE_STATUS, MapSpace, Reservation};
use xen_hypercall::abi::{DomId, Gfn};

use super::arguments::Operands;
use super::{Answer, Call, Caller};
use crate::builder::Leniency;
use crate::memory::{Entry, Use};
use crate::state::State;
use crate::violation::Violation;

impl State {
    pub(super) fn memory_op(&mut self, caller: Caller, call: &Call) -> Answer {
        match Command(call.command()) {
            Command::CURRENT_RESERVATION => {
                let domain = self.asked(caller, call)?;
                Ok(self.memory.of(domain).filter(|entry| !matches!(entry.usage, Use::Gone | Use::Xen)).count())
            }
            Command::MAXIMUM_RESERVATION => {
                let domain = self.asked(caller, call)?;
                Ok(self.memory.of(domain).filter(|entry| entry.usage != Use::Xen).count())
            }
            Command::MAXIMUM_GPFN => {
                let domain = self.asked(caller, call)?;
                Ok(self.memory.of(domain).map(|entry| entry.gfn.0).max().unwrap_or(0) as usize)
            }
            Command::DECREASE_RESERVATION => self.decrease_reservation(caller, call),
            Command::POPULATE_PHYSMAP => self.populate_physmap(caller, call),
            Command::ADD_TO_PHYSMAP => self.add_to_physmap(caller, call),
            _ => Err(Errno::NOSYS),
        }
    }

    fn asked(&self, caller: Caller, call: &Call) -> Result<DomId, Errno> {
        self.resolve_self(caller.domain, call.operand::<Domain>(1)?.get(0).domid)
    }

    /// The frames of a reservation of single pages.
    fn frames(&self, caller: Caller, call: &Call) -> Result<Operands<Gfn>, Errno> {
        let reservation = call.operand::<Reservation>(1)?.get(0);
        self.resolve_self(caller.domain, reservation.domid)?;
        if reservation.extent_order != 0 {
            return Err(Errno::PERM);
        }
        // SAFETY: the call's contract names so many frames.
        unsafe { Operands::nested(reservation.extent_start, reservation.nr_extents as usize) }
    }

    /// Takes pages that the guest has allocated. The first that cannot be taken ends the work.
    fn decrease_reservation(&mut self, caller: Caller, call: &Call) -> Answer {
        let frames = self.frames(caller, call)?;
        for (done, gfn) in frames.iter().enumerate() {
            let Ok(entry) = self.own_page(caller.domain, gfn) else { return Ok(done) };
            if !self.is_lenient(Leniency::UncheckedGrants)
                && let Some(violation) = self.still_used(caller.domain, gfn)
            {
                self.violation(violation);
                return Ok(done);
            }
            let entry = self.stand_in(entry);
            self.memory.take_away(&entry);
        }
        Ok(frames.len())
    }

    /// Gives pages back that were taken, at the frames where they were, as far as the domain may have more.
    fn populate_physmap(&mut self, caller: Caller, call: &Call) -> Answer {
        let frames = self.frames(caller, call)?;
        for (done, gfn) in frames.iter().enumerate() {
            let taken = |entry: &Entry| entry.owner == caller.domain && entry.usage == Use::Gone;
            let Some(entry) = self.memory.find(gfn).filter(taken) else { return Ok(done) };
            if self.memory.in_use(caller.domain) >= self.dom(caller.domain).max_pages {
                return Ok(done);
            }
            if let Some(damage) = self.memory.put_back(&entry) {
                let (domain, offset) = (caller.domain, damage.offset);
                self.violation(Violation::WrittenAfterFree { domain, page: gfn, offset });
            }
        }
        Ok(frames.len())
    }

    /// Places one of Xen's pages at a frame where the guest has nothing.
    fn add_to_physmap(&mut self, caller: Caller, call: &Call) -> Answer {
        let AddToPhysmap { domid, space, idx, gpfn, .. } = call.operand::<AddToPhysmap>(1)?.get(0);
        let domain = self.resolve_self(caller.domain, domid)?;
        let page = match space {
            MapSpace::SHARED_INFO if idx == 0 => self.dom(domain).shared_info,
            MapSpace::GRANT_TABLE => self.table_frame(domain, idx)?,
            MapSpace::SHARED_INFO => return Err(Errno::INVAL),
            _ => return Err(Errno::NOSYS),
        };
        if self.memory.find(gpfn).is_some() {
            return Err(Errno::EXIST);
        }
        self.dom_mut(domain).placed.insert(gpfn.0, page);
        Ok(0)
    }

    fn table_frame(&mut self, domain: DomId, index: u64) -> Result<Entry, Errno> {
        let page = u32::try_from(index & !MAP_INDEX_GRANT_TABLE_STATUS).map_err(|_| Errno::INVAL)?;
        if index & MAP_INDEX_GRANT_TABLE_STATUS != 0 {
            return self.dom(domain).table.status_frames().get(page as usize).copied().ok_or(Errno::INVAL);
        }
        self.grow_table(domain, page.checked_add(1).ok_or(Errno::INVAL)?).map_err(|_| Errno::INVAL)?;
        self.dom(domain).table.frames().get(page as usize).copied().ok_or(Errno::INVAL)
    }
}
