//! Lists the disks that the guest has been given, and what the backend of each offers.
//!
//! ```text
//! cargo xtask run disk-info --config 'disk=["phy:/dev/ram1,xvda,w", "phy:/dev/ram2,xvdb,r"]'
//! ```

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::error::Error;
use core::time::Duration;

use xen_rt::blkfront::{Blkfront, Disk, Event, KIND, Options, Persistent};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::bus::{Change, Enumerator};
use xen_rt::{Guest, Xen, entry, println};

/// How long the disks may take to come, and to be connected.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that the driver can do, so that it is the backend that says how much of it there will be.
const OPTIONS: Options =
    Options { queues: 16, ring_order: 4, segments: 512, persistent: Persistent::IfOffered, ..Options::DEFAULT };

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let deadline = store.now() + PATIENCE;
    let mut disks = find(&store, deadline)?;
    if disks.is_empty() {
        return Err("no disk came; it goes into the guest's configuration as `disk=[...]`".into());
    }
    connect(&store, &mut disks, deadline)?;
    print(&disks);
    Ok(())
}

/// A disk, and the last thing that was heard of it.
struct Found {
    name: String,
    driver: Blkfront<Xen>,
    trouble: String,
}

/// Opens each disk that there is; waits for a first one where there is none.
fn find(store: &Store<Xen>, deadline: Duration) -> Result<Vec<Found>, Box<dyn Error>> {
    let (watch, mut enumerator) = (store.watch("device").wait()?, Enumerator::new());
    let mut disks = Vec::new();
    while disks.is_empty() && watch.wait(deadline)? {
        for change in enumerator.look(store)? {
            if let Change::Added(device) = change
                && device.name().kind == KIND
            {
                let name = name(device.name().id);
                disks.push(Found { name, driver: Blkfront::open(store, device, OPTIONS)?, trouble: String::new() });
            }
        }
    }
    Ok(disks)
}

/// Waits until all are connected, or the time is over.
fn connect(store: &Store<Xen>, disks: &mut [Found], deadline: Duration) -> Result<(), Box<dyn Error>> {
    loop {
        disks.iter_mut().for_each(|disk| disk.poll(store));
        if disks.iter().all(|disk| disk.driver.disk().is_some()) || store.now() >= deadline {
            return Ok(());
        }
        let dues = disks.iter().filter_map(|disk| disk.driver.next_deadline());
        // What a connection takes comes by xenstore.
        store.wait_for_changes(dues.min().unwrap_or(deadline).min(deadline))?;
    }
}

impl Found {
    fn poll(&mut self, store: &Store<Xen>) {
        while let Some(event) = self.driver.poll(store.now()) {
            match event {
                Event::Trouble(trouble) => self.trouble = trouble.to_string(),
                Event::Detached(end) | Event::Ended(end) => self.trouble = format!("{end:?}"),
                _ => {}
            }
        }
    }
}

fn print(disks: &[Found]) {
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
    for Found { name, driver, trouble } in disks {
        match driver.disk() {
            Some(disk) => print_one(name, disk),
            None => println!("{name:<6} not connected {trouble}"),
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
