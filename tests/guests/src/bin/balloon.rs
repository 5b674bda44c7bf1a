//! Gives memory back to Xen and takes it again.
//!
//! `control=bytes` on the command line fills pages with other bytes than the checks expect, which they must notice.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use test_guests::page_tables::{self, FRAME};
use test_guests::{Check, ensure, equal, failed, free_pages, own_domain, run};
use xen_hypercall::abi::DomId;
use xen_hypercall::{Balloon, Errno, Frame, Pages, memory};
use xen_rt::grant_table::{Access, Account, Grant, Limits, Mapping, Page};
use xen_rt::{ExitCode, Guest, Xen, entry};
use xen_shared_ring::Region;

const CHECKS: &[(&str, Check<String>)] = &[
    ("all pages are held at first", whole),
    ("pages go to Xen, and come back as good as new", there_and_back),
    ("fault_17 pages in use stay where they are, whoever uses them", in_use),
    ("the guest goes on with as little memory as it can have", least),
    ("what is given up is not mapped, and what comes back has its old address", addresses),
    ("a call does a bounded part of the work", bounded),
];

#[entry]
fn main(guest: Guest) -> ExitCode {
    run(&guest, CHECKS)
}

fn whole(guest: &Guest) -> Result<(), String> {
    let xen = guest.xen();
    equal("pages held", xen.held(), guest.boot().pages)?;
    equal("pages at most", xen.most(), guest.boot().pages)?;
    equal("back", xen.take_back(1), Ok(0))?;
    ensure(xen.least() < xen.held(), "no page could be given up")
}

/// Gives up as many pages as Xen may have, and tells how many.
fn give_up(guest: &Guest, pages: usize) -> usize {
    let mut given = 0;
    while given < pages {
        match guest.xen().give_up(pages - given) {
            0 => break,
            count => given += count,
        }
    }
    given
}

fn take_back(guest: &Guest) -> Result<(), String> {
    let xen = guest.xen();
    while xen.held() < xen.most() {
        let count = xen.take_back(usize::MAX).map_err(failed("Xen gives none"))?;
        ensure(count > 0, "nothing comes back")?;
    }
    Ok(())
}

/// How many pages the domain has, as Xen counts.
fn reservation(guest: &Guest) -> Result<usize, String> {
    memory::current_reservation(&guest.xen(), DomId::SELF).map(|pages| pages.0).map_err(failed("no reservation"))
}

fn there_and_back(guest: &Guest) -> Result<(), String> {
    // The heap keeps what the list of pages takes.
    all_pages_are_good(guest)?;
    let (free, reserved, xen) = (free_pages(guest), reservation(guest)?, guest.xen());
    for count in [1, 33, 500] {
        equal("pages given up", give_up(guest, count), count)?;
        equal("pages held", xen.held(), xen.most() - count)?;
        equal("pages held, as Xen counts", reservation(guest)?, reserved - count)?;
        equal("free pages", free_pages(guest), free - count)?;
        take_back(guest)?;
        equal("pages held, as Xen counts", reservation(guest)?, reserved)?;
        equal("free pages", free_pages(guest), free)?;
        all_pages_are_good(guest)?;
    }
    Ok(())
}

/// Takes all free pages, and looks whether each is zeroed, has an own address, and is the one that Xen thinks it is.
fn all_pages_are_good(guest: &Guest) -> Result<(), String> {
    let xen = guest.xen();
    let mut pages = Vec::<NonNull<Frame>>::new();
    pages.try_reserve_exact(guest.boot().pages).map_err(failed("no room for a list"))?;
    while let Some(page) = xen.alloc(NonZeroUsize::MIN) {
        pages.push(page);
    }
    let mut good = true;
    for page in &pages {
        let words = page.cast::<[usize; 512]>();
        // SAFETY: the page is this function's.
        good &= unsafe { words.as_ref() }.iter().all(|&word| word == 0);
        // SAFETY: as above.
        unsafe { page.cast().write(page.addr().get()) };
        good &= page_tables::address_of(guest, xen.gfn(*page).0) == page.addr().get();
    }
    for page in &pages {
        // SAFETY: as above.
        good &= unsafe { page.cast::<usize>().read() } == page.addr().get();
        // SAFETY: and nothing uses it any more.
        unsafe { xen.dealloc(*page) };
    }
    ensure(good, "a page was not zeroed, was given twice, or has another frame")
}

