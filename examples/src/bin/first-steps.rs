//! A guest that greets, reads a sector of its disk, and answers pings: the book builds it up (docs/book/src/write-a-unikernel.md).
//!
//! ```text
//! cargo xtask run first-steps --network --config 'disk=["phy:/dev/ram1,xvda,w"]'
//! ```
//!
//! It ends by Ctrl-C, or `xl shutdown`.

// ANCHOR: head
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::time::Duration;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use xen_rt::blkfront::{self, Blkfront, Sector512};
use xen_rt::netfront::{self, Netfront};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::Inbox;
use xen_rt::{Guest, Xen, entry, println};

/// How long a device may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
// ANCHOR_END: head

// ANCHOR: main
#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    println!("Hello from {}!", guest.boot().platform);
    let store = guest.store().ok_or("there is no xenstore here: start the guest without --direct")?;
    read_a_sector(&store)?;
    let address = guest.boot().command_line.value("ip").unwrap_or("10.0.0.15/24");
    answer_pings(&store, address)
}
// ANCHOR_END: main

// ANCHOR: disk
fn read_a_sector(store: &Store<Xen>) -> Result<(), Box<dyn Error>> {
    let mut disk = Blkfront::find(store, blkfront::Which::First, blkfront::Options::DEFAULT, PATIENCE)?;
    let mut sector = [0; 512];
    disk.read(Sector512(0), &mut sector)?;
    println!("the first sector begins with {:02x?}", &sector[..4]);
    Ok(())
}
// ANCHOR_END: disk

// ANCHOR: network
fn answer_pings(store: &Store<Xen>, address: &str) -> Result<(), Box<dyn Error>> {
    let mut device = Netfront::find(store, netfront::Which::First, netfront::Options::DEFAULT, PATIENCE)?;
    let mac = device.link().ok_or("the interface has gone again")?.mac();
    let mut stack = Interface::new(Config::new(EthernetAddress(mac).into()), &mut device, instant(store));
    let address = address.parse().map_err(|()| "the address is to be as in ip=10.0.0.15/24")?;
    stack.update_ip_addrs(|addresses| addresses.extend([address]));
    let mut sockets = SocketSet::new(Vec::new());
    let mut asked = Asked::new(store)?;
    println!("{address} answers pings");
    while !asked.poll()? {
        // What else happens to an interface: it goes on by itself, until it has ended.
        while let Some(event) = device.poll(store.now()) {
            println!("interface: {event:?}");
        }
        stack.poll(instant(store), &mut device, &mut sockets);
        device.flush_notifications();
        device.wait(store.now() + Duration::from_secs(1))?;
    }
    println!("{} packets came", device.statistics().received.packets);
    Ok(())
}

fn instant(store: &Store<Xen>) -> Instant {
    Instant::from_micros(store.now().as_micros() as i64)
}
// ANCHOR_END: network

// ANCHOR: end
/// What the toolstack asks for, once a second.
struct Asked<'a> {
    store: &'a Store<Xen>,
    inbox: Inbox,
}

impl<'a> Asked<'a> {
    fn new(store: &'a Store<Xen>) -> Result<Self, Box<dyn Error>> {
        Ok(Self { store, inbox: Inbox::shutdown() })
    }

    /// Whether there is anything. Whatever it is, this guest ends.
    fn poll(&mut self) -> Result<bool, Box<dyn Error>> {
        self.inbox.look_again();
        Ok(self.inbox.poll(self.store.now()) && self.store.transaction(|t| self.inbox.take(t))?.is_some())
    }
}
// ANCHOR_END: end
