//! Is suspended as often as the toolstack asks, and checks each time that all is as it was, and that all can be used.
//!
//! `times=N` on the command line ends the guest after as many suspends; `cancelled=N` tells how many of them are called off;
//! `balloon=N` has it give up as many pages before the first suspend, and take them back after the last.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::time::Duration;

use test_guests::page_tables::{self, FRAME, NO_EXECUTE, WRITABLE};
use test_guests::{ensure, equal, failed, loopback, own_domain};
use xen_hypercall::grant_table::Version;
use xen_hypercall::{Balloon, Pages};
use xen_rt::event_channel::Waited;
use xen_rt::grant_table::{Access, Account, GrantTable, Limits, Mapping, Page};
use xen_rt::xenbus::Store;
use xen_rt::{ExitCode, Guest, SuspendError, Suspended, Xen, entry, println};
use xen_shared_ring::Region;

#[entry]
fn main(guest: Guest) -> ExitCode {
    match run(&guest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("not ok: {what}");
            ExitCode::FAILURE
        }
    }
}

fn number(guest: &Guest, key: &str) -> u32 {
    guest.boot().command_line.value(key).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn run(guest: &Guest) -> Result<(), String> {
    let version = if guest.boot().command_line.value("grants") == Some("v2") { Version::V2 } else { Version::V1 };
    GrantTable::start(&guest.xen(), version).map_err(failed("no grant table"))?;
    let memory = Memory::fill();
    give_up(guest)?;
    let (mut cancelled, times) = (0, number(guest, "times").max(1));
    let store = guest.store().ok_or("there is no xenstore")?;
    for time in 1..=times {
        usable(guest)?;
        println!("ready for suspend {time}");
        wait_for_request(guest, &store)?;
        if suspend(guest, &memory)? == Suspended::Resumed {
            println!("resumed, {time} of {times}");
        } else {
            println!("called off, {time} of {times}");
            cancelled += 1;
        }
    }
    take_back(guest)?;
    usable(guest)?;
    memory.check()?;
    equal("suspends that were called off", cancelled, number(guest, "cancelled"))
}

/// Gives up as many pages as the command line says.
fn give_up(guest: &Guest) -> Result<(), String> {
    let wanted = guest.xen().most() - number(guest, "balloon") as usize;
    while guest.xen().held() > wanted {
        let given = guest.xen().give_up(guest.xen().held() - wanted);
        ensure(given > 0, "too few pages are free")?;
    }
    Ok(())
}

/// Takes all pages back, and uses them.
fn take_back(guest: &Guest) -> Result<(), String> {
    let xen = guest.xen();
    equal("pages held", xen.most() - xen.held(), number(guest, "balloon") as usize)?;
    while xen.held() < xen.most() {
        xen.take_back(usize::MAX).map_err(failed("Xen gives none"))?;
    }
    let mut pages = Vec::new();
    pages.try_reserve_exact(xen.most()).map_err(failed("no room for a list"))?;
    while let Some(page) = xen.alloc(NonZeroUsize::MIN) {
        // SAFETY: the page is this function's.
        unsafe { page.cast().write(page.addr().get()) };
        pages.push(page);
    }
    let mut good = true;
    for page in pages {
        // SAFETY: as above.
        good &= unsafe { page.cast::<usize>().read() } == page.addr().get();
        good &= page_tables::address_of(guest, xen.gfn(page).0) == page.addr().get();
        // SAFETY: and nothing uses it any more.
        unsafe { xen.dealloc(page) };
    }
    ensure(good, "a page was given twice, or has another frame")
}

/// Waits until the toolstack asks for a suspend, and answers that it will be.
fn wait_for_request(guest: &Guest, store: &Store<Xen>) -> Result<(), String> {
    while store.read("control/shutdown").wait().map_err(failed("read"))? != b"suspend" {
        guest.clock().sleep(Duration::from_millis(50)).map_err(failed("no sleep"))?;
    }
    store.write("control/shutdown", "").wait().map_err(failed("write"))
}

/// One suspend, with what must be the same afterwards, and what must be stale.
fn suspend(guest: &Guest, memory: &Memory) -> Result<Suspended, String> {
    refused(guest)?;
    let (hears, sends) = loopback(guest)?;
    let (account, mut page) = (account(guest)?, Page::alloc(guest.xen()).ok_or("no page")?);
    page.bytes_mut().fill(7);
    let grant = page.grant(&account, Access::ReadWrite).map_err(|error| format!("not granted: {error}"))?;
    let before = Before::now(guest);
    let suspended = guest.suspend(Duration::from_secs(10)).map_err(failed("not suspended"))?;
    before.check(guest, suspended)?;
    memory.check()?;
    match suspended {
        Suspended::Resumed => {
            ensure(sends.notify().is_err() && hears.peer().is_err(), "a channel from before is of use")?;
            ensure(
                Page::alloc(guest.xen()).ok_or("no page")?.grant(&account, Access::ReadOnly).is_err(),
                "an account from before is of use",
            )?;
        }
        Suspended::Cancelled => {
            let seen = hears.count();
            sends.notify().map_err(failed("not sent"))?;
            heard(guest, &hears, seen)?;
            let mapping = Mapping::map(guest.xen(), account.peer(), &[grant.gref()]).map_err(failed("not mapped"))?;
            drop(mapping);
        }
    }
    let page = grant.revoke().map_err(|still| format!("{still}"))?;
    ensure(page.bytes().iter().all(|&byte| byte == 7), "a page that was granted has changed")?;
    usable(guest)?;
    Ok(suspended)
}

/// A suspend is refused where it would break something.
fn refused(guest: &Guest) -> Result<(), String> {
    let held = guest.events().held_back(|| guest.xen().suspend());
    equal("with upcalls held back", held, Err(SuspendError::UpcallsHeld))?;
    let account = account(guest)?;
    let grant = Page::alloc(guest.xen()).ok_or("no page")?.grant(&account, Access::ReadWrite);
    let grant = grant.map_err(|error| format!("not granted: {error}"))?;
    let mapping = Mapping::map(guest.xen(), account.peer(), &[grant.gref()]).map_err(failed("not mapped"))?;
    equal("with a foreign page", guest.xen().suspend(), Err(SuspendError::Mapped(1)))?;
    drop(mapping);
    grant.revoke().map(drop).map_err(|still| format!("{still}"))
}

fn account(guest: &Guest) -> Result<Account<Xen>, String> {
    Account::open(guest.xen(), own_domain(guest)?, Limits { guaranteed: 0, most: 8, quarantine: 8 })
        .map_err(failed("no account"))
}

/// What a suspend must not change.
struct Before {
    clock: Duration,
    wall: Option<Duration>,
    pages: usize,
}

impl Before {
    fn now(guest: &Guest) -> Self {
        Self { clock: guest.clock().now(), wall: guest.clock().wall(), pages: page_tables::entries(guest).len() }
    }

    fn check(self, guest: &Guest, suspended: Suspended) -> Result<(), String> {
        let passed = guest.clock().now().checked_sub(self.clock).ok_or("the clock went back")?;
        // One that is called off has no effect on it, however long it took.
        let still = suspended == Suspended::Cancelled || passed < Duration::from_secs(2);
        ensure(still, "the clock counted the time of the suspend")?;
        let (before, after) = self.wall.zip(guest.clock().wall()).ok_or("no wall clock")?;
        let still = after.saturating_sub(before).saturating_sub(passed);
        println!("the clock stood still for {} ms", still.as_millis());
        let pages = page_tables::entries(guest);
        // The grant table is mapped as it is used, and is not yet.
        ensure(pages.len() <= self.pages && pages.len() + 8 > self.pages, "other pages are mapped")?;
        let mut frames: Vec<u64> = pages.iter().map(|page| page.entry & FRAME).collect();
        frames.sort_unstable();
        frames.dedup();
        equal("frames", frames.len(), pages.len())?;
        let both = |page: &page_tables::Mapped| page.entry & WRITABLE != 0 && page.entry & NO_EXECUTE == 0;
        ensure(!pages.iter().any(both), "a page is writable and executable")
    }
}

/// Everything that a guest has of Xen can be used.
fn usable(guest: &Guest) -> Result<(), String> {
    let start = guest.clock().now();
    guest.clock().sleep(Duration::from_millis(20)).map_err(failed("no sleep"))?;
    let slept = guest.clock().now() - start;
    ensure(slept >= Duration::from_millis(20) && slept < Duration::from_secs(3), &format!("slept {slept:?}"))?;
    ensure(guest.clock().wall().is_some_and(|wall| wall.as_secs() > 946_684_800), "no wall clock")?;
    let (hears, sends) = loopback(guest)?;
    let seen = hears.count();
    sends.notify().map_err(failed("not sent"))?;
    heard(guest, &hears, seen)?;
    granted(guest)
}

fn heard(guest: &Guest, hears: &xen_rt::event_channel::Channel<Xen>, seen: u32) -> Result<(), String> {
    let deadline = guest.clock().now() + Duration::from_secs(2);
    let waited = guest.events().wait(hears, seen, deadline).map_err(failed("no wait"))?;
    equal("the wait", waited, Waited::Counted(seen.wrapping_add(1)))
}

/// A page that is granted to oneself, and mapped, is the same from both sides, and is the one that Xen thinks it is.
fn granted(guest: &Guest) -> Result<(), String> {
    let account = account(guest)?;
    let page = Page::alloc(guest.xen()).ok_or("no page")?;
    let mut grant = page.grant(&account, Access::ReadWrite).map_err(|error| format!("not granted: {error}"))?;
    let mapping = Mapping::map(guest.xen(), account.peer(), &[grant.gref()]).map_err(failed("not mapped"))?;
    let mut seen = [0; 16];
    let _ = grant.write(100, b"from the granter");
    let _ = mapping.memory().read(100, &mut seen);
    equal("bytes seen", &seen, b"from the granter")?;
    drop(mapping);
    grant.revoke().map(drop).map_err(|still| format!("{still}"))?;
    let frame = guest.xen().alloc(NonZeroUsize::MIN).ok_or("no page")?;
    let address = page_tables::address_of(guest, guest.xen().gfn(frame).0);
    // SAFETY: the page is this function's.
    unsafe { guest.xen().dealloc(frame) };
    equal("the address of a page", address, frame.addr().get())
}

/// Words all over the heap.
struct Memory(Vec<Vec<u64>>);

impl Memory {
    const WORDS: u64 = 8192;

    fn fill() -> Self {
        Self((0..32).map(|block| (0..Self::WORDS).map(|word| Self::word(block, word)).collect()).collect())
    }

    fn check(&self) -> Result<(), String> {
        let right = |(block, words): (usize, &Vec<u64>)| {
            (0..).zip(words).all(|(word, &value)| value == Self::word(block as u64, word))
        };
        ensure(self.0.iter().enumerate().all(right), "the heap has changed")
    }

    const fn word(block: u64, word: u64) -> u64 {
        (block * Self::WORDS + word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
