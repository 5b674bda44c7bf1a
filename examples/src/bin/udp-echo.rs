//! Sends every UDP packet back to where it came from.
//!
//! ```text
//! cargo xtask run udp-echo --forward 7007:7/udp --outside
//! ```
//!
//! Then, on this machine: `echo hello | nc -u -w 1 127.0.0.1 7007`. `port=` on the guest's command line is another port than 7.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use core::error::Error;

use smoltcp::socket::udp;
use xen_examples::{Network, Turn};
use xen_rt::netfront::Options;
use xen_rt::{Guest, entry, println};

/// RFC 862.
const ECHO: u16 = 7;

/// Packets that may wait, and bytes of them.
const ROOM: (usize, usize) = (64, 64 * 1024);

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let mut words = guest.boot().command_line.words();
    let port = words.find_map(|word| word.strip_prefix("port=")).map_or(Ok(ECHO), str::parse)?;
    let mut network = Network::up(&guest, Options::DEFAULT)?;
    let room = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; ROOM.0], vec![0; ROOM.1]);
    let mut socket = udp::Socket::new(room(), room());
    socket.bind(port).map_err(|error| alloc::format!("port {port}: {error}"))?;
    let handle = network.sockets().add(socket);
    println!("ready: port {port}");
    let mut count = 0_u64;
    while network.turn(|_| ())? == Turn::Work {
        let socket = network.sockets().get_mut::<udp::Socket<'_>>(handle);
        while socket.can_send()
            && let Ok((data, from)) = socket.recv()
        {
            count += 1;
            let data = data.to_vec();
            // There is room: that was asked before.
            let _ = socket.send_slice(&data, from);
        }
        network.rest()?;
    }
    println!("{count} packets came and went back");
    Ok(())
}
