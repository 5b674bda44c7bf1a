//! Who holds what, and what happened.

use core::fmt;

use xen_hypercall::abi::DomId;

use super::{GrantTable, MAX_ACCOUNTS};
use crate::entry::InUse;
use crate::sync::{AtomicU32, Ordering, constructor};

use xen_hypercall::abi::grant_table::GrantFlags;

impl GrantTable {
    /// What the table has, and what happened to it so far. The numbers are each right at some instant, not all at the same.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            frames: self.frames.load(Ordering::Relaxed),
            max_frames: self.max_frames.load(Ordering::Relaxed),
            free: self.references.count(),
            common: self.common.load(Ordering::Relaxed),
            quarantined: self.ledger.len(),
            ..self.counters.read()
        }
    }

    /// Who holds references, to find a leak: prints as a list, a line for each account that has or had any.
    #[must_use]
    pub const fn accounts(&self) -> Accounts<'_> {
        Accounts { table: self, next: 0 }
    }
}

/// Numbers about a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Length of the table, in frames.
    pub frames: u32,
    /// How long it may become, in frames; 0 as long as it is not in use.
    pub max_frames: u32,
    /// References that are free.
    pub free: u32,
    /// Of those: guaranteed to no account.
    pub common: u32,
    /// Pages in quarantine now.
    pub quarantined: u32,
    /// Pages that ever went to quarantine.
    pub ever_quarantined: u32,
    /// Pages that came back from it.
    pub reaped: u32,
    /// Revocations that found the page mapped.
    pub still_mapped: u32,
    /// Of those: mapped for writing, where the grant is for reading. Xen does not do this.
    pub impossible: u32,
    /// Page addresses that are lost, since Xen would not remove what is mapped there.
    pub lost_addresses: u32,
}

/// What one account holds, in references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountReport {
    /// The domain that it grants to.
    pub peer: DomId,
    /// Whether the account is there; what a closed one still holds comes back, or was forgotten.
    pub open: bool,
    /// Granted or reserved.
    pub held: u32,
    /// In quarantine.
    pub quarantined: u32,
    /// Of those in quarantine: from accounts for the same peer that were closed before.
    pub inherited: u32,
    /// Guaranteed.
    pub guaranteed: u32,
}

impl fmt::Display for AccountReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, held, quarantined, inherited, guaranteed, .. } = self;
        let open = if self.open { "open" } else { "closed" };
        write!(f, "domain {peer}, {open}: {held} held, {quarantined} in quarantine")?;
        if *inherited > 0 {
            write!(f, " ({inherited} of them from accounts that were closed)")?;
        }
        write!(f, ", {guaranteed} guaranteed")
    }
}

/// The accounts of a table that are open or hold anything.
#[derive(Clone, Debug)]
pub struct Accounts<'a> {
    table: &'a GrantTable,
    next: usize,
}

impl Iterator for Accounts<'_> {
    type Item = AccountReport;

    fn next(&mut self) -> Option<AccountReport> {
        while self.next < MAX_ACCOUNTS {
            let slot = &self.table.slots[self.next];
            self.next += 1;
            let usage = slot.usage();
            if let Some(peer) = slot.peer().filter(|_| !slot.is_free()) {
                return Some(AccountReport {
                    peer,
                    open: slot.is_open(),
                    held: usage.used.saturating_sub(usage.quarantined),
                    quarantined: usage.quarantined,
                    inherited: usage.inherited,
                    guaranteed: usage.guaranteed,
                });
            }
        }
        None
    }
}

impl fmt::Display for Accounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().try_for_each(|account| writeln!(f, "{account}"))
    }
}

/// Counts of what happened; they wrap.
#[derive(Debug)]
pub(super) struct Counters {
    ever_quarantined: AtomicU32,
    reaped: AtomicU32,
    still_mapped: AtomicU32,
    impossible: AtomicU32,
    lost_addresses: AtomicU32,
}

impl Counters {
    constructor! {
        pub(super) fn new() -> Self {
            Self {
                ever_quarantined: AtomicU32::new(0),
                reaped: AtomicU32::new(0),
                still_mapped: AtomicU32::new(0),
                impossible: AtomicU32::new(0),
                lost_addresses: AtomicU32::new(0),
            }
        }
    }

    pub(super) fn quarantined(&self) {
        self.ever_quarantined.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reaped(&self) {
        self.reaped.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    pub(super) fn refused(&self, granted: u16, in_use: InUse) {
        self.still_mapped.fetch_add(1, Ordering::Relaxed);
        if granted & GrantFlags::READONLY.bits() != 0 && in_use.writing() {
            self.impossible.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lose_addresses(&self, count: u32) {
        self.lost_addresses.fetch_add(count, Ordering::Relaxed);
    }

    fn read(&self) -> Statistics {
        Statistics {
            ever_quarantined: self.ever_quarantined.load(Ordering::Relaxed),
            reaped: self.reaped.load(Ordering::Relaxed),
            still_mapped: self.still_mapped.load(Ordering::Relaxed),
            impossible: self.impossible.load(Ordering::Relaxed),
            lost_addresses: self.lost_addresses.load(Ordering::Relaxed),
            ..Statistics::default()
        }
    }
}
