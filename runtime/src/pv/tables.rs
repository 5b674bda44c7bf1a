//! Page tables of a PV guest, through hypercalls only.
//!
//! Xen's builder maps the first pages of the guest at [`VIRT_BASE`], all of them writable and executable. At boot
//! every last-level table of that region is built anew with the permissions each page should have, and all memory
//! beyond is mapped at [`DIRECT`]. Each page then has one address:
//!
//! | page | address | permissions |
//! |---|---|---|
//! | text | `VIRT_BASE` + 4096 * pfn | read, execute |
//! | constants, page tables | the same | read |
//! | guard page below the stack | the same | none |
//! | everything else that the builder mapped | the same | read, write |
//! | the others | `DIRECT` + 4096 * pfn | read, write; read for page tables |
//! | none of the guest's own | `window::START` on | as asked for |
//!
//! A table is filled with plain stores, made read-only, and then linked by a hypercall, at which Xen checks it: one
//! hypercall more for 512 pages instead of 512.

use core::num::NonZeroUsize;
use core::ops::Range;

use xen_hypercall::abi::Mfn;
use xen_hypercall::abi::mmu::{Update, UpdateKind, UvmFlags};
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_hypercall::{Errno, mmu};

use super::layout::{DIRECT, PAGE, VIRT_BASE};
use super::p2m::P2m;
use super::{entry, window};
use crate::xen::XEN;

/// Entries of a page table.
const ENTRIES: usize = 512;

/// Pages below one entry of a second-level table, and of a third-level one.
const PAGES_PER_L1: usize = ENTRIES;
const PAGES_PER_L2: usize = ENTRIES * ENTRIES;

/// One third-level table covers the whole direct map: 512 GiB.
const DIRECT_PAGES: usize = ENTRIES * PAGES_PER_L2;

pub(super) const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;
pub(super) const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;

/// For links from table to table.
const LINK: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;
/// For pages. Xen adds the bit that lets its ring 3 kernels in.
const READ: u64 = PRESENT | ACCESSED | NO_EXECUTE;
pub(super) const READ_WRITE: u64 = READ | WRITABLE | DIRTY;
const READ_EXECUTE: u64 = PRESENT | ACCESSED;

type Table = [u64; ENTRIES];

/// The page tables while they are being built.
#[derive(Debug)]
pub(super) struct Tables {
    p2m: P2m,
    shared_info: Mfn,
    /// The top-level table.
    root: usize,
    /// The builder's tables.
    builders: Range<usize>,
    /// Pages that the builder mapped.
    pub(super) initial: usize,
    /// Pages in use: the image, what the builder made, tables taken since. The next table is the next page.
    pub(super) used: usize,
    /// Pages that are mapped.
    pub(super) mapped: usize,
    /// The last-level table of the window.
    pub(super) window: usize,
}

impl Tables {
    /// The tables as the builder left them.
    ///
    /// # Safety
    ///
    /// `info` and `p2m` are the builder's, whose tables are still in use, and pages from `free` on are not used.
    pub(super) unsafe fn of_builder(info: &StartInfo, p2m: P2m, free: usize) -> Self {
        let root = (info.pt_base as usize - VIRT_BASE) / PAGE;
        let mut tables = Self {
            p2m,
            shared_info: Mfn::containing(info.shared_info),
            root,
            builders: root..root + info.nr_pt_frames as usize,
            initial: 0,
            used: free,
            mapped: 0,
            window: 0,
        };
        tables.initial = tables.count_initial();
        tables.mapped = tables.initial;
        tables
    }

    /// Replaces the builder's last-level tables by ones with the right permissions.
    pub(super) fn rebuild(&mut self) -> Result<(), Errno> {
        let first = self.used;
        for _ in 0..self.initial.div_ceil(PAGES_PER_L1) {
            self.take();
        }
        let new = first..self.used;
        for (chunk, table) in new.clone().enumerate() {
            let entry = |index| self.initial_entry(chunk * PAGES_PER_L1 + index, &new);
            self.fill(table, entry)?;
        }
        for (chunk, table) in new.enumerate() {
            let address = VIRT_BASE + chunk * PAGES_PER_L1 * PAGE;
            // The builder made it, or the chunk would not be among the initial ones.
            if let Some(directory) = self.directory(address) {
                self.link(directory, index(address, 2), table)?;
            }
        }
        mmu::tlb_flush_local(&XEN)
    }

    /// Maps the pages that the builder did not map.
    pub(super) fn extend(&mut self) -> Result<(), Errno> {
        let end = self.p2m.len().min(DIRECT_PAGES);
        if self.mapped >= end {
            return Ok(());
        }
        let l3 = self.empty_table()?;
        self.link(self.root, index(DIRECT, 4), l3)?;
        let mut l2 = None;
        while self.mapped < end {
            let directory = match l2 {
                Some((gigabyte, table)) if gigabyte == self.mapped / PAGES_PER_L2 => table,
                _ => {
                    let table = self.empty_table()?;
                    self.link(l3, index(DIRECT + self.mapped * PAGE, 3), table)?;
                    l2 = Some((self.mapped / PAGES_PER_L2, table));
                    table
                }
            };
            self.extend_by_one(directory, end)?;
        }
        Ok(())
    }

    /// Links an empty last-level table for the window.
    pub(super) fn open_window(&mut self) -> Result<(), Errno> {
        let directory = self.directory(window::START).ok_or(Errno::NOMEM)?;
        if VIRT_BASE + self.initial * PAGE > window::START {
            return Err(Errno::NOMEM);
        }
        self.window = self.empty_table()?;
        self.link(directory, index(window::START, 2), self.window)
    }

