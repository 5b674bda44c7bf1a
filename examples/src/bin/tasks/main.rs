//! Tasks that wait for a network interface and a disk at once (needs both).
//!
//! ```text
//! cargo xtask run tasks --network --config 'disk=["phy:/dev/ram1,xvda,w"]'
//! ```
//!
//! One task answers pings, one waits for the link, and several write blocks and read them back (`depth=8`), until `xl shutdown` or Ctrl-C.
//! All this goes on while the guest is saved and restored. The status is 0 if every block was as it was written. What stands on
//! the disk before is overwritten.
//!
//! A task is in `echo.rs` and `blocks.rs`, the executor in `executor.rs`. What is here is how the waits of several drivers become one:
//!
//! * Each driver has a task that serves it. It is woken by the driver's events, and it wakes those who wait for something.
//! * The loop sleeps until a task was woken, or until the first of all deadlines. That driver is then told.

#![no_std]
#![no_main]

extern crate alloc;

mod blocks;
mod echo;
mod executor;

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::error::Error;
use core::time::Duration;

use smoltcp::wire::Ipv4Cidr;
use xen_examples::Requests;
use xen_rt::blkfront::{self, AsyncDisk, Blkfront};
use xen_rt::netfront::{self, AsyncInterface, SharedInterfaces};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Epoch, Ready, Resumable as _};
use xen_rt::{ExitCode, Guest, Suspended, Xen, entry, println};

use crate::blocks::Tally;
use crate::executor::Tasks;

/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long xenstore may take to come to rest before a suspend.
const REST: Duration = Duration::from_secs(10);
/// How often is looked whether the drivers have come to rest.
const TICK: Duration = Duration::from_millis(10);
/// How long the guest sleeps where nothing is to be done.
const LONG: Duration = Duration::from_secs(60);

/// What was written since the last flush is written again where the backend was lost.
const DISK: blkfront::Options = blkfront::Options { journal: 4 << 20, ..blkfront::Options::DEFAULT };

#[entry]
fn main(guest: Guest) -> Result<ExitCode, Box<dyn Error>> {
    let line = guest.boot().command_line;
    let address: Ipv4Cidr =
        line.value("ip").unwrap_or("10.0.0.15/24").parse().map_err(|()| "ip= wants 10.0.0.15/24")?;
    let depth = line.value("depth").map_or(Ok(8), str::parse)?;
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let requests = Requests::new(&store)?;
    let interfaces = SharedInterfaces::new(&store, netfront::Options::DEFAULT)?;
    println!("waiting up to {} s for a disk", PATIENCE.as_secs());
    let disk = Blkfront::find(&store, blkfront::Which::First, DISK, PATIENCE)?;
    let mut kernel = Kernel {
        guest,
        store,
        requests,
        interfaces,
        disk: AsyncDisk::new(disk),
        tasks: Tasks::default(),
        tally: Rc::default(),
        pings: Rc::default(),
    };
    kernel.spawn_drivers();
    kernel.spawn_work(address, depth)?;
    kernel.run()
}

/// The drivers, and the tasks that use them.
struct Kernel {
    guest: Guest,
    store: Store<Xen>,
    requests: Requests,
    interfaces: SharedInterfaces<Xen>,
    disk: AsyncDisk<Xen>,
    tasks: Tasks,
    tally: Rc<Tally>,
    pings: Rc<Cell<u64>>,
}

impl Kernel {
    /// What drives the drivers: without these tasks nobody else is woken.
    fn spawn_drivers(&mut self) {
        let store = self.store.clone();
        self.tasks.spawn(async move { println!("xenstore has ended: {}", store.serve().await) });
        let interfaces = self.interfaces.clone();
        self.tasks.spawn(async move {
            interfaces.serve(|number, event| println!("interface {number}: {event:?}")).await;
        });
        let disk = self.disk.clone();
        self.tasks.spawn(async move { println!("the disk has ended: {:?}", disk.serve().await) });
        // After a suspend the disk is another device.
        let disk = self.disk.clone();
        self.tasks.spawn(async move {
            if let Err(error) = disk.follow().await {
                println!("the disk will not be found again: {error}");
            }
        });
    }

