//! What a guest must not do, and real Xen would let pass.

use std::fmt;

use xen_hypercall::abi::grant_table::{GrantRef, Handle};
use xen_hypercall::abi::{DomId, Gfn, Port};

use crate::store::Word;

/// A mistake of a guest that real Xen does not report, but that corrupts memory, leaks it, or loses it there.
///
/// By default the call in which it is found panics, with the machine's seed; see
/// [`Builder::record_violations`](crate::Builder::record_violations).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A page was given back that the domain had not allocated, or twice.
    FreedUnallocated {
        /// Whose mistake it is.
        domain: DomId,
        /// Where the page would be.
        address: usize,
    },
    /// A page was given back while an entry of the grant table still gives another domain leave to use it.
    FreedWhileGranted {
        /// Whose mistake it is.
        domain: DomId,
        /// The page.
        page: Gfn,
        /// The entry.
        gref: GrantRef,
        /// Who has leave.
        to: DomId,
    },
    /// A page was given back while another domain has it mapped.
    FreedWhileMapped {
        /// Whose mistake it is.
        domain: DomId,
        /// The page.
        page: Gfn,
        /// The entry by which it was mapped.
        gref: GrantRef,
        /// Who has it mapped.
        by: DomId,
    },
    /// A page was written after it had been given back.
    WrittenAfterFree {
        /// Whose page it is.
        domain: DomId,
        /// The page.
        page: Gfn,
        /// The first byte that differs.
        offset: usize,
    },
    /// An entry of the grant table was ended, or used for something else, while a domain still uses the page through
    /// it.
    EntryChangedInUse {
        /// Whose mistake it is.
        domain: DomId,
        /// The entry.
        gref: GrantRef,
        /// The page that it gave leave for.
        page: Gfn,
        /// Who uses the page.
        by: DomId,
    },
    /// A domain used a grant for a page that its owner had not allocated.
    GrantOfFreePage {
        /// Whose mistake it is.
        domain: DomId,
        /// The entry.
        gref: GrantRef,
        /// The page.
        page: Gfn,
    },
    /// The number of a page was asked for that the domain has not allocated.
    NumberOfFreePage {
        /// Whose mistake it is.
        domain: DomId,
        /// Where the page would be.
        address: usize,
    },
    /// A foreign page was looked for where none is mapped, or an address was released that is not free.
    BadForeignAddress {
        /// Whose mistake it is.
        domain: DomId,
        /// The address.
        address: usize,
    },
    /// A guest changed a word of its xenstore page that only the daemon writes.
    StoreWordChanged {
        /// Whose mistake it is.
        domain: DomId,
        /// The word.
        word: Word,
    },
    /// A page is still allocated.
    LeakedPage {
        /// By whom.
        domain: DomId,
        /// The page.
        page: Gfn,
    },
    /// An entry of the grant table still gives leave.
    LeakedGrant {
        /// Whose entry.
        domain: DomId,
        /// The entry.
        gref: GrantRef,
        /// Who has leave.
        to: DomId,
    },
    /// A foreign page is still mapped.
    LeakedMapping {
        /// By whom.
        domain: DomId,
        /// The mapping.
        handle: Handle,
        /// Whose page.
        of: DomId,
    },
    /// A port is still open.
    LeakedPort {
        /// Whose port.
        domain: DomId,
        /// The port.
        port: Port,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FreedUnallocated { domain, address } => {
                write!(f, "domain {domain} gave back a page that it has not allocated, at {address:#x}")
            }
            Self::FreedWhileGranted { domain, page, gref, to } => {
                write!(
                    f,
                    "domain {domain} gave back frame {:#x}, which entry {} still grants to domain {to}",
                    page.0, gref.0
                )
            }
            Self::FreedWhileMapped { domain, page, gref, by } => {
                write!(f, "domain {domain} gave back frame {:#x}, which domain {by} uses by entry {}", page.0, gref.0)
            }
            Self::WrittenAfterFree { domain, page, offset } => {
                write!(f, "frame {:#x} of domain {domain} was written at {offset:#x} after it was given back", page.0)
            }
            Self::EntryChangedInUse { domain, gref, page, by } => {
                write!(f, "domain {domain} changed entry {} while domain {by} uses frame {:#x} by it", gref.0, page.0)
            }
            Self::GrantOfFreePage { domain, gref, page } => {
                write!(f, "entry {} of domain {domain} grants frame {:#x}, which is not allocated", gref.0, page.0)
            }
            Self::NumberOfFreePage { domain, address } => {
                write!(f, "domain {domain} asked for the frame at {address:#x}, where it has no page")
            }
            Self::BadForeignAddress { domain, address } => {
                write!(
                    f,
                    "domain {domain} used the address {address:#x} for foreign pages: not reserved, or not in that state"
                )
            }
            Self::StoreWordChanged { domain, word } => {
                write!(f, "domain {domain} changed {word:?} of its xenstore page, which is the daemon's")
            }
            Self::LeakedPage { domain, page } => write!(f, "domain {domain} still has frame {:#x}", page.0),
            Self::LeakedGrant { domain, gref, to } => {
                write!(f, "entry {} of domain {domain} still gives leave to domain {to}", gref.0)
            }
            Self::LeakedMapping { domain, handle, of } => {
                write!(f, "domain {domain} still maps a page of domain {of}, by handle {}", handle.0)
            }
            Self::LeakedPort { domain, port } => write!(f, "domain {domain} still has port {} open", port.0),
        }
    }
}

impl std::error::Error for Violation {}
