//! Memory that is freed in the upcall.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;

use test_guests::{ensure, equal, failed};
use xen_hypercall::abi::{VcpuId, Virq};
use xen_hypercall::timer;
use xen_rt::event_channel::{Abi, Channel, Preference, reset};
use xen_rt::{Guest, Xen};

/// The timer is the one sender that interrupts a guest with one vCPU at any instruction, so that this takes it from the runtime,
/// which has it back afterwards.
pub(crate) fn freeing_waker(guest: &Guest) -> Result<(), String> {
    const ROUNDS: usize = 10_000;
    let same = if guest.events().abi() == Abi::Fifo { Preference::Fifo } else { Preference::TwoLevel };
    reset(&guest.xen(), same).map_err(failed("no reset"))?;
    let ticks = Channel::virq(&guest.xen(), Virq::TIMER, VcpuId(0)).map_err(failed("no timer"))?;
    equal("a sleep without a timer", guest.clock().sleep(Duration::from_millis(1)).is_err(), true)?;
    for round in 0..ROUNDS {
        use_heap_until_freed(guest, &ticks, round)?;
    }
    drop(ticks);
    guest.clock().sleep(Duration::from_millis(1)).map_err(failed("the runtime has no timer"))
}

fn use_heap_until_freed(guest: &Guest, ticks: &Channel<Xen>, round: usize) -> Result<(), String> {
    let (before, deadline) = (FREED.load(Ordering::Relaxed), guest.clock().now() + Duration::from_secs(5));
    let waker = Waker::from(Arc::new(Load { _bytes: piece(round, 20_000) }));
    let pending = ticks.poll_event(&mut Context::from_waker(&waker), ticks.count()).is_pending();
    ensure(pending, "there was an event before")?;
    // The channel has the last one.
    drop(waker);
    let soon = guest.clock().now() + Duration::from_nanos(round as u64 % 100 * 100);
    timer::set(&guest.xen(), Some(soon)).map_err(failed("the timer was not set"))?;
    for seed in round.. {
        let pieces = [40, 700, 9000, 150 << 10].map(|most| piece(seed, most));
        ensure(pieces.iter().all(|piece| piece[..] == [seed as u8]), "the heap gave memory out twice")?;
        match FREED.load(Ordering::Relaxed) - before {
            0 => ensure(guest.clock().now() < deadline, "the timer's event did not come")?,
            freed => return equal("wakers dropped", freed, 1),
        }
    }
    Ok(())
}

/// Memory whose end is counted.
struct Load {
    _bytes: Vec<u8>,
}

static FREED: AtomicUsize = AtomicUsize::new(0);

impl Wake for Load {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Load {
    fn drop(&mut self) {
        FREED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Memory for as many bytes as `most` or fewer, with one in it.
fn piece(seed: usize, most: usize) -> Vec<u8> {
    let mut piece = Vec::with_capacity(black_box(1 + seed.wrapping_mul(1021) % most));
    piece.push(seed as u8);
    piece
}
