//! Which pages are in quarantine: what the place of each reference says, and a bit for each.
//!
//! Places are made when the table grows, so that a page can go to quarantine when there is no memory left.

use core::ptr::NonNull;

use xen_hypercall::Frame;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef};

use super::MAX_REFERENCES;
use crate::order;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, constructor, each};

const BITS: u32 = u64::BITS;
const WORDS: usize = (MAX_REFERENCES / BITS) as usize;
/// Places in a page.
pub(super) const PER_PAGE: u32 = (size_of::<Frame>() / size_of::<*mut Frame>()) as u32;
const PAGES: usize = (MAX_REFERENCES / PER_PAGE) as usize;

/// Below a page's address: the number of its account.
const SLOT: usize = 0x7f;
/// Below a page's address: the peer may only read it.
const READONLY: usize = 0x80;

/// A page that a peer has not given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quarantined {
    pub(crate) gref: GrantRef,
    pub(crate) page: NonNull<Frame>,
    /// Its account.
    pub(crate) slot: u16,
    /// What the entry's flags are without those of Xen.
    pub(crate) flags: u16,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Pages of places, one word for each reference.
    places: [AtomicPtr<Frame>; PAGES],
    bits: [AtomicU64; WORDS],
    len: AtomicU32,
    /// The reference from which the next one is looked for.
    cursor: AtomicU32,
}

impl Ledger {
    constructor! {
        /// No pages, and no places.
        pub(super) fn new() -> Self {
            Self {
                places: each!(AtomicPtr::new(core::ptr::null_mut())),
                bits: each!(AtomicU64::new(0)),
                len: AtomicU32::new(0),
                cursor: AtomicU32::new(0),
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there are places for a page of references from `first` on.
    pub(super) fn has_places(&self, first: u32) -> bool {
        self.place(first).is_some()
    }

    /// Makes a zeroed page the places of the references around `first`.
    pub(super) fn add_places(&self, first: u32, page: NonNull<Frame>) {
        if let Some(places) = self.places.get((first / PER_PAGE) as usize) {
            places.store(page.as_ptr(), Ordering::Relaxed);
        }
    }

    /// Adds a page. Without a place for it, which no reference is without, it would be lost, and never freed.
    pub(super) fn insert(&self, held: Quarantined) {
        let (Some(place), Some(word)) = (self.place(held.gref.0), self.word(held.gref.0)) else { return };
        place.store(held.page.as_ptr().map_addr(|page| page | tag(&held)), Ordering::Relaxed);
        self.len.fetch_add(1, Ordering::Relaxed);
        order::quarantine(word, bit(held.gref.0));
    }

    /// Takes one out, each in its turn, among the first `in_use` references.
    pub(super) fn claim(&self, in_use: u32) -> Option<Quarantined> {
        let start = self.cursor.load(Ordering::Relaxed);
        let gref = self.next(start, in_use).or_else(|| self.next(0, in_use))?;
        self.cursor.store(gref + 1, Ordering::Relaxed);
        let word = self.word(gref)?;
        if !order::claim(word, bit(gref)) {
            return None;
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
        untag(GrantRef(gref), self.place(gref)?.load(Ordering::Relaxed))
    }

    /// The first one from `from` on.
    fn next(&self, from: u32, in_use: u32) -> Option<u32> {
        let first = from / BITS;
        (first..in_use.div_ceil(BITS)).find_map(|index| {
            let below = if index == first { !(u64::MAX << (from % BITS)) } else { 0 };
            let bits = self.bits.get(index as usize)?.load(Ordering::Relaxed) & !below;
            (bits != 0).then(|| index * BITS + bits.trailing_zeros())
        })
    }

    fn word(&self, gref: u32) -> Option<&AtomicU64> {
        self.bits.get((gref / BITS) as usize)
    }

    fn place(&self, gref: u32) -> Option<&AtomicPtr<Frame>> {
        let page = NonNull::new(self.places.get((gref / PER_PAGE) as usize)?.load(Ordering::Relaxed))?;
        // SAFETY: the page has so many places.
        let place = unsafe { page.cast::<AtomicPtr<Frame>>().add((gref % PER_PAGE) as usize) };
        // SAFETY: the page is the ledger's for good, and was zeroed, which is a null pointer.
        Some(unsafe { place.as_ref() })
    }
}

const fn bit(gref: u32) -> u64 {
    1 << (gref % BITS)
}

const fn tag(held: &Quarantined) -> usize {
    let readonly = if held.flags & GrantFlags::READONLY.bits() != 0 { READONLY } else { 0 };
    held.slot as usize & SLOT | readonly
}

fn untag(gref: GrantRef, place: *mut Frame) -> Option<Quarantined> {
    let tag = place.addr() % align_of::<Frame>();
    let page = NonNull::new(place.map_addr(|place| place - tag))?;
    let flags = GrantFlags::PERMIT_ACCESS.bits() | if tag & READONLY != 0 { GrantFlags::READONLY.bits() } else { 0 };
    Some(Quarantined { gref, page, slot: (tag & SLOT) as u16, flags })
}
