//! What an account's peer and its numbers are, in the table.
//!
//! The numbers are in one word, so that each change of them is one step: what an account takes from the common pool is
//! always exactly what it uses beyond its guarantee.

use xen_hypercall::abi::DomId;

use crate::order;
use crate::sync::{AtomicU32, AtomicU64, Ordering, constructor};

const FIELD: u32 = 16;
const MASK: u64 = (1 << FIELD) - 1;
const ONE_USED: u64 = 1;
const ONE_QUARANTINED: u64 = 1 << (2 * FIELD);

/// The account is open.
const OPEN: u32 = 1 << 16;
/// The account was open once.
const KNOWN: u32 = 1 << 17;

/// What an account uses, in references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// In its hands: granted, reserved, quarantined.
    pub(crate) used: u32,
    /// Its own, whether it uses them or not.
    pub(crate) guaranteed: u32,
    /// Of those that are used: in quarantine.
    pub(crate) quarantined: u32,
    /// Of those in quarantine: left by an account that had the place before. They are neither of the guarantee nor below the
    /// limit of the one that has it now.
    pub(crate) inherited: u32,
}

impl Usage {
    const fn unpack(word: u64) -> Self {
        Self {
            used: (word & MASK) as u32,
            guaranteed: (word >> FIELD & MASK) as u32,
            quarantined: (word >> (2 * FIELD) & MASK) as u32,
            inherited: (word >> (3 * FIELD) & MASK) as u32,
        }
    }

    const fn pack(self) -> u64 {
        let (used, guaranteed) = (self.used as u64, (self.guaranteed as u64) << FIELD);
        let (quarantined, inherited) =
            ((self.quarantined as u64) << (2 * FIELD), (self.inherited as u64) << (3 * FIELD));
        used | guaranteed | quarantined | inherited
    }

    /// How many of those that are used count against the guarantee and the limit.
    const fn own(self) -> u32 {
        self.used.saturating_sub(self.inherited)
    }

    /// How many of its own came from the common pool.
    const fn beyond(self) -> u32 {
        self.own().saturating_sub(self.guaranteed)
    }

    /// How many are set aside for the account and not used.
    const fn aside(self) -> u32 {
        self.guaranteed.saturating_sub(self.own())
    }

    /// Without one page of those in quarantine. No page tells whose it was: what was inherited counts as what comes back first.
    const fn reaped(self) -> Self {
        Self {
            used: self.used.saturating_sub(1),
            guaranteed: self.guaranteed,
            quarantined: self.quarantined.saturating_sub(1),
            inherited: self.inherited.saturating_sub(1),
        }
    }
}

/// Why an account gets no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The peer keeps too many pages mapped.
    Quarantine,
    /// The account has as many as it may.
    Limit,
    /// It has all that are guaranteed, and there is no other one.
    Common,
}

/// An account's place in the table.
#[derive(Debug)]
pub(crate) struct Slot {
    usage: AtomicU64,
    owner: AtomicU32,
}

