//! 8. Xenstore: the ring that the toolstack made.

use xen_event_channel::Channel;
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_shared_ring::SharedMem;
use xen_xenbus::Store;

use crate::hypercall::{XEN, Xen};
use crate::memory::{self, PAGE};

/// Connects to xenstore. Domain 0 has none before it starts one.
///
/// # Safety
///
/// Called once, with the start info as it came.
pub(crate) unsafe fn start(info: &StartInfo) -> Option<Store<Xen>> {
    let page = memory::ring(info, info.store_mfn)?;
    let channel = Channel::adopt(&XEN, info.store_evtchn).ok()?;
    // SAFETY: the builder has mapped the page for good, and nothing else reaches it.
    let page = unsafe { SharedMem::new(page.cast(), PAGE) };
    Store::attach(page, channel, XEN).ok()
}
