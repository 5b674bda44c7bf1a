//! Pages that are granted.

use core::fmt;
use core::mem::ManuallyDrop;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef};
use xen_shared_ring::SharedMem;

use crate::account::Holder;
use crate::entry::InUse;
use crate::error::StillMapped;
use crate::page::{Page, Residue};
use crate::platform::Memory;
use crate::table::taken;

/// What the peer may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

impl Access {
    /// The flags of an entry.
    pub(crate) const fn flags(self) -> u16 {
        let readonly = match self {
            Self::ReadOnly => GrantFlags::READONLY.bits(),
            Self::ReadWrite => 0,
        };
        GrantFlags::PERMIT_ACCESS.bits() | readonly
    }
}

/// A page that the peer of an account may use.
///
/// The page is the grant's. It cannot be referred to, only be copied from and to; the peer may change it at any time. There is
/// no way to ask whether the peer has it mapped: the answer would be worth nothing the instant after.
///
/// Dropping it revokes it and frees the page. If the page is still mapped it goes to quarantine, and is not freed before
/// [`GrantTable::reap`](crate::GrantTable::reap) finds it given back. Forgetting it ([`core::mem::forget`]) loses the page and
/// the reference, and the peer keeps its leave.
pub struct Grant<P: Memory> {
    page: ManuallyDrop<Page<P>>,
    gref: GrantRef,
    holder: Holder,
    flags: u16,
}

impl<P: Memory> Grant<P> {
    /// What the peer needs to be told.
    #[must_use]
    pub const fn gref(&self) -> GrantRef {
        self.gref
    }

    /// Who may use the page.
    #[must_use]
    pub const fn peer(&self) -> DomId {
        self.holder.peer
    }

    /// Takes the page back: one compare-exchange of the entry, no hypercall (in version 2 a store, a fence, and a load).
    ///
    /// A grant from before a suspend gives its page back and touches nothing else.
    ///
    /// # Errors
    ///
    /// [`StillMapped`] as long as the peer uses the page, for which there is no limit.
    #[inline]
    pub fn revoke(self) -> Result<Page<P>, StillMapped<Self>> {
        match self.end() {
            Ok(()) => Ok(self.into_page()),
            Err(_) => Err(StillMapped(self)),
        }
    }

    /// Copies bytes from `offset` on into `into`, and returns how many there were before the end of the page. The peer may
    /// have changed them when the call is back.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        self.memory().read(offset, into)
    }

    /// Copies `from` to the bytes from `offset` on, and returns how many fitted in the page.
    #[must_use]
    pub fn write(&mut self, offset: usize, from: &[u8]) -> usize {
        let written = self.memory().write(offset, from);
        self.page.residue().touch(offset.saturating_add(written));
        written
    }

    /// Makes the entry of a taken reference valid.
    #[inline]
    pub(crate) fn issue(page: Page<P>, frame: u64, gref: GrantRef, holder: Holder, access: Access) -> Self {
        let flags = access.flags();
        if let Some(entry) = page.platform().grant_table().entry(gref) {
            entry.permit(holder.peer, frame, flags);
        }
        Self { page: ManuallyDrop::new(page), gref, holder, flags }
    }

    /// The page, of a grant that the peer cannot write through.
    #[inline]
    pub(crate) fn page(&self) -> &Page<P> {
        &self.page
    }

    #[inline]
    pub(crate) fn page_mut(&mut self) -> &mut Page<P> {
        &mut self.page
    }

    fn memory(&self) -> SharedMem {
        // SAFETY: the page is mapped writable, and ours but for the peer, for as long as the grant is borrowed, which is as long as
        // the value lives. Threads that share the grant only load, which needs no order; to write, one has it alone.
        unsafe { SharedMem::new(self.page.frame().cast(), PAGE_SIZE) }
    }

    /// Takes the peer's leave back, and gives the reference back.
    #[inline]
    fn end(&self) -> Result<(), InUse> {
        self.withdraw()?;
        self.put();
        Ok(())
    }

    /// Whether it is from before a suspend: its reference is none any more.
    #[inline]
    pub(crate) fn is_stale(&self) -> bool {
        self.page.platform().grant_table().epoch() != self.holder.epoch
    }

    /// Takes the peer's leave back.
    #[inline]
    pub(crate) fn withdraw(&self) -> Result<(), InUse> {
        if self.is_stale() { Ok(()) } else { self.page.platform().grant_table().withdraw(self.gref, self.flags) }
    }

    /// Gives back the reference of a grant whose leave was taken back.
    #[inline]
    pub(crate) fn put(&self) {
        if !self.is_stale() {
            self.page.platform().grant_table().put(taken(self.gref), self.holder.slot);
        }
    }

    /// Gives the peer leave as before. All but the flags still stands in the entry: only this domain writes it.
    #[inline]
    pub(crate) fn permit_again(&self) {
        if let Some(entry) = self.page.platform().grant_table().entry(self.gref) {
            entry.permit_again(self.flags);
        }
    }

    /// The page of a grant that has ended.
    #[inline]
    pub(crate) fn into_page(self) -> Page<P> {
        let mut this = ManuallyDrop::new(self);
        if this.flags == Access::ReadWrite.flags() {
            *this.page.residue() = Residue::Seen(this.holder.serial);
        }
        // SAFETY: the grant is not used again.
        unsafe { ManuallyDrop::take(&mut this.page) }
    }
}

impl<P: Memory> Drop for Grant<P> {
    fn drop(&mut self) {
        let ended = self.end();
        // SAFETY: the grant is not used again.
        let page = unsafe { ManuallyDrop::take(&mut self.page) };
        if ended.is_err() {
            let Self { gref, holder, flags, .. } = *self;
            page.quarantine(gref, holder.slot, flags);
        }
    }
}

impl<P: Memory> fmt::Debug for Grant<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("gref", &self.gref).field("peer", &self.holder.peer).finish_non_exhaustive()
    }
}
