//! The machine's memory: which frame is whose, and what it is used for.

mod chunk;
mod page;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::Frame;
use xen_hypercall::abi::{DomId, Gfn};

use chunk::Chunk;
pub(crate) use page::Page;

/// What a page holds that its domain has given back.
pub(crate) const POISON: u8 = 0xd5;

/// What becomes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The domain's, free and never used: zeros.
    Fresh,
    /// The domain's, free: filled with [`POISON`].
    Freed,
    /// The domain's kernel has allocated it.
    Allocated,
    /// The domain gave it back to Xen.
    Gone,
    /// Xen's, shared with the domain: grant table, shared info.
    Xen,
}

/// A page with its place in the books.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) owner: DomId,
    pub(crate) gfn: Gfn,
    pub(crate) page: Page,
    pub(crate) usage: Use,
}

/// Why a page was not taken back, or what was found when it was handed out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) gfn: Gfn,
    pub(crate) offset: usize,
}

#[derive(Debug)]
struct Run {
    chunk: Chunk,
    owner: DomId,
    frames: Vec<u64>,
    usage: Vec<Use>,
    cursor: usize,
    /// How many pages are [`Use::Allocated`].
    in_use: usize,
}

/// All memory of the machine.
#[derive(Debug)]
pub(crate) struct Memory {
    runs: Vec<Run>,
    places: BTreeMap<u64, (usize, usize)>,
    next_frame: u64,
    rng: ChaCha8Rng,
}

impl Memory {
    pub(crate) const fn new(first_frame: u64, rng: ChaCha8Rng) -> Self {
        Self { runs: Vec::new(), places: BTreeMap::new(), next_frame: first_frame, rng }
    }

    /// Gives a domain `count` pages. Their numbers are in no order.
    pub(crate) fn populate(&mut self, owner: DomId, count: NonZeroUsize) {
        let cursor = self.rng.random_range(0..count.get());
        self.add(owner, count, Use::Fresh, cursor);
    }

    /// A page of Xen's own for a domain.
    pub(crate) fn xen_page(&mut self, owner: DomId) -> Entry {
        let run = self.add(owner, NonZeroUsize::MIN, Use::Xen, 0);
        self.entry((run, 0))
    }

