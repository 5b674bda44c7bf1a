//! The smallest guest.

#![no_std]
#![no_main]

use xen_rt::{ExitCode, Guest, entry, println};

#[entry]
fn main(_guest: Guest) -> ExitCode {
    println!("Hello from Xen!");
    ExitCode::SUCCESS
}
