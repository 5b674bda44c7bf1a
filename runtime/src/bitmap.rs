//! Which pages of a range are free: one bit for each.

/// Pages in each word.
const WORD: usize = u64::BITS as usize;

/// The free pages among some that lie side by side, by their distance from the first. `S` holds the bits.
///
/// Runs of pages come from either end, so that two users with different habits stay apart, and go back in any pieces.
#[derive(Debug)]
pub(crate) struct Bitmap<S> {
    /// A bit that is set stands for a free page.
    words: S,
    /// No page before this one is free.
    low: usize,
    /// No page from this one on is free.
    high: usize,
    /// How many pages are free.
    count: usize,
}

impl<const N: usize> Bitmap<[u64; N]> {
    /// As many pages as there are bits, all free.
    pub(crate) const fn full() -> Self {
        Self { words: [u64::MAX; N], low: 0, high: N * WORD, count: N * WORD }
    }
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Bitmap<S> {
    /// `pages` pages, all free; no more than there is room for in `words`.
    pub(crate) fn new(words: S, pages: usize) -> Self {
        let pages = pages.min(words.as_ref().len() * WORD);
        let mut bitmap = Self { words, low: 0, high: 0, count: 0 };
        bitmap.words.as_mut().fill(0);
        bitmap.put(0, pages);
        bitmap
    }

    /// Takes the first `count` adjacent pages that are free.
    pub(crate) fn take_first(&mut self, count: usize) -> Option<usize> {
        self.narrow();
        let mut start = self.low;
        for page in self.low..self.high {
            if !self.is_free(page) {
                start = page + 1;
            } else if page + 1 - start == count {
                self.take(start, count);
                return Some(start);
            }
        }
        None
    }

    /// Takes the last `count` adjacent pages that are free.
    pub(crate) fn take_last(&mut self, count: usize) -> Option<usize> {
        self.narrow();
        let mut end = self.high;
        for page in (self.low..self.high).rev() {
            if !self.is_free(page) {
                end = page;
            } else if end - page == count {
                self.take(page, count);
                return Some(page);
            }
        }
        None
    }

    /// Takes these pages, if all of them are free, and says whether they were.
    pub(crate) fn take_at(&mut self, first: usize, count: usize) -> bool {
        let free =
            first.checked_add(count).is_some_and(|end| end <= self.high && (first..end).all(|page| self.is_free(page)));
        if free {
            self.take(first, count);
        }
        free
    }

    /// Gives pages back.
    pub(crate) fn put(&mut self, first: usize, count: usize) {
        for page in first..first + count {
            debug_assert!(!self.is_free(page), "page {page} was free already");
            self.words.as_mut()[page / WORD] |= 1 << (page % WORD);
        }
        self.count += count;
        if self.low == self.high {
            (self.low, self.high) = (first, first + count);
        } else {
            (self.low, self.high) = (self.low.min(first), self.high.max(first + count));
        }
    }

    /// How many pages are free.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    fn is_free(&self, page: usize) -> bool {
        self.words.as_ref().get(page / WORD).is_some_and(|word| word & 1 << (page % WORD) != 0)
    }

    /// Leaves out what is not free at either end, so that a search does not pass it time and again.
    fn narrow(&mut self) {
        while self.low < self.high && !self.is_free(self.low) {
            self.low += 1;
        }
        while self.low < self.high && !self.is_free(self.high - 1) {
            self.high -= 1;
        }
    }

    fn take(&mut self, first: usize, count: usize) {
        for page in first..first + count {
            self.words.as_mut()[page / WORD] &= !(1 << (page % WORD));
        }
        self.count -= count;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn pages_come_from_the_end_that_was_asked_for() {
        let mut pages = Bitmap::new([0; 2], 100);
        assert_eq!(pages.take_first(3), Some(0));
        assert_eq!(pages.take_last(2), Some(98));
        assert_eq!(pages.take_last(1), Some(97));
        assert_eq!(pages.take_first(1), Some(3));
    }

    #[test]
    fn no_more_pages_than_there_are() {
        let mut pages = Bitmap::new([0; 2], 100);
        assert_eq!(pages.take_first(101), None);
        assert_eq!(pages.take_last(101), None);
        assert_eq!(pages.take_first(100), Some(0));
        assert_eq!((pages.take_first(1), pages.take_last(1)), (None, None));
        assert_eq!(Bitmap::new([0; 1], 100).take_last(1), Some(63));
        assert_eq!((pages.count(), Bitmap::<[u64; 3]>::full().count()), (0, 192));
        assert_eq!(Bitmap::<[u64; 3]>::full().take_first(192), Some(0));
    }

    #[test]
    fn pages_that_came_together_go_back_one_by_one() {
        let mut pages = Bitmap::new([0; 1], 8);
        assert_eq!(pages.take_first(8), Some(0));
        for page in [6, 1, 3, 2, 7] {
            pages.put(page, 1);
        }
        assert_eq!(pages.take_last(3), Some(1));
        assert_eq!(pages.take_first(2), Some(6));
        assert_eq!(pages.take_first(1), None);
    }

    #[test]
    fn a_run_grows_where_the_pages_behind_it_are_free() {
        let mut pages = Bitmap::new([0; 1], 8);
        assert_eq!(pages.take_first(2), Some(0));
        assert_eq!(pages.take_last(1), Some(7));
        assert!(pages.take_at(2, 5));
        assert!(!pages.take_at(7, 1));
        pages.put(7, 1);
        assert!(!pages.take_at(7, 2), "beyond the end");
        assert!(!pages.take_at(usize::MAX, 2));
        assert!(pages.take_at(7, 1));
    }

    #[test]
    #[cfg_attr(not(debug_assertions), ignore = "only checked with debug assertions")]
    #[should_panic(expected = "page 3 was free already")]
    fn a_page_comes_back_once() {
        let mut pages = Bitmap::new([0; 1], 8);
        pages.put(3, 1);
    }

    /// The same operations on a set of numbers.
    #[test]
    fn any_order_of_operations_matches_a_set() {
        for seed in 1..64_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut bitmap = Bitmap::new([0; 3], 150);
            let mut free: BTreeSet<usize> = (0..150).collect();
            let mut taken = Vec::new();
            for _ in 0..400 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (choice, count) = (random >> 33 & 3, 1 + (random >> 40) as usize % 9);
                let all_free = |start: &usize| (*start..start + count).all(|page| free.contains(&page));
                let (got, wanted) = match choice {
                    0 => (bitmap.take_first(count), (0..150).find(all_free)),
                    1 => (bitmap.take_last(count), (0..150).rev().find(all_free)),
                    2 => {
                        let first = (random >> 50) as usize % 150;
                        (bitmap.take_at(first, count).then_some(first), Some(first).filter(all_free))
                    }
                    _ if taken.is_empty() => continue,
                    _ => {
                        let page = taken.swap_remove((random >> 50) as usize % taken.len());
                        bitmap.put(page, 1);
                        free.insert(page);
                        continue;
                    }
                };
                assert_eq!(got, wanted, "seed {seed}");
                assert_eq!(bitmap.count() + got.map_or(0, |_| count), free.len(), "seed {seed}");
                for page in got.into_iter().flat_map(|first| first..first + count) {
                    free.remove(&page);
                    taken.push(page);
                }
            }
        }
    }
}