impl Slot {
    constructor! {
        /// A place that no account ever had.
        pub(crate) fn new() -> Self {
            Self { usage: AtomicU64::new(0), owner: AtomicU32::new(0) }
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::unpack(self.usage.load(Ordering::Relaxed))
    }

    /// The account's peer, if there ever was an account.
    pub(crate) fn peer(&self) -> Option<DomId> {
        let owner = self.owner.load(Ordering::Relaxed);
        (owner & KNOWN != 0).then_some(DomId(owner as u16))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.owner.load(Ordering::Relaxed) & OPEN != 0
    }

    /// Whether an account for `peer` that was closed has left pages in quarantine here, and nothing else. Where grants are left
    /// as well nobody can move in: what they give back must not count as the new account's.
    pub(crate) fn lingers(&self, peer: DomId) -> bool {
        let usage = self.usage();
        !self.is_open() && self.peer() == Some(peer) && usage.used > 0 && usage.used == usage.quarantined
    }

    /// Whether nothing is here.
    pub(crate) fn is_free(&self) -> bool {
        !self.is_open() && self.usage().used == 0
    }

    /// Takes the place for an account, unless another CPU was faster, or there is more here than pages of this peer in
    /// quarantine. That is looked at with the place in hand: it may have changed hands since it was chosen.
    pub(crate) fn occupy(&self, peer: DomId) -> bool {
        let seen = self.owner.load(Ordering::Relaxed);
        let closed = u32::from(peer.0) | KNOWN;
        if seen & OPEN != 0 || !order::occupy(&self.owner, seen, closed | OPEN) {
            return false;
        }
        let inherited = self.inherit(if seen == closed { u32::MAX } else { 0 });
        if !inherited {
            order::vacate(&self.owner, seen);
        }
        inherited
    }

    /// Makes what is left here the new account's inheritance, if it is not more than it may be.
    fn inherit(&self, most: u32) -> bool {
        let mut known = self.usage.load(Ordering::Relaxed);
        loop {
            let usage = Usage::unpack(known);
            if usage.used != usage.quarantined || usage.used > most {
                return false;
            }
            let wanted = Usage { inherited: usage.quarantined, ..usage };
            match order::charge(&self.usage, known, wanted.pack()) {
                Ok(()) => return true,
                Err(now) => known = now,
            }
        }
    }

    /// Guarantees so many references from now on, if the common pool has them.
    pub(crate) fn guarantee(&self, count: u32, common: &AtomicU32) -> bool {
        loop {
            let known = self.usage.load(Ordering::Relaxed);
            let usage = Usage::unpack(known);
            let wanted = Usage { guaranteed: count, ..usage };
            let missing = wanted.aside().saturating_sub(usage.aside());
            let drawn = order::draw(common, missing);
            if drawn < missing {
                order::pool(common, drawn);
                return false;
            }
            if order::charge(&self.usage, known, wanted.pack()).is_ok() {
                return true;
            }
            order::pool(common, drawn);
        }
    }

    /// Takes the guarantee back, and makes the place one that can be taken as soon as nothing is left in it.
    pub(crate) fn vacate(&self, common: &AtomicU32) {
        let guaranteed = u64::from(self.usage().guaranteed);
        let before = Usage::unpack(order::repay(&self.usage, guaranteed << FIELD));
        order::pool(common, before.aside());
        order::vacate(&self.owner, self.owner.load(Ordering::Relaxed) & !OPEN);
    }

    /// Allows the account up to `count` more references, `limit` in all; tells how many. The bits of so many are free.
    #[inline]
    pub(crate) fn charge(&self, count: u32, limits: &Limits, common: &AtomicU32) -> Result<u32, Refused> {
        let known = self.usage.load(Ordering::Relaxed);
        let usage = Usage::unpack(known);
        let own = usage.own() + count <= usage.guaranteed && usage.quarantined < limits.quarantine;
        if own && order::charge(&self.usage, known, known + u64::from(count)).is_ok() {
            return Ok(count);
        }
        self.charge_beyond(count, limits, common)
    }

    /// Allows more than what is guaranteed, or finds out why not.
    #[cold]
    fn charge_beyond(&self, count: u32, limits: &Limits, common: &AtomicU32) -> Result<u32, Refused> {
        let mut known = self.usage.load(Ordering::Relaxed);
        loop {
            let usage = Usage::unpack(known);
            if usage.quarantined >= limits.quarantine {
                return Err(Refused::Quarantine);
            }
            let count = count.min(limits.most.saturating_sub(usage.own()));
            if count == 0 {
                return Err(Refused::Limit);
            }
            let (count, drawn) = usage.draw(count, common)?;
            match order::charge(&self.usage, known, known + u64::from(count)) {
                Ok(()) => return Ok(count),
                Err(now) => known = now,
            }
            order::pool(common, drawn);
        }
    }

    /// Takes back what [`charge`](Self::charge) allowed. The bits are free again before.
    #[inline]
    pub(crate) fn repay(&self, count: u32, common: &AtomicU32) {
        let before = Usage::unpack(order::repay(&self.usage, u64::from(count) * ONE_USED));
        let beyond = before.beyond().min(count);
        if beyond > 0 {
            order::pool(common, beyond);
        }
    }

    pub(crate) fn quarantined(&self) {
        self.usage.fetch_add(ONE_QUARANTINED, Ordering::Relaxed);
    }

    /// Takes back the reference of a page in quarantine. The bit is free again before.
    pub(crate) fn reaped(&self, common: &AtomicU32) {
        let mut known = self.usage.load(Ordering::Relaxed);
        loop {
            let before = Usage::unpack(known);
            let after = before.reaped();
            match order::release(&self.usage, known, after.pack()) {
                Ok(()) if after.aside() > before.aside() => return,
                Ok(()) => return order::pool(common, 1),
                Err(now) => known = now,
            }
        }
    }

    /// Forgets what was here. Nobody else may use it meanwhile.
    pub(crate) fn clear(&self) {
        self.usage.store(0, Ordering::Relaxed);
        self.owner.fetch_and(!OPEN, Ordering::Relaxed);
    }
}

impl Usage {
    /// Draws from the common pool what `count` more references need of it: how many of them can be had, and how many were
    /// drawn.
    fn draw(self, count: u32, common: &AtomicU32) -> Result<(u32, u32), Refused> {
        let own = self.aside();
        if count <= own {
            return Ok((count, 0));
        }
        let drawn = order::draw(common, count - own);
        if own + drawn == 0 { Err(Refused::Common) } else { Ok((own + drawn, drawn)) }
    }
}

/// What an account may use. All numbers count references, of which each granted page needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many it can always have, whatever others use. They are set aside as soon as the account is open: two accounts with
    /// guarantees, such as those for the two directions of a network device, never starve each other.
    pub guaranteed: u32,
    /// It never has more than this.
    pub most: u32,
    /// When its peer keeps so many pages mapped that should have come back, no further ones are granted. Each is a page
    /// of memory that is lost for as long.
    pub quarantine: u32,
}

