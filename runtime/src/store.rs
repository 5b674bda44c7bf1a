//! The guest's connection to xenstore.

use spin::Once;
use xen_event_channel::Channel;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_shared_ring::SharedMem;
use xen_xenbus::Store;

use crate::boot::{BootInfo, SharedPage};
use crate::xen::{XEN, Xen};

static SHARED: Once<SharedPage> = Once::new();
static STORE: Once<Option<Store<Xen>>> = Once::new();

/// Takes note of the ring, if the toolstack made one.
pub(crate) fn connect(boot: &BootInfo) {
    if let Some(shared) = boot.store {
        SHARED.call_once(|| shared);
    }
}

/// The connection; the first call makes it, so that guests without a use for xenstore have nothing of it in their image.
pub(crate) fn get() -> Option<Store<Xen>> {
    STORE.call_once(|| SHARED.get().and_then(attach)).clone()
}

fn attach(shared: &SharedPage) -> Option<Store<Xen>> {
    let channel = Channel::adopt(&XEN, shared.port).ok()?;
    // SAFETY: the platform vouches for the page, and nothing else reaches it.
    let page = unsafe { SharedMem::new(shared.page, PAGE_SIZE) };
    Store::attach(page, channel, XEN).ok()
}
