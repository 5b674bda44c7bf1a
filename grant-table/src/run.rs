//! Runs of pages for rings: adjacent pages that are granted together.

use core::fmt;
use core::mem::ManuallyDrop;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::Frame;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_shared_ring::{Region, SharedMem};

use crate::account::{Account, Holder};
use crate::error::{GrantError, Refusal, StillMapped};
use crate::grant::Access;
use crate::page::frame_number;
use crate::platform::Memory;
use crate::table::{Quarantined, taken};

/// As many pages as a run has at most: Xen's block protocol has no larger rings in practice.
pub const MAX_RUN: usize = 16;

/// Adjacent pages of memory that no other domain can reach, zeroed.
///
/// Granted, they are a [`Region`] for a ring. Dropping them gives them back to the kernel.
pub struct PageRun<P: Memory> {
    platform: P,
    first: NonNull<Frame>,
    count: NonZeroUsize,
    /// No byte is other than zero.
    blank: Blank,
}

/// Whether pages hold zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blank {
    Yes,
    No,
}

// SAFETY: the pages are their owner's alone, on whatever CPU that is.
unsafe impl<P: Memory + Send> Send for PageRun<P> {}

impl<P: Memory> PageRun<P> {
    /// `count` adjacent pages of zeros; `None` if there are not so many, or if these are more than [`MAX_RUN`].
    #[must_use]
    pub fn alloc(platform: P, count: NonZeroUsize) -> Option<Self> {
        if count.get() > MAX_RUN {
            return None;
        }
        let first = platform.alloc(count)?;
        Some(Self { platform, first, count, blank: Blank::Yes })
    }

    /// How many pages there are.
    #[must_use]
    pub const fn count(&self) -> NonZeroUsize {
        self.count
    }

    /// The pages' bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are mapped, adjacent, and nobody else's for as long as they are here.
        unsafe { core::slice::from_raw_parts(self.first.cast().as_ptr(), self.len()) }
    }

    /// Grants the pages to the account's peer, zeroed. All of them, or none.
    ///
    /// # Errors
    ///
    /// The pages come back, with the reason, as for [`Page::grant`](crate::Page::grant).
    pub fn grant(mut self, account: &Account<P>, access: Access) -> Result<GrantRun<P>, GrantError<Self>> {
        let mut grefs = [GrantRef(0); MAX_RUN];
        match self.prepare(account, &mut grefs) {
            Ok(()) => Ok(GrantRun::issue(self, grefs, account.holder(), access)),
            Err(reason) => Err(GrantError { reason, page: self }),
        }
    }

    /// Does all that can fail. As soon as the first entry is valid, a hostile peer that guesses its number could keep the page.
    fn prepare(&mut self, account: &Account<P>, grefs: &mut [GrantRef; MAX_RUN]) -> Result<(), Refusal> {
        if !core::ptr::eq(account.table(), self.platform.grant_table()) {
            return Err(Refusal::OtherDomain);
        }
        (0..self.count.get()).try_for_each(|index| frame_number(&self.platform, self.page(index)).map(drop))?;
        self.zero();
        let (grefs, _) = grefs.split_at_mut(self.count.get().min(MAX_RUN));
        account.take_all(grefs)
    }

    fn zero(&mut self) {
        if self.blank == Blank::No {
            // SAFETY: the pages are mapped, and nobody else's.
            unsafe { self.first.cast::<u8>().write_bytes(0, self.len()) };
            self.blank = Blank::Yes;
        }
    }

    const fn len(&self) -> usize {
        self.count.get() * PAGE_SIZE
    }

    /// One of the pages.
    const fn page(&self, index: usize) -> NonNull<Frame> {
        // SAFETY: indices are below the count; the pages are adjacent, of one allocation.
        unsafe { self.first.add(index) }
    }
}

impl<P: Memory> Drop for PageRun<P> {
    fn drop(&mut self) {
        for index in 0..self.count.get() {
            // SAFETY: `alloc` gave the page, it is used no more, and no other domain can reach it.
            unsafe { self.platform.dealloc(self.page(index)) };
        }
    }
}

impl<P: Memory> fmt::Debug for PageRun<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageRun").field("first", &self.first).field("count", &self.count).finish_non_exhaustive()
    }
}

