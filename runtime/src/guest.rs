//! The guest as its author sees it.

use core::ptr::NonNull;
use core::time::Duration;

use xen_event_channel::Events as _;
use xen_hypercall::abi::arch::SharedInfo;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_xenbus::Store;

use crate::boot::BootInfo;
use crate::clock::{self, Clock};
use crate::console::{self, Terminal};
use crate::events::{self, Events};
use crate::exit::ExitCode;
use crate::lock::Mutex;
use crate::memory::Region;
use crate::pages;
use crate::platform::{self, Memory};
use crate::store;
use crate::suspend::{SuspendError, Suspended};
use crate::usage::Usage;
use crate::xen::{XEN, Xen};

unsafe extern "Rust" {
    /// What `#[entry]` makes of the user's function.
    safe fn __xen_rt_main(guest: Guest) -> ExitCode;
}

/// A running guest: the one value that the runtime hands to the entry function.
#[derive(Debug)]
pub struct Guest {
    memory: [Region; platform::REGIONS],
}

impl Guest {
    /// What the hypervisor and the toolstack told the guest at boot, its command line included; or when it was resumed.
    #[must_use]
    pub fn boot(&self) -> BootInfo {
        boot_info()
    }

    /// The guest as the crates of the SDK see it: the way to call Xen, its pages, its tables.
    #[must_use]
    pub const fn xen(&self) -> Xen {
        XEN
    }

    /// The console.
    #[must_use]
    pub const fn console(&self) -> Terminal {
        Terminal::new()
    }

    /// What the guest's memory is used for, by address.
    #[must_use]
    pub const fn memory(&self) -> &[Region] {
        &self.memory
    }

    /// What the guest uses, and what it has done so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::now()
    }

    /// The page that Xen shares with the guest, for code that keeps to the rules of its fields: event words are reached
    /// atomically, time fields under their version.
    ///
    /// Source: `struct shared_info`, public/xen.h
    #[must_use]
    pub const fn shared_info(&self) -> NonNull<SharedInfo> {
        platform::shared_info().as_abi()
    }

    /// What time it is, and how to wait.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        Clock::new()
    }

    /// Xenstore. `None` where the toolstack gives the guest none, as in a direct boot.
    #[must_use]
    pub fn store(&self) -> Option<Store<Xen>> {
        store::get()
    }

    /// Suspends the guest, and returns when it runs again: as [`Xen::suspend`] does, and with xenstore taken along. The store comes to
    /// rest before, within the time that is given, and goes on afterwards; after a resume its watches are registered again, and have
    /// all fired.
    ///
    /// # Errors
    ///
    /// [`SuspendError`]: the guest went on without being suspended.
    pub fn suspend(&self, within: Duration) -> Result<Suspended, SuspendError> {
        store::suspend(within)
    }

    /// The guest's event channels.
    #[must_use]
    pub const fn events(&self) -> Events {
        Events::new()
    }
}

static BOOT: Mutex<Option<BootInfo>> = Mutex::new(None);

/// What the guest was told at boot, or when it was resumed.
pub(crate) fn boot_info() -> BootInfo {
    (*BOOT.lock()).expect("the guest was booted")
}

/// Notes what the guest was told.
pub(crate) fn set_boot_info(info: BootInfo) {
    *BOOT.lock() = Some(info);
}

/// Sets up what every platform has, runs the user's function, and ends the guest with its status.
pub(crate) fn run(memory: &Memory) -> ! {
    let info = memory.boot_info();
    set_boot_info(info);
    for region in memory.free() {
        // SAFETY: the platform says that nothing uses the region.
        unsafe { pages::add(region) };
    }
    events::start(info.command_line);
    console::connect(&info);
    XEN.release_upcalls();
    if let Err(refused) = clock::start() {
        panic!("no timer: {refused}");
    }
    let status = __xen_rt_main(Guest { memory: memory.regions() });
    exit(status)
}

/// Ends the guest with a status, as a return from the entry function does.
pub fn exit(status: ExitCode) -> ! {
    console::print(format_args!("domu: exit status {}\n", status.to_u8()));
    console::flush();
    platform::shut_down(ShutdownReason::POWEROFF)
}
