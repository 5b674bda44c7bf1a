//! The guest's memory: which pages it has, where they are mapped, and which are free.

use core::ops::Range;

use spin::Once;
use xen_hypercall::Errno;
use xen_hypercall::abi::{Gfn, Mfn, Pfn};

use super::layout::{DIRECT, Layout, PAGE, VIRT_BASE};
use super::p2m::{FrameLists, P2m};
use super::start_info::Info;
use super::tables::Tables;
use super::{entry, window};
use crate::boot::BootInfo;
use crate::memory::{Access, Region};

/// How many regions the memory has.
pub(crate) const REGIONS: usize = 9;

/// The guest's memory after boot. Each page is mapped at one address (see [`super::tables`]).
#[derive(Debug)]
pub(crate) struct Memory {
    info: Info,
    p2m: P2m,
    layout: Layout,
    lists: FrameLists,
    /// The last-level table of the window.
    window: usize,
    /// Pages that are in use since boot.
    used: usize,
}

static MEMORY: Once<Memory> = Once::new();

/// The guest's memory, once it is set up.
pub(crate) fn memory() -> Option<&'static Memory> {
    MEMORY.get()
}

/// The frame of no page: the last one of all addresses that have 64 bits. No machine has it, so that Xen refuses it.
const NO_FRAME: Gfn = Gfn(u64::MAX >> PAGE.ilog2());

/// What Xen calls the page at an address, after boot. [`NO_FRAME`] for an address at which none of the guest's own pages is
/// mapped.
#[inline]
pub(crate) fn gfn(address: usize) -> Gfn {
    let frame = MEMORY.get().and_then(|memory| memory.frame_at(address));
    frame.map_or(NO_FRAME, |mfn| Gfn(mfn.0))
}

/// Gives every page its address and permissions.
///
/// # Safety
///
/// `info` and `boot_stack_end` are what Xen passed, nothing has changed the memory since, and the memory behind
/// `boot_stack_end` is free.
pub(super) unsafe fn set_up(info: Info, boot_stack_end: usize) -> Result<&'static Memory, Errno> {
    let facts = info.read();
    // SAFETY: the caller's promise; the builder's list holds one frame for each page, in pages of its own.
    let p2m = unsafe { P2m::new(facts.mfn_list as usize, facts.nr_pages as usize) };
    let free = (boot_stack_end - VIRT_BASE).div_ceil(PAGE);
    // SAFETY: the caller's promise.
    let mut tables = unsafe { Tables::of_builder(&facts, p2m, free) };
    tables.rebuild()?;
    tables.extend()?;
    tables.open_window()?;
    let lists = FrameLists::new(tables.take_pages(FrameLists::pages(p2m.len())));
    let layout = Layout { initial: tables.initial, mapped: tables.mapped };
    let memory = Memory { info, p2m, layout, lists, window: tables.window, used: tables.used };
    memory.publish();
    Ok(MEMORY.call_once(|| memory))
}

impl Memory {
    /// Pages of 4 KiB that belong to the guest.
    pub(crate) const fn pages(&self) -> usize {
        self.p2m.len()
    }

    /// The page by which the toolstack tells the guest about itself.
    pub(super) const fn info(&self) -> Info {
        self.info
    }

    /// What the toolstack told the guest at boot, or at the last resume.
    pub(crate) fn boot_info(&self) -> BootInfo {
        self.info.boot_info(self)
    }

    /// The frame of the page at an address.
    #[inline]
    pub(super) fn frame_at(&self, address: usize) -> Option<Mfn> {
        self.p2m.get(self.layout.page_at(address)?)
    }

    /// The number of the page at an address.
    pub(crate) const fn page_at(&self, address: usize) -> Option<usize> {
        self.layout.page_at(address)
    }

    /// The address of a page that is mapped, or would be if it had a frame.
    pub(super) const fn address(&self, page: usize) -> usize {
        self.layout.address(page)
    }

    /// Notes another frame for the page at an address.
    pub(super) fn set_frame_at(&self, address: usize, frame: Option<Mfn>) {
        if let Some(page) = self.page_at(address) {
            self.p2m.set(page, frame);
        }
    }

    /// The pages from `first` on that Xen has.
    pub(super) fn pages_without_frame(&self, first: usize) -> impl Iterator<Item = usize> {
        (first..self.layout.mapped).filter(|&page| self.p2m.get(page).is_none())
    }

    /// The page of a machine frame that the builder mapped. `None` for a frame that is not among them.
    pub(super) fn page_of(&self, mfn: Mfn) -> Option<Pfn> {
        self.p2m.page_of(mfn, self.layout.initial).map(|page| Pfn(page as u64))
    }

    /// Where a machine frame that the builder mapped is mapped.
    pub(super) fn address_of(&self, mfn: Mfn) -> Option<usize> {
        self.page_of(mfn).map(|Pfn(page)| self.layout.address(page as usize))
    }

    /// Where the window's last-level table can be read.
    pub(super) const fn window_table(&self) -> usize {
        self.layout.address(self.window)
    }

    /// Tells the toolstack where the map of frames is, which it needs to suspend the guest.
    pub(super) fn publish(&self) {
        let (layout, p2m) = (self.layout, self.p2m);
        // SAFETY: their pages were taken for the lists, and are mapped writable as all that the tables do not use.
        unsafe { self.lists.fill(p2m, |page| layout.address(page), |address| layout.page_at(address)) };
        let root = p2m.get(self.lists.root()).unwrap_or_default();
        super::shared_info().publish_p2m(p2m.len(), root);
    }

    /// What the memory is used for, in the order of the addresses.
    pub(crate) fn regions(&self) -> [Region; REGIONS] {
        let [low, high] = self.free();
        let (text, constants, guard) = (entry::text(), entry::constants(), entry::guard_page());
        let region = |name, addresses, access| Region { name, addresses, access };
        [
            region("text", text, Access::Execute),
            region("constants", constants.clone(), Access::Read),
            region("data", constants.end..guard.start, Access::Write),
            region("stack guard", guard.clone(), Access::None),
            region("stack and data", guard.end..entry::image_end(), Access::Write),
            region("boot structures, page tables", entry::image_end()..low.start, Access::Write),
            region("free", low, Access::Write),
            region("page tables", DIRECT + self.layout.initial * PAGE..high.start, Access::Read),
            region("free", high, Access::Write),
        ]
    }

    /// The addresses of the memory that nothing uses yet.
    pub(crate) fn free(&self) -> [Range<usize>; 2] {
        let Layout { initial, mapped } = self.layout;
        let direct = self.used.max(initial)..mapped;
        [
            VIRT_BASE + self.used.min(initial) * PAGE..VIRT_BASE + initial * PAGE,
            DIRECT + direct.start * PAGE..DIRECT + direct.end * PAGE,
        ]
    }
}

/// What an address that faulted is, where that says more than the number.
pub(super) fn describe(address: usize) -> &'static str {
    if entry::guard_page().contains(&address) {
        " (the guard page below the main stack)"
    } else if address < PAGE {
        " (a null pointer)"
    } else if window::contains(address) {
        " (in the window for pages of other domains)"
    } else {
        ""
    }
}
