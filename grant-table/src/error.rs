//! Why something was not granted, and what comes back then.

use core::fmt;

use xen_hypercall::grant_table;
use xen_shared_ring::PeerError;

use crate::grant::Grant;
use crate::platform::Memory;
use crate::run::GrantRun;

/// Why a page was not granted, or an account not opened.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Resources: no reference is free for this account now. Wait until one of its own comes back. An account without a
    /// guarantee may hold none that could: then, and where an account could not be opened, try again later, by a timer. Nothing
    /// tells when others give theirs back.
    NoGrants,
    /// Resources: a reference is free for this account, but other CPUs changed the table all the time while it was looked for.
    /// Try again at once.
    Contended,
    /// Resources: no memory is left for the table's own book-keeping.
    NoMemory,
    /// Resources: [`MAX_ACCOUNTS`](crate::MAX_ACCOUNTS) are open, or hold pages that their peers have not given back.
    NoAccounts,
    /// The peer: it keeps more pages mapped than the account's [`quarantine`](crate::Limits::quarantine) allows. The device is
    /// of no use any more.
    QuarantineFull,
    /// The caller: the account is from before a suspend. Open a new one.
    Stale,
    /// The caller: the page is one of another domain than the account.
    OtherDomain,
    /// The caller: the limits contradict each other, or ask for nothing.
    InvalidLimits,
    /// The caller: the peer's id is not one of an ordinary domain.
    InvalidPeer,
    /// The page's frame number does not fit the 32 bits of version 1; see [`GrantTable::start`](crate::GrantTable::start).
    FrameTooHigh,
    /// Xen would not make the table longer.
    Table(grant_table::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGrants => "no grant reference is free for this account",
            Self::Contended => "other CPUs changed the grant table all the time",
            Self::NoMemory => "no memory is left for the grant table's book-keeping",
            Self::NoAccounts => "too many grant accounts are open, or hold pages that were not given back",
            Self::QuarantineFull => "the peer keeps too many pages mapped",
            Self::Stale => "the grant account is from before a suspend",
            Self::OtherDomain => "the page and the grant account are of different domains",
            Self::InvalidLimits => "the limits of the grant account contradict each other",
            Self::InvalidPeer => "grants are given to ordinary domains only",
            Self::FrameTooHigh => "the frame's number does not fit an entry of version 1",
            Self::Table(error) => return write!(f, "the grant table cannot grow: {error}"),
        })
    }
}

impl core::error::Error for Refusal {}

/// What was not granted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantError<T> {
    /// Why.
    pub reason: Refusal,
    /// What was to be granted.
    pub page: T,
}

impl<T> fmt::Display for GrantError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}

impl<T: fmt::Debug> core::error::Error for GrantError<T> {}

/// A grant that cannot be revoked now: the peer has the page mapped, or a copy is under way.
///
/// The page stays the grant's. Whether the peer can still map it anew depends on the table: version 2 has withdrawn its leave
/// already, version 1 has not. So there is nothing to do with the grant but to [revoke it again](Self::into_grant) later, or to drop this:
/// the page goes to quarantine then, where [`GrantTable::reap`](crate::GrantTable::reap) finds it.
///
/// Where the protocol says that the peer has unmapped the page by now, this is a violation, which a [`PeerError`] tells.
#[derive(Debug)]
#[must_use = "dropped, it puts the page in quarantine"]
pub struct StillMapped<G>(pub(crate) G);

impl<G> StillMapped<G> {
    /// The grant, to look at.
    pub const fn as_grant(&self) -> &G {
        &self.0
    }

    /// The grant, to revoke it again. In version 2 the peer cannot map the page anew.
    pub fn into_grant(self) -> G {
        self.0
    }
}

impl<P: Memory> From<&StillMapped<Grant<P>>> for PeerError {
    fn from(still: &StillMapped<Grant<P>>) -> Self {
        Self::GrantStillInUse { gref: still.0.gref().0 }
    }
}

impl<P: Memory> From<&StillMapped<GrantRun<P>>> for PeerError {
    /// Names the first page that is still mapped.
    fn from(still: &StillMapped<GrantRun<P>>) -> Self {
        Self::GrantStillInUse { gref: still.0.first_live().0 }
    }
}

impl<G> fmt::Display for StillMapped<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer still has the page mapped")
    }
}

impl<G: fmt::Debug> core::error::Error for StillMapped<G> {}
