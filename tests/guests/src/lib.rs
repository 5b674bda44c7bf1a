//! What the test guests share: lists of checks, and what most checks need.

#![no_std]

extern crate alloc;

pub mod page_tables;

use alloc::format;
use alloc::string::String;
use core::fmt::{Debug, Display};
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::event_channel::{Port, State as PortState};
use xen_hypercall::{Frame, Pages, event_channel};
use xen_rt::event_channel::{Channel, Peer};
use xen_rt::grant_table::Memory as _;
use xen_rt::xenbus::Store;
use xen_rt::{ExitCode, Guest, Xen, println};

/// A check, and what it saw where it did not hold.
pub type Check<E> = fn(&Guest) -> Result<(), E>;

/// Carries out checks, prints a line for each, and tells whether all held.
pub fn run<E: Display>(guest: &Guest, checks: &[(&str, Check<E>)]) -> ExitCode {
    let mut failed = 0;
    for (name, check) in checks {
        match check(guest) {
            Ok(()) => println!("ok {name}"),
            Err(what) => {
                failed += 1;
                println!("not ok {name}: {what}");
            }
        }
    }
    println!("{} checks, {failed} failed", checks.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether two values are equal.
///
/// # Errors
///
/// Tells both.
pub fn equal<T: PartialEq + Debug>(what: &str, seen: T, wanted: T) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{what}: {seen:?} instead of {wanted:?}")) }
}

/// Whether something holds.
///
/// # Errors
///
/// `otherwise`.
pub fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// An error as text, after what failed.
pub fn failed<E: Debug>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error:?}")
}

/// A channel to oneself: the end that hears, and the end that sends.
///
/// # Errors
///
/// When it cannot be opened.
pub fn loopback(guest: &Guest) -> Result<(Channel<Xen>, Channel<Xen>), String> {
    let hears = Channel::unbound(&guest.xen(), DomId::SELF).map_err(failed("no port"))?;
    let sends = Channel::interdomain(&guest.xen(), DomId::SELF, hears.port()).map_err(failed("no connection"))?;
    Ok((hears, sends))
}

/// The number of this domain, from what Xen tells about a channel to oneself.
///
/// # Errors
///
/// When Xen does not tell.
pub fn own_domain(guest: &Guest) -> Result<DomId, String> {
    let (hears, _sends) = loopback(guest)?;
    match hears.peer() {
        Ok(Peer::Connected { domain, .. }) => Ok(domain),
        other => Err(format!("no own domain: {other:?}")),
    }
}

/// How many pages are free: takes all and gives them back.
#[must_use]
pub fn free_pages(guest: &Guest) -> usize {
    let xen = guest.xen();
    // A list in the pages themselves, so that it needs no memory.
    let mut last: Option<NonNull<Frame>> = None;
    let mut count = 0;
    while let Some(page) = xen.alloc(NonZeroUsize::MIN) {
        // SAFETY: the page is this function's.
        unsafe { page.cast().write(last) };
        last = Some(page);
        count += 1;
    }
    while let Some(page) = last {
        // SAFETY: the page is this function's, and holds what was written above.
        last = unsafe { page.cast().read() };
        // SAFETY: nothing uses the page any more.
        unsafe { xen.dealloc(page) };
    }
    count
}

/// What the guest has of Xen and of xenstore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    free_grants: u32,
    quarantined: u32,
    ports: usize,
    watches: usize,
}

impl Holdings {
    /// Counts what there is now.
    #[must_use]
    pub fn count(xen: &Xen, store: &Store<Xen>) -> Self {
        let statistics = xen.grant_table().statistics();
        // Ports are numbered from 1 on, the lowest free one first.
        let is_open = |port: &u32| {
            event_channel::status(xen, DomId::SELF, Port(*port)).is_ok_and(|status| status.status != PortState::CLOSED)
        };
        let ports = (1..512).filter(is_open).count();
        Self { free_grants: statistics.free, quarantined: statistics.quarantined, ports, watches: store.watches() }
    }
}
