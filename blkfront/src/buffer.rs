//! Memory for a request's data.

use alloc::vec::Vec;
use core::fmt;
use core::mem;

use xen_grant_table::{Grant, Memory, Page, Refusal, StillMapped};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_shared_ring::PeerError;

use crate::Platform;
use crate::jobs::NONE;
use crate::lending::{Lending, Purpose};
use crate::options::Trust;

/// Pages that a request reads into or writes from.
///
/// A buffer goes into a request and comes back in its completion. That is zero copy: the backend reads and writes these very pages.
/// With [persistent](crate::Persistent::IfOffered) grants they are copied to and from pages of the driver's own.
pub struct Buffer<P: Memory> {
    sheets: Vec<Sheet<P>>,
    len: usize,
}

/// One page.
struct Sheet<P: Memory> {
    hand: Hand<P>,
    /// The page of the driver's own that it goes through now, or [`NONE`].
    staged: u32,
}

/// In whose hand a page is.
enum Hand<P: Memory> {
    Own(Page<P>),
    Lent(Grant<P>),
    /// The peer keeps it; it is in quarantine.
    Lost,
}

impl<P: Memory + Clone> Buffer<P> {
    /// Pages for `bytes` bytes, zeroed; `None` when there are not so many.
    #[must_use]
    pub fn alloc(platform: &P, bytes: usize) -> Option<Self> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut sheets = Vec::new();
        sheets.try_reserve_exact(count).ok()?;
        for _ in 0..count {
            sheets.push(Sheet::own(Page::alloc(platform.clone())?));
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
        Self { sheets: pages.into_iter().map(Sheet::own).collect(), len }
    }

    /// The pages.
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

    /// A page's bytes; `None` where there is no such page.
    #[must_use]
    pub fn page(&self, index: usize) -> Option<&[u8; PAGE_SIZE]> {
        self.sheets.get(index)?.page().map(Page::bytes)
    }

    /// A page's bytes, to change them; `None` where there is no such page.
    #[must_use]
    pub fn page_mut(&mut self, index: usize) -> Option<&mut [u8; PAGE_SIZE]> {
        self.sheets.get_mut(index)?.page_mut().map(Page::bytes_mut)
    }

    /// Copies `from` to the bytes from `offset` on, and answers with how many fitted: none beyond [`len`](Self::len).
    pub fn copy_in(&mut self, offset: usize, from: &[u8]) -> usize {
        let fits = from.len().min(self.len.saturating_sub(offset));
        let mut copied = 0;
        while copied < fits {
            let (index, within) = ((offset + copied) / PAGE_SIZE, (offset + copied) % PAGE_SIZE);
            let step = (PAGE_SIZE - within).min(fits - copied);
            let into = self.page_mut(index).and_then(|page| page.get_mut(within..within + step));
            let (Some(into), Some(from)) = (into, from.get(copied..copied + step)) else { break };
            into.copy_from_slice(from);
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
            let from = self.page(index).and_then(|page| page.get(within..within + step));
            let (Some(from), Some(into)) = (from, into.get_mut(copied..copied + step)) else { break };
            into.copy_from_slice(from);
            copied += step;
        }
        copied
    }

    /// Makes all pages the domain's own again, after a connection has ended. What a backend has still mapped is replaced: the data
    /// of a write is saved, for it could only be read; what was to be read is not there yet.
    pub(crate) fn recover(&mut self, platform: &P) -> Result<(), NoMemory>
    where
        P: Clone,
    {
        self.sheets.iter_mut().try_for_each(|sheet| {
            sheet.staged = NONE;
            sheet.hand.recover(platform)
        })
    }

    /// Leaves out what was lost, so that what comes back is whole pages, if fewer.
    fn drop_lost(&mut self) {
        if self.sheets.iter().any(|sheet| matches!(sheet.hand, Hand::Lost)) {
            self.sheets.retain(|sheet| !matches!(sheet.hand, Hand::Lost));
            self.len = self.len.min(self.sheets.len() * PAGE_SIZE);
        }
    }