    /// The next `count` free pages, for what is not a table; answers with the first.
    pub(super) fn take_pages(&mut self, count: NonZeroUsize) -> usize {
        let first = self.take();
        for _ in 1..count.get() {
            self.take();
        }
        first
    }

    /// Maps pages up to the end of one last-level table.
    fn extend_by_one(&mut self, directory: usize, end: usize) -> Result<(), Errno> {
        let first = self.mapped - self.mapped % PAGES_PER_L1;
        let pages = self.mapped..end.min(first + PAGES_PER_L1);
        let table = self.take();
        self.fill(table, |index| {
            let pfn = first + index;
            if pages.contains(&pfn) { self.entry(pfn, READ_WRITE) } else { 0 }
        })?;
        self.link(directory, index(DIRECT + pages.start * PAGE, 2), table)?;
        self.mapped = pages.end;
        Ok(())
    }

    /// The new entry of a page that the builder mapped.
    fn initial_entry(&self, pfn: usize, new_tables: &Range<usize>) -> u64 {
        if pfn >= self.initial {
            return 0;
        }
        let address = VIRT_BASE + pfn * PAGE;
        if entry::guard_page().contains(&address) {
            0
        } else if address == core::ptr::from_ref(super::shared_info()).addr() {
            self.shared_info.address() | READ_WRITE
        } else if entry::text().contains(&address) {
            self.entry(pfn, READ_EXECUTE)
        } else if entry::constants().contains(&address) || new_tables.contains(&pfn) || self.builders.contains(&pfn) {
            self.entry(pfn, READ)
        } else {
            self.entry(pfn, READ_WRITE)
        }
    }

    fn entry(&self, pfn: usize, flags: u64) -> u64 {
        self.frame(pfn).address() | flags
    }

    /// The frame of a page, which has one: at boot all have.
    fn frame(&self, pfn: usize) -> Mfn {
        self.p2m.get(pfn).expect("a page has a frame")
    }

    /// The next free page, for a table. Each table of the direct map maps 512 pages more; the tables of the initial
    /// region fit into the 512 KiB that the builder leaves free at least, while the region is no larger than 256 MiB,
    /// which a guest without a ramdisk reaches at 100 GiB of memory.
    const fn take(&mut self) -> usize {
        assert!(self.used < self.mapped, "no page is left for page tables");
        self.used += 1;
        self.used - 1
    }

    fn empty_table(&mut self) -> Result<usize, Errno> {
        let table = self.take();
        self.fill(table, |_| 0)?;
        Ok(table)
    }

    /// Fills a free page as a table and makes it read-only, as Xen wants its tables.
    fn fill(&self, table: usize, entry: impl Fn(usize) -> u64) -> Result<(), Errno> {
        // SAFETY: the page is free, mapped writable, and used by nothing else until it is linked.
        let page = unsafe { &mut *(self.address(table) as *mut Table) };
        for (index, slot) in page.iter_mut().enumerate() {
            *slot = entry(index);
        }
        // SAFETY: only takes the right to write away, and no reference to the page is left.
        unsafe { mmu::update_va_mapping(&XEN, self.address(table), self.entry(table, READ), UvmFlags::INVLPG) }
    }

    /// Puts `table` into a slot of `directory`.
    fn link(&self, directory: usize, slot: usize, table: usize) -> Result<(), Errno> {
        let address = self.frame(directory).address() + slot as u64 * 8;
        // SAFETY: what was mapped through the slot stays mapped to the same pages; only permissions that no Rust
        // reference uses get lost.
        unsafe { mmu::update(&XEN, &[Update::new(UpdateKind::NORMAL_PT_UPDATE, address, self.entry(table, LINK))]) }
            .map(drop)
            .map_err(|stopped| stopped.errno)
    }

    const fn address(&self, pfn: usize) -> usize {
        if pfn < self.initial { VIRT_BASE + pfn * PAGE } else { DIRECT + pfn * PAGE }
    }

    /// How many pages the builder mapped, from the start of the guest's memory without a gap.
    fn count_initial(&self) -> usize {
        (0..2 * ENTRIES)
            .map_while(|chunk| {
                let address = VIRT_BASE + chunk * PAGES_PER_L1 * PAGE;
                let table = self.below(self.directory(address)?, index(address, 2))?;
                Some((0..ENTRIES).take_while(|&slot| self.read(table, slot) & PRESENT != 0).count())
            })
            .sum::<usize>()
            .min(self.p2m.len())
    }

    /// The builder's second-level table for an address.
    fn directory(&self, address: usize) -> Option<usize> {
        let l3 = self.below(self.root, index(address, 4))?;
        self.below(l3, index(address, 3))
    }

    /// The builder's table that a slot of another one points to.
    fn below(&self, table: usize, slot: usize) -> Option<usize> {
        let entry = self.read(table, slot);
        let mfn = Mfn::containing(entry & FRAME_MASK);
        if entry & PRESENT == 0 { None } else { self.builders.clone().find(|&pfn| self.p2m.get(pfn) == Some(mfn)) }
    }

    fn read(&self, table: usize, slot: usize) -> u64 {
        debug_assert!(self.builders.contains(&table) && slot < ENTRIES);
        // SAFETY: the builder's tables are mapped, readable, and written by Xen alone.
        unsafe { ((VIRT_BASE + table * PAGE + slot * size_of::<u64>()) as *const u64).read_volatile() }
    }
}

/// The slot of an address in a table of `level`, 1 to 4.
const fn index(address: usize, level: u32) -> usize {
    address >> (12 + 9 * (level - 1)) & (ENTRIES - 1)
}
