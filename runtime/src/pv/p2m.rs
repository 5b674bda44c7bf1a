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

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    /// Frames that are unlike the numbers of their pages.
    const FRAME: u64 = 0x10_0000;

    /// A map of so many pages, in memory that stays.
    fn map(pages: usize) -> P2m {
        let entries: Vec<AtomicU64> = (0..pages as u64).map(|page| AtomicU64::new(page + FRAME)).collect();
        let entries: &'static [AtomicU64] = Box::leak(entries.into_boxed_slice());
        // SAFETY: the entries live for good, and are reached by the map only.
        unsafe { P2m::new(entries.as_ptr().expose_provenance(), pages) }
    }

    #[test]
    fn a_page_has_its_frame_until_it_is_given_back() {
        let map = map(10);
        assert_eq!((map.get(3), map.get(10)), (Some(Mfn(FRAME + 3)), None));
        assert_eq!((map.page_of(Mfn(FRAME + 3), 10), map.page_of(Mfn(FRAME + 3), 3)), (Some(3), None));
        map.set(3, None);
        assert_eq!((map.get(3), map.page_of(Mfn(FRAME + 3), 10)), (None, None));
        map.set(3, Some(Mfn(7)));
        assert_eq!((map.get(3), map.page_of(Mfn(7), 10)), (Some(Mfn(7)), Some(3)));
        map.set(10, Some(Mfn(7)));
        assert_eq!(map.len(), 10);
    }

    /// As the toolstack does: from the root to the lists, from them to the pages of the map.
    #[test]
    fn the_lists_lead_to_every_page_of_the_map() {
        for pages in [1, 512, 513, 4096, 262_144, 262_145, 600_000] {
            let (map, count) = (map(pages), FrameLists::pages(pages).get());
            let lists = Box::leak(std::vec![[0_u64; PER_PAGE]; count].into_boxed_slice());
            let start = lists.as_mut_ptr().expose_provenance();
            // The lists are the guest's pages 0 to `count`, and the map begins at page 100.
            let page_at = |address: usize| Some(100 + (address - map.address_of_entry(0)) / PAGE);
            let new = FrameLists::new(0);
            assert_eq!(new.root(), 0);
            // SAFETY: the lists are this test's.
            unsafe { new.fill(map, |page| start + page * PAGE, page_at) };
            let leaves = pages.div_ceil(PER_PAGE);
            let frame = |page: usize| map.get(page).map_or(0, |frame| frame.0);
            let (root, lists) = lists.split_first().expect("there is a root");
            assert!(root.iter().take(lists.len()).copied().eq((0..lists.len()).map(|list| frame(1 + list))), "{pages}");
            assert!(
                lists.iter().flatten().take(leaves).copied().eq((0..leaves).map(|leaf| frame(100 + leaf))),
                "{pages}"
            );
            assert_eq!(lists.len(), leaves.div_ceil(PER_PAGE));
            assert_eq!(root.get(lists.len()), Some(&0), "nothing behind the last list");
        }
    }
}
