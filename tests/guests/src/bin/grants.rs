//! Grants to oneself: both sides of each grant are this domain.
//!
//! `grants=v2` on the command line asks for version 2; `control=bytes` fills pages with other bytes than the checks expect, and
//! `control=unmapped` unmaps what should stay mapped.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use test_guests::page_tables::{self, Mapped, NO_EXECUTE, WRITABLE};
use test_guests::{Check, ensure, equal, failed, free_pages, own_domain, run};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::grant_table::{Error, Status, Version};
use xen_rt::grant_table::{
    Access, Account, CopyError, ForeignBytes, Grant, GrantCopy, GrantTable, Limits, MapError, Mapping, Memory, Page,
    ReadMapping, Refusal, Reservation, StillMapped, copy,
};
use xen_rt::{ExitCode, Guest, Xen, entry, print, println};
use xen_shared_ring::Region;

const CHECKS: &[(&str, Check<String>)] = &[
    ("a granted page is the same from both sides", both_sides),
    ("copies go both ways and touch no other byte", copies),
    ("hc_079 a page that is mapped does not come back before it is unmapped", still_mapped),
    ("hc_082 a reference that was revoked is of no use any more", revoked),
    ("a page that is granted for reading cannot be written", read_only),
    ("what is mapped is never executable", not_executable),
    ("hc_173 one bad element spoils no other, and a failed run leaves nothing", one_bad),
    ("hc_083 a peer that keeps pages blocks its own account only", quarantine_cap),
    ("hc_087 references run out with an error, and all come back", exhaustion),
    ("hc_089 what is granted by the last reference of the table is what is mapped", last_reference),
];

#[entry]
fn main(guest: Guest) -> ExitCode {
    let wanted = if guest.boot().command_line.value("grants") == Some("v2") { Version::V2 } else { Version::V1 };
    match GrantTable::start(&guest.xen(), wanted) {
        Ok(version) => println!("entries of version {}", version.0),
        Err(error) => println!("no grant table: {error}"),
    }
    // What the table itself needs for good is taken by the first account that needs all of it.
    let grown = exhaustion(&guest);
    let pages = free_pages(&guest);
    let status = run(&guest, CHECKS);
    let statistics = guest.xen().grant_table().statistics();
    println!("{statistics:?}");
    print!("{}", guest.xen().grant_table().accounts());
    let whole = grown.is_ok() && statistics.quarantined == 0 && statistics.lost_addresses == 0;
    let leaked = pages.cast_signed() - free_pages(&guest).cast_signed();
    println!("{leaked} pages leaked");
    if whole && leaked == 0 { status } else { ExitCode::FAILURE }
}

const PLENTY: Limits = Limits { guaranteed: 0, most: 32, quarantine: 32 };

fn account(guest: &Guest, limits: Limits) -> Result<Account<Xen>, String> {
    Account::open(guest.xen(), own_domain(guest)?, limits).map_err(failed("no account"))
}

/// Whether the command line asks for something to be wrong, so that a check must notice it.
fn control(guest: &Guest, what: &str) -> bool {
    guest.boot().command_line.value("control") == Some(what)
}

/// A page with a pattern of its own.
fn page(guest: &Guest, seed: u8) -> Result<Page<Xen>, String> {
    let seed = if control(guest, "bytes") { seed ^ 2 } else { seed };
    let mut page = Page::alloc(guest.xen()).ok_or("no page")?;
    page.bytes_mut().copy_from_slice(&pattern(seed));
    Ok(page)
}

fn pattern(seed: u8) -> [u8; 4096] {
    core::array::from_fn(|index| (index as u8).wrapping_mul(seed | 1).wrapping_add((index >> 8) as u8))
}

fn granted(guest: &Guest, account: &Account<Xen>, seed: u8, access: Access) -> Result<Grant<Xen>, String> {
    page(guest, seed)?.grant(account, access).map_err(|error| format!("not granted: {error}"))
}

