//! What stands on the disk, in pages of those that were written.

use std::collections::HashMap;

use crate::blkback::SECTOR;

/// Sectors of a page.
const SECTORS: u64 = 8;
const PAGE: usize = SECTOR * SECTORS as usize;

/// Pages that are not there are zero.
#[derive(Default)]
pub(super) struct Pages(HashMap<u64, Box<[u8; PAGE]>>);

impl Pages {
    pub(super) fn read(&self, sector: u64, into: &mut [u8]) {
        self.get(sector, into.len(), |at, bytes| into[at..at + bytes.len()].copy_from_slice(bytes));
    }

    /// Hands bytes out, page by page, with their place in the whole.
    pub(super) fn get(&self, sector: u64, len: usize, mut take: impl FnMut(usize, &[u8])) {
        each(sector, len, |number, offset, at, len| match self.0.get(&number) {
            Some(page) => take(at, &page[offset..offset + len]),
            None => take(at, &[0; PAGE][..len]),
        });
    }

    /// Has bytes filled in, page by page, with their place in the whole.
    pub(super) fn put(&mut self, sector: u64, len: usize, mut fill: impl FnMut(usize, &mut [u8])) {
        each(sector, len, |number, offset, at, len| {
            let page = self.0.entry(number).or_insert_with(|| Box::new([0; PAGE]));
            fill(at, &mut page[offset..offset + len]);
        });
    }

    /// The parts of a range that were ever written: first sector and count, in order.
    pub(super) fn written(&self, sector: u64, sectors: u64) -> Vec<(u64, u64)> {
        let end = sector.saturating_add(sectors);
        let (first, last) = (sector / SECTORS, end.div_ceil(SECTORS));
        let mut numbers: Vec<u64> = if last - first < self.0.len() as u64 {
            (first..last).filter(|number| self.0.contains_key(number)).collect()
        } else {
            self.0.keys().copied().filter(|number| (first..last).contains(number)).collect()
        };
        numbers.sort_unstable();
        let part = |number: u64| {
            let from = sector.max(number * SECTORS);
            (from, end.min((number + 1) * SECTORS) - from)
        };
        numbers.into_iter().map(part).collect()
    }
}

/// Takes a range of bytes apart at the borders of pages: number of the page, offset in it, place in the range, length.
fn each(sector: u64, len: usize, mut what: impl FnMut(u64, usize, usize, usize)) {
    let (mut number, mut offset, mut at) = (sector / SECTORS, (sector % SECTORS) as usize * SECTOR, 0);
    while at < len {
        let part = (PAGE - offset).min(len - at);
        what(number, offset, at, part);
        (number, offset, at) = (number + 1, 0, at + part);
    }
}
