//! A kernel of its own on the crates of the SDK, without xen-rt: greets, reads a sector, answers a ping.
//!
//! ```text
//! cargo xtask run bring-your-own-kernel --direct
//! cargo xtask run bring-your-own-kernel --network --config 'disk=["phy:/dev/ram1,xvda,w"]'
//! ```
//!
//! Each file is one thing that a kernel supplies, in the order in which to port one: see the README.md beside.

#![no_std]
#![no_main]

extern crate alloc;

mod clock;
mod console;
mod disk;
mod entry;
mod events;
mod grants;
mod hypercall;
mod memory;
mod network;
mod store;

use alloc::boxed::Box;
use core::error::Error;
use core::panic::PanicInfo;
use core::time::Duration;

use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_hypercall::{Clock as _, sched};

use crate::clock::Timer;
use crate::console::println;
use crate::hypercall::XEN;

/// Where the first instructions lead: `info` is what the builder wrote, `free` the end of all that it has put into memory.
unsafe extern "C" fn start(info: &'static StartInfo, free: usize) -> ! {
    // SAFETY: both are the builder's, and nothing has run before.
    unsafe { memory::start(info, free) };
    // SAFETY: the page is the one that the start info names, as it came.
    unsafe { events::start(info) }.expect("Xen takes the upcall");
    // SAFETY: the same.
    unsafe { console::start(info) };
    match run(info) {
        Ok(()) => exit(0),
        Err(error) => {
            println!("{error}");
            exit(1)
        }
    }
}

/// What the kernel is for.
fn run(info: &'static StartInfo) -> Result<(), Box<dyn Error>> {
    println!("Hello from a kernel of its own, with {} free pages!", memory::free());
    let (timer, before) = (Timer::start()?, XEN.now());
    timer.sleep(Duration::from_millis(50))?;
    println!("timer: slept for {:?}", XEN.now() - before);
    // SAFETY: the page is the one that the start info names, as it came.
    let Some(store) = (unsafe { store::start(info) }) else {
        println!("no xenstore: neither disk nor network");
        return Ok(());
    };
    println!("xenstore: this is domain {}", store.read_u32("domid").wait()?);
    disk::show(&store)?;
    network::serve(&store, text(&info.cmd_line))
}

/// Ends the kernel. The last line tells its status to `cargo xtask run`, which is not Xen's business.
fn exit(status: u8) -> ! {
    println!("domu: exit status {status}");
    console::flush();
    shut_down(ShutdownReason::POWEROFF)
}

fn shut_down(reason: ShutdownReason) -> ! {
    loop {
        // It does not come back.
        let _ = sched::shutdown(&XEN, reason);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::last_words(format_args!("\n{info}\n"));
    shut_down(ShutdownReason::CRASH)
}

/// The text up to the first zero; empty where it is none.
fn text(bytes: &[u8]) -> &str {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).unwrap_or_default()
}
