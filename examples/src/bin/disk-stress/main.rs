//! Reads and writes a disk at random, checks every byte, and says how fast it was.
//!
//! ```text
//! cargo xtask run disk-stress --config 'disk=["phy:/dev/ram1,xvda,w"]' -- depth=32 count=5000
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

use xen_rt::blkfront::{Blkfront, Disk, Event, Options};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Epoch, Ready, Resumable as _};
use xen_rt::{ExitCode, Guest, Suspended, Xen, entry, println};

use crate::arguments::Arguments;
use crate::load::Load;
use crate::outside::Outside;

/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long xenstore may take to come to rest before a suspend.
const REST: Duration = Duration::from_secs(10);
/// How often is looked whether the disk has come to rest.
const TICK: Duration = Duration::from_millis(10);
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
    /// The disk is gone, and may come back.
    is_detached: bool,
    load: Load,
    /// The load's beginning was told.
    told: bool,
}

impl<'a> Stress<'a> {
    fn new(guest: &'a Guest, store: &Store<Xen>, arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let mut outside = Outside::new(store, arguments.disk)?;
        println!("ready");
        let disk = connect(store, &mut outside, arguments.options)?;
        let connected = disk.disk().ok_or("the disk went away at once")?;
        arguments.check(connected)?;
        tell(connected);
        let load = Load::new(arguments, guest.xen());
        Ok(Self { guest, store: store.clone(), outside, disk, is_detached: false, load, told: false })
    }

    fn run(mut self) -> Result<ExitCode, Box<dyn Error>> {
        loop {
            self.take_events()?;
            self.look_outside()?;
            let now = self.store.now();
            // Last, so that the wait is for what was sent.
            self.load.send(&mut self.disk, now);
            if self.load.is_over() {
                return self.report();
            }
            let dues = [self.outside.next_deadline(), self.load.deadline()];
            self.disk.wait(dues.into_iter().flatten().min().unwrap_or(now + LONG))?;
        }
    }

    fn take_events(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.disk.poll(self.store.now()) {
            match event {
                Event::Completed(completion) => self.load.completed(completion),
                Event::Detached(_) => {
                    self.is_detached = true;
                    self.outside.gone(self.disk.device());
                }
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
        self.outside.listen();
        // One that comes before the old one has ended waits.
        if self.is_detached
            && let Some(device) = self.outside.newcomer()?
        {
            self.disk.reattach(device)?;
            self.is_detached = false;
        }
        match self.outside.command()? {
            None => {}
            Some(Command::Suspend) => self.suspend()?,
            Some(_) => self.load.end(self.store.now()),
        }
        Ok(())
    }

    /// The disk comes to rest, with requests that are not sent yet; the guest is suspended, and the disk is another one.
    fn suspend(&mut self) -> Result<(), Box<dyn Error>> {
        while self.disk.prepare(self.store.now()) == Ready::NotYet {
            self.disk.wait(self.store.now() + TICK)?;
            self.outside.listen();
            self.take_events()?;
        }
        let suspended = self.guest.suspend(REST);
        let now = self.store.now();
        if suspended? == Suspended::Resumed {
            self.disk.resumed(Epoch(self.store.epoch().into()), now);
            self.outside.resumed();
            println!("resumed");
        } else {
            self.disk.cancelled(now);
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

/// Waits for a disk, and until it is connected.
fn connect(store: &Store<Xen>, outside: &mut Outside, options: Options) -> Result<Blkfront<Xen>, Box<dyn Error>> {
    let until = store.now() + PATIENCE;
    let device = loop {
        outside.listen();
        match outside.newcomer()? {
            Some(device) => break device,
            None if store.wait_for_changes(until)? => {}
            None => return Err("no disk came".into()),
        }
    };
    let mut disk = Blkfront::open(store, device, options)?;
    while store.now() < until {
        match disk.poll(store.now()) {
            Some(Event::Connected) => return Ok(disk),
            Some(event) => println!("disk: {event:?}"),
            None => {
                disk.wait(until)?;
                outside.listen();
            }
        }
    }
    Err("the disk was not connected in time".into())
}

fn tell(disk: &Disk) {
    let (queues, slots, segments) = (disk.queues(), disk.ring_slots(), disk.segments());
    let persistent = if disk.is_persistent() { "persistent" } else { "passing" };
    println!("connected: {disk}, {queues} queues of {slots}, {segments} segments, {persistent} grants");
}
