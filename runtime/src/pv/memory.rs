//! The guest's memory: which pages it has, where they are mapped, and which are free.

use core::ops::Range;

use spin::Once;
use xen_hypercall::Errno;
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_hypercall::abi::{Gfn, Mfn};

use super::layout::{DIRECT, Layout, PAGE, VIRT_BASE};
use super::tables::Tables;
use super::{entry, window};
use crate::memory::{Access, Region};

/// How many regions the memory has.
pub(crate) const REGIONS: usize = 9;

/// The guest's memory after boot. Each page is mapped at one address (see [`super::tables`]).
#[derive(Debug)]
pub(crate) struct Memory {
    /// The pseudo-physical map: the machine frame of each page.
    p2m: &'static [Mfn],
    layout: Layout,
    /// Pages that are in use since boot.
    used: usize,
}

static MEMORY: Once<Memory> = Once::new();

/// The frame of no page: the last one of all addresses that have 64 bits. No machine has it, so that Xen refuses it.
const NO_FRAME: Gfn = Gfn(u64::MAX >> PAGE.ilog2());

/// What Xen calls the page at an address, after boot. [`NO_FRAME`] for an address at which none of the guest's own pages is
/// mapped.
#[inline]
pub(crate) fn gfn(address: usize) -> Gfn {
    let frame = MEMORY.get().and_then(|memory| memory.p2m.get(memory.layout.page_at(address)?));
    frame.map_or(NO_FRAME, |mfn| Gfn(mfn.0))
}

/// Gives every page its address and permissions.
///
/// # Safety
///
/// `info` and `boot_stack_end` are what Xen passed, nothing has changed the memory since, and the memory behind
/// `boot_stack_end` is free.
pub(super) unsafe fn set_up(info: &'static StartInfo, boot_stack_end: usize) -> Result<&'static Memory, Errno> {
    // SAFETY: the caller's promise; the builder's list holds one frame for each page.
    let p2m = unsafe { core::slice::from_raw_parts(info.mfn_list as *const Mfn, info.nr_pages as usize) };
    let free = (boot_stack_end - VIRT_BASE).div_ceil(PAGE);
    // SAFETY: the caller's promise.
    let mut tables = unsafe { Tables::of_builder(info, p2m, free) };
    tables.rebuild()?;
    tables.extend()?;
    tables.open_window()?;
    let layout = Layout { initial: tables.initial, mapped: tables.mapped };
    let memory = Memory { p2m, layout, used: tables.used };
    Ok(MEMORY.call_once(|| memory))
}

impl Memory {
    /// Pages of 4 KiB that belong to the guest.
    pub(crate) const fn pages(&self) -> usize {
        self.p2m.len()
    }

    /// Where a machine frame that the builder mapped is mapped. `None` for a frame that is not among them.
    pub(super) fn address_of(&self, mfn: Mfn) -> Option<usize> {
        self.p2m[..self.layout.initial].iter().position(|&frame| frame == mfn).map(|pfn| VIRT_BASE + pfn * PAGE)
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
