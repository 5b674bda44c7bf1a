//! Counts, and writes the count to xenstore, while the toolstack saves and restores it again and again.
//!
//! After each round it tells the clock, and answers what domain 0 writes to `data/poke`, which takes a watch.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use core::time::Duration;

use test_guests::{ensure, failed};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Inbox, Request};
use xen_rt::xenbus::store::Watch;
use xen_rt::{ExitCode, Guest, Suspended, Xen, entry, println};

/// How long a count takes.
const TICK: Duration = Duration::from_millis(50);

#[entry]
fn main(guest: Guest) -> ExitCode {
    match count(&guest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("not ok: {what}");
            ExitCode::FAILURE
        }
    }
}

/// What is to go on over each round.
struct Rounds<'a> {
    guest: &'a Guest,
    store: Store<Xen>,
    requests: Watch<Xen>,
    poke: Watch<Xen>,
    inbox: Inbox,
    rounds: u32,
}

fn count(guest: &Guest) -> Result<(), String> {
    let store = guest.store().ok_or("there is no xenstore")?;
    let inbox = Inbox::shutdown();
    store.write("data/poke", "0").wait().map_err(failed("write"))?;
    let requests = store.watch(inbox.path()).wait().map_err(failed("watch"))?;
    let poke = store.watch("data/poke").wait().map_err(failed("watch"))?;
    println!("ready");
    let mut rounds = Rounds { guest, store, requests, poke, inbox, rounds: 0 };
    let (mut number, mut last) = (0_u64, guest.clock().now());
    loop {
        number += 1;
        rounds.store.write("data/count", number.to_string()).wait().map_err(failed("write the count"))?;
        let seen = rounds.store.read_u64("data/count").wait().map_err(failed("read the count"))?;
        ensure(seen == number, "the count is another one")?;
        let now = guest.clock().now();
        ensure(now >= last, "the clock went back")?;
        ensure(now - last < Duration::from_secs(20), "the clock jumped")?;
        last = now;
        if rounds.is_over()? {
            return Ok(());
        }
        guest.clock().sleep(TICK).map_err(failed("no sleep"))?;
        rounds.store.poll();
    }
}

impl Rounds<'_> {
    fn is_over(&mut self) -> Result<bool, String> {
        if self.poke.take() {
            let value = self.store.read_text("data/poke").wait().map_err(failed("read the poke"))?;
            println!("poked {value}");
        }
        if self.requests.take() {
            self.inbox.look_again();
        }
        if !self.inbox.poll(self.store.now()) {
            return Ok(false);
        }
        match self.store.transaction(|t| self.inbox.take(t)).map_err(failed("take the request"))? {
            Some(Request::Command(Command::Suspend)) => self.suspend().map(|()| false),
            Some(Request::Command(_)) => Ok(true),
            _ => Ok(false),
        }
    }

    fn suspend(&mut self) -> Result<(), String> {
        let suspended = self.guest.suspend(Duration::from_secs(10)).map_err(failed("no suspend"))?;
        ensure(suspended == Suspended::Resumed, "it was called off")?;
        self.rounds += 1;
        // What dom 0 wrote for the domain of before is not there any more.
        self.store.write("data/poke", "0").wait().map_err(failed("write"))?;
        println!("resumed {} epoch {}", self.rounds, self.store.epoch());
        Ok(())
    }
}
