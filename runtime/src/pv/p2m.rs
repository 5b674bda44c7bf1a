//! Which machine frame each of the guest's pages has: the pseudo-physical map, and what the toolstack needs to find it.
//!
//! The map lies where the builder put it. Others write it as well: the toolstack, while the guest is suspended, since the pages
//! of a restored guest have other frames. So it is reached through atomics.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};

use xen_hypercall::abi::Mfn;

use super::layout::PAGE;

/// What the map holds for a page that the guest has given back to Xen: `INVALID_P2M_ENTRY` of the toolstack.
const NONE: u64 = u64::MAX;

/// Entries of the map, and of the lists that lead to it, in a page.
const PER_PAGE: usize = PAGE / size_of::<u64>();

/// The map.
#[derive(Clone, Copy, Debug)]
pub(super) struct P2m(&'static [AtomicU64]);

impl P2m {
    /// The builder's map.
    ///
    /// # Safety
    ///
    /// `pages` entries lie at `list`, mapped writable for good, and nothing in the guest reaches them but by this type.
    pub(super) const unsafe fn new(list: usize, pages: usize) -> Self {
        let list = core::ptr::with_exposed_provenance::<AtomicU64>(list);
        // SAFETY: the caller's promise; the toolstack writes while the guest does not run.
        Self(unsafe { core::slice::from_raw_parts(list, pages) })
    }

    /// How many pages the guest had at boot, which is how many it can have.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The frame of a page. `None` for a page that was given back, or that there is not.
    #[inline]
    pub(super) fn get(&self, page: usize) -> Option<Mfn> {
        let entry = self.0.get(page)?.load(Ordering::Relaxed);
        if entry == NONE { None } else { Some(Mfn(entry)) }
    }

    /// Notes the frame of a page, or that it has none.
    pub(super) fn set(&self, page: usize, frame: Option<Mfn>) {
        if let Some(entry) = self.0.get(page) {
            entry.store(frame.map_or(NONE, |frame| frame.0), Ordering::Relaxed);
        }
    }

    /// The page of a frame, if it is among the first `pages`.
    pub(super) fn page_of(&self, frame: Mfn, pages: usize) -> Option<usize> {
        (0..pages).find(|&page| self.get(page) == Some(frame))
    }

    /// The address of the page that holds the entry of a page.
    fn address_of_entry(&self, page: usize) -> usize {
        self.0.as_ptr().addr() + page * size_of::<u64>()
    }
}

/// Two levels of lists that lead the toolstack to the pages of the map: the root names the lists, each list names 512 pages.
///
/// The toolstack also knows a form by virtual addresses, which needs no lists; but it misreads one of more than a page of
/// page tables, unless it begins where a gigabyte does.
#[derive(Debug)]
pub(super) struct FrameLists {
    /// The first page of the lists, which follow the root. Each is mapped writable at its own address.
    root: usize,
}

impl FrameLists {
    /// How many pages the lists for a guest of `pages` pages take, the root included.
    pub(super) const fn pages(pages: usize) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(pages.div_ceil(PER_PAGE * PER_PAGE))
    }

    /// Lists in as many pages as [`pages`](Self::pages) says, from page `root` on.
    pub(super) const fn new(root: usize) -> Self {
        Self { root }
    }

    /// The page of the root.
    pub(super) const fn root(&self) -> usize {
        self.root
    }

    /// Writes the lists, from the frames that the pages have now.
    ///
    /// # Safety
    ///
    /// The pages of the lists are mapped writable at `address_of` each, and nothing else uses them.
    pub(super) unsafe fn fill(
        &self,
        p2m: P2m,
        address_of: impl Fn(usize) -> usize,
        page_at: impl Fn(usize) -> Option<usize>,
    ) {
        let frame = |page| p2m.get(page).map_or(0, |frame| frame.0);
        let leaves = p2m.len().div_ceil(PER_PAGE);
        for leaf in 0..leaves {
            let list = self.root + 1 + leaf / PER_PAGE;
            let leaf_page = page_at(p2m.address_of_entry(leaf * PER_PAGE)).unwrap_or(usize::MAX);
            // SAFETY: the caller's promise.
            unsafe { write(address_of(list), leaf % PER_PAGE, frame(leaf_page)) };
        }
        for list in 0..leaves.div_ceil(PER_PAGE) {
            // SAFETY: the caller's promise.
            unsafe { write(address_of(self.root), list, frame(self.root + 1 + list)) };
        }
    }
}

/// # Safety
///
/// A page of entries is mapped writable at `list`, and nothing else uses it.
unsafe fn write(list: usize, index: usize, frame: u64) {
    let entry = core::ptr::with_exposed_provenance_mut::<u64>(list).wrapping_add(index % PER_PAGE);
    // SAFETY: within the page. Volatile: it is the toolstack that reads it.
    unsafe { entry.write_volatile(frame) };
}
