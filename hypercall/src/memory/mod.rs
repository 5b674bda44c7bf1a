//! Memory of the domain: how much it has, where, and what it is.
//!
//! Calls of the control domain alone (the host's memory map, maps and targets of other domains) are not offered.

mod physmap;
mod reservation;
mod topology;

use crate::abi::Number;
use crate::abi::frame::PAGE_SIZE;
use crate::abi::memory::Command;
use crate::call::command;
use crate::{Errno, Hypercall};

pub use physmap::{
    E820Entry, Placed, Source, add_range_to_physmap, add_to_physmap, add_to_physmap_batch, machphys_mapping,
    machphys_mfn_list, memory_map, remove_from_physmap,
};
pub use reservation::{
    ExchangeError, current_reservation, decrease_reservation, exchange, increase_reservation, maximum_gpfn,
    maximum_ram_page, maximum_reservation, populate_physmap,
};
pub use topology::{VnumaError, VnumaSize, VnumaTables, acquire_resource, get_vnumainfo, resource_size};

/// An amount of memory in pages of 4096 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pages(pub usize);

impl Pages {
    /// The amount in bytes, as far as that can be told.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0.saturating_mul(PAGE_SIZE)
    }
}

/// # Safety
///
/// `argument` is valid for what the command reads and writes, and its effect on memory is sound.
#[inline(always)]
unsafe fn operation<H: Hypercall, T>(xen: &H, which: Command, argument: *mut T) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { command(xen, Number::MEMORY_OP, which.0, argument) }
}
