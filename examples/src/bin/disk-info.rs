//! Lists the disks that the guest has been given, and what the backend of each offers (needs a disk).
//!
//! ```text
//! cargo xtask run disk-info --config 'disk=["phy:/dev/ram1,xvda,w", "phy:/dev/ram2,xvdb,r"]'
//! ```

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::error::Error;
use core::time::Duration;

use xen_rt::blkfront::{Blkfront, Disk, Disks, Event, Options, Persistent};
use xen_rt::{Guest, Xen, entry, println};

/// How long the disks may take to come, and to be connected.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that the driver can do, so that it is the backend that says how much of it there will be.
const OPTIONS: Options =
    Options { queues: 16, ring_order: 4, segments: 512, persistent: Persistent::IfOffered, ..Options::DEFAULT };

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let (mut disks, mut troubles) = (Disks::new(&store, OPTIONS)?, BTreeMap::new());
    let deadline = store.now() + PATIENCE;
    println!("waiting up to {} s for a disk", PATIENCE.as_secs());
    loop {
        while let Some((number, event)) = disks.poll(store.now()) {
            note(&mut troubles, number, event);
        }
        let is_there = |(_, disk): (u32, &Blkfront<Xen>)| disk.disk().is_some();
        if store.now() >= deadline || (disks.iter().next().is_some() && disks.iter().all(is_there)) {
            break;
        }
        disks.wait(deadline)?;
    }
    if disks.iter().next().is_none() {
        return Err(r#"no disk came; give one: --config 'disk=["phy:/dev/ram1,xvda,w"]'"#.into());
    }
    print(&disks, &troubles);
    Ok(())
}

/// Keeps what tells why a disk is not connected.
fn note(troubles: &mut BTreeMap<u32, String>, number: u32, event: Event<Xen>) {
    match event {
        Event::Trouble(trouble) => troubles.insert(number, trouble.to_string()),
        Event::Detached(end) | Event::Ended(end) => troubles.insert(number, format!("{end:?}")),
        _ => None,
    };
}

fn print(disks: &Disks<Xen>, troubles: &BTreeMap<u32, String>) {
    println!(
        "{:<6} {:>10} {:>7} {:>9} {:<9} {:<6} {:<8} {:<9} {:<11} {:>6} {:>5} {:>9}",
        "disk",
        "size",
        "sector",
        "physical",
        "mode",
        "flush",
        "barrier",
        "discard",
        "persistent",
        "queues",
        "ring",
        "segments"
    );
    for (number, driver) in disks.iter() {
        let name = name(number);
        match driver.disk() {
            Some(disk) => print_one(&name, disk),
            None => println!("{name:<6} not connected {}", troubles.get(&number).map_or("", String::as_str)),
        }
    }
}

fn print_one(name: &str, disk: &Disk) {
    let yes = |yes| if yes { "yes" } else { "no" };
    let mode = if disk.is_read_only() { "read-only" } else { "writable" };
    let discard = disk.discard().map_or_else(|| "no".into(), |limits| size(limits.granularity.into()));
    println!(
        "{name:<6} {:>10} {:>7} {:>9} {mode:<9} {:<6} {:<8} {discard:<9} {:<11} {:>6} {:>5} {:>9}",
        size(disk.bytes()),
        disk.sector_size(),
        disk.physical_sector_size(),
        yes(disk.has_flush()),
        yes(disk.has_barrier()),
        yes(disk.is_persistent()),
        disk.queues(),
        disk.ring_slots(),
        disk.segments(),
    );
    if disk.is_removable() || disk.is_cdrom() {
        println!("{name:<6} is removable: {}, a CD-ROM: {}", yes(disk.is_removable()), yes(disk.is_cdrom()));
    }
}

/// A size in the largest unit of which there are at least ten.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (1..UNITS.len()).take_while(|unit| bytes >> (10 * unit) >= 10).last().unwrap_or(0);
    format!("{} {}", bytes >> (10 * unit), UNITS[unit])
}

/// What xl calls the disk with this number: `xvda` is 202 << 8, and every 16th is another disk.
fn name(id: u32) -> String {
    match (id >> 8, (id & 0xff) >> 4) {
        (202, disk) => format!("xvd{}", char::from(b'a' + disk as u8)),
        _ => format!("{id}"),
    }
}
