//! Memory with two owners: an end of a ring, and whoever plays the other domain.

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use xen_shared_ring::{Region, SharedMem};

const WORDS: usize = 1024;

#[repr(C, align(4096))]
#[derive(Debug)]
struct Page([AtomicU32; WORDS]);

/// Pages as an end of a ring owns them. They stay for as long as anyone holds them.
#[derive(Debug)]
pub struct Buffer {
    peer: Peer,
    memory: SharedMem,
}

/// The pages of a [`Buffer`] as the other domain sees them: it may read and write any word at any moment.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Only held, so that the pages stay.
    _pages: Rc<[Page]>,
    /// The pages, again: a reference to all of them for each word would cost Miri minutes.
    start: NonNull<AtomicU32>,
    words: usize,
}

impl Buffer {
    /// So many pages of zeros.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        let pages: Rc<[Page]> = (0..pages).map(|_| Page([const { AtomicU32::new(0) }; WORDS])).collect();
        let start = NonNull::from(&*pages).cast();
        Self::of(Peer { words: pages.len() * WORDS, _pages: pages, start })
    }

    /// The same pages as the other domain sees them.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    const fn of(peer: Peer) -> Self {
        // SAFETY: the pages are atomics that live as long as this value holds them, inside one allocation; and all who hold them
        // are of one thread, as an `Rc` cannot be sent.
        let memory = unsafe { SharedMem::new(peer.start.cast(), 4 * peer.words) };
        Self { peer, memory }
    }
}

impl Clone for Buffer {
    /// The same pages, for the other end of the ring.
    fn clone(&self) -> Self {
        Self::of(self.peer())
    }
}

// SAFETY: always the same memory, which the value keeps alive, and which everyone reaches through atomics only.
unsafe impl Region for Buffer {
    fn memory(&self) -> &SharedMem {
        &self.memory
    }
}

impl Peer {
    /// How many words there are.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.words
    }

    /// Reads a word; 0 beyond the end.
    #[must_use]
    pub fn load(&self, place: usize) -> u32 {
        self.at(place).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Writes a word; nothing beyond the end.
    pub fn store(&self, place: usize, value: u32) {
        if let Some(word) = self.at(place) {
            word.store(value, Ordering::Relaxed);
        }
    }

    const fn at(&self, place: usize) -> Option<&AtomicU32> {
        if place >= self.words {
            return None;
        }
        // SAFETY: below the number of words of the pages.
        let word = unsafe { self.start.add(place) };
        // SAFETY: an atomic of the pages, which this value keeps alive.
        Some(unsafe { word.as_ref() })
    }
}
