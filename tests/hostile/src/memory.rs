//! Memory with two owners: an end of a ring, and whoever plays the other domain.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use xen_shared_ring::{Region, SharedMem};

const WORDS: usize = 1024;

#[repr(C, align(4096))]
#[derive(Debug)]
struct Page([AtomicU32; WORDS]);

/// Pages as an end of a ring owns them. They stay for as long as anyone holds them.
#[derive(Debug)]
pub struct Buffer {
    pages: Arc<[Page]>,
    memory: SharedMem,
}

impl Buffer {
    /// So many pages of zeros.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        let pages: Arc<[Page]> = (0..pages).map(|_| Page([const { AtomicU32::new(0) }; WORDS])).collect();
        Self::over(pages)
    }

    /// The same pages as the other domain sees them.
    #[must_use]
    pub fn peer(&self) -> Peer {
        Peer(Arc::clone(&self.pages))
    }

    fn over(pages: Arc<[Page]>) -> Self {
        let start = NonNull::from(&*pages).cast();
        // SAFETY: the pages are atomics that live as long as this value holds them, inside one allocation. All of it is one
        // thread's: nothing here can be sent.
        let memory = unsafe { SharedMem::new(start, size_of_val(&*pages)) };
        Self { pages, memory }
    }
}

impl Clone for Buffer {
    /// The same pages, for the other end of the ring.
    fn clone(&self) -> Self {
        Self::over(Arc::clone(&self.pages))
    }
}

// SAFETY: always the same memory, which the value keeps alive, and which everyone reaches through atomics only.
unsafe impl Region for Buffer {
    fn memory(&self) -> &SharedMem {
        &self.memory
    }
}

/// The pages of a [`Buffer`] as the other domain sees them: it may read and write any word at any moment.
#[derive(Clone, Debug)]
pub struct Peer(Arc<[Page]>);

impl Peer {
    /// How many words there are.
    #[must_use]
    pub fn words(&self) -> usize {
        self.0.len() * WORDS
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

    fn at(&self, place: usize) -> Option<&AtomicU32> {
        self.0.get(place / WORDS)?.0.get(place % WORDS)
    }
}