impl Limits {
    /// Exactly `count` references, all of them guaranteed, all of them in quarantine before it is too much.
    #[must_use]
    pub const fn exactly(count: u32) -> Self {
        Self { guaranteed: count, most: count, quarantine: count }
    }

    pub(crate) const fn are_valid(&self) -> bool {
        self.most > 0 && self.quarantine > 0 && self.guaranteed <= self.most && self.most < (1 << FIELD)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { guaranteed: 3, most: 8, quarantine: 2 };

    fn opened(common: &AtomicU32) -> Slot {
        let slot = Slot::new();
        assert!(slot.occupy(DomId(5)) && !slot.occupy(DomId(5)));
        assert!(slot.guarantee(LIMITS.guaranteed, common));
        slot
    }

    fn left(common: &AtomicU32) -> u32 {
        common.load(Ordering::Relaxed)
    }

    #[test]
    fn a_guarantee_is_set_aside_and_used_first() {
        let common = AtomicU32::new(5);
        let slot = opened(&common);
        assert_eq!(left(&common), 2);
        assert_eq!(slot.charge(2, &LIMITS, &common), Ok(2));
        assert_eq!(left(&common), 2);
        assert_eq!(slot.charge(2, &LIMITS, &common), Ok(2));
        assert_eq!(left(&common), 1);
        assert_eq!(slot.charge(9, &LIMITS, &common), Ok(1), "as many as there are");
        assert_eq!(slot.charge(1, &LIMITS, &common), Err(Refused::Common));
    }

    #[test]
    fn what_comes_back_goes_where_it_came_from() {
        let common = AtomicU32::new(9);
        let slot = opened(&common);
        assert_eq!(slot.charge(5, &LIMITS, &common), Ok(5));
        assert_eq!(left(&common), 4);
        slot.repay(4, &common);
        assert_eq!(left(&common), 6, "the guarantee stays aside");
        slot.repay(1, &common);
        slot.vacate(&common);
        assert_eq!(left(&common), 9);
        assert!(slot.is_free());
    }

    #[test]
    fn the_limit_holds_and_a_full_quarantine_refuses() {
        let common = AtomicU32::new(100);
        let slot = opened(&common);
        assert_eq!(slot.charge(9, &LIMITS, &common), Ok(8));
        assert_eq!(slot.charge(1, &LIMITS, &common), Err(Refused::Limit));
        slot.repay(1, &common);
        slot.quarantined();
        assert_eq!(slot.charge(1, &LIMITS, &common), Ok(1));
        slot.quarantined();
        assert_eq!(slot.charge(1, &LIMITS, &common), Err(Refused::Quarantine));
        slot.reaped(&common);
        assert_eq!(slot.charge(1, &LIMITS, &common), Ok(1));
    }

    #[test]
    fn a_place_with_something_left_goes_to_the_same_peer_only() {
        let common = AtomicU32::new(9);
        let slot = opened(&common);
        assert_eq!(slot.charge(4, &LIMITS, &common), Ok(4));
        slot.vacate(&common);
        assert_eq!(left(&common), 5, "what is still used is not free");
        assert!(!slot.is_free() && !slot.lingers(DomId(5)), "grants are left");
        assert!(!slot.occupy(DomId(5)) && !slot.is_open());
        (0..4).for_each(|_| slot.quarantined());
        assert!(slot.lingers(DomId(5)) && !slot.lingers(DomId(6)));
        assert!(!slot.occupy(DomId(6)) && !slot.lingers(DomId(6)));
        assert!(slot.occupy(DomId(5)) && !slot.occupy(DomId(5)));
    }

    #[test]
    fn what_was_inherited_costs_the_guarantee_and_the_limit_nothing() {
        let common = AtomicU32::new(20);
        let slot = opened(&common);
        assert_eq!(slot.charge(4, &LIMITS, &common), Ok(4));
        (0..4).for_each(|_| slot.quarantined());
        slot.vacate(&common);
        assert_eq!(left(&common), 16);
        let limits = Limits { quarantine: 9, ..LIMITS };
        assert!(slot.occupy(DomId(5)) && slot.guarantee(limits.guaranteed, &common));
        assert_eq!(left(&common), 13, "all of the guarantee is set aside");
        assert_eq!(slot.charge(9, &limits, &common), Ok(8), "the limit is of its own");
        assert_eq!(left(&common), 8);
        slot.reaped(&common);
        assert_eq!((left(&common), slot.usage().inherited), (9, 3), "and what comes back is not of the guarantee");
        slot.repay(8, &common);
        assert_eq!(left(&common), 14);
        (0..3).for_each(|_| slot.reaped(&common));
        slot.vacate(&common);
        assert!(slot.is_free() && left(&common) == 20);
    }

    #[test]
    fn a_guarantee_that_cannot_be_had_takes_nothing() {
        let common = AtomicU32::new(2);
        let slot = Slot::new();
        assert!(slot.occupy(DomId(1)) && !slot.guarantee(3, &common));
        assert_eq!(left(&common), 2);
    }
}
