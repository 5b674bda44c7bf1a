//! The guest as its author sees it.

use xen_hypercall::abi::sched::ShutdownReason;

use crate::boot::BootInfo;
use crate::clock::{self, Clock};
use crate::console;
use crate::events::Events;
use crate::exit::ExitCode;
use crate::platform::{self, Memory, XEN, Xen};
use crate::heap;

unsafe extern "Rust" {
    /// What `#[entry]` makes of the user's function.
    safe fn __xen_rt_main(guest: Guest) -> ExitCode;
}

/// A running guest: the one value that the runtime hands to the entry function.
#[derive(Debug)]
pub struct Guest {
    boot: BootInfo,
}

impl Guest {
    /// What the hypervisor and the toolstack told the guest at boot, its command line included.
    #[must_use]
    pub const fn boot(&self) -> &BootInfo {
        &self.boot
    }

    /// The way to call Xen.
    #[must_use]
    pub const fn xen(&self) -> Xen {
        XEN
    }

    /// What time it is, and how to wait.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        Clock::new()
    }

    /// The guest's event channels.
    #[must_use]
    pub const fn events(&self) -> Events {
        Events::new()
    }
}

/// Sets up what every platform has, runs the user's function, and ends the guest with its status.
pub(crate) fn run(boot: BootInfo, memory: &Memory) -> ! {
    console::connect(&boot);
    for region in memory.free() {
        // SAFETY: the platform says that nothing uses the region.
        unsafe { heap::add(region) };
    }
    platform::unmask_upcalls();
    clock::start().expect("Xen refuses the timer");
    let status = __xen_rt_main(Guest { boot });
    exit(status)
}

/// Ends the guest with a status, as a return from the entry function does.
pub fn exit(status: ExitCode) -> ! {
    console::print(format_args!("domu: exit status {}\n", status.to_u8()));
    console::flush();
    platform::shut_down(ShutdownReason::POWEROFF)
}
