//! Accounts: what one device may use of the table.

use core::fmt;
use core::num::NonZeroU32;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::GrantRef;

use crate::error::{GrantError, Refusal};
use crate::grant::{Access, Grant};
use crate::page::Page;
use crate::platform::Memory;
use crate::references::{PER_WORD, Taken};
use crate::slot::{Limits, Refused};
use crate::table::{GrantTable, taken};

/// What one device, or one direction of it, may grant, and to whom.
///
/// Everything that it grants goes to one peer. Its guarantee is set aside from the moment on when it is open, so that no other
/// device can use it up; its limits keep it from using up what others need. A peer that keeps pages mapped fills its own
/// account's quarantine and no other: pages in quarantine from a closed account count against the quarantine of the next account
/// for that peer, so that to reconnect clears nothing, and not against its guarantee or its limit.
///
/// Dropping it closes it. Grants live on, and what they hold goes back to the table as they end.
pub struct Account<P: Memory> {
    platform: P,
    limits: Limits,
    holder: Holder,
}

/// Who holds a reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) epoch: u32,
    /// Tells accounts apart that had the same place one after the other.
    pub(crate) serial: u32,
    pub(crate) peer: DomId,
    pub(crate) slot: u16,
}

impl<P: Memory> Account<P> {
    /// Opens an account for what is granted to `peer`. The table gets longer where the guarantee needs it.
    ///
    /// # Errors
    ///
    /// [`InvalidPeer`](Refusal::InvalidPeer), [`InvalidLimits`](Refusal::InvalidLimits); [`NoGrants`](Refusal::NoGrants)
    /// where the guarantee cannot be met, [`NoAccounts`](Refusal::NoAccounts), [`NoMemory`](Refusal::NoMemory) and
    /// [`Table`](Refusal::Table): the first account finds out what version the table has, and how long it may become.
    pub fn open(platform: P, peer: DomId, limits: Limits) -> Result<Self, Refusal> {
        if !peer.is_ordinary() {
            return Err(Refusal::InvalidPeer);
        }
        if !limits.are_valid() {
            return Err(Refusal::InvalidLimits);
        }
        let table = platform.grant_table();
        table.ensure_begun(&platform)?;
        let slot = occupy(table, peer).ok_or(Refusal::NoAccounts)?;
        let holder = Holder { epoch: table.epoch(), serial: table.serial(), peer, slot };
        let account = Self { platform, limits, holder };
        account.set_aside().map(|()| account)
    }

    /// To whom it grants.
    #[must_use]
    pub const fn peer(&self) -> DomId {
        self.holder.peer
    }

    /// What it may use.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes up to `count` references in advance, at least one, at most 32: in one step, and close to each other.
    ///
    /// # Errors
    ///
    /// As for [`Page::grant`].
    pub fn reserve(&self, count: NonZeroU32) -> Result<Reservation<P>, Refusal>
    where
        P: Clone,
    {
        let taken = self.take(count.get().min(PER_WORD))?;
        Ok(Reservation { platform: self.platform.clone(), holder: self.holder, limits: self.limits, taken })
    }

    pub(crate) const fn holder(&self) -> Holder {
        self.holder
    }

    pub(crate) fn table(&self) -> &GrantTable {
        self.platform.grant_table()
    }

    /// Takes a reference.
    #[inline]
    pub(crate) fn take_one(&self) -> Result<GrantRef, Refusal> {
        self.charge(1)?;
        match self.table().take(1).and_then(|mut taken| taken.pop()) {
            Some(gref) => Ok(GrantRef(gref)),
            None => Err(self.not_found(1)),
        }
    }

    /// Takes between one and `count` references.
    pub(crate) fn take(&self, count: u32) -> Result<Taken, Refusal> {
        let charged = self.charge(count)?;
        let taken = self.table().take(charged).ok_or_else(|| self.not_found(charged))?;
        // What was charged for may be in different words.
        let missing = charged - taken.count();
        if missing > 0 {
            self.table().slot(self.holder.slot).repay(missing, self.table().common());
        }
        Ok(taken)
    }

