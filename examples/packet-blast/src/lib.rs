//! Bursts of packets through a network interface, without a stack.

#![no_std]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::error::Error;
use core::time::Duration;

use xen_rt::netfront::{Event, Netfront};
use xen_rt::{Clock, Xen, println};

/// Bytes of the headers of Ethernet, IPv4 and UDP: the least that a packet has.
pub const HEADERS: usize = 14 + 20 + 8;

/// How long to sleep at most until something happens, and until answers are looked for that nobody signals.
const TICK: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_micros(100);

/// One end of a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its IPv4 address.
    pub address: [u8; 4],
}

/// Makes a UDP packet for port 9 (RFC 863: whoever gets it forgets it) of so many bytes, its Ethernet header included, and
/// [`HEADERS`] at least.
#[must_use]
pub fn packet(from: End, to: End, bytes: usize) -> Vec<u8> {
    let length = |without: usize| (bytes.max(HEADERS) - without) as u16;
    let mut packet = Vec::with_capacity(bytes);
    [&to.mac[..], &from.mac, &[0x08, 0x00]].into_iter().for_each(|part| packet.extend_from_slice(part));
    // Version 4 and a header of five words, a life of 64 hops, UDP. (RFC 791, 3.1)
    let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&length(14).to_be_bytes());
    header[12..16].copy_from_slice(&from.address);
    header[16..20].copy_from_slice(&to.address);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&header);
    // Without a checksum. (RFC 768)
    packet.extend_from_slice(&[0, 9, 0, 9]);
    packet.extend_from_slice(&length(34).to_be_bytes());
    packet.resize(bytes.max(HEADERS), 0);
    packet
}

/// The Internet's checksum. (RFC 1071)
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks::<2>().0;
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) as u16)
}

/// Sends a packet again and again, `burst` at a time with one signal for all of them, and waits until the backend has all.
///
/// # Errors
///
/// The interface is gone, or Xen does not let the guest wait.
pub fn transmit(
    interface: &mut Netfront<Xen>,
    clock: Clock,
    packet: &[u8],
    (burst, count): (u32, u64),
) -> Result<(), Box<dyn Error>> {
    let mut left = count;
    while left > 0 {
        let sent = send_burst(interface, packet, left.min(burst.into()));
        left -= sent;
        interface.flush_notifications();
        if sent < u64::from(burst) {
            rest(interface, clock, TICK)?;
        }
    }
    while interface.pending() > 0 {
        rest(interface, clock, SOON)?;
    }
    Ok(())
}

/// Sends packets, as long as there is room.
fn send_burst(interface: &mut Netfront<Xen>, packet: &[u8], most: u64) -> u64 {
    let mut sent = 0;
    while sent < most
        && let Some(room) = interface.transmit()
    {
        room.consume(packet.len(), |into| into.copy_from_slice(packet));
        sent += 1;
    }
    sent
}

/// Counts the packets that come, and their bytes. `goes_on` is asked each time that no more are there.
///
/// # Errors
///
/// The interface is gone, or Xen does not let the guest wait; or `goes_on` says so.
pub fn receive(
    interface: &mut Netfront<Xen>,
    clock: Clock,
    mut goes_on: impl FnMut(u64) -> Result<bool, Box<dyn Error>>,
) -> Result<(u64, u64), Box<dyn Error>> {
    let (mut packets, mut bytes) = (0, 0);
    loop {
        while let Some(packet) = interface.receive() {
            packets += 1;
            bytes += packet.len() as u64;
            packet.discard();
        }
        if !goes_on(packets)? {
            return Ok((packets, bytes));
        }
        rest(interface, clock, TICK)?;
    }
}

/// Sleeps, and hears what happened to the interface.
fn rest(interface: &mut Netfront<Xen>, clock: Clock, time: Duration) -> Result<(), Box<dyn Error>> {
    interface.wait(clock.now() + time)?;
    while let Some(event) = interface.poll(clock.now()) {
        println!("{event:?}");
        if let Event::Ended(end) = event {
            return Err(format!("the interface is gone: {end:?}").into());
        }
    }
    Ok(())
}
