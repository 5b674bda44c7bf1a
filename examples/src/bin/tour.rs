//! What a guest can learn about where it is, and the first things it can do there.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::error::Error;
use core::time::Duration;

use xen_hypercall::abi::DomId;
use xen_hypercall::{Errno, version};
use xen_rt::event_channel::{Channel, Peer, WaitError, Waited};
use xen_rt::grant_table::{Access, Account, Limits, Page, ReadMapping};
use xen_rt::{Guest, entry, print, println};

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    hypervisor(&guest)?;
    boot(&guest);
    memory(&guest);
    clock(&guest)?;
    let domain = event_to_oneself(&guest)?;
    page_to_oneself(&guest, domain)?;
    Ok(())
}

fn hypervisor(guest: &Guest) -> Result<(), Errno> {
    let xen = guest.xen();
    let extra = version::extra_version(&xen)?;
    println!("Xen           {}{}", version::version(&xen)?, text(&extra));
    println!("runs          {}", text(&version::capabilities(&xen)?));
    print!("features     ");
    for feature in version::features(&xen)?.iter() {
        print!(" {feature:?}");
    }
    println!();
    Ok(())
}

fn boot(guest: &Guest) {
    let boot = guest.boot();
    println!("started by    {}{}", boot.platform, if boot.control_domain { ", as domain 0" } else { "" });
    println!("command line  {:?}", boot.command_line);
    println!("console       {}", if boot.console.is_some() { "a ring" } else { "Xen's own" });
    println!("xenstore      {}", if boot.store.is_some() { "a ring" } else { "none" });
}

fn memory(guest: &Guest) {
    println!("memory        {} KiB", guest.boot().pages * 4);
    for region in guest.memory().iter().filter(|region| !region.addresses.is_empty()) {
        let (start, end) = (region.addresses.start, region.addresses.end);
        println!(
            "              {start:016x}..{end:016x} {} {:>6} KiB  {}",
            region.access,
            (end - start) >> 10,
            region.name
        );
    }
}

fn clock(guest: &Guest) -> Result<(), WaitError> {
    let clock = guest.clock();
    println!("clock         {:?} of system time", clock.now());
    if let Some(wall) = clock.wall() {
        println!("              {} s since 1970", wall.as_secs());
    }
    let start = clock.now();
    clock.sleep(Duration::from_millis(50))?;
    println!("timer         asked to wake up in 50ms, woke up in {:?}", clock.now() - start);
    Ok(())
}

/// Opens a channel whose two ends are both here. What Xen says about it tells which domain "here" is.
fn event_to_oneself(guest: &Guest) -> Result<DomId, Box<dyn Error>> {
    let hears = Channel::unbound(&guest.xen(), DomId::SELF)?;
    let sends = Channel::interdomain(&guest.xen(), DomId::SELF, hears.port())?;
    let Peer::Connected { domain, .. } = hears.peer()? else { return Err("the channel has no other end".into()) };
    println!("domain        {domain}");
    let seen = hears.count();
    sends.notify()?;
    let came = match guest.events().wait(&hears, seen, guest.clock().now() + Duration::from_secs(1))? {
        Waited::Counted(_) => "came",
        Waited::TimedOut => "did not come",
    };
    println!("event         from port {} to port {}: {came}", sends.port().0, hears.port().0);
    Ok(domain)
}

/// Grants a page, and maps it as another domain would.
fn page_to_oneself(guest: &Guest, domain: DomId) -> Result<(), Box<dyn Error>> {
    let account = Account::open(guest.xen(), domain, Limits::exactly(1))?;
    let mut page = Page::alloc(guest.xen()).ok_or("no page is left")?;
    page.fill(b"a page that is shared")?;
    let grant = page.grant(&account, Access::ReadOnly)?;
    let mapping = ReadMapping::map(guest.xen(), domain, &[grant.gref()])?;
    let mut bytes = [0; 32];
    let _ = mapping.read(0, &mut bytes);
    println!("grant         reference {}: {:?}", grant.gref().0, text(&bytes));
    mapping.unmap()?;
    // Nobody has it mapped any more, so that it comes back.
    grant.revoke()?;
    Ok(())
}

/// The text up to the first NUL.
fn text(bytes: &[u8]) -> &str {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).unwrap_or("?").trim_ascii()
}