    /// Takes a reference for each place of `into`, or none at all.
    pub(crate) fn take_all(&self, into: &mut [GrantRef]) -> Result<(), Refusal> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.take(PER_WORD.min(rest.len() as u32)) {
                Ok(mut taken) => filled += fill(rest, &mut taken),
                Err(refusal) => {
                    into.iter().take(filled).for_each(|gref| self.table().put(taken(*gref), self.holder.slot));
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// Has up to `count` references allowed to the account; tells how many.
    #[inline]
    fn charge(&self, count: u32) -> Result<u32, Refusal> {
        let table = self.table();
        if table.epoch() != self.holder.epoch {
            return Err(Refusal::Stale);
        }
        let charged = table.slot(self.holder.slot).charge(count, &self.limits, table.common());
        charged.or_else(|refused| self.charge_grown(count, refused))
    }

    #[cold]
    fn charge_grown(&self, count: u32, refused: Refused) -> Result<u32, Refusal> {
        if refused == Refused::Common {
            self.table().grow(&self.platform)?;
        }
        let table = self.table();
        table.slot(self.holder.slot).charge(count, &self.limits, table.common()).map_err(Refusal::from)
    }

    /// A reference was allowed, so that one is free, but other CPUs kept moving it out of the search's way.
    #[cold]
    fn not_found(&self, charged: u32) -> Refusal {
        let table = self.table();
        table.slot(self.holder.slot).repay(charged, table.common());
        Refusal::Contended
    }

    /// Sets the guarantee aside. Each turn makes the table longer, which has an end.
    fn set_aside(&self) -> Result<(), Refusal> {
        let table = self.table();
        while !table.slot(self.holder.slot).guarantee(self.limits.guaranteed, table.common()) {
            table.grow(&self.platform)?;
        }
        Ok(())
    }
}

impl<P: Memory> Drop for Account<P> {
    fn drop(&mut self) {
        let table = self.table();
        if table.epoch() == self.holder.epoch {
            table.slot(self.holder.slot).vacate(table.common());
        }
    }
}

impl<P: Memory> fmt::Debug for Account<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("peer", &self.holder.peer).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// References that are in hand, so that granting as many pages cannot fail for want of them.
///
/// Dropping it gives back what was not used.
pub struct Reservation<P: Memory> {
    platform: P,
    holder: Holder,
    limits: Limits,
    taken: Taken,
}

impl<P: Memory> Reservation<P> {
    /// How many references are left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.taken.count() as usize
    }

    /// Whether no reference is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.taken.bits == 0
    }

    /// Grants a page by one of the references.
    ///
    /// # Errors
    ///
    /// [`NoGrants`](Refusal::NoGrants) when none is left; [`QuarantineFull`](Refusal::QuarantineFull), and for the caller's
    /// mistakes, as [`Page::grant`].
    pub fn grant(&mut self, page: Page<P>, access: Access) -> Result<Grant<P>, GrantError<Page<P>>> {
        match self.next(&page) {
            Ok((gref, frame)) => Ok(Grant::issue(page, frame, gref, self.holder, access)),
            Err(reason) => Err(GrantError { reason, page }),
        }
    }

    /// The next reference, and the page's frame.
    fn next(&mut self, page: &Page<P>) -> Result<(GrantRef, u64), Refusal> {
        let table = self.platform.grant_table();
        if table.epoch() != self.holder.epoch {
            return Err(Refusal::Stale);
        }
        let frame = page.frame_in(table)?;
        if table.slot(self.holder.slot).usage().quarantined >= self.limits.quarantine {
            return Err(Refusal::QuarantineFull);
        }
        let gref = self.taken.pop().ok_or(Refusal::NoGrants)?;
        Ok((GrantRef(gref), frame))
    }
}

impl<P: Memory> Drop for Reservation<P> {
    fn drop(&mut self) {
        let table = self.platform.grant_table();
        if table.epoch() == self.holder.epoch && !self.is_empty() {
            table.put(self.taken, self.holder.slot);
        }
    }
}

impl<P: Memory> fmt::Debug for Reservation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("peer", &self.holder.peer).field("len", &self.len()).finish()
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Quarantine => Self::QuarantineFull,
            Refused::Limit | Refused::Common => Self::NoGrants,
        }
    }
}

/// A place for an account: the one in which the most of this peer's pages are in quarantine, or an empty one.
fn occupy(table: &GrantTable, peer: DomId) -> Option<u16> {
    let slots = table.slots().iter().enumerate();
    let lingering =
        slots.clone().filter(|(_, slot)| slot.lingers(peer)).max_by_key(|(_, slot)| slot.usage().quarantined);
    let free = slots.filter(|(_, slot)| slot.is_free());
    let found = lingering.into_iter().chain(free).find(|(_, slot)| slot.occupy(peer));
    found.map(|(index, _)| index as u16)
}

/// Fills the front of `into` and tells how far.
fn fill(into: &mut [GrantRef], taken: &mut Taken) -> usize {
    let mut filled = 0;
    for (gref, next) in into.iter_mut().zip(core::iter::from_fn(|| taken.pop())) {
        *gref = GrantRef(next);
        filled += 1;
    }
    filled
}
