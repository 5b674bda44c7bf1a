//! The page tables that the processor uses.

use alloc::vec::Vec;

use xen_rt::Guest;

/// Bits of an entry that maps a page.
pub const PRESENT: u64 = 1 << 0;
/// The page may be written.
pub const WRITABLE: u64 = 1 << 1;
/// The page may not be executed.
pub const NO_EXECUTE: u64 = 1 << 63;
/// The address of the page.
pub const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// An entry that maps a page, and the page's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where.
    pub address: usize,
    /// What, and how.
    pub entry: u64,
}

/// All pages that are mapped, in the order of their addresses.
#[must_use]
pub fn entries(guest: &Guest) -> Vec<Mapped> {
    let cr3: u64;
    // SAFETY: Xen answers in the processor's place.
    unsafe { core::arch::asm!("mov {}, cr3", out(reg) cr3, options(nomem, nostack)) };
    let mut pages = Vec::new();
    walk(guest, cr3, 4, 0, &mut pages);
    pages
}

/// Collects the pages below a table that covers the addresses from `start` on.
fn walk(guest: &Guest, table: u64, level: u32, start: usize, pages: &mut Vec<Mapped>) {
    let table = address_of(guest, (table & FRAME) / 4096);
    for slot in 0..512 {
        // These sixteen of the top level are Xen's own.
        if level == 4 && (256..272).contains(&slot) {
            continue;
        }
        // SAFETY: page tables are readable, and only Xen writes them.
        let entry = unsafe { ((table + slot * 8) as *const u64).read_volatile() };
        let address = start | slot << (3 + 9 * level);
        match level {
            _ if entry & PRESENT == 0 => {}
            1 => pages.push(Mapped { address: canonical(address), entry }),
            _ => walk(guest, entry, level - 1, address, pages),
        }
    }
}

/// The upper half begins with ones.
const fn canonical(address: usize) -> usize {
    ((address << 16) as isize >> 16) as usize
}

/// Where the guest has mapped one of its machine frames.
#[must_use]
pub fn address_of(guest: &Guest, mfn: u64) -> usize {
    const MACHINE_TO_PHYSICAL: u64 = 0xffff_8000_0000_0000;
    // SAFETY: Xen lets every guest read the table.
    let pfn = unsafe { ((MACHINE_TO_PHYSICAL + mfn * 8) as *const u64).read_volatile() } as usize;
    let memory = guest.memory();
    let (image, direct) = (&memory[0].addresses, &memory[memory.len() - 1].addresses);
    let low = image.start + pfn * 4096;
    let low_end =
        memory.iter().filter(|region| region.addresses.start >= image.start).map(|region| region.addresses.end).max();
    if low_end.is_some_and(|end| low < end) { low } else { (direct.start & !((1 << 39) - 1)) + pfn * 4096 }
}
