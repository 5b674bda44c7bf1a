//! A disk that costs as much memory as was written, with a volatile cache for writes.

mod cache;
mod pages;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use cache::{Crash, Loss};

use cache::Cache;
use pages::Pages;

use super::SECTOR;
use crate::memory::Page;

/// A simulated disk. Cloning gives another handle to the same one, so that a backend which starts anew can take it over, and a
/// test can look at it.
///
/// A write is in the cache first. [`flush`](Self::flush) makes all earlier ones durable; [`crash`](Self::crash) loses of the
/// others as many as it is told. What was never written is zero.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>);

struct Inner {
    sectors: u64,
    pages: Pages,
    cache: Cache,
    honesty: Honesty,
    statistics: DiskStatistics,
}

/// Whether the disk does what it says it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Honesty {
    /// It does.
    #[default]
    Honest,
    /// A flush makes nothing durable.
    IgnoresFlushes,
    /// A write changes nothing.
    DropsWrites,
    /// A discard changes nothing.
    IgnoresDiscards,
}

/// How a range is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// As any write: it can be lost until a flush.
    Plain,
    /// No earlier content comes back, whatever happens.
    Secure,
}

/// What the disk has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskStatistics {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Sectors that they wrote.
    pub sectors_written: u64,
    /// Flushes.
    pub flushes: u64,
    /// Discards.
    pub discards: u64,
    /// Crashes.
    pub crashes: u64,
}

impl SimDisk {
    /// A disk of so many sectors of 512 bytes, all zero.
    #[must_use]
    pub fn new(sectors: u64) -> Self {
        let (pages, cache) = (Pages::default(), Cache::default());
        let (honesty, statistics) = (Honesty::Honest, DiskStatistics::default());
        Self(Arc::new(Mutex::new(Inner { sectors, pages, cache, honesty, statistics })))
    }

    /// How many sectors it has.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.lock().sectors
    }

    /// Makes it longer, or shorter. What was beyond the end stays there, out of reach.
    pub fn resize(&self, sectors: u64) {
        self.lock().sectors = sectors;
    }

    /// How many sectors the cache holds; with more in it older ones become durable, many at a time. 131072 by default; 0 makes every write
    /// durable at once.
    pub fn set_cache(&self, sectors: usize) {
        self.lock().cache.set_limit(sectors);
    }

    /// Whether it does what it says.
    pub fn set_honesty(&self, honesty: Honesty) {
        self.lock().honesty = honesty;
    }

    /// Reads what the guest would read: cache and all.
    pub fn read(&self, sector: u64, into: &mut [u8]) {
        self.lock().pages.read(sector, into);
    }

    /// Writes as the guest would.
    ///
    /// # Panics
    ///
    /// If these are not whole sectors.
    pub fn write(&self, sector: u64, bytes: &[u8]) {
        assert!(bytes.len().is_multiple_of(SECTOR), "whole sectors are written");
        self.lock().write(|inner| {
            inner.put(sector, bytes.len(), |at, into| into.copy_from_slice(&bytes[at..at + into.len()]));
        });
    }

    /// Makes durable what is in the cache.
    pub fn flush(&self) {
        let mut inner = self.lock();
        inner.statistics.flushes += 1;
        if inner.honesty != Honesty::IgnoresFlushes {
            inner.cache.clear();
        }
    }

    /// Makes a range zero.
    pub fn discard(&self, sector: u64, sectors: u64, how: Discard) {
        let mut inner = self.lock();
        inner.statistics.discards += 1;
        if inner.honesty != Honesty::IgnoresDiscards {
            inner.discard(sector, sectors, how);
        }
    }

    /// The power fails, or whoever had the cache in memory dies: unflushed writes are lost, as many as `loss` says.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn crash(&self, loss: Loss) -> Crash {
        let mut inner = self.lock();
        inner.statistics.crashes += 1;
        let Inner { cache, pages, .. } = &mut *inner;
        cache.crash(pages, loss)
    }

    /// Writes that are not durable yet.
    #[must_use]
    pub fn unflushed(&self) -> u64 {
        self.lock().cache.writes()
    }

    /// Changes bytes behind everybody's back: a disk that fails. They need not be whole sectors, and are no write: neither counted nor
    /// [unflushed](Self::unflushed). A [crash](Self::crash) that loses an unflushed write of the same sector undoes the change with it.
    pub fn corrupt(&self, sector: u64, bytes: &[u8]) {
        self.lock().pages.put(sector, bytes.len(), |at, into| into.copy_from_slice(&bytes[at..at + into.len()]));
    }

    /// What it has done.
    #[must_use]
    pub fn statistics(&self) -> DiskStatistics {
        self.lock().statistics
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a page of the front's: from which byte on, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) page: Page,
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// The backend's side.
impl SimDisk {
    /// Reads adjacent sectors into pieces.
    pub(super) fn read_into(&self, mut sector: u64, pieces: &[Piece]) {
        let mut inner = self.lock();
        inner.statistics.reads += 1;
        for Piece { page, offset, len } in pieces {
            inner.pages.get(sector, *len, |at, bytes| page.write(offset + at, bytes));
            sector += (len / SECTOR) as u64;
        }
    }

    /// Writes pieces to adjacent sectors, as one write.
    pub(super) fn write_from(&self, first: u64, pieces: &[Piece]) {
        self.lock().write(|inner| {
            let mut sector = first;
            for Piece { page, offset, len } in pieces {
                inner.put(sector, *len, |at, into| page.read(offset + at, into));
                sector += (len / SECTOR) as u64;
            }
        });
    }
}

impl Inner {
    fn write(&mut self, what: impl FnOnce(&mut Self)) {
        self.statistics.writes += 1;
        if self.honesty == Honesty::DropsWrites {
            return;
        }
        self.cache.begin();
        what(self);
        self.cache.trim();
    }

    /// Part of a write.
    fn put(&mut self, sector: u64, len: usize, fill: impl FnMut(usize, &mut [u8])) {
        self.statistics.sectors_written += (len / SECTOR) as u64;
        self.cache.keep(&self.pages, sector, (len / SECTOR) as u64);
        self.pages.put(sector, len, fill);
    }

    fn discard(&mut self, sector: u64, sectors: u64, how: Discard) {
        self.cache.begin();
        let (cache, pages) = (&mut self.cache, &mut self.pages);
        for (first, count) in pages.written(sector, sectors) {
            if how == Discard::Plain {
                cache.keep(pages, first, count);
            }
            pages.put(first, count as usize * SECTOR, |_, into| into.fill(0));
        }
        if how == Discard::Secure {
            cache.forget(sector, sectors);
        }
        cache.trim();
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("SimDisk")
            .field("sectors", &inner.sectors)
            .field("statistics", &inner.statistics)
            .finish_non_exhaustive()
    }
}
