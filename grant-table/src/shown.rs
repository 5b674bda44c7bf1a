//! Pages that another domain may read while this one writes them.

use core::fmt;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;

use crate::account::Account;
use crate::error::{GrantError, StillMapped};
use crate::grant::{Access, Grant};
use crate::page::Page;
use crate::platform::Memory;

/// A page that the peer of an account may read, and that stays this domain's to read and write.
///
/// The peer sees whatever stands in it, at any time, also half of what is being written: nothing may be put there that the peer is
/// not to have. It cannot change a bit, for Xen maps and copies such a page for reading only; so unlike a [`Grant`]'s, its bytes
/// can be referred to. It is for pages that go to one peer again and again, without being granted each time.
///
/// Dropping it is as with a [`Grant`].
///
/// ```
/// # use xen_grant_table::{Account, Limits, Page, ReadMapping, Shown};
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let machine = xen_sim::Machine::new(1);
/// # let (front, back) = (machine.domain(), machine.domain());
/// let account = Account::open(front.clone(), back.id(), Limits::exactly(1))?;
/// let page = Page::alloc(front.clone()).ok_or("no memory")?;
/// let mut shown = page.show(&account)?;
///
/// let mapping = ReadMapping::map(back.clone(), front.id(), &[shown.gref()])?;
/// shown.bytes_mut()[..5].copy_from_slice(b"hello");
/// let mut bytes = [0; 5];
/// assert_eq!(mapping.read(0, &mut bytes), 5);
/// assert_eq!(&bytes, b"hello");
/// # Ok(())
/// # }
/// ```
pub struct Shown<P: Memory>(Grant<P>);

impl<P: Memory> Page<P> {
    /// Grants the page to the account's peer to read, with what is in it, and keeps its bytes.
    ///
    /// # Errors
    ///
    /// As for [`grant`](Self::grant).
    pub fn show(self, account: &Account<P>) -> Result<Shown<P>, GrantError<Self>> {
        self.grant(account, Access::ReadOnly).map(Shown)
    }
}

impl<P: Memory> Shown<P> {
    /// What the peer needs to be told.
    #[must_use]
    #[inline]
    pub const fn gref(&self) -> GrantRef {
        self.0.gref()
    }

    /// Who may read the page.
    #[must_use]
    pub const fn peer(&self) -> DomId {
        self.0.peer()
    }

    /// The page's bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8; PAGE_SIZE] {
        self.0.page().bytes()
    }

    /// The page's bytes, to change any. The peer sees them as they are at any time.
    #[must_use]
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8; PAGE_SIZE] {
        self.0.page_mut().bytes_mut()
    }

    /// Takes the page back, as [`Grant::revoke`].
    ///
    /// # Errors
    ///
    /// [`StillMapped`] as long as the peer uses the page, for which there is no limit.
    pub fn revoke(self) -> Result<Page<P>, StillMapped<Self>> {
        self.0.revoke().map_err(|still| StillMapped(Self(still.into_grant())))
    }
}

impl<P: Memory> fmt::Debug for Shown<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shown").field(&self.0).finish()
    }
}
