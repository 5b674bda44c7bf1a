//! Pages that were taken back for a moment.

use core::fmt;
use core::mem::ManuallyDrop;

use xen_hypercall::abi::frame::PAGE_SIZE;

use crate::error::StillMapped;
use crate::grant::Grant;
use crate::page::Page;
use crate::platform::Memory;

/// A page that its peer has no leave for any more, and that keeps its reference: to be read, and to go to the same peer again.
///
/// Taking it back is as with [`Grant::revoke`]; granting it again is a store. The peer may use the reference that it knows again, for
/// the page that it knows: where that is not to be, [`into_page`](Self::into_page) gives the reference back.
///
/// Dropping it gives back both.
///
/// ```
/// # use xen_grant_table::{Account, Limits, Mapping, Page};
/// # use xen_shared_ring::Region;
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let machine = xen_sim::Machine::new(1);
/// # let (front, back) = (machine.domain(), machine.domain());
/// let account = Account::open(front.clone(), back.id(), Limits::exactly(1))?;
/// let page = Page::alloc(front.clone()).ok_or("no memory")?;
/// let grant = page.grant_zeroed(&account)?;
/// let gref = grant.gref();
///
/// let mapping = Mapping::map(back.clone(), front.id(), &[gref])?;
/// Region::memory(&mapping).write(0, b"hello");
/// mapping.unmap()?;
/// # machine.settle();
/// let recalled = grant.recall()?;
/// assert_eq!(&recalled.bytes()[..5], b"hello");
/// assert!(Mapping::map(back.clone(), front.id(), &[gref]).is_err());
///
/// let grant = recalled.grant_again().map_err(|_| "the domain was suspended")?;
/// assert_eq!(grant.gref(), gref);
/// # Ok(())
/// # }
/// ```
pub struct Recalled<P: Memory>(ManuallyDrop<Grant<P>>);

impl<P: Memory> Grant<P> {
    /// Takes the page back, and keeps the reference for it: one compare-exchange of the entry, no hypercall (in version 2 a store, a fence,
    /// and a load).
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    #[inline]
    pub fn recall(self) -> Result<Recalled<P>, StillMapped<Self>> {
        match self.withdraw() {
            Ok(()) => Ok(Recalled(ManuallyDrop::new(self))),
            Err(_) => Err(StillMapped(self)),
        }
    }
}

impl<P: Memory> Recalled<P> {
    /// The page's bytes: this domain's alone.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8; PAGE_SIZE] {
        self.0.page().bytes()
    }

    /// Grants the page again as it was, with what is in it: to the same peer, by the same reference, for the same use.
    ///
    /// # Errors
    ///
    /// The page, if the domain was suspended since it was granted: the reference is none any more.
    #[inline]
    pub fn grant_again(self) -> Result<Grant<P>, Page<P>> {
        let grant = self.into_grant();
        if grant.is_stale() {
            return Err(grant.into_page());
        }
        grant.permit_again();
        Ok(grant)
    }

    /// The page, without the reference.
    #[must_use]
    pub fn into_page(self) -> Page<P> {
        let grant = self.into_grant();
        grant.put();
        grant.into_page()
    }

    #[inline]
    fn into_grant(self) -> Grant<P> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, and not dropped.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<P: Memory> Drop for Recalled<P> {
    fn drop(&mut self) {
        // SAFETY: `self` is not used again.
        let grant = unsafe { ManuallyDrop::take(&mut self.0) };
        grant.put();
        drop(grant.into_page());
    }
}

impl<P: Memory> fmt::Debug for Recalled<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recalled").field(&*self.0).finish()
    }
}