fn granted(guest: &Guest) -> Result<(Account<Xen>, Grant<Xen>), String> {
    let limits = Limits { guaranteed: 0, most: 8, quarantine: 8 };
    let account = Account::open(guest.xen(), own_domain(guest)?, limits).map_err(failed("no account"))?;
    let mut page = Page::alloc(guest.xen()).ok_or("no page")?;
    page.bytes_mut().fill(if guest.boot().command_line.value("control") == Some("bytes") { 8 } else { 9 });
    let grant = page.grant(&account, Access::ReadWrite).map_err(|error| format!("not granted: {error}"))?;
    Ok((account, grant))
}

/// The heap, a page that is granted, and one in quarantine.
fn in_use(guest: &Guest) -> Result<(), String> {
    let heap: Vec<u64> = (0..50_000).collect();
    let (account, grant) = granted(guest)?;
    let (_quarantined, other) = granted(guest)?;
    let mapping = Mapping::map(guest.xen(), account.peer(), &[other.gref()]).map_err(failed("not mapped"))?;
    drop(other.revoke());
    let given = give_up(guest, usize::MAX);
    let mut seen = [0; 4096];
    let _ = mapping.memory().read(0, &mut seen);
    ensure(given > 0 && seen == [9; 4096], "a page in quarantine has changed")?;
    let _ = grant.read(0, &mut seen);
    ensure(seen == [9; 4096], "a page that is granted has changed")?;
    ensure((0..).zip(&heap).all(|(index, &word)| index == word), "the heap has changed")?;
    take_back(guest)?;
    ensure((0..).zip(&heap).all(|(index, &word)| index == word), "the heap has changed")?;
    drop(mapping);
    let page = grant.revoke().map_err(|still| format!("{still}"))?;
    ensure(page.bytes() == &[9; 4096], "a page that was granted has changed")
}

fn least(guest: &Guest) -> Result<(), String> {
    let xen = guest.xen();
    give_up(guest, usize::MAX);
    equal("pages held", xen.held(), xen.least())?;
    equal("more", xen.give_up(1), 0)?;
    // There is a reserve, and when it is used up, that is an error and no end.
    let mut block = Vec::<u8>::new();
    ensure(block.try_reserve_exact(128 << 10).is_ok(), "no reserve")?;
    let mut more = Vec::<u8>::new();
    ensure(more.try_reserve_exact(4 << 20).is_err(), "memory that was given up is there")?;
    drop(block);
    take_back(guest)?;
    equal("all is back, and more", xen.take_back(1), Ok::<_, Errno>(0))
}

fn addresses(guest: &Guest) -> Result<(), String> {
    let before = page_tables::entries(guest);
    let given = give_up(guest, 100);
    let between = page_tables::entries(guest);
    equal("pages mapped", between.len(), before.len() - given)?;
    take_back(guest)?;
    let after = page_tables::entries(guest);
    let places = |pages: &[page_tables::Mapped]| {
        pages.iter().map(|page| (page.address, page.entry & !FRAME & !0x60)).collect::<Vec<_>>()
    };
    ensure(places(&before) == places(&after), "pages came back at other addresses, or with other permissions")
}

fn bounded(guest: &Guest) -> Result<(), String> {
    let first = guest.xen().give_up(usize::MAX);
    ensure(first > 0 && first <= 64, "one call gave up all")?;
    give_up(guest, 100);
    let back = guest.xen().take_back(usize::MAX).map_err(failed("Xen gives none"))?;
    ensure(back > 0 && back <= 64, "one call took all back")?;
    take_back(guest)
}
