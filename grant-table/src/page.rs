//! Pages that are this domain's alone.

use core::fmt;
use core::mem::ManuallyDrop;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::Frame;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;

use crate::account::Account;
use crate::error::{GrantError, Refusal};
use crate::grant::{Access, Grant};
use crate::platform::Memory;
use crate::table::{GrantTable, Quarantined};

/// A page of memory that no other domain can reach, so that it can be used like any memory.
///
/// Granting takes it away; a successful [`revoke`](Grant::revoke) gives it back. Dropping it gives it back to the kernel.
pub struct Page<P: Memory> {
    platform: P,
    frame: NonNull<Frame>,
    residue: Residue,
}

// SAFETY: the page is its owner's alone, on whatever CPU that is.
unsafe impl<P: Memory + Send> Send for Page<P> {}
// SAFETY: through a shared reference it can only be read.
unsafe impl<P: Memory + Sync> Sync for Page<P> {}

/// What a page holds besides zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residue {
    /// So many bytes from the start on may be other than zero.
    Bytes(u16),
    /// Anything, but nothing that the peer of the account with this serial number has not seen or written itself.
    Seen(u32),
}

impl Residue {
    const ZEROED: Self = Self::Bytes(0);
    const ALL: Self = Self::Bytes(PAGE_SIZE as u16);

    /// Bytes up to `end` were written.
    pub(crate) fn touch(&mut self, end: usize) {
        *self = match *self {
            Self::Bytes(before) => Self::Bytes(before.max(end.min(PAGE_SIZE) as u16)),
            Self::Seen(_) => Self::ALL,
        };
    }

    /// How many bytes from the start on may be other than zero.
    const fn len(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes as usize,
            Self::Seen(_) => PAGE_SIZE,
        }
    }
}

impl<P: Memory> Page<P> {
    /// A page of zeros, if there is one.
    #[must_use]
    pub fn alloc(platform: P) -> Option<Self> {
        let frame = platform.alloc(NonZeroUsize::MIN)?;
        Some(Self { platform, frame, residue: Residue::ZEROED })
    }

    /// The page's bytes.
    #[must_use]
    #[inline]
    pub const fn bytes(&self) -> &[u8; PAGE_SIZE] {
        // SAFETY: the page is mapped, and nobody else's for as long as it is here.
        unsafe { self.frame.cast().as_ref() }
    }

    /// The page's bytes, to change any. Whoever the page is granted to next sees them as they are then.
    #[must_use]
    #[inline]
    pub const fn bytes_mut(&mut self) -> &mut [u8; PAGE_SIZE] {
        self.residue = Residue::ALL;
        self.raw()
    }

    /// Makes the page hold `payload` and then zeros, whatever was there.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if it does not fit; the page is as before.
    pub fn fill(&mut self, payload: &[u8]) -> Result<(), TooLong> {
        self.fill_with(payload.len(), |start| start.copy_from_slice(payload))
    }

    /// Has `fill` write the first `len` bytes, and makes the rest zeros. Answers with what `fill` did.
    ///
    /// `fill` finds the bytes as they were: what it does not write goes to whoever the page is granted to next.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if there are not so many; `fill` is not called, and the page is as before.
    pub fn fill_with<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, TooLong> {
        if len > PAGE_SIZE {
            return Err(TooLong);
        }
        // All of it, should `fill` not come back.
        let old = core::mem::replace(&mut self.residue, Residue::ALL).len();
        let (start, rest) = self.raw().split_at_mut_checked(len).ok_or(TooLong)?;
        if let Some(stale) = rest.get_mut(..old.saturating_sub(len)) {
            stale.fill(0);
        }
        let filled = fill(start);
        self.residue = Residue::Bytes(len as u16);
        Ok(filled)
    }

