//! Pages that a guest grants to other domains, and those that they grant to it.

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
mod references;
mod retry;
mod run;
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
pub use run::{GrantRun, MAX_RUN, PageRun};
pub use slot::Limits;
pub use table::{AccountReport, Accounts, GrantTable, MAX_ACCOUNTS, MAX_REFERENCES, Reaped, Statistics};
