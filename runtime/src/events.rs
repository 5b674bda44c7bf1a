//! Events as counters: how often each port was signalled.
//!
//! A waiter notes [`Events::count`], does its work, and waits for more than that. Whatever the order of event
//! and check, nothing is lost. The upcall handler counts and does nothing else.
//!
//! This is the 2-level ABI on one vCPU.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use xen_hypercall::abi::Port;
use xen_hypercall::{Errno, sched};

use crate::clock::Clock;
use crate::platform;
use crate::shared_info::WORDS;
use crate::xen::XEN;

/// Ports in each word.
const PORTS: usize = u64::BITS as usize;

/// How often each port was signalled. Wraps.
static COUNTS: [[AtomicU32; PORTS]; WORDS] = [const { [const { AtomicU32::new(0) }; PORTS] }; WORDS];

/// The guest's event channels.
#[derive(Clone, Copy, Debug)]
pub struct Events(());

impl Events {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// How often `port` was signalled since boot, modulo 2^32. 0 for ports beyond the ABI's 4096.
    #[must_use]
    pub fn count(&self, port: Port) -> u32 {
        COUNTS.as_flattened().get(port.0 as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Does something while upcalls are held back. What comes meanwhile is counted right afterwards.
    ///
    /// A wait or a sleep in `work` lets upcalls through from there on.
    pub fn held_back<T>(&self, work: impl FnOnce() -> T) -> T {
        let outermost = platform::mask_upcalls();
        let result = work();
        if outermost {
            platform::unmask_upcalls();
        }
        result
    }

    /// Sleeps until `port` has been signalled more often than `seen`, or until `deadline` (system time, as
    /// [`Clock::now`] tells it). Says whether the event came.
    ///
    /// # Errors
    ///
    /// Those of setting the timer.
    pub fn wait(&self, port: Port, seen: u32, deadline: Duration) -> Result<bool, Errno> {
        let clock = Clock::new();
        loop {
            // Masked from the check to the block, which unmasks: an event in between ends the block at once.
            platform::mask_upcalls();
            let came = self.count(port) != seen;
            if came || clock.now() >= deadline {
                platform::unmask_upcalls();
                return Ok(came);
            }
            if let Err(refused) = crate::clock::wake_at(deadline).and_then(|()| sched::block(&XEN)) {
                platform::unmask_upcalls();
                return Err(refused);
            }
        }
    }
}

/// The upcall: turns pending bits into counts. Bounded by the number of ports, needs no lock, and may be entered
/// again on top of itself.
///
/// The pending flag is cleared before the selector is taken and the selector before the words are read, so that an
/// event which comes at any moment is either seen here or calls again.
pub(crate) extern "C" fn dispatch() {
    let vcpu = &platform::shared_info().vcpus[0];
    vcpu.upcall_pending.store(0, Ordering::Relaxed);
    let mut words = vcpu.selector.swap(0, Ordering::AcqRel);
    while words != 0 {
        take(words.trailing_zeros() as usize);
        words &= words - 1;
    }
}

/// Clears and counts the unmasked pending ports of one word.
#[inline(always)]
fn take(word: usize) {
    let shared = platform::shared_info();
    let (Some(pending), Some(mask), Some(counts)) = (shared.pending.get(word), shared.mask.get(word), COUNTS.get(word))
    else {
        return;
    };
    let mut bits = match mask.load(Ordering::Relaxed) {
        // The usual case, and the shorter way.
        0 => pending.swap(0, Ordering::AcqRel),
        masked => {
            let bits = pending.load(Ordering::Relaxed) & !masked;
            pending.fetch_and(!bits, Ordering::AcqRel);
            bits
        }
    };
    while bits != 0 {
        if let Some(count) = counts.get(bits.trailing_zeros() as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        bits &= bits - 1;
    }
}