    /// What the guest is for.
    fn spawn_work(&mut self, address: Ipv4Cidr, depth: u64) -> Result<(), Box<dyn Error>> {
        let sectors = self.disk.disk().ok_or("the disk went away at once")?.sectors();
        if !(1..=blocks::most_tasks(sectors)).contains(&depth) {
            return Err("depth= is 0, or too much for the disk".into());
        }
        for number in 0..depth {
            self.tasks.spawn(blocks::work(self.disk.clone(), number, Rc::clone(&self.tally)));
        }
        let address = address.address();
        let interface = AsyncInterface::new(&self.interfaces, 0);
        let (link, pings) = (interface.clone(), Rc::clone(&self.pings));
        self.tasks.spawn(async move {
            if let Err(error) = echo::echo(interface, address, &pings).await {
                println!("no pings any more: {error}");
            }
        });
        self.tasks.spawn(async move {
            if let Err(error) = echo::watch_link(link, address).await {
                println!("no link any more: {error}");
            }
        });
        Ok(())
    }

    fn run(mut self) -> Result<ExitCode, Box<dyn Error>> {
        println!("ready");
        loop {
            self.tasks.run();
            if self.tally.running.get() == 0 {
                return Ok(self.report());
            }
            self.requests.listen();
            match self.requests.command()? {
                None => {}
                Some(Command::Suspend) => self.suspend()?,
                Some(_) => self.tally.is_over.set(true),
            }
            self.rest(self.store.now() + LONG)?;
        }
    }

    /// Sleeps until a task was woken, or until a driver has something to do without an event. Which tells its task, then.
    fn rest(&self, until: Duration) -> Result<(), Box<dyn Error>> {
        let (store, disk) = (self.store.next_deadline(), self.disk.next_deadline());
        let interfaces = self.interfaces.next_deadline();
        let dues = [store, disk, interfaces, self.requests.next_deadline()];
        let until = dues.into_iter().flatten().fold(until, Duration::min);
        self.guest.events().sleep_until(until, || self.tasks.are_woken())?;
        let now = self.store.now();
        let is_due = |time: Option<Duration>| time.is_some_and(|time| time <= now);
        if is_due(store) {
            self.store.poll();
        }
        if is_due(disk) {
            self.disk.poll(now);
        }
        if is_due(interfaces) {
            self.interfaces.look_again();
        }
        Ok(())
    }

    /// The tasks go on until the drivers are at rest. They need not know of it: what they ask for is done afterwards.
    fn suspend(&mut self) -> Result<(), Box<dyn Error>> {
        while !self.is_ready_for_suspend() {
            self.tasks.run();
            self.rest(self.store.now() + TICK)?;
        }
        let suspended = self.guest.suspend(REST);
        let now = self.store.now();
        match suspended {
            Ok(Suspended::Resumed) => {
                let epoch = Epoch(self.store.epoch().into());
                self.disk.resumed(epoch, now);
                self.interfaces.resumed(epoch, now);
                println!("resumed");
            }
            not => {
                self.disk.cancelled(now);
                self.interfaces.cancelled(now);
                println!("not suspended: {not:?}");
            }
        }
        Ok(())
    }

    fn is_ready_for_suspend(&mut self) -> bool {
        let now = self.store.now();
        // Each gets on with it, and not only the first.
        [self.disk.prepare(now), self.interfaces.prepare(now)] == [Ready::Yes, Ready::Yes]
    }

    fn report(&self) -> ExitCode {
        let Tally { written, durable, mismatches, errors, .. } = &*self.tally;
        println!("{} packets answered", self.pings.get());
        println!("{} blocks written, {} flushes durable", written.get(), durable.get());
        println!("{} mismatches, {} errors", mismatches.get(), errors.get());
        let good = mismatches.get() == 0 && errors.get() == 0;
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