/// Adjacent pages that the peer of an account may use: the memory of a ring.
///
/// What holds for a [`Grant`](crate::Grant) holds for each of them.
pub struct GrantRun<P: Memory> {
    run: ManuallyDrop<PageRun<P>>,
    memory: SharedMem,
    grefs: [GrantRef; MAX_RUN],
    /// A bit for each page whose entry is valid.
    live: u32,
    holder: Holder,
    flags: u16,
}

// SAFETY: the pages are mapped and this domain's for as long as the value lives, since they come back only when it is used up;
// nothing else of this domain reaches them.
unsafe impl<P: Memory> Region for GrantRun<P> {
    fn memory(&self) -> &SharedMem {
        &self.memory
    }
}

impl<P: Memory> GrantRun<P> {
    /// What the peer needs to be told, in the order of the pages.
    #[must_use]
    pub fn grefs(&self) -> &[GrantRef] {
        self.grefs.get(..self.run.count.get()).unwrap_or_default()
    }

    /// Who may use the pages.
    #[must_use]
    pub const fn peer(&self) -> DomId {
        self.holder.peer
    }

    /// Takes the pages back.
    ///
    /// # Errors
    ///
    /// [`StillMapped`] as long as the peer uses one of them. The peer has no leave any more for the others; all stay here.
    pub fn revoke(mut self) -> Result<PageRun<P>, StillMapped<Self>> {
        self.end();
        if self.live != 0 {
            return Err(StillMapped(self));
        }
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the grant is not used again.
        Ok(unsafe { ManuallyDrop::take(&mut this.run) })
    }

    /// Makes the entries of taken references valid.
    fn issue(mut run: PageRun<P>, grefs: [GrantRef; MAX_RUN], holder: Holder, access: Access) -> Self {
        let flags = access.flags();
        let table = run.platform.grant_table();
        for (index, gref) in grefs.iter().take(run.count.get()).enumerate() {
            if let (Some(entry), Ok(frame)) = (table.entry(*gref), frame_number(&run.platform, run.page(index))) {
                entry.permit(holder.peer, frame, flags);
            }
        }
        // SAFETY: the pages are mapped writable, adjacent, of one allocation, and ours but for the peer, for as long as the grant
        // lives. A `SharedMem` is not `Sync`, so that the grant is one thread's.
        let memory = unsafe { SharedMem::new(run.first.cast(), run.len()) };
        let live = (1 << run.count.get()) - 1;
        run.blank = Blank::No;
        Self { run: ManuallyDrop::new(run), memory, grefs, live, holder, flags }
    }

    /// The first page that the peer has not given back, or the first one of all.
    pub(crate) fn first_live(&self) -> GrantRef {
        let [first, ..] = self.grefs;
        self.grefs.get(self.live.trailing_zeros() as usize).copied().unwrap_or(first)
    }

    /// Takes back what can be.
    fn end(&mut self) {
        let table = self.run.platform.grant_table();
        if table.epoch() != self.holder.epoch {
            self.live = 0;
        }
        for (index, gref) in self.grefs.iter().enumerate() {
            let live = self.live & 1 << index != 0;
            if live && table.withdraw(*gref, self.flags).is_ok() {
                table.put(taken(*gref), self.holder.slot);
                self.live &= !(1 << index);
            }
        }
    }

    /// Frees the page, or keeps it as long as the peer has not given it back.
    fn dispose(&self, index: usize, gref: GrantRef) {
        let page = self.run.page(index);
        if self.live & 1 << index == 0 {
            // SAFETY: `alloc` gave the page, it is used no more, and its entry gives no leave any more.
            unsafe { self.run.platform.dealloc(page) };
        } else {
            let held = Quarantined { gref, page, slot: self.holder.slot, flags: self.flags };
            self.run.platform.grant_table().quarantine(held);
        }
    }
}

impl<P: Memory> Drop for GrantRun<P> {
    fn drop(&mut self) {
        self.end();
        for (index, gref) in self.grefs().iter().enumerate() {
            self.dispose(index, *gref);
        }
        // SAFETY: the pages are disposed of; only the run's handle of the domain ends here.
        unsafe { core::ptr::drop_in_place(&raw mut self.run.platform) };
    }
}

impl<P: Memory> fmt::Debug for GrantRun<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantRun")
            .field("grefs", &self.grefs())
            .field("peer", &self.holder.peer)
            .finish_non_exhaustive()
    }
}
