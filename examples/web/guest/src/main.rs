//! Serves the files of a disk by HTTP, and a page of live figures.
//!
//! ```text
//! cargo xtask run web --forward 8080:80 --scenario examples/web/guest/web.sh --timeout 0
//! ```
//!
//! On this machine: `http://127.0.0.1:8080/status`. The disk has an ext4 file system, and the scenario makes one. It may come and go; without
//! one there are the figures only. The guest ends when it is asked to, by `xl shutdown` or Ctrl-C.

#![no_std]
#![no_main]

extern crate alloc;

mod disk;

use alloc::boxed::Box;
use core::error::Error;

use xen_examples::{Network, Turn};
use xen_rt::netfront::{Netfront, Options, RING_SLOTS};
use xen_rt::{Guest, Xen, entry, println};
use xen_web_example::{self as web, Level, Snapshot, Traffic, Web};

use crate::disk::Disk;

/// Entries in a page of the grant table.
const GRANTS: u64 = 512;

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let mut network = Network::up(&guest, Options::DEFAULT)?;
    let figures = |interface: &Netfront<Xen>| figures(&guest, interface);
    let mut disk = Disk::new(&store)?;
    let mut web = Web::new(network.sockets(), None, figures, web::Options::DEFAULT);
    println!("ready: port 80");
    while network.turn(|_| ())? == Turn::Work {
        if network.was_resumed() {
            disk.resumed();
        }
        if let Some(files) = disk.look() {
            web.set_files(files);
        }
        let now = store.now();
        if let (sockets, Some(interface)) = network.parts() {
            web.poll(sockets, interface, now);
        }
        network.rest_until(web.next_deadline(now).min(disk.next_deadline()))?;
    }
    let counts = web.counts();
    println!("{} requests on {} connections", counts.requests(), counts.accepted);
    Ok(())
}

/// What the page shows of the guest.
fn figures(guest: &Guest, interface: &Netfront<Xen>) -> Snapshot {
    let (usage, all, xen) = (guest.usage(), interface.statistics(), guest.xen());
    let table = xen_rt::grant_table::Memory::grant_table(&xen);
    Snapshot {
        wall: guest.clock().wall(),
        memory: Level { used: 4096 * (usage.pages - usage.free_pages) as u64, of: 4096 * usage.pages as u64 },
        hypercalls: usage.hypercalls,
        events: usage.upcalls + all.notifications,
        grants: Level {
            used: table.accounts().map(|account| u64::from(account.held)).sum(),
            of: GRANTS * u64::from(table.statistics().frames),
        },
        ring: Level { used: interface.pending().into(), of: RING_SLOTS.into() },
        received: Traffic { packets: all.received.packets, bytes: all.received.bytes },
        sent: Traffic { packets: all.sent.packets, bytes: all.sent.bytes },
    }
}
