//! From an upcall to counts and wakes.

use xen_hypercall::abi::VcpuId;

use crate::slot::{Seen, Slot};
use crate::words::{self, Vcpu};
use crate::{Abi, Events, fifo, order, two_level};

/// Counts the events that are pending for `vcpu`, and wakes who waits for them. For the kernel's upcall handler, on the vCPU
/// that was called.
///
/// Atomics and wakes only: it takes no lock, allocates nothing, calls neither Xen nor the owner of a port. It may be entered on
/// top of itself at any instruction. It is bounded: in the 2-level ABI there is no other budget than one pass over at most 4096
/// ports, each of which is taken at most once; in the FIFO ABI each queue has a budget, and what is left calls for another upcall. Every pass serves every word or queue that has
/// events, so that none starves another.
///
/// A waker runs in the handler: it must not wait for a lock that the interrupted code may hold. It may close channels, the one
/// that it is woken for included.
#[inline]
pub fn dispatch<P: Events>(platform: &P, vcpu: VcpuId) {
    let Some(words) = words::vcpu(platform, vcpu) else { return };
    order::forget_upcall(&words.upcall_pending);
    match order::take_selector(&words.selector) {
        two_level::FIRST => two_level::first_word(platform),
        selected => select(platform, vcpu, words, selected),
    }
}

/// In the FIFO ABI nothing is selected: [`start`](crate::start) leaves the selector empty, and Xen sets the whole of it only to
/// have everything looked at.
#[inline(never)]
fn select<P: Events>(platform: &P, vcpu: VcpuId, words: &Vcpu, selected: u64) {
    match platform.event_channels().abi() {
        Abi::TwoLevel => two_level::pass(platform, selected),
        Abi::Fifo => fifo::dispatch(platform, vcpu, words),
    }
}

/// Does what an event calls for beyond being counted.
#[cold]
pub(crate) fn attend<P: Events>(platform: &P, port: u32, seen: Seen) {
    let table = platform.event_channels();
    if seen.is_unowned() {
        return table.ignore(platform, port);
    }
    let Some(slot) = table.slot(port) else { return };
    match (seen.is_at_limit(), seen.is_limited()) {
        (true, true) => hold(platform, port, slot),
        (true, false) => slot.restart(),
        (false, _) => {}
    }
    if slot.look().is_waited_for() {
        slot.wake();
    }
}

/// Masks a port whose owner does not keep up.
fn hold<P: Events>(platform: &P, port: u32, slot: &Slot) {
    platform.event_channels().mask(platform, port);
    slot.hold();
}
