//! Answers ping, and prints every packet that comes.
//!
//! ```text
//! cargo xtask run ping --network
//! ```
//!
//! `quiet` on the command line prints no packets, `offload` leaves checksums to the backend. With `join=01:00:5e:01:01:01`, which may be
//! repeated, packets to these groups come, and to no others. The guest ends when it is asked to, by `xl shutdown` or Ctrl-C, and tells what
//! went through the interface.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use core::error::Error;

use smoltcp::wire::{EthernetAddress, EthernetFrame, PrettyPrinter};
use xen_examples::{Network, Turn};
use xen_rt::netfront::{Checksums, Multicast, Options};
use xen_rt::{Guest, entry, println};

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let line = guest.boot().command_line;
    let has = |word: &str| line.words().any(|given| given == word);
    let checksums = if has("offload") { Checksums::Offload } else { Checksums::Stack };
    let groups = || line.words().filter_map(|word| word.strip_prefix("join="));
    let multicast = if groups().next().is_some() { Multicast::Joined } else { Multicast::All };
    let mut network = Network::up(&guest, Options { checksums, multicast, ..Options::DEFAULT })?;
    for group in groups() {
        let group: EthernetAddress =
            group.parse().map_err(|()| format!("what is {group:?}? A group is 01:00:5e:01:01:01"))?;
        if let Some(interface) = network.interface_mut() {
            interface.join(group.0)?;
        }
    }
    println!("ready");
    let quiet = has("quiet");
    let seen = |packet: &[u8]| {
        if !quiet {
            println!("{}", PrettyPrinter::<EthernetFrame<&[u8]>>::new("", &packet));
        }
    };
    while network.turn(seen)? == Turn::Work {
        network.rest()?;
    }
    if let Some(interface) = network.interface() {
        let all = interface.statistics();
        println!("received: {} packets, {} bytes", all.received.packets, all.received.bytes);
        println!("sent: {} packets, {} bytes, {} signals", all.sent.packets, all.sent.bytes, all.notifications);
    }
    Ok(())
}
