//! Reads and writes a disk at random, checks every byte, and says how fast it was.
//!
//! ```text
//! cargo xtask run disk-stress -c 'disk=["phy:/dev/ram1,xvda,w"]' -- depth=32 count=5000
//! ```
//!
//! First every block is written; then blocks are read and written at random, with a flush now and then; at last every block is read
//! once more. A block holds its number, how often it was written, and a hash, so that a wrong one tells what happened. What stands on
//! the disk before is overwritten. `arguments.rs` has the words of the command line.
//!
//! All this goes on while the guest is saved and restored, and while the disk is taken away and given back. The status is 0 if
//! nothing was lost, doubled or changed.

#![no_std]
#![no_main]

extern crate alloc;

mod arguments;
mod content;
mod load;
mod outside;

use alloc::boxed::Box;
use alloc::format;
use core::error::Error;
use core::time::Duration;

use xen_rt::blkfront::{Blkfront, Disk, Event, Which};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::Command;
use xen_rt::{ExitCode, Guest, Suspended, Xen, entry, println};

use crate::arguments::Arguments;
use crate::load::Load;
use crate::outside::Outside;

/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long xenstore may take to come to rest before a suspend.
const REST: Duration = Duration::from_secs(10);
/// How long the guest sleeps where nothing is to be done.
const LONG: Duration = Duration::from_secs(60);

#[entry]
fn main(guest: Guest) -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::read(guest.boot().command_line)?;
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    Stress::new(&guest, &store, arguments)?.run()
}

/// The guest with its disk, and what is done with it.
struct Stress<'a> {
    guest: &'a Guest,
    store: Store<Xen>,
    outside: Outside,
    disk: Blkfront<Xen>,
    load: Load,
    /// The load's beginning was told.
    told: bool,
}

impl<'a> Stress<'a> {
    fn new(guest: &'a Guest, store: &Store<Xen>, arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let outside = Outside::new(store)?;
        println!("ready");
        let which = arguments.disk.map_or(Which::First, Which::Named);
        let disk = Blkfront::find(&guest.xen(), store, which, arguments.options, PATIENCE)?;
        let connected = disk.disk().ok_or("the disk went away at once")?;
        arguments.check(connected)?;
        tell(connected);
        let load = Load::new(arguments, guest.xen());
        Ok(Self { guest, store: store.clone(), outside, disk, load, told: false })
    }

    fn run(mut self) -> Result<ExitCode, Box<dyn Error>> {
        while !self.load.is_over() {
            let now = self.store.now();
            self.load.send(&mut self.disk, now);
            self.take_events()?;
            self.look_outside()?;
            let dues = [self.outside.next_deadline(), self.load.deadline()];
            self.disk.wait(dues.into_iter().flatten().min().unwrap_or(now + LONG))?;
        }
        self.report()
    }

    fn take_events(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.disk.poll(self.store.now()) {
            match event {
                Event::Completed(completion) => self.load.completed(completion),
                Event::Ended(end) => return Err(format!("the disk is gone: {end:?}").into()),
                other => println!("disk: {other:?}"),
            }
        }
        if self.load.is_under_load() && !self.told {
            self.told = true;
            println!("under load");
        }
        Ok(())
    }

    fn look_outside(&mut self) -> Result<(), Box<dyn Error>> {
        for device in self.outside.arrivals()? {
            self.disk.reattach(device)?;
        }
        match self.outside.command()? {
            None => {}
            Some(Command::Suspend) => self.suspend()?,
            Some(_) => self.load.end(self.store.now()),
        }
        Ok(())
    }

    fn suspend(&mut self) -> Result<(), Box<dyn Error>> {
        match self.guest.suspend(REST)? {
            Suspended::Resumed => self.outside.resumed(),
            Suspended::Cancelled => println!("the suspend was called off"),
        }
        Ok(())
    }

    fn report(&self) -> Result<ExitCode, Box<dyn Error>> {
        let counts = self.load.counts;
        let time = counts.time.as_millis().max(1) as u64;
        println!("load: {} requests in {time} ms, {} per second", counts.load, counts.load * 1000 / time);
        println!("requests: {} reads, {} writes, {} flushes", counts.reads, counts.writes, counts.flushes);
        println!("flushes: {} durable, {} after a loss", counts.durable, counts.lost);
        println!("{:?}", self.disk.statistics());
        println!("verified {} blocks: {} mismatches, {} errors", counts.verified, counts.mismatches, counts.errors);
        let good = counts.mismatches == 0 && counts.errors == 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn tell(disk: &Disk) {
    let (queues, slots, segments) = (disk.queues(), disk.ring_slots(), disk.segments());
    let persistent = if disk.is_persistent() { "persistent" } else { "passing" };
    println!("connected: {disk}, {queues} queues of {slots}, {segments} segments, {persistent} grants");
}
