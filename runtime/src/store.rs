//! The guest's connection to xenstore.

use core::time::Duration;

use spin::Once;
use xen_event_channel::Channel;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_shared_ring::SharedMem;
use xen_xenbus::Store;

use crate::boot::SharedPage;
use crate::guest;
use crate::suspend::{self, SuspendError, Suspended};
use crate::xen::{XEN, Xen};

static STORE: Once<Option<Store<Xen>>> = Once::new();

/// The connection; the first call makes it, so that guests without a use for xenstore have nothing of it in their image.
pub(crate) fn get() -> Option<Store<Xen>> {
    STORE.call_once(|| guest::boot_info().store.and_then(attach)).clone()
}

/// Brings the connection to rest, suspends the guest, and makes the connection anew after a resume.
pub(crate) fn suspend(within: Duration) -> Result<Suspended, SuspendError> {
    // Before the store is touched: an upcall may have interrupted somebody who uses it.
    suspend::check()?;
    let quiet = get().map(|store| store.quiesce(within)).transpose().map_err(SuspendError::Xenstore)?;
    // Where it was called off, the store goes on when `quiet` is dropped.
    let suspended = XEN.suspend()?;
    if let Some(quiet) = quiet.filter(|_| suspended == Suspended::Resumed) {
        match guest::boot_info().store.and_then(link) {
            // It was a page with a ring before.
            Some((page, channel)) => drop(quiet.resume(page, channel)),
            // Calls end with an error that says so.
            None => log::error!("the toolstack has given the resumed guest no xenstore"),
        }
    }
    Ok(suspended)
}

fn attach(shared: SharedPage) -> Option<Store<Xen>> {
    let (page, channel) = link(shared)?;
    Store::attach(page, channel, XEN).ok()
}

/// The ring's page and its channel.
fn link(shared: SharedPage) -> Option<(SharedMem, Channel<Xen>)> {
    let channel = Channel::adopt(&XEN, shared.port).ok()?;
    // SAFETY: the platform vouches for the page, and nothing else reaches it: the store has one ring at a time.
    let page = unsafe { SharedMem::new(shared.page, PAGE_SIZE) };
    Some((page, channel))
}
