//! The FIFO ABI: a word for each port, and for each vCPU sixteen queues by priority, linked through the words.
//!
//! Xen links a port at the end of its queue when an event comes and the port is neither masked nor linked yet; the guest takes
//! ports from the front. Both sides change the same word, each by atomic read-modify-writes.
//!
//! Source: `struct evtchn_fifo_control_block`, `EVTCHN_FIFO_*`, public/event_channel.h

mod memory;

use xen_hypercall::abi::VcpuId;
use xen_hypercall::abi::event_channel::{FIFO_LINK_MASK, FIFO_LINKED, FIFO_MASKED, FIFO_PENDING};

use crate::Events;
use crate::atomic::Relaxed;
use crate::dispatch::attend;
use crate::order;
use crate::words::Vcpu;

#[cfg(loom)]
pub(crate) use memory::Page;
pub(crate) use memory::{Fifo, GrowError, MAX_VCPUS, Queues};

pub(crate) const PENDING: u32 = 1 << FIFO_PENDING;
pub(crate) const MASKED: u32 = 1 << FIFO_MASKED;
pub(crate) const LINKED: u32 = 1 << FIFO_LINKED;

/// Ports that one pass takes from each queue. Xen can link a port again as soon as it is taken, so that a queue may never end.
pub(crate) const BUDGET: u32 = 64;

/// Counts the events in the queues of `vcpu`: the more urgent queues first, of each no more than its budget. What is left calls
/// for another upcall.
///
/// Entered on top of itself, it leaves the work to the pass that it has interrupted: the first port of a queue is kept outside
/// of atomic steps.
#[inline(never)]
pub(crate) fn dispatch<P: Events>(platform: &P, vcpu: VcpuId, words: &Vcpu) {
    let Some(queues) = platform.event_channels().fifo.queues(vcpu) else { return };
    if order::swap_state(&queues.busy, 1) != 0 {
        order::swap_state(&queues.again, 1);
        return;
    }
    let left = pass(platform, queues);
    order::set(&queues.control.ready, left);
    order::swap_state(&queues.busy, 0);
    if order::swap_state(&queues.again, 0) != 0 || left != 0 {
        order::raise_upcall(&words.upcall_pending);
    }
}

/// Takes from every queue that has events; answers with those that have some left.
fn pass<P: Events>(platform: &P, queues: &Queues) -> u32 {
    let mut ready = order::take_ready(&queues.control.ready);
    let mut left = 0;
    while ready != 0 {
        let queue = ready.trailing_zeros() as usize;
        ready &= ready - 1;
        if let Drained::Partly = drain(platform, queues, queue) {
            left |= 1 << queue;
        }
    }
    left
}

enum Drained {
    Wholly,
    Partly,
}

fn drain<P: Events>(platform: &P, queues: &Queues, queue: usize) -> Drained {
    let (Some(first), Some(head)) = (queues.first.get(queue), queues.control.head.get(queue)) else {
        return Drained::Wholly;
    };
    for _ in 0..BUDGET {
        let port = match first.load(Relaxed) {
            // `take_ready` has seen to it that this is no older than the queue's bit.
            0 => head.load(Relaxed),
            port => port,
        };
        let next = take(platform, port);
        first.store(next, Relaxed);
        if next == 0 {
            return Drained::Wholly;
        }
    }
    Drained::Partly
}

/// Unlinks a port and counts its event; answers with the next port of the queue, 0 at its end.
fn take<P: Events>(platform: &P, port: u32) -> u32 {
    let table = platform.event_channels();
    let Some(word) = table.fifo.word(port) else { return 0 };
    let before = order::clear(word, LINKED | FIFO_LINK_MASK);
    // A port that was masked or closed since it was linked keeps its event for later, or has none.
    if before & (PENDING | MASKED) == PENDING {
        order::clear(word, PENDING);
        count(platform, port);
    }
    before & FIFO_LINK_MASK
}

fn count<P: Events>(platform: &P, port: u32) {
    let table = platform.event_channels();
    match table.slot(port).map(|slot| slot.count_event()) {
        Some(seen) if seen.is_alert() => attend(platform, port, seen),
        Some(_) => {}
        None => table.ignore(platform, port),
    }
}

/// A port's word, by itself.
impl Fifo {
    pub(crate) fn mask(&self, port: u32) {
        if let Some(word) = self.word(port) {
            order::set(word, MASKED);
        }
    }

    pub(crate) fn is_masked(&self, port: u32) -> bool {
        self.word(port).is_some_and(|word| order::set(word, 0) & MASKED != 0)
    }
}
