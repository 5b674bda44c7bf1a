//! Gives every line back that is typed, until one says `end`.

#![no_std]
#![no_main]

use core::time::Duration;

use embedded_io::Write;
use xen_rt::{ExitCode, Guest, entry, println};

const PATIENCE: Duration = Duration::from_secs(20);

#[entry]
fn main(guest: Guest) -> ExitCode {
    let (mut console, clock) = (guest.console(), guest.clock());
    println!("type a line");
    let mut line = [0; 256];
    let mut len = 0;
    while let Ok(count @ 1..) = console.read(&mut line[len..], clock.now() + PATIENCE) {
        len += count;
        while let Some(end) = line[..len].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            println!("you typed {end} bytes:");
            let Ok(()) = console.write_all(&line[..end]);
            println!();
            if &line[..end] == b"end" {
                return ExitCode::SUCCESS;
            }
            line.copy_within(end + 1..len, 0);
            len -= end + 1;
        }
    }
    println!("nothing came, or no end of a line");
    ExitCode::FAILURE
}