    /// Has whatever a backend may still use go to quarantine, and leaves it out.
    pub(crate) fn release(&mut self) {
        for sheet in &mut self.sheets {
            sheet.staged = NONE;
            let _ = sheet.hand.take_back();
        }
        self.drop_lost();
    }
}

/// To the backend, and back.
impl<P: Platform> Buffer<P> {
    /// Lends a page for a request, as far as it is the request's business.
    pub(crate) fn lend(
        &mut self,
        index: usize,
        purpose: Purpose,
        lending: &mut Lending<P>,
    ) -> Result<GrantRef, Refusal> {
        let used = self.used(index);
        let sheet = self.sheets.get_mut(index).ok_or(Refusal::NoMemory)?;
        match lending.stage() {
            Some(staged) => {
                let (place, gref) = staged?;
                sheet.staged = place;
                match (purpose, &sheet.hand, &mut lending.staging) {
                    (Purpose::Write, Hand::Own(page), Some(pool)) => {
                        pool.write(place, page.bytes().get(..used).unwrap_or_default());
                    }
                    // What an earlier request left there is not to be taken for the disk's.
                    (Purpose::Read, _, Some(pool)) if lending.trust == Trust::Untrusted => pool.clear(place, used),
                    _ => {}
                }
                Ok(gref)
            }
            None => sheet.hand.lend(used, purpose, lending),
        }
    }

    /// Takes a page back, with what the backend has put there.
    pub(crate) fn take_back(
        &mut self,
        index: usize,
        purpose: Purpose,
        lending: &mut Lending<P>,
    ) -> Result<(), PeerError> {
        let used = self.used(index);
        let Some(sheet) = self.sheets.get_mut(index) else { return Ok(()) };
        let Some(pool) = &mut lending.staging else { return sheet.hand.take_back() };
        let place = mem::replace(&mut sheet.staged, NONE);
        if let (Purpose::Read, Hand::Own(page)) = (purpose, &mut sheet.hand) {
            pool.read(place, page.bytes_mut().get_mut(..used).unwrap_or_default());
        }
        pool.put(place);
        Ok(())
    }

    /// How many bytes of a page are the request's business.
    pub(crate) fn used(&self, index: usize) -> usize {
        self.len.saturating_sub(index * PAGE_SIZE).min(PAGE_SIZE)
    }
}

/// No page was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

impl<P: Memory> Sheet<P> {
    const fn own(page: Page<P>) -> Self {
        Self { hand: Hand::Own(page), staged: NONE }
    }

    const fn page(&self) -> Option<&Page<P>> {
        if let Hand::Own(page) = &self.hand { Some(page) } else { None }
    }

    const fn page_mut(&mut self) -> Option<&mut Page<P>> {
        if let Hand::Own(page) = &mut self.hand { Some(page) } else { None }
    }

    fn into_page(self) -> Option<Page<P>> {
        match self.hand {
            Hand::Own(page) => Some(page),
            // Dropped, it goes to quarantine where it is still mapped.
            Hand::Lent(grant) => grant.revoke().ok(),
            Hand::Lost => None,
        }
    }
}

impl<P: Memory> Hand<P> {
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

impl<P: Platform> Hand<P> {
    fn lend(&mut self, used: usize, purpose: Purpose, lending: &Lending<P>) -> Result<GrantRef, Refusal> {
        let page = match mem::replace(self, Self::Lost) {
            Self::Own(page) => page,
            other => {
                *self = other;
                return Err(Refusal::NoMemory);
            }
        };
        match lending.grant(page, used, purpose) {
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
}

/// A page with the same bytes as one that the peer keeps.
fn replacement<P: Memory + Clone>(platform: &P, still: &StillMapped<Grant<P>>) -> Result<Page<P>, NoMemory> {
    let mut page = Page::alloc(platform.clone()).ok_or(NoMemory)?;
    let _ = still.as_grant().read(0, page.bytes_mut());
    Ok(page)
}

impl<P: Memory> fmt::Debug for Buffer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("pages", &self.sheets.len()).field("len", &self.len).finish()
    }
}