fn map(guest: &Guest, account: &Account<Xen>, grant: &Grant<Xen>) -> Result<Mapping<Xen>, String> {
    Mapping::map(guest.xen(), account.peer(), &[grant.gref()]).map_err(failed("not mapped"))
}

fn revoke(grant: Grant<Xen>) -> Result<Page<Xen>, String> {
    grant.revoke().map_err(|still: StillMapped<_>| format!("{still}"))
}

fn both_sides(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let mut grant = granted(guest, &account, 3, Access::ReadWrite)?;
    let mapping = map(guest, &account, &grant)?;
    let mut seen = [0; 4096];
    equal("bytes mapped", mapping.memory().read(0, &mut seen), 4096)?;
    ensure(seen == pattern(3), "the mapping shows other bytes")?;
    equal("bytes written there", mapping.memory().write(0, &pattern(5)), 4096)?;
    let _ = grant.read(0, &mut seen);
    ensure(seen == pattern(5), "the owner does not see what was written")?;
    let _ = grant.write(100, b"from the owner");
    let _ = mapping.memory().read(100, &mut seen[..14]);
    ensure(&seen[..14] == b"from the owner", "the mapping does not show what the owner wrote")?;
    mapping.unmap().map_err(failed("not unmapped"))?;
    let page = revoke(grant)?;
    ensure(page.bytes()[..100] == pattern(5)[..100] && &page.bytes()[100..114] == b"from the owner", "it changed")
}

fn copies(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let grant = granted(guest, &account, 7, Access::ReadWrite)?;
    let foreign = |offset| ForeignBytes { domain: account.peer(), gref: grant.gref(), offset };
    let (source, mut into) = (page(guest, 11)?, page(guest, 13)?);
    let mut batch =
        [GrantCopy::read(foreign(1000), &mut into, 50, 500), GrantCopy::write(foreign(3000), &source, 9, 77)];
    copy(&guest.xen(), &mut batch);
    equal("results", batch.each_ref().map(GrantCopy::result), [Ok(()); 2])?;
    let mut wanted = pattern(13);
    wanted[50..550].copy_from_slice(&pattern(7)[1000..1500]);
    ensure(*into.bytes() == wanted, "other bytes were read")?;
    let mut wanted = pattern(7);
    wanted[3000..3077].copy_from_slice(&pattern(11)[9..86]);
    ensure(*revoke(grant)?.bytes() == wanted, "other bytes were written")
}

fn still_mapped(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let table = |platform: &Xen| platform.grant_table().statistics();
    let grant = granted(guest, &account, 17, Access::ReadWrite)?;
    let mapping = map(guest, &account, &grant)?;
    let before = free_pages(guest);
    let mapping = Some(mapping).filter(|_| !control(guest, "unmapped"));
    let Err(still) = grant.revoke() else { return Err("it came back while it was mapped".into()) };
    drop(still);
    let mapping = mapping.ok_or("it is not mapped")?;
    equal("pages in quarantine", table(&guest.xen()).quarantined, 1)?;
    let reaped = GrantTable::reap(&guest.xen(), 10);
    equal("looked at, freed while it was mapped", (reaped.tried, reaped.freed), (1, 0))?;
    equal("free pages", free_pages(guest), before)?;
    let mut seen = [0; 4096];
    let _ = mapping.memory().read(0, &mut seen);
    ensure(seen == pattern(17), "the page in quarantine changed")?;
    mapping.unmap().map_err(failed("not unmapped"))?;
    equal("freed when it was unmapped", GrantTable::reap(&guest.xen(), 10).freed, 1)?;
    equal("pages in quarantine", table(&guest.xen()).quarantined, 0)?;
    equal("free pages then", free_pages(guest), before + 1)
}

fn revoked(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let grant = granted(guest, &account, 19, Access::ReadWrite)?;
    let gref = grant.gref();
    drop(revoke(grant)?);
    refused_map(Mapping::map(guest.xen(), account.peer(), &[gref]), 0, UNUSED)?;
    let mut into = page(guest, 0)?;
    let mut batch = [read(&account, gref, &mut into)];
    copy(&guest.xen(), &mut batch);
    equal("the copy", batch[0].result(), Err(CopyError::Xen(Error::Status(UNUSED))))
}

