//! Memory for a request's data.

use alloc::vec::Vec;
use core::fmt;
use core::mem;

use xen_grant_table::{Access, Account, Grant, Memory, Page, Refusal, StillMapped};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_shared_ring::PeerError;

use crate::options::Trust;

/// Pages that a request reads into or writes from: zero copy, for the backend reads and writes these very pages.
///
/// A buffer goes into a request and comes back in its completion. Where the backend may keep pages mapped
/// ([`Persistent::IfOffered`](crate::Persistent::IfOffered)) its pages stay granted after the first use: they can then be copied
/// from and to ([`copy_in`](Self::copy_in), [`copy_out`](Self::copy_out)), which always works, but not be referred to.
pub struct Buffer<P: Memory> {
    sheets: Vec<Sheet<P>>,
    len: usize,
}

/// One page, in whoever's hand it is.
enum Sheet<P: Memory> {
    Own(Page<P>),
    Lent(Grant<P>),
    /// The peer keeps it; it is in quarantine.
    Lost,
}

/// How pages are lent to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lending {
    /// They stay lent after the request.
    pub(crate) stays: bool,
    pub(crate) trust: Trust,
}

/// What the backend does with the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It reads what is to be written to the disk.
    Write,
    /// It fills them.
    Read,
}

impl<P: Memory + Clone> Buffer<P> {
    /// Pages for `bytes` bytes, zeroed; `None` when there are not so many.
    #[must_use]
    pub fn alloc(platform: &P, bytes: usize) -> Option<Self> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut sheets = Vec::new();
        sheets.try_reserve_exact(count).ok()?;
        for _ in 0..count {
            sheets.push(Sheet::Own(Page::alloc(platform.clone())?));
        }
        Some(Self { sheets, len: bytes })
    }
}

impl<P: Memory> Buffer<P> {
    /// No pages at all: of requests that have no data.
    #[must_use]
    pub const fn empty() -> Self {
        Self { sheets: Vec::new(), len: 0 }
    }

    /// A buffer of these pages, with what is in them.
    #[must_use]
    pub fn from_pages(pages: Vec<Page<P>>) -> Self {
        let len = pages.len() * PAGE_SIZE;
        Self { sheets: pages.into_iter().map(Sheet::Own).collect(), len }
    }

    /// The pages. Those that a backend has still mapped are left out, and go to quarantine.
    #[must_use]
    pub fn into_pages(self) -> Vec<Page<P>> {
        self.sheets.into_iter().filter_map(Sheet::into_page).collect()
    }

    /// How many bytes the request is about.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes there is room for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.sheets.len() * PAGE_SIZE
    }

    /// Has requests be about the first `bytes` bytes. More than the [`capacity`](Self::capacity) is cut down to it.
    pub fn set_len(&mut self, bytes: usize) {
        self.len = bytes.min(self.capacity());
    }

    /// A page's bytes; `None` where there is no such page, or it is granted.
    #[must_use]
    pub fn page(&self, index: usize) -> Option<&[u8; PAGE_SIZE]> {
        match self.sheets.get(index)? {
            Sheet::Own(page) => Some(page.bytes()),
            Sheet::Lent(_) | Sheet::Lost => None,
        }
    }

    /// A page's bytes, to change them; `None` where there is no such page, or it is granted.
    #[must_use]
    pub fn page_mut(&mut self, index: usize) -> Option<&mut [u8; PAGE_SIZE]> {
        match self.sheets.get_mut(index)? {
            Sheet::Own(page) => Some(page.bytes_mut()),
            Sheet::Lent(_) | Sheet::Lost => None,
        }
    }

    /// Copies `from` to the bytes from `offset` on, and answers with how many fitted: none beyond [`len`](Self::len).
    pub fn copy_in(&mut self, offset: usize, from: &[u8]) -> usize {
        let fits = from.len().min(self.len.saturating_sub(offset));
        let mut copied = 0;
        while copied < fits {
            let (index, within) = ((offset + copied) / PAGE_SIZE, (offset + copied) % PAGE_SIZE);
            let step = (PAGE_SIZE - within).min(fits - copied);
            let (Some(sheet), Some(from)) = (self.sheets.get_mut(index), from.get(copied..copied + step)) else {
                break;
            };
            if !sheet.write(within, from) {
                break;
            }
            copied += step;
        }
        copied
    }

    /// Copies bytes from `offset` on into `into`, and answers with how many there were: none beyond [`len`](Self::len).
    #[must_use]
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) -> usize {
        let there = into.len().min(self.len.saturating_sub(offset));
        let mut copied = 0;
        while copied < there {
            let (index, within) = ((offset + copied) / PAGE_SIZE, (offset + copied) % PAGE_SIZE);
            let step = (PAGE_SIZE - within).min(there - copied);
            let (Some(sheet), Some(into)) = (self.sheets.get(index), into.get_mut(copied..copied + step)) else {
                break;
            };
            if !sheet.read(within, into) {
                break;
            }
            copied += step;
        }
        copied
    }

    /// Lends a page for the request, as far as `used` bytes of it are its business.
    pub(crate) fn lend(
        &mut self,
        index: usize,
        used: usize,
        account: &Account<P>,
        purpose: Purpose,
        lending: Lending,
    ) -> Result<GrantRef, Refusal> {
        match self.sheets.get_mut(index) {
            Some(sheet) => sheet.lend(used, account, purpose, lending),
            None => Ok(GrantRef(0)),
        }
    }

    /// Takes a page back, unless it stays lent.
    pub(crate) fn take_back(&mut self, index: usize, lending: Lending) -> Result<(), PeerError> {
        match self.sheets.get_mut(index) {
            Some(sheet) if !lending.stays => sheet.take_back(),
            _ => Ok(()),
        }
    }

    /// Makes all pages the domain's own again, after a connection has ended. What a backend has still mapped is replaced: the data
    /// of a write is saved, for it could only be read; what was to be read is not there yet.
    pub(crate) fn recover(&mut self, platform: &P) -> Result<(), NoMemory>
    where
        P: Clone,
    {
        self.sheets.iter_mut().try_for_each(|sheet| sheet.recover(platform))
    }

    /// Leaves out what was lost, so that what comes back is whole pages, if fewer.
    pub(crate) fn drop_lost(&mut self) {
        if self.sheets.iter().any(|sheet| matches!(sheet, Sheet::Lost)) {
            self.sheets.retain(|sheet| !matches!(sheet, Sheet::Lost));
            self.len = self.len.min(self.sheets.len() * PAGE_SIZE);
        }
    }

    /// Has whatever a backend may still use go to quarantine.
    pub(crate) fn release(&mut self) {
        for sheet in &mut self.sheets {
            let _ = sheet.take_back();
        }
        self.drop_lost();
    }
}

