//! How pages get to the backend, and back.

use alloc::vec::Vec;

use xen_grant_table::{Access, Account, Grant, GrantError, Page, Refusal};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;

use crate::Platform;
use crate::jobs::NONE;
use crate::options::Trust;

/// What the backend does with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It reads what is to be written to the disk.
    Write,
    /// It fills it.
    Read,
}

/// What a connection grants, and how.
pub(crate) struct Lending<P: Platform> {
    platform: P,
    pub(crate) trust: Trust,
    /// Pages that stay granted, through which all data goes; the request's own pages are granted where there is none.
    pub(crate) staging: Option<Pool<P>>,
    /// Pages that hold the segments of indirect requests.
    pub(crate) segments: Pool<P>,
    // Dropped last: what was granted is given back to it.
    pub(crate) account: Account<P>,
}

/// Pages that stay granted for as long as the connection. The last one that was used is the next one.
pub(crate) struct Pool<P: Platform> {
    pages: Vec<Grant<P>>,
    free: Vec<u32>,
    access: Access,
}

impl<P: Platform> Lending<P> {
    pub(crate) const fn new(platform: P, trust: Trust, account: Account<P>) -> Self {
        Self { platform, trust, staging: None, segments: Pool::new(Access::ReadOnly), account }
    }

    /// The backend keeps pages mapped, and may map all of them writable.
    pub(crate) fn make_persistent(&mut self) {
        self.staging = Some(Pool::new(Access::ReadWrite));
        self.segments = Pool::new(Access::ReadWrite);
    }

    /// Grants a page of a request, of which `used` bytes are its business.
    pub(crate) fn grant(
        &self,
        mut page: Page<P>,
        used: usize,
        purpose: Purpose,
    ) -> Result<Grant<P>, GrantError<Page<P>>> {
        match (purpose, self.trust) {
            (Purpose::Read, Trust::Untrusted) => page.grant_to_fill(&self.account),
            (Purpose::Read, Trust::Trusted) => page.grant(&self.account, Access::ReadWrite),
            (Purpose::Write, trust) => {
                if used < PAGE_SIZE && trust == Trust::Untrusted {
                    let (_, rest) = page.bytes_mut().split_at_mut(used);
                    rest.fill(0);
                }
                page.grant(&self.account, Access::ReadOnly)
            }
        }
    }

    /// Has bytes stand in a page of segments, and answers with its place and its grant.
    pub(crate) fn hold_segments(&mut self, bytes: &[u8]) -> Result<(u32, GrantRef), Refusal> {
        let (place, gref) = self.segments.take(&self.platform, &self.account)?;
        self.segments.write(place, bytes);
        Ok((place, gref))
    }

    /// A page through which data goes, with its grant.
    pub(crate) fn stage(&mut self) -> Option<Result<(u32, GrantRef), Refusal>> {
        Some(self.staging.as_mut()?.take(&self.platform, &self.account))
    }
}

impl<P: Platform> Pool<P> {
    const fn new(access: Access) -> Self {
        Self { pages: Vec::new(), free: Vec::new(), access }
    }

    fn take(&mut self, platform: &P, account: &Account<P>) -> Result<(u32, GrantRef), Refusal> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => self.grow(platform, account)?,
        };
        Ok((place, self.pages.get(place as usize).map_or(GrantRef(0), Grant::gref)))
    }

    /// The page is of no use for now.
    pub(crate) fn put(&mut self, place: u32) {
        if place != NONE {
            self.free.push(place);
        }
    }

    pub(crate) fn write(&mut self, place: u32, from: &[u8]) {
        if let Some(page) = self.pages.get_mut(place as usize) {
            let _ = page.write(0, from);
        }
    }

    pub(crate) fn clear(&mut self, place: u32, bytes: usize) {
        static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
        self.write(place, ZEROS.get(..bytes).unwrap_or(&ZEROS));
    }

    pub(crate) fn read(&self, place: u32, into: &mut [u8]) {
        if let Some(page) = self.pages.get(place as usize) {
            let _ = page.read(0, into);
        }
    }

    fn grow(&mut self, platform: &P, account: &Account<P>) -> Result<u32, Refusal> {
        let page = Page::alloc(platform.clone()).ok_or(Refusal::NoMemory)?;
        self.pages.try_reserve(1).map_err(|_| Refusal::NoMemory)?;
        // Whatever is free fits without asking for memory then.
        self.free.try_reserve(self.pages.len() + 1).map_err(|_| Refusal::NoMemory)?;
        self.pages.push(page.grant(account, self.access).map_err(|error| error.reason)?);
        Ok((self.pages.len() - 1) as u32)
    }
}
