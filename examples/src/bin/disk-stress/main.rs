//! Reads and writes a disk at random, checks every byte, and says how fast it was (needs a disk).
//!
//! ```text
//! cargo xtask run disk-stress --config 'disk=["phy:/dev/ram1,xvda,w"]' -- depth=32 seconds=10
//! ```
//!
//! First every block is written; then blocks are read and written at random, with a flush now and then; at last every block is read
//! once more. A block holds its number, how often it was written, and a hash, so that a wrong one tells what happened. What stands on
//! the disk before is overwritten. `arguments.rs` has the words of the command line. Without `count=` and `seconds=` there are 5000
//! requests; with `count=0` it goes on until `xl shutdown`. Domain 0's RAM disks offer no flush, so that no flush of theirs is durable.
//!
//! All this goes on while the guest is saved and restored, and while the disk is taken away and given back. The status is 0 if
//! nothing was lost, doubled or changed.

#![no_std]
#![no_main]

extern crate alloc;

mod arguments;
mod content;
mod load;

use alloc::boxed::Box;
use alloc::format;
use core::error::Error;
use core::time::Duration;

use xen_examples::Requests;
use xen_rt::blkfront::{Blkfront, Disk, Disks, Event, Statistics};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Epoch, Ready, Resumable as _};
use xen_rt::{ExitCode, Guest, Suspended, Xen, entry, println};

use crate::arguments::Arguments;
use crate::load::Load;

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
    requests: Requests,
    disks: Disks<Xen>,
    /// Which one of them.
    number: u32,
    load: Load,
    /// The load's beginning was told.
    told: bool,
}

impl<'a> Stress<'a> {
    fn new(guest: &'a Guest, store: &Store<Xen>, arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let requests = Requests::new(store)?;
        let mut disks = Disks::new(store, arguments.options)?;
        println!("ready");
        let number = connect(store, &mut disks, arguments.disk)?;
        let disk = disks.get(number).and_then(Blkfront::disk).ok_or("the disk went away at once")?;
        arguments.check(disk)?;
        tell(disk);
        let load = Load::new(arguments, guest.xen());
        Ok(Self { guest, store: store.clone(), requests, disks, number, load, told: false })
    }

    fn run(mut self) -> Result<ExitCode, Box<dyn Error>> {
        loop {
            self.take_events()?;
            self.obey()?;
            let now = self.store.now();
            let disk = self.disks.get_mut(self.number).ok_or("the disk is gone")?;
            // Last, so that the wait is for what was sent.
            self.load.send(disk, now);
            if self.load.is_over() {
                return self.report();
            }
            let dues = [self.requests.next_deadline(), self.load.deadline()];
            self.disks.wait(dues.into_iter().flatten().min().unwrap_or(now + LONG))?;
        }
    }

    fn take_events(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some((number, event)) = self.disks.poll(self.store.now()) {
            match event {
                _ if number != self.number => {}
                Event::Completed(completion) => self.load.completed(completion),
                Event::Ended(end) => return Err(format!("the disk is gone: {end:?}").into()),
                other => println!("disk: {other:?}"),
            }
        }
        if self.load.is_under_load() && !self.told {
            self.told = true;
            println!("under load{}", self.load.until());
        }
        Ok(())
    }

    fn obey(&mut self) -> Result<(), Box<dyn Error>> {
        self.requests.listen();
        match self.requests.command()? {
            None => {}
            Some(Command::Suspend) => self.suspend()?,
            Some(_) => self.load.end(self.store.now()),
        }
        Ok(())
    }

    /// What is under way comes to its end; the guest is suspended; the disk is another one then, which is found and goes on.
    fn suspend(&mut self) -> Result<(), Box<dyn Error>> {
        while self.disks.prepare(self.store.now()) == Ready::NotYet {
            self.disks.wait(self.store.now() + TICK)?;
            self.requests.listen();
            self.take_events()?;
        }
        let suspended = self.guest.suspend(REST);
        let now = self.store.now();
        match suspended {
            Ok(Suspended::Resumed) => {
                self.disks.resumed(Epoch(self.store.epoch().into()), now);
                println!("resumed");
            }
            not => {
                self.disks.cancelled(now);
                println!("not suspended: {not:?}");
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<ExitCode, Box<dyn Error>> {
        let counts = self.load.counts;
        let time = counts.time.as_millis().max(1) as u64;
        println!("load: {} requests in {time} ms, {} per second", counts.load, counts.load * 1000 / time);
        println!("requests: {} reads, {} writes, {} flushes", counts.reads, counts.writes, counts.flushes);
        println!("flushes: {} durable, {} after a loss", counts.durable, counts.lost);
        if let Some(disk) = self.disks.get(self.number) {
            tell_statistics(&disk.statistics());
        }
        println!("verified {} blocks: {} mismatches, {} errors", counts.verified, counts.mismatches, counts.errors);
        let good = counts.mismatches == 0 && counts.errors == 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Waits for a disk, and until it is connected; answers with its number.
fn connect(store: &Store<Xen>, disks: &mut Disks<Xen>, wanted: Option<u32>) -> Result<u32, Box<dyn Error>> {
    let until = store.now() + PATIENCE;
    println!("waiting up to {} s for a disk", PATIENCE.as_secs());
    while store.now() < until {
        match disks.poll(store.now()) {
            Some((number, Event::Connected)) if wanted.is_none_or(|wanted| wanted == number) => return Ok(number),
            Some((number, event)) => println!("disk {number}: {event:?}"),
            None => disks.wait(until)?,
        }
    }
    Err(r#"no disk came and was connected in time; give one: --config 'disk=["phy:/dev/ram1,xvda,w"]'"#.into())
}

fn tell(disk: &Disk) {
    let (queues, slots, segments) = (disk.queues(), disk.ring_slots(), disk.segments());
    let persistent = if disk.is_persistent() { "persistent" } else { "passing" };
    println!("connected: {disk}, {queues} queues of {slots}, {segments} segments, {persistent} grants");
}

fn tell_statistics(all: &Statistics) {
    println!("driver: {} requests, {} of them failed, {} merged with others", all.taken, all.failed, all.merged);
    println!(
        "rings: {} requests, {} of them indirect, {} pages, {} signals",
        all.sent, all.indirect, all.segments, all.notifications
    );
    println!(
        "connections: {}; {} requests sent again, {} replayed; {} times out of grants or memory",
        all.connections, all.sent_again, all.replayed, all.starved
    );
}