/// No page was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

impl<P: Memory> Sheet<P> {
    fn into_page(self) -> Option<Page<P>> {
        match self {
            Self::Own(page) => Some(page),
            // Dropped, it goes to quarantine where it is still mapped.
            Self::Lent(grant) => grant.revoke().ok(),
            Self::Lost => None,
        }
    }

    fn write(&mut self, offset: usize, from: &[u8]) -> bool {
        match self {
            Self::Own(page) => match page.bytes_mut().get_mut(offset..offset + from.len()) {
                Some(bytes) => bytes.copy_from_slice(from),
                None => return false,
            },
            Self::Lent(grant) => return grant.write(offset, from) == from.len(),
            Self::Lost => return false,
        }
        true
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        match self {
            Self::Own(page) => match page.bytes().get(offset..offset + into.len()) {
                Some(bytes) => into.copy_from_slice(bytes),
                None => return false,
            },
            Self::Lent(grant) => return grant.read(offset, into) == into.len(),
            Self::Lost => return false,
        }
        true
    }

    fn lend(
        &mut self,
        used: usize,
        account: &Account<P>,
        purpose: Purpose,
        lending: Lending,
    ) -> Result<GrantRef, Refusal> {
        let page = match mem::replace(self, Self::Lost) {
            Self::Own(page) => page,
            Self::Lent(grant) => {
                let gref = grant.gref();
                *self = Self::Lent(grant);
                return Ok(gref);
            }
            Self::Lost => return Err(Refusal::NoMemory),
        };
        match grant(page, used, account, purpose, lending) {
            Ok(grant) => {
                let gref = grant.gref();
                *self = Self::Lent(grant);
                Ok(gref)
            }
            Err(error) => {
                *self = Self::Own(error.page);
                Err(error.reason)
            }
        }
    }

    fn take_back(&mut self) -> Result<(), PeerError> {
        match mem::replace(self, Self::Lost) {
            Self::Own(page) => *self = Self::Own(page),
            Self::Lent(grant) => match grant.revoke() {
                Ok(page) => *self = Self::Own(page),
                // Dropped, it goes to quarantine.
                Err(still) => return Err(PeerError::from(&still)),
            },
            Self::Lost => {}
        }
        Ok(())
    }

    fn recover(&mut self, platform: &P) -> Result<(), NoMemory>
    where
        P: Clone,
    {
        match mem::replace(self, Self::Lost) {
            Self::Own(page) => *self = Self::Own(page),
            Self::Lent(grant) => *self = Self::Own(grant.revoke().or_else(|still| replacement(platform, &still))?),
            Self::Lost => *self = Self::Own(Page::alloc(platform.clone()).ok_or(NoMemory)?),
        }
        Ok(())
    }
}

/// A page with the same bytes as one that the peer keeps.
fn replacement<P: Memory + Clone>(platform: &P, still: &StillMapped<Grant<P>>) -> Result<Page<P>, NoMemory> {
    let mut page = Page::alloc(platform.clone()).ok_or(NoMemory)?;
    let _ = still.as_grant().read(0, page.bytes_mut());
    Ok(page)
}

fn grant<P: Memory>(
    mut page: Page<P>,
    used: usize,
    account: &Account<P>,
    purpose: Purpose,
    lending: Lending,
) -> Result<Grant<P>, xen_grant_table::GrantError<Page<P>>> {
    match (purpose, lending.trust) {
        (Purpose::Read, Trust::Untrusted) => page.grant_to_fill(account),
        (Purpose::Read, Trust::Trusted) => page.grant(account, Access::ReadWrite),
        (Purpose::Write, trust) => {
            if used < PAGE_SIZE && trust == Trust::Untrusted {
                let (_, rest) = page.bytes_mut().split_at_mut(used);
                rest.fill(0);
            }
            page.grant(account, if lending.stays { Access::ReadWrite } else { Access::ReadOnly })
        }
    }
}

impl<P: Memory> fmt::Debug for Buffer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("pages", &self.sheets.len()).field("len", &self.len).finish()
    }
}
