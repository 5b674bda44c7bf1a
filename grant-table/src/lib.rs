//! Pages that a guest grants to other domains, and those that they grant to it.
//!
//! A domain shares a page by an entry in its grant table, whose number, the *reference*, it tells the other domain. From then on
//! the other domain may map the page, keep it mapped for as long as it likes, and change it at any time. This crate makes sure
//! that such a page is nobody's memory as far as Rust is concerned, and never free, until it has really come back.
//!
//! # Own pages
//!
//! * [`Page`] is memory like any other. [`Page::grant`] turns it into a [`Grant`], which has no bytes to refer to, and
//!   [`Grant::revoke`] turns that into a page again, or says [`StillMapped`]. [`PageRun`] and [`GrantRun`] are the same for
//!   the adjacent pages of a ring. A page that both sides use while it is shared, without a ring, is a run of one: its bytes are copied
//!   in and out by `run.memory()` (`xen_shared_ring::Region`).
//! * [`Recalled`] is a page that was taken back for a moment, and keeps its reference.
//! * [`Shown`] is a page that the other domain can only read, so that its bytes stay at hand.
//! * An [`Account`] says to whom a device grants, how many references it always has, and how many at most. A [`Reservation`] holds
//!   references for a moment when granting must not fail.
//! * A page that is still mapped when its grant is dropped is in *quarantine*. [`GrantTable::reap`] frees those that came
//!   back. From an account's cap on, its pages in quarantine stop it from granting more.
//! * [`GrantTable`] is what a kernel has one of. It needs no lock, and grows as it is used.
//!
//! ```
//! # use xen_grant_table::{Access, Account, Limits, Memory, Page, ReadMapping};
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let machine = xen_sim::Machine::new(1);
//! # let (front, back) = (machine.domain(), machine.domain());
//! let account = Account::open(front.clone(), back.id(), Limits::exactly(32))?;
//! let mut page = Page::alloc(front.clone()).ok_or("no memory")?;
//! page.fill(b"hello")?;
//! let grant = page.grant(&account, Access::ReadOnly)?;
//!
//! // The other domain, which was told the reference, maps the page and reads it.
//! let mapping = ReadMapping::map(back.clone(), front.id(), &[grant.gref()])?;
//! let mut bytes = [0; 5];
//! assert_eq!(mapping.read(0, &mut bytes), 5);
//! assert_eq!(&bytes, b"hello");
//!
//! let grant = grant.revoke().unwrap_err().into_grant(); // Not yet.
//! mapping.unmap()?;
//! # machine.settle();
//! let page = grant.revoke()?;
//! assert_eq!(&page.bytes()[..5], b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Foreign pages
//!
//! [`Mapping`] and [`ReadMapping`] map what others granted, all or none, or each by itself; [`copy`] has Xen copy bytes. What
//! Xen could not do for the moment is tried 256 times. `GNTTABOP_transfer` is not offered: it gives a page away for good, even
//! where Xen reports a failure, so that nothing could come back with the error; and only PV guests have it.
//!
//! # What a hostile peer can do
//!
//! | the peer | what happens |
//! |---|---|
//! | keeps a page mapped | [`StillMapped`]; dropped, the page is lost for as long. At most what the account had granted goes this way |
//! | keeps as many as the cap | no more is granted: [`Refusal::QuarantineFull`] for its own device; no other device notices |
//! | maps at the very moment of the revocation | one of the two comes first; there is no third outcome |
//! | uses a reference after its revocation | Xen refuses: the entry is invalid, and its number is not used again soon, but for the same page and the same peer ([`Recalled`]) |
//! | changes the page at any time | a copy has other bytes; nothing refers to them |
//! | reads the whole page | it finds the payload and zeros, or what it wrote itself ([`Page::fill`], [`Page::grant_to_fill`]) |
//! | grants a page and takes it away, or never had it | [`MapError`], [`CopyError`] |
//!
//! # Sources
//!
//! How entries are written and taken back, and what calls there are: public/grant_table.h ("Introducing a valid entry",
//! "Invalidating an unused `GTF_permit_access` entry", `GNTTABOP_*`).

#![no_std]

mod account;
mod copy;
mod entry;
mod error;
mod grant;
mod mapping;
mod order;
mod page;
mod platform;
mod recalled;
mod references;
mod retry;
mod run;
mod shown;
mod slot;
mod sync;
mod table;

pub use account::{Account, Reservation};
pub use copy::{CopyError, ForeignBytes, GrantCopy, copy};
pub use error::{GrantError, Refusal, StillMapped};
pub use grant::{Access, Grant};
pub use mapping::{MapError, Mapping, ReadMapping};
pub use page::{Page, TooLong};
pub use platform::{Memory, TableFrame};
pub use recalled::Recalled;
pub use run::{GrantRun, MAX_RUN, PageRun};
pub use shown::Shown;
pub use slot::Limits;
pub use table::{AccountReport, Accounts, GrantTable, MAX_ACCOUNTS, MAX_REFERENCES, Reaped, Statistics};
