//! What a unikernel on Xen needs around the SDK: boot, memory, traps, events, clock, console.
//!
//! ```ignore
//! //! My first guest.
//!
//! #![no_std]
//! #![no_main]
//!
//! use xen_rt::{ExitCode, Guest, entry, println};
//!
//! #[entry]
//! fn main(_guest: Guest) -> ExitCode {
//!     println!("Hello from Xen!");
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! A guest's `build.rs` names the linker script that this crate brings along:
//!
//! ```ignore
//! println!("cargo:rustc-link-arg-bins=-Txen-rt.x");
//! println!("cargo:rustc-link-arg-bins=--no-pie");
//! ```
//!
//! Everything that knows how the guest was started is in one private module (`pv` for PV on x86-64), behind
//! the same surface that PVH and ARM64 will have. On other targets the crate builds without a boot path.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(any(test, all(target_arch = "x86_64", any(target_os = "none", doc))))]
mod ahead;
#[cfg(any(test, all(target_arch = "x86_64", any(target_os = "none", doc))))]
mod bitmap;
mod boot;
mod exit;
// Part of `pv`, and without anything that needs Xen.
#[cfg(all(test, not(target_os = "none")))]
#[path = "pv/layout.rs"]
mod layout;
#[cfg(all(test, not(target_os = "none")))]
#[path = "pv/p2m.rs"]
mod p2m;
#[cfg(all(target_arch = "x86_64", any(target_os = "none", doc)))]
mod pv;
#[cfg(all(target_arch = "x86_64", any(target_os = "none", doc)))]
use pv as platform;

/// What needs a way to boot.
macro_rules! running {
    ($($item:item)*) => { $(#[cfg(all(target_arch = "x86_64", any(target_os = "none", doc)))] $item)* };
}

running! {
    mod balloon;
    mod clock;
    #[doc(hidden)]
    pub mod console;
    mod events;
    mod guest;
    mod heap;
    mod lock;
    mod memory;
    mod pages;
    mod panic;
    mod shared_info;
    mod store;
    mod suspend;
    mod usage;
    mod xen;

    pub use clock::Clock;
    pub use console::{Terminal, TerminalError};
    pub use events::Events;
    pub use guest::{Guest, exit};
    pub use memory::{Access, Region};
    pub use suspend::{SuspendError, Suspended};
    pub use usage::Usage;
    pub use xen::Xen;
}

pub use boot::{BootInfo, CommandLine, SharedPage};
pub use exit::{ExitCode, Termination};
pub use xen_blkfront as blkfront;
pub use xen_event_channel as event_channel;
pub use xen_grant_table as grant_table;
pub use xen_hypercall as hypercall;
pub use xen_netfront as netfront;
pub use xen_rt_macros::entry;
pub use xen_xenbus as xenbus;
