//! The end of a guest that went wrong: tell the user, tell Xen, stop.

use core::fmt::Arguments;
use core::panic::PanicInfo;

use xen_event_channel::Events;

use crate::console;
use crate::platform::{self, Registers};
use crate::xen::XEN;

// Documentation is also made on a host, which has its own.
#[cfg_attr(target_os = "none", panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    die(&Registers::current(), format_args!("{info}"))
}

/// Prints the reason and the registers, then crashes the domain. Never waits without a bound.
///
/// A second failure on the way, in a `Display` for instance, ends in a crash without a word.
pub(crate) fn die(registers: &Registers, reason: Arguments<'_>) -> ! {
    XEN.hold_upcalls();
    if first() {
        console::print_last_words(format_args!("\n{reason}\n{registers}\n"));
    }
    platform::crash()
}

/// Whether nothing has failed before.
fn first() -> bool {
    use core::sync::atomic::{AtomicBool, Ordering};
    static FAILED: AtomicBool = AtomicBool::new(false);
    !FAILED.swap(true, Ordering::Relaxed)
}
