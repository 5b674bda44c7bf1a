//! Where the guest's own pages are mapped, in numbers.

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// Where the image is linked, and where Xen's builder maps the guest's first pages. The linker script has the same.
pub(crate) const VIRT_BASE: usize = 0xffff_ffff_8000_0000;

/// Where memory beyond the builder's mapping is mapped: the start of the part of the upper half that is the guest's.
pub(crate) const DIRECT: usize = 0xffff_8800_0000_0000;

/// The pages that are mapped. Each has one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Pages that the builder mapped, at [`VIRT_BASE`]; the others are at [`DIRECT`].
    pub(crate) initial: usize,
    /// Pages that are mapped in all.
    pub(crate) mapped: usize,
}

impl Layout {
    /// The number of the page that is mapped at an address. `None` where none of the guest's own is: in the window for
    /// pages of other domains, for instance, which lies in the same GiB as the image.
    #[inline]
    pub(crate) const fn page_at(&self, address: usize) -> Option<usize> {
        let (start, pages) =
            if address >= VIRT_BASE { (VIRT_BASE, 0..self.initial) } else { (DIRECT, self.initial..self.mapped) };
        let Some(offset) = address.checked_sub(start) else { return None };
        let page = offset / PAGE;
        if pages.start <= page && page < pages.end { Some(page) } else { None }
    }

    /// Where a page that is mapped is mapped.
    #[inline]
    pub(crate) const fn address(&self, page: usize) -> usize {
        if page < self.initial { VIRT_BASE + page * PAGE } else { DIRECT + page * PAGE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest of 2 GiB of which the builder mapped 4 MiB.
    const LAYOUT: Layout = Layout { initial: 1024, mapped: 2 << 18 };

    #[test]
    fn a_page_is_found_at_its_address_and_nowhere_else() {
        for page in [0, 1, 1023] {
            assert_eq!(LAYOUT.page_at(VIRT_BASE + page * PAGE), Some(page));
            assert_eq!(LAYOUT.page_at(VIRT_BASE + page * PAGE + PAGE - 1), Some(page));
            assert_eq!(LAYOUT.page_at(DIRECT + page * PAGE), None, "page {page} is mapped elsewhere");
            assert_eq!(LAYOUT.address(page), VIRT_BASE + page * PAGE);
        }
        for page in [1024, (2 << 18) - 1] {
            assert_eq!(LAYOUT.page_at(DIRECT + page * PAGE), Some(page));
            assert_eq!(LAYOUT.page_at(VIRT_BASE + page * PAGE), None, "page {page} is mapped elsewhere");
            assert_eq!(LAYOUT.address(page), DIRECT + page * PAGE);
        }
    }

    #[test]
    fn no_page_is_behind_the_last_one_or_below_the_first() {
        for address in [DIRECT + (2 << 18) * PAGE, VIRT_BASE + 1024 * PAGE, VIRT_BASE - 1, DIRECT - 1, 0, usize::MAX] {
            assert_eq!(LAYOUT.page_at(address), None, "{address:#x}");
        }
    }

    #[test]
    fn addresses_of_the_window_are_no_pages_of_the_guests_own_however_many_it_has() {
        let window = VIRT_BASE + (1 << 30) - 512 * PAGE;
        assert_eq!(LAYOUT.page_at(window), None);
        assert_eq!(LAYOUT.page_at(window + 511 * PAGE), None);
    }
}
