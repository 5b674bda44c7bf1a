//! The Linux side of `cargo xtask bench`, one static program with several tasks.
//!
//! As the init of a Linux guest it reads the guest's disk, or uses its network interface, as it is told at the console; in
//! domain 0, `meter` and `traffic` tell a guest what to do and measure meanwhile, `fill` gives a disk the content that readers
//! expect, and `boot` and `page` tell how long a guest took to its first answers.

mod domain0;
mod engine;
mod guest;
mod network;
mod pages;
mod privcmd;
mod uring;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        _ if std::process::id() == 1 => guest::run(),
        [_, "meter", console, plan] => domain0::meter(console, plan),
        [_, "traffic", console, plan, interface] => network::domain0::meter(console, plan, interface),
        [_, "boot", start, end] => network::start::ping(start, end),
        [_, "page", start, end, console] => network::start::page(start, end, console),
        [_, "fill", device] => domain0::fill(device),
        _ => usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> Result<()> {
    bail!(
        "usage: linux-bench meter CONSOLE PLAN | traffic CONSOLE PLAN INTERFACE | fill DEVICE | boot FILE FILE | \
         page FILE FILE CONSOLE; without words, as process 1, a guest's init"
    )
}