const fn read<'a>(account: &Account<Xen>, gref: GrantRef, into: &'a mut Page<Xen>) -> GrantCopy<'a, Xen> {
    GrantCopy::read(ForeignBytes { domain: account.peer(), gref, offset: 0 }, into, 0, 64)
}

/// What Xen says to a reference that gives leave for nothing. (`BAD_GNTREF` is for those beyond the table.)
const UNUSED: Status = Status::GENERAL_ERROR;

fn refused_map<M>(mapped: Result<M, MapError>, index: usize, status: Status) -> Result<(), String> {
    match mapped {
        Ok(_) => Err("it was mapped".into()),
        Err(error) => equal("the mapping", error, MapError::Xen { index, error: Error::Status(status) }),
    }
}

fn read_only(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let grant = granted(guest, &account, 23, Access::ReadOnly)?;
    refused_map(Mapping::map(guest.xen(), account.peer(), &[grant.gref()]), 0, Status::GENERAL_ERROR)?;
    let mapping = ReadMapping::map(guest.xen(), account.peer(), &[grant.gref()]).map_err(failed("not mapped"))?;
    let mut seen = [0; 4096];
    let _ = mapping.read(0, &mut seen);
    ensure(seen == pattern(23), "the mapping shows other bytes")?;
    let source = page(guest, 0)?;
    let to = ForeignBytes { domain: account.peer(), gref: grant.gref(), offset: 0 };
    let mut batch = [GrantCopy::write(to, &source, 0, 64)];
    copy(&guest.xen(), &mut batch);
    equal("the copy", batch[0].result(), Err(CopyError::Xen(Error::Status(Status::GENERAL_ERROR))))?;
    drop(mapping);
    ensure(*revoke(grant)?.bytes() == pattern(23), "it was written")
}

fn not_executable(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let before = page_tables::entries(guest);
    let writable = granted(guest, &account, 29, Access::ReadWrite)?;
    let readable = granted(guest, &account, 31, Access::ReadOnly)?;
    let write = map(guest, &account, &writable)?;
    let read = ReadMapping::map(guest.xen(), account.peer(), &[readable.gref()]).map_err(failed("not mapped"))?;
    let flags = added(&before, &page_tables::entries(guest));
    equal("writable, executable", flags, Vec::from([(true, false), (false, false)]))?;
    drop((write, read));
    equal("entries that are left", added(&before, &page_tables::entries(guest)).len(), 0)
}

/// What may be done at the addresses where there was nothing before: write, execute.
fn added(before: &[Mapped], now: &[Mapped]) -> Vec<(bool, bool)> {
    let new = |page: &&Mapped| before.binary_search_by_key(&page.address, |before| before.address).is_err();
    now.iter().filter(new).map(|page| (page.entry & WRITABLE != 0, page.entry & NO_EXECUTE == 0)).collect()
}

fn one_bad(guest: &Guest) -> Result<(), String> {
    let account = account(guest, PLENTY)?;
    let (first, last) =
        (granted(guest, &account, 37, Access::ReadWrite)?, granted(guest, &account, 41, Access::ReadWrite)?);
    let stale = granted(guest, &account, 43, Access::ReadWrite)?;
    let grefs = [first.gref(), stale.gref(), last.gref()];
    drop(revoke(stale)?);
    let mut pages = [page(guest, 0)?, page(guest, 0)?, page(guest, 0)?];
    let mut batch: Vec<_> = pages.iter_mut().zip(grefs).map(|(page, gref)| read(&account, gref, page)).collect();
    copy(&guest.xen(), &mut batch);
    let results: Vec<_> = batch.iter().map(GrantCopy::result).collect();
    equal("copies", results, Vec::from([Ok(()), Err(CopyError::Xen(Error::Status(UNUSED))), Ok(())]))?;
    ensure(pages[0].bytes()[..64] == pattern(37)[..64] && pages[2].bytes()[..64] == pattern(41)[..64], "wrong bytes")?;
    let mut each = Vec::new();
    Mapping::map_each(&guest.xen(), account.peer(), &grefs, |index, mapped| each.push((index, mapped.is_ok())));
    each.sort_unstable();
    equal("mappings", each, Vec::from([(0, true), (1, false), (2, true)]))?;
    refused_map(Mapping::map(guest.xen(), account.peer(), &grefs), 1, UNUSED)?;
    // Neither can be revoked where anything of the run is still mapped.
    revoke(first).and_then(|_| revoke(last)).map(drop)
}

