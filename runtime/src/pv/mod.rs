//! PV on x86-64: everything that knows how this guest was started.
//!
//! The items that are `pub(crate)` here are the surface that PVH and ARM64 boots will offer as well.

mod balloon;
mod entry;
mod layout;
mod memory;
mod notes;
mod p2m;
mod start_info;
mod suspend;
mod tables;
mod traps;
mod window;

use core::ptr::NonNull;

use xen_hypercall::abi::callback::{Flags, Type};
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_hypercall::{callback, issue, sched};

use crate::shared_info::Shared;
use crate::xen::XEN;

pub(crate) use layout::PAGE;
use layout::VIRT_BASE;
pub(crate) use memory::{Memory, REGIONS, gfn, memory};
use start_info::Info;
pub(crate) use suspend::suspend;
pub(crate) use traps::Frame as Registers;
pub(crate) use window::{map_table_frame, release_foreign, reserve_foreign};

/// How this guest calls Xen.
pub(crate) const ISSUE: issue::Syscall = issue::Syscall;

/// The way from Xen's entry to the common part: memory first, then traps and events, and then `main`.
unsafe extern "C" fn start(info: NonNull<StartInfo>, boot_stack_end: usize) -> ! {
    // SAFETY: Xen passed it, and the page stays the guest's.
    let info = unsafe { Info::new(info) };
    // SAFETY: nothing but this function has run, and it passes what Xen passed.
    let memory = unsafe { memory::set_up(info, boot_stack_end) }.expect("Xen refuses the page tables");
    traps::install().expect("Xen refuses the trap table");
    // SAFETY: the handler keeps every register and the stack of the code that it interrupts.
    unsafe { callback::register(&XEN, Type::EVENT, Flags::empty(), entry::upcall as *const () as u64) }
        .expect("Xen refuses the event callback");
    crate::guest::run(memory)
}

/// The page that Xen shares with the guest.
#[inline(always)]
pub(crate) const fn shared_info() -> &'static Shared {
    &entry::SHARED_INFO.shared
}

/// Ends the domain with `reason`.
pub(crate) fn shut_down(reason: ShutdownReason) -> ! {
    loop {
        // Xen refuses no shutdown of oneself; were it to, there is nothing better to do than to ask again.
        let _ = sched::shutdown(&XEN, reason);
    }
}

/// Ends the domain as one that went wrong.
pub(crate) fn crash() -> ! {
    shut_down(ShutdownReason::CRASH)
}
