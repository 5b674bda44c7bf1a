//! Sends bursts of raw packets, or counts those that come, and tells how fast that went and how often Xen was called.
//!
//! ```text
//! cargo xtask run packet-blast --network
//! cargo xtask run packet-blast --network -- count=1000000 size=1514 burst=1
//! cargo xtask run packet-blast --scenario examples/packet-blast/flood.sh --network -- receive
//! ```
//!
//! `count=` packets (100000) of `size=` bytes (60), their Ethernet headers included, are sent `burst=` at a time (32), each burst with
//! one signal, or none where the backend is at work already. They go to an address that nobody has. With `receive` so many are
//! waited for, until none has come for ten seconds: the scenario has domain 0's packet generator send them.
//!
//! Of the driver: `pages=` for each direction (256), `channels=one`, `queues=`, and what else [`interface_options`] knows.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::error::Error;
use core::str::FromStr;
use core::time::Duration;

use xen_examples::interface_options;
use xen_packet_blast::{End, HEADERS, packet, receive, transmit};
use xen_rt::netfront::{Netfront, Options, RING_SLOTS, Which};
use xen_rt::{CommandLine, Guest, Xen, entry, println};

/// How long an interface may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long packets may take to come.
const QUIET: Duration = Duration::from_secs(10);
/// Who has no place in this network.
const NOBODY: End = End { mac: [0x02, 0, 0, 0, 0, 0x63], address: [10, 0, 0, 99] };
/// The guest, as `cargo xtask run --network` calls it.
const ADDRESS: [u8; 4] = [10, 0, 0, 15];

/// As much as rings can hold.
const OPTIONS: Options = Options { transmit_pages: RING_SLOTS, receive_pages: RING_SLOTS, ..Options::DEFAULT };

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let line = guest.boot().command_line;
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let mut interface = Netfront::find(&store, Which::First, interface_options(line, OPTIONS)?, PATIENCE)?;
    let link = *interface.link().ok_or("the interface is gone")?;
    println!("interface: {link}");
    let (count, size) = (number(line, "count", 100_000)?, number(line, "size", 60)?);
    if !(HEADERS..=usize::from(link.mtu()) + 14).contains(&size) {
        return Err("size= is the headers' 42 bytes at least, and the MTU and 14 at most".into());
    }
    let before = Reading::take(&guest, &interface);
    if line.words().any(|word| word == "receive") {
        println!("ready: {count} packets may come");
        let (first, last, bytes) = count_packets(&guest, &mut interface, count)?;
        let before = Reading { at: first, ..before };
        Reading { at: last, ..Reading::take(&guest, &interface) }.tell("received", &before, bytes);
    } else {
        let packet = packet(End { mac: link.mac(), address: ADDRESS }, NOBODY, size);
        transmit(&mut interface, guest.clock(), &packet, (number(line, "burst", 32)?, count))?;
        Reading::take(&guest, &interface).tell("sent", &before, count * size as u64);
    }
    Ok(())
}

fn number<T: FromStr>(line: CommandLine, key: &str, otherwise: T) -> Result<T, T::Err> {
    line.value(key).map_or(Ok(otherwise), str::parse)
}

/// Counts what comes; answers when the first and the last packets had come, and how many bytes all had.
fn count_packets(
    guest: &Guest,
    interface: &mut Netfront<Xen>,
    count: u64,
) -> Result<(Duration, Duration, u64), Box<dyn Error>> {
    let clock = guest.clock();
    let (mut known, mut first, mut last) = (0, clock.now(), clock.now());
    let goes_on = |packets| {
        let now = clock.now();
        if packets > known {
            (first, last) = (if known == 0 { now } else { first }, now);
            known = packets;
        }
        Ok(packets < count && now < last + QUIET)
    };
    let (_, bytes) = receive(interface, clock, goes_on)?;
    Ok((first, last, bytes))
}

/// What there is to be compared, at one time.
struct Reading {
    at: Duration,
    packets: u64,
    signals: u64,
    hypercalls: u64,
}

impl Reading {
    fn take(guest: &Guest, interface: &Netfront<Xen>) -> Self {
        let all = interface.statistics();
        Self {
            at: guest.clock().now(),
            packets: all.sent.packets + all.received.packets,
            signals: all.notifications,
            hypercalls: guest.usage().hypercalls,
        }
    }

    fn tell(&self, what: &str, before: &Self, bytes: u64) {
        let (packets, time) = (self.packets - before.packets, self.at.saturating_sub(before.at));
        let rate = |count: u64| count as f64 / time.as_secs_f64().max(1e-9);
        let share = |count: u64| count as f64 / packets.max(1) as f64;
        println!("{what}: {packets} packets, {bytes} bytes, in {:.3} s", time.as_secs_f64());
        println!("  {:.0} packets per second, {:.1} Mbit/s", rate(packets), rate(bytes) * 8e-6);
        let (signals, hypercalls) = (self.signals - before.signals, self.hypercalls - before.hypercalls);
        println!("  {signals} signals, {hypercalls} hypercalls: {:.4} for a packet", share(hypercalls));
    }
}