    /// Has a page outlive the machine.
    pub(crate) fn keep(&mut self, page: Page) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.chunk.index(page.frame()).is_some()) {
            run.chunk.keep();
        }
    }

    /// `count` adjacent pages of the domain's, zeroed, and the damage that was found in those.
    pub(crate) fn alloc(&mut self, owner: DomId, count: NonZeroUsize) -> Option<(Page, Vec<Damage>)> {
        let mut runs = self.runs.iter().enumerate().filter(|(_, run)| run.owner == owner);
        let (run, first) = runs.find_map(|(at, run)| Some((at, run.find(count.get())?)))?;
        let mut damage = Vec::new();
        for index in first..first + count.get() {
            let entry = self.entry((run, index));
            damage.extend(damaged(&entry));
            entry.page.fill(0);
            self.runs[run].put(index, Use::Allocated);
        }
        self.runs[run].cursor = first + count.get();
        Some((self.runs[run].chunk.page(first), damage))
    }

    /// Takes a page back.
    pub(crate) fn free(&mut self, entry: &Entry) {
        entry.page.fill(POISON);
        self.set_use(entry.gfn, Use::Freed);
    }

    /// A page is Xen's again, until it is put back.
    pub(crate) fn take_away(&mut self, entry: &Entry) {
        self.free(entry);
        self.set_use(entry.gfn, Use::Gone);
    }

    /// A page that was taken away is its owner's again, zeroed; and the damage that was found in it.
    pub(crate) fn put_back(&mut self, entry: &Entry) -> Option<Damage> {
        let damage = damaged(entry);
        entry.page.fill(0);
        self.set_use(entry.gfn, Use::Allocated);
        damage
    }

    pub(crate) fn set_use(&mut self, gfn: Gfn, usage: Use) {
        if let Some(&(run, index)) = self.places.get(&gfn.0) {
            self.runs[run].put(index, usage);
        }
    }

    /// The page with that number.
    pub(crate) fn find(&self, gfn: Gfn) -> Option<Entry> {
        self.places.get(&gfn.0).map(|place| self.entry(*place))
    }

    /// The page at that address.
    pub(crate) fn at(&self, frame: NonNull<Frame>) -> Option<Entry> {
        let (run, index) =
            self.runs.iter().enumerate().find_map(|(run, pages)| Some((run, pages.chunk.index(frame)?)))?;
        Some(self.entry((run, index)))
    }

    /// How many pages a domain's kernel has allocated.
    pub(crate) fn in_use(&self, owner: DomId) -> usize {
        self.runs.iter().filter(|run| run.owner == owner).map(|run| run.in_use).sum()
    }

    /// All pages of a domain that its kernel has not given back.
    pub(crate) fn allocated(&self, owner: DomId) -> impl Iterator<Item = Gfn> + '_ {
        self.of(owner).filter(|entry| entry.usage == Use::Allocated).map(|entry| entry.gfn)
    }

    /// All pages of a domain.
    pub(crate) fn of(&self, owner: DomId) -> impl Iterator<Item = Entry> + '_ {
        let runs = self.runs.iter().enumerate().filter(move |(_, run)| run.owner == owner);
        runs.flat_map(move |(at, run)| (0..run.frames.len()).map(move |index| self.entry((at, index))))
    }

    /// Damage in pages that were given back, to the domain's memory or to Xen. Those that were never used are looked at when they
    /// are.
    pub(crate) fn damage(&self, owner: DomId) -> Vec<Damage> {
        let given_back = |entry: &Entry| matches!(entry.usage, Use::Freed | Use::Gone);
        self.of(owner).filter(given_back).filter_map(|entry| damaged(&entry)).collect()
    }

    /// Gives all pages of a domain other numbers, as a migration does in PV.
    pub(crate) fn renumber(&mut self, owner: DomId) {
        for at in 0..self.runs.len() {
            if self.runs[at].owner != owner {
                continue;
            }
            let numbers = self.numbers(self.runs[at].frames.len());
            for frame in std::mem::replace(&mut self.runs[at].frames, numbers) {
                self.places.remove(&frame);
            }
            let places = self.runs[at].frames.iter().enumerate().map(|(index, frame)| (*frame, (at, index)));
            self.places.extend(places);
        }
    }

    /// Looks a page of a domain up again, whose number may be another one now.
    pub(crate) fn refresh(&self, entry: &mut Entry) {
        if let Some(now) = self.at(entry.page.frame()) {
            *entry = now;
        }
    }

    /// Puts a fresh page in a page's place, under its number. The old one is Xen's from now on, and never used again.
    pub(crate) fn replace(&mut self, old: &Entry) -> Entry {
        let fresh = (self.add(old.owner, NonZeroUsize::MIN, Use::Fresh, 0), 0);
        let Some(place) = self.places.insert(old.gfn.0, fresh) else { return self.entry(fresh) };
        let unused = std::mem::replace(&mut self.runs[fresh.0].frames[0], old.gfn.0);
        self.runs[place.0].frames[place.1] = unused;
        self.places.insert(unused, place);
        self.runs[fresh.0].put(0, old.usage);
        self.runs[place.0].put(place.1, Use::Xen);
        self.entry(fresh)
    }

    fn entry(&self, (run, index): (usize, usize)) -> Entry {
        let run = &self.runs[run];
        Entry { owner: run.owner, gfn: Gfn(run.frames[index]), page: run.chunk.page(index), usage: run.usage[index] }
    }

    fn add(&mut self, owner: DomId, count: NonZeroUsize, usage: Use, cursor: usize) -> usize {
        let run = self.runs.len();
        let frames = self.numbers(count.get());
        self.places.extend(frames.iter().enumerate().map(|(index, frame)| (*frame, (run, index))));
        let usage = vec![usage; count.get()];
        self.runs.push(Run { chunk: Chunk::new(count), owner, frames, usage, cursor, in_use: 0 });
        run
    }

    /// Numbers that nobody has yet, shuffled: adjacent pages have other numbers than `n`, `n + 1`.
    fn numbers(&mut self, count: usize) -> Vec<u64> {
        let first = self.next_frame + self.rng.random_range(1..64);
        self.next_frame = first + 2 * count as u64;
        let mut numbers: Vec<u64> = (0..count as u64).map(|index| first + 2 * index).collect();
        numbers.shuffle(&mut self.rng);
        numbers
    }
}

impl Run {
    fn put(&mut self, index: usize, usage: Use) {
        self.in_use -= usize::from(self.usage[index] == Use::Allocated);
        self.in_use += usize::from(usage == Use::Allocated);
        self.usage[index] = usage;
    }

    /// The next free pages at or after the cursor, so that a page is not reused at once.
    fn find(&self, count: usize) -> Option<usize> {
        let last = self.usage.len().checked_sub(count)?;
        let free = |first: &usize| self.usage[*first..*first + count].iter().all(|usage| is_free(*usage));
        (self.cursor..=last).find(free).or_else(|| (0..=last).find(free))
    }
}

const fn is_free(usage: Use) -> bool {
    matches!(usage, Use::Fresh | Use::Freed)
}

/// The first byte of a free page that somebody has written.
fn damaged(entry: &Entry) -> Option<Damage> {
    let expected = match entry.usage {
        Use::Fresh => 0,
        Use::Freed | Use::Gone => POISON,
        Use::Allocated | Use::Xen => return None,
    };
    entry.page.find_other(expected).map(|offset| Damage { gfn: entry.gfn, offset })
}
