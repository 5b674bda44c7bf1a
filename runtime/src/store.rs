//! The guest's connection to xenstore.

use spin::Once;
use xen_event_channel::Channel;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_shared_ring::SharedMem;
use xen_xenbus::Store;

use crate::boot::SharedPage;
use crate::guest;
use crate::xen::{XEN, Xen};

static STORE: Once<Option<Store<Xen>>> = Once::new();

/// The connection; the first call makes it, so that guests without a use for xenstore have nothing of it in their image.
pub(crate) fn get() -> Option<Store<Xen>> {
    STORE.call_once(attach).clone()
}

fn attach() -> Option<Store<Xen>> {
    let (page, channel) = link(guest::boot_info().store?)?;
    Store::attach(page, channel, XEN).ok()
}

/// The ring's page and its channel.
fn link(shared: SharedPage) -> Option<(SharedMem, Channel<Xen>)> {
    let channel = Channel::adopt(&XEN, shared.port).ok()?;
    // SAFETY: the platform vouches for the page, and nothing else reaches it.
    Some((unsafe { SharedMem::new(shared.page, PAGE_SIZE) }, channel))
}