fn quarantine_cap(guest: &Guest) -> Result<(), String> {
    let limits = Limits { guaranteed: 4, most: 4, quarantine: 2 };
    let (greedy, other) = (account(guest, limits)?, account(guest, limits)?);
    let mut kept = Vec::new();
    for seed in [47, 53] {
        let grant = granted(guest, &greedy, seed, Access::ReadWrite)?;
        kept.push(map(guest, &greedy, &grant)?);
    }
    equal("in quarantine", guest.xen().grant_table().statistics().quarantined, 2)?;
    let back = page(guest, 59)?.grant(&greedy, Access::ReadWrite).err().ok_or("granted beyond the cap")?;
    equal("the reason", back.reason, Refusal::QuarantineFull)?;
    ensure(*back.page.bytes() == pattern(59), "the page that came back is another")?;
    revoke(granted(guest, &other, 61, Access::ReadWrite)?)?;
    drop(kept);
    equal("freed", GrantTable::reap(&guest.xen(), 10).freed, 2)?;
    revoke(granted(guest, &greedy, 67, Access::ReadWrite)?).map(drop)
}

/// As many references as an account can have.
const ALL: Limits = Limits { guaranteed: 0, most: u16::MAX as u32, quarantine: 1 };

/// Takes references until there are no more.
fn take_all(account: &Account<Xen>) -> (Vec<Reservation<Xen>>, Refusal) {
    let mut taken = Vec::new();
    loop {
        match account.reserve(const { NonZeroU32::new(32).unwrap() }) {
            Ok(reservation) => taken.push(reservation),
            Err(refusal) => return (taken, refusal),
        }
    }
}

fn exhaustion(guest: &Guest) -> Result<(), String> {
    let account = account(guest, ALL)?;
    let table = guest.xen();
    let (taken, refusal) = take_all(&account);
    equal("the error", refusal, Refusal::NoGrants)?;
    let statistics = table.grant_table().statistics();
    equal("frames", statistics.frames, statistics.max_frames)?;
    let per_frame = if guest.boot().command_line.value("grants") == Some("v2") { 256 } else { 512 };
    let count: usize = taken.iter().map(Reservation::len).sum();
    equal("references", count, (statistics.frames * per_frame - 8) as usize)?;
    let refused = page(guest, 71)?.grant(&account, Access::ReadWrite).err().ok_or("granted without a reference")?;
    equal("granting", refused.reason, Refusal::NoGrants)?;
    drop(taken);
    equal("free references", table.grant_table().statistics().free as usize, count)
}

fn last_reference(guest: &Guest) -> Result<(), String> {
    let account = account(guest, ALL)?;
    let (mut taken, _) = take_all(&account);
    let mut highest: Option<Grant<Xen>> = None;
    for reservation in &mut taken {
        while !reservation.is_empty() {
            let grant = reservation.grant(page(guest, 73)?, Access::ReadWrite).map_err(failed("not granted"))?;
            if highest.as_ref().is_none_or(|highest| highest.gref().0 < grant.gref().0) {
                highest = Some(grant);
            }
        }
    }
    let grant = highest.ok_or("no reference")?;
    println!("the last reference is {}", grant.gref().0);
    let mapping = map(guest, &account, &grant)?;
    let mut seen = [0; 4096];
    let _ = mapping.memory().read(0, &mut seen);
    ensure(seen == pattern(73), "another page is mapped")?;
    drop(mapping);
    revoke(grant).map(drop)
}
