//! Copies from and to pages of other domains, by Xen.

use core::fmt;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{self, CopyFlags, CopyPtr, GrantRef};
use xen_hypercall::grant_table::Error;

use crate::page::Page;
use crate::platform::Memory;
use crate::retry::{self, BATCH, outcome};

/// Bytes of a page that another domain granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignBytes {
    /// The other domain.
    pub domain: DomId,
    /// Its grant, as it told us.
    pub gref: GrantRef,
    /// Where in the page, in bytes.
    pub offset: u16,
}

/// One copy of a batch. Each has a result of its own.
#[derive(Debug)]
pub struct GrantCopy<'a, P: Memory> {
    ends: Ends<'a, P>,
    foreign: ForeignBytes,
    offset: u16,
    len: u16,
    result: Result<(), CopyError>,
}

#[derive(Debug)]
enum Ends<'a, P: Memory> {
    From(&'a mut Page<P>),
    To(&'a Page<P>),
}

/// Why bytes were not copied; some of them may be.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError {
    /// The copy was not carried out yet.
    NotDone,
    /// The caller: the bytes cross the end of a page.
    OutOfPage,
    /// The caller: the page is one of another domain than the one that calls.
    OtherDomain,
    /// Xen refused. `GENERAL_ERROR` (no such grant, or not for this use), `BAD_GNTREF` and `BAD_DOMAIN` are
    /// the peer's doing, and so may be `EAGAIN`: the page was away all of
    /// 256 times.
    Xen(Error),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDone => f.write_str("the copy was not carried out yet"),
            Self::OutOfPage => f.write_str("the bytes to copy cross the end of a page"),
            Self::OtherDomain => f.write_str("the page is another domain's"),
            Self::Xen(error) => write!(f, "the bytes were not copied: {error}"),
        }
    }
}

impl core::error::Error for CopyError {}

impl<'a, P: Memory> GrantCopy<'a, P> {
    /// Copies `len` bytes of a foreign page to `offset` of `into`.
    #[must_use]
    pub const fn read(foreign: ForeignBytes, into: &'a mut Page<P>, offset: u16, len: u16) -> Self {
        Self { ends: Ends::From(into), foreign, offset, len, result: Err(CopyError::NotDone) }
    }

    /// Copies `len` bytes from `offset` of `from` to a foreign page. No other byte of the page is seen by anybody.
    #[must_use]
    pub const fn write(foreign: ForeignBytes, from: &'a Page<P>, offset: u16, len: u16) -> Self {
        Self { ends: Ends::To(from), foreign, offset, len, result: Err(CopyError::NotDone) }
    }

    /// What became of it.
    ///
    /// # Errors
    ///
    /// [`CopyError`], until it is carried out and Xen says that it is done.
    pub const fn result(&self) -> Result<(), CopyError> {
        self.result
    }

    /// What Xen is to do.
    fn operation(&mut self, platform: &P) -> Result<grant_table::Copy, CopyError> {
        let inside = |offset: u16| usize::from(offset) + usize::from(self.len) <= PAGE_SIZE;
        if !inside(self.offset) || !inside(self.foreign.offset) {
            return Err(CopyError::OutOfPage);
        }
        let page = match &self.ends {
            Ends::From(page) => page,
            Ends::To(page) => *page,
        };
        if !core::ptr::eq(page.platform().grant_table(), platform.grant_table()) {
            return Err(CopyError::OtherDomain);
        }
        let own = CopyPtr::own(platform.gfn(page.frame()), self.offset);
        let foreign = CopyPtr::grant(self.foreign.domain, self.foreign.gref, self.foreign.offset);
        let (source, dest, flags) = match &mut self.ends {
            Ends::From(page) => {
                page.residue().touch(usize::from(self.offset) + usize::from(self.len));
                (foreign, own, CopyFlags::SOURCE_GREF)
            }
            Ends::To(_) => (own, foreign, CopyFlags::DEST_GREF),
        };
        Ok(grant_table::Copy { source, dest, len: self.len, flags, ..grant_table::Copy::default() })
    }
}

/// Carries copies out, in as few calls as possible. Look at the [`result`](GrantCopy::result) of each: one that fails keeps no other
/// from being carried out.
pub fn copy<P: Memory>(platform: &P, copies: &mut [GrantCopy<'_, P>]) {
    for batch in copies.chunks_mut(BATCH) {
        copy_batch(platform, batch);
    }
}

fn copy_batch<P: Memory>(platform: &P, copies: &mut [GrantCopy<'_, P>]) {
    let mut operations = [grant_table::Copy::default(); BATCH];
    let mut count = 0;
    for copy in copies.iter_mut() {
        let prepared = copy.operation(platform);
        copy.result = prepared.and(Err(CopyError::NotDone));
        if let (Ok(prepared), Some(operation)) = (prepared, operations.get_mut(count)) {
            *operation = prepared;
            count += 1;
        }
    }
    let (operations, _) = operations.split_at_mut(count.min(BATCH));
    if operations.is_empty() {
        return;
    }
    // SAFETY: bytes are written to pages that are borrowed for writing, and read from pages whose owner asks for it.
    let call = unsafe { retry::copy(platform, operations) };
    let sent = copies.iter_mut().filter(|copy| copy.result == Err(CopyError::NotDone));
    for (copy, operation) in sent.zip(operations.iter()) {
        copy.result = outcome(operation, call).map_err(CopyError::Xen);
    }
}
