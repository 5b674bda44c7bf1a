//! Does what the toolstack asks: ends, reboots, is suspended, gives memory up and takes it back, sees devices come and go.
//!
//! ```text
//! cargo xtask run lifecycle
//! ```
//!
//! In domain 0: `xl shutdown`, `xl reboot`, `xl save` and `xl restore`, `xl mem-set`, `xl sysrq`, `xl block-attach`. Each event is a
//! line on the console.

#![no_std]
#![no_main]

use core::time::Duration;

use xen_hypercall::Balloon;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::sched;
use xen_rt::xenbus::Store;
use xen_rt::xenbus::bus::{Change, Enumerator};
use xen_rt::xenbus::control::{
    Availability, BalloonDriver, Command, Domain, Inbox, MemoryTarget, Outcome, Request, advertise,
};
use xen_rt::xenbus::store::{StoreError, Watch};
use xen_rt::{ExitCode, Guest, Suspended, Xen, entry, println};

/// How long xenstore may take to come to rest before a suspend.
const REST: Duration = Duration::from_secs(10);

/// How long the guest sleeps where nothing is to be done.
const LONG: Duration = Duration::from_secs(3600);

/// Pages that the balloon leaves the guest: 4 MiB.
const FLOOR: usize = 1024;

#[entry]
fn main(guest: Guest) -> Result<ExitCode, StoreError> {
    let Some(store) = guest.store() else {
        println!("there is no xenstore here: start the guest as a domU, without --direct");
        return Ok(ExitCode::FAILURE);
    };
    Lifecycle::new(&guest, &store)?.run()
}

/// What the guest keeps an eye on.
struct Lifecycle<'a> {
    guest: &'a Guest,
    store: &'a Store<Xen>,
    shutdown: (Watch<Xen>, Inbox),
    sysrq: (Watch<Xen>, Inbox),
    memory: (Watch<Xen>, BalloonDriver),
    vcpus: (Watch<Xen>, Availability),
    devices: (Watch<Xen>, Enumerator),
    /// The last look did not succeed, and everything is to be looked at again.
    again: bool,
}

impl<'a> Lifecycle<'a> {
    fn new(guest: &'a Guest, store: &'a Store<Xen>) -> Result<Self, StoreError> {
        if let Ok(domain) = Domain::read(store)? {
            println!("this is {domain:?}");
        }
        for (name, error) in advertise(store, &[Command::PowerOff, Command::Reboot, Command::Suspend]) {
            println!("cannot tell the tools of {name}: {error}");
        }
        let (shutdown, sysrq) = (Inbox::shutdown(), Inbox::sysrq());
        Ok(Self {
            guest,
            store,
            shutdown: (store.watch(shutdown.path()).wait()?, shutdown),
            sysrq: (store.watch(sysrq.path()).wait()?, sysrq),
            memory: (store.watch(MemoryTarget::PATH).wait()?, BalloonDriver::new(FLOOR)),
            vcpus: (store.watch(Availability::PATH).wait()?, Availability::new()),
            devices: (store.watch("device").wait()?, Enumerator::new()),
            again: false,
        })
    }

    fn run(mut self) -> Result<ExitCode, StoreError> {
        println!("ready");
        loop {
            match self.look() {
                Ok(None) => self.rest()?,
                Ok(Some(Command::Suspend)) => self.suspend(),
                Ok(Some(Command::Reboot)) => self.end(ShutdownReason::REBOOT),
                Ok(Some(Command::Crash)) => self.end(ShutdownReason::CRASH),
                Ok(Some(_)) => break,
                Err(error) => {
                    println!("{error}");
                    self.again = true;
                    // There is nobody to tell if there is no timer.
                    let _ = self.guest.clock().sleep(Duration::from_secs(1));
                }
            }
        }
        println!("going down");
        Ok(ExitCode::SUCCESS)
    }

    /// Looks at everything that may have changed. A command comes before the rest.
    fn look(&mut self) -> Result<Option<Command>, StoreError> {
        let again = core::mem::take(&mut self.again);
        if let Some(command) = self.requests(again)? {
            self.again = again;
            return Ok(Some(command));
        }
        self.look_at_memory(again)?;
        self.look_at_vcpus(again)?;
        self.look_at_devices(again)?;
        Ok(None)
    }

    /// The next command, or whatever else is asked. A command is not looked beyond: what was taken must not get lost.
    fn requests(&mut self, again: bool) -> Result<Option<Command>, StoreError> {
        for (watch, inbox) in [&mut self.shutdown, &mut self.sysrq] {
            if watch.take() || again {
                inbox.look_again();
            }
            if inbox.poll(self.store.now()) {
                match self.store.transaction(|t| inbox.take(t))? {
                    Some(Request::Command(asked)) => {
                        println!("asked: {asked:?}");
                        return Ok(Some(asked));
                    }
                    Some(other) => println!("asked: {other:?}"),
                    None => {}
                }
            }
        }
        Ok(None)
    }

    fn suspend(&mut self) {
        match self.guest.suspend(REST) {
            Ok(Suspended::Resumed) => {
                // Devices of before are gone, even where others of the same name are there.
                self.devices.1.resumed();
                println!("resumed");
            }
            Ok(Suspended::Cancelled) => println!("the suspend was called off"),
            Err(error) => println!("not suspended: {error}"),
        }
    }

    fn end(&self, reason: ShutdownReason) {
        println!("going down: reason {}", reason.0);
        // Xen refuses nobody to end itself.
        let _ = sched::shutdown(&self.guest.xen(), reason);
    }

    fn look_at_memory(&mut self, again: bool) -> Result<(), StoreError> {
        let (watch, balloon) = &mut self.memory;
        if watch.take() || again {
            match self.store.transaction(MemoryTarget::read)? {
                Ok(target) => balloon.set_target(target.pages()),
                Err(error) => println!("{error}"),
            }
        }
        let progress = balloon.poll(&self.guest.xen(), self.store.now());
        if matches!(progress.outcome, Outcome::Reached | Outcome::Refused(_)) {
            let (held, most) = (progress.held * 4, self.guest.xen().most() * 4);
            println!("memory: {held} KiB of {most} KiB, {:?}", progress.outcome);
        }
        Ok(())
    }

    fn look_at_vcpus(&mut self, again: bool) -> Result<(), StoreError> {
        let (watch, availability) = &mut self.vcpus;
        if watch.take() || again {
            let read = self.store.transaction(Availability::read)?;
            availability.update(read).iter().for_each(|change| println!("vCPU: {change:?}"));
        }
        Ok(())
    }

    fn look_at_devices(&mut self, again: bool) -> Result<(), StoreError> {
        let (watch, enumerator) = &mut self.devices;
        if watch.take() || again {
            for change in enumerator.look(self.store)? {
                match change {
                    Change::Added(device) => println!("device {} came", device.path()),
                    Change::Removed(device) => println!("device {} went", device.path()),
                    Change::Replaced { new, .. } => println!("device {} went, and another one came", new.path()),
                    other => println!("device: {other:?}"),
                }
            }
        }
        Ok(())
    }

    /// Sleeps until a watch fires, or something is due.
    fn rest(&self) -> Result<(), StoreError> {
        let now = self.store.now();
        let dues = [self.shutdown.1.next_deadline(), self.sysrq.1.next_deadline(), self.memory.1.next_deadline()];
        let until = dues.into_iter().flatten().min().unwrap_or(now + LONG);
        self.store.wait_for_changes(until).map(drop)
    }
}