    /// Grants the page to the account's peer, with what is in it.
    ///
    /// # Errors
    ///
    /// The page comes back, with the reason. [`NoGrants`](Refusal::NoGrants) and [`NoMemory`](Refusal::NoMemory) pass,
    /// [`Contended`](Refusal::Contended) at once; [`QuarantineFull`](Refusal::QuarantineFull) is the peer's doing;
    /// [`Stale`](Refusal::Stale) and [`OtherDomain`](Refusal::OtherDomain) are the caller's. [`Table`](Refusal::Table) and
    /// [`FrameTooHigh`](Refusal::FrameTooHigh) are limits of the machine.
    #[inline]
    pub fn grant(self, account: &Account<P>, access: Access) -> Result<Grant<P>, GrantError<Self>> {
        let frame = match self.frame_in(account.table()) {
            Ok(frame) => frame,
            Err(reason) => return Err(GrantError { reason, page: self }),
        };
        match account.take_one() {
            Ok(gref) => Ok(Grant::issue(self, frame, gref, account.holder(), access)),
            Err(reason) => Err(GrantError { reason, page: self }),
        }
    }

    /// Grants the page for the account's peer to fill. What was in it is zeroed before, unless this peer wrote or saw all of it
    /// when it had the page by the same account: the bytes that it then finds may be its own.
    ///
    /// What comes back is what the peer left there. Where not all of it was to be written, and the rest would be taken for
    /// fresh, [`grant_zeroed`](Self::grant_zeroed) is the one to use.
    ///
    /// # Errors
    ///
    /// As for [`grant`](Self::grant).
    #[inline]
    pub fn grant_to_fill(mut self, account: &Account<P>) -> Result<Grant<P>, GrantError<Self>> {
        if self.residue != Residue::Seen(account.holder().serial) {
            self.scrub();
        }
        self.grant(account, Access::ReadWrite)
    }

    /// Grants the page, all zeros, for the account's peer to fill.
    ///
    /// # Errors
    ///
    /// As for [`grant`](Self::grant).
    pub fn grant_zeroed(mut self, account: &Account<P>) -> Result<Grant<P>, GrantError<Self>> {
        self.scrub();
        self.grant(account, Access::ReadWrite)
    }

    /// The frame as entries of the table name it.
    #[inline]
    pub(crate) fn frame_in(&self, table: &GrantTable) -> Result<u64, Refusal> {
        if !core::ptr::eq(table, self.platform.grant_table()) {
            return Err(Refusal::OtherDomain);
        }
        frame_number(&self.platform, self.frame)
    }

    pub(crate) const fn platform(&self) -> &P {
        &self.platform
    }

    pub(crate) const fn frame(&self) -> NonNull<Frame> {
        self.frame
    }

    pub(crate) const fn residue(&mut self) -> &mut Residue {
        &mut self.residue
    }

    /// Keeps the page from being freed as long as the peer has not given it back.
    #[cold]
    pub(crate) fn quarantine(self, gref: GrantRef, slot: u16, flags: u16) {
        let mut this = ManuallyDrop::new(self);
        this.platform.grant_table().quarantine(Quarantined { gref, page: this.frame, slot, flags });
        // SAFETY: the page is not used again; only its handle of the domain ends here.
        unsafe { core::ptr::drop_in_place(&raw mut this.platform) };
    }

    /// Makes all of it zeros.
    fn scrub(&mut self) {
        let stale = self.residue.len();
        if let Some(stale) = self.raw().get_mut(..stale) {
            stale.fill(0);
        }
        self.residue = Residue::ZEROED;
    }

    const fn raw(&mut self) -> &mut [u8; PAGE_SIZE] {
        // SAFETY: the page is mapped, and nobody else's for as long as it is here.
        unsafe { self.frame.cast().as_mut() }
    }
}

impl<P: Memory> Drop for Page<P> {
    fn drop(&mut self) {
        // SAFETY: `alloc` gave the page, it is used no more, and a page that others can reach is a grant's, not here.
        unsafe { self.platform.dealloc(self.frame) };
    }
}

impl<P: Memory> fmt::Debug for Page<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Page").field(&self.frame).finish()
    }
}

/// The payload is longer than a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload is longer than a page")
    }
}

impl core::error::Error for TooLong {}

/// What an entry says of a page.
#[inline]
pub(crate) fn frame_number<P: Memory>(platform: &P, page: NonNull<Frame>) -> Result<u64, Refusal> {
    let frame = platform.gfn(page).0;
    let fits = frame <= u64::from(u32::MAX) || platform.grant_table().is_v2();
    if fits { Ok(frame) } else { Err(Refusal::FrameTooHigh) }
}
