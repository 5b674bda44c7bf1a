//! Events to oneself under load, in the ABI that the command line asks for (`events=fifo`). `control=lost` leaves one out.

#![no_std]
#![no_main]

extern crate alloc;

mod heap;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use test_guests::{Check, ensure, equal, failed, loopback, run};
use xen_hypercall::abi::{DomId, VcpuId};
use xen_hypercall::event_channel;
use xen_rt::event_channel::{
    Abi, BURST, Channel, ChannelError, Events, Found, NotifyError, OpenError, Peer, Preference, Settled, Waited, reset,
};
use xen_rt::{ExitCode, Guest, Xen, entry, println};

const CHECKS: &[(&str, Check<String>)] = &[
    ("100,000 events on 128 ports are counted, each once", load),
    ("events of a port that is pending become one", coalesced),
    ("queues are served by priority", priorities),
    ("a waker is called once for an event", waker),
    ("waits by poll and by block end at the event or at the deadline", waits),
    ("hc_090 hc_091 a storm masks its port alone, and the last event is not lost", storm),
    ("hc_092 events without work are held back, for longer each time", spurious),
    ("what comes while a port is masked is one event", masked),
    ("hc_094 events of a port without a channel are masked and counted", unknown_port),
    ("a vCPU that does not exist gets no events", no_such_vcpu),
    ("hc_095 an event that is pending when its channel is closed is nobody's", close_while_pending),
    ("hc_096 a peer that has closed its end is seen", peer_gone),
    ("hc_099 ports run out with an error, and all come back", out_of_ports),
    ("a waker that frees memory in the upcall finds the heap free", heap::freeing_waker),
    ("hc_175 after a reset by the other ABI old channels are stale, new ones work", reset_to_the_other),
];

#[entry]
fn main(guest: Guest) -> ExitCode {
    println!("events come by {:?}", guest.events().abi());
    run(&guest, CHECKS)
}

type Loop = (Channel<Xen>, Channel<Xen>);

fn loops(guest: &Guest, count: usize) -> Result<Vec<Loop>, String> {
    (0..count).map(|_| loopback(guest)).collect()
}

fn notify(channel: &Channel<Xen>) -> Result<(), String> {
    channel.notify().map_err(failed("not sent"))
}

fn settle(guest: &Guest, channel: &Channel<Xen>, found: Found) -> Result<Settled, String> {
    channel.settle(found, guest.clock().now()).map_err(failed("not settled"))
}

/// How often each channel counted since `before`, where that is not `wanted` for all.
fn counted(loops: &[Loop], before: &[u32], wanted: u32) -> Result<(), String> {
    let counts = loops.iter().zip(before).map(|((hears, _), before)| hears.count().wrapping_sub(*before));
    match counts.enumerate().find(|(_, count)| *count != wanted) {
        Some((index, count)) => Err(format!("channel {index} counted {count} events of {wanted}")),
        None => Ok(()),
    }
}

fn counts(loops: &[Loop]) -> Vec<u32> {
    loops.iter().map(|(hears, _)| hears.count()).collect()
}

/// Each event is served before the next one is sent, since there is one processor.
fn load(guest: &Guest) -> Result<(), String> {
    const ROUNDS: u32 = 800;
    let lossy = guest.boot().command_line.value("control") == Some("lost");
    let loops = loops(guest, 128)?;
    let before = counts(&loops);
    for round in 0..ROUNDS {
        // The order changes from round to round.
        for index in 0..loops.len() {
            let (hears, sends) = &loops[(index * 37 + round as usize) % loops.len()];
            if !(lossy && round == 400 && index == 5) {
                notify(sends)?;
            }
            if round % 200 == 199 {
                ensure(settle(guest, hears, Found::Work)? == Settled::Open, "a port was held")?;
            }
        }
    }
    println!("{} events on {} ports", ROUNDS as usize * loops.len(), loops.len());
    counted(&loops, &before, ROUNDS)
}

fn coalesced(guest: &Guest) -> Result<(), String> {
    const ROUNDS: u32 = 100;
    let loops = loops(guest, 128)?;
    let before = counts(&loops);
    for round in 1..=ROUNDS {
        guest.events().held_back(|| {
            let twice = loops.iter().chain(&loops);
            twice.clone().try_for_each(|(_, sends)| notify(sends))?;
            counted(&loops, &before, round - 1)
        })?;
        counted(&loops, &before, round)?;
    }
    Ok(())
}

/// Tells in which order wakers were called.
struct Turn {
    turn: AtomicUsize,
    woken: AtomicUsize,
}

static TURNS: AtomicUsize = AtomicUsize::new(0);

impl Turn {
    fn new() -> Arc<Self> {
        Arc::new(Self { turn: AtomicUsize::new(0), woken: AtomicUsize::new(0) })
    }

    /// Asks for a wake.
    fn arm(self: &Arc<Self>, channel: &Channel<Xen>) -> Result<(), String> {
        let waker = Waker::from(self.clone());
        match channel.poll_event(&mut Context::from_waker(&waker), channel.count()) {
            Poll::Pending => Ok(()),
            Poll::Ready(other) => Err(format!("nothing to wait for: {other:?}")),
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.turn.store(TURNS.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

fn priorities(guest: &Guest) -> Result<(), String> {
    let loops = loops(guest, 16)?;
    let turns: Vec<_> = loops.iter().map(|_| Turn::new()).collect();
    for (index, (hears, _)) in loops.iter().enumerate() {
        // The last one that is signalled is the most urgent.
        match hears.set_priority(15 - index as u32) {
            Err(ChannelError::Unsupported) if guest.events().abi() == Abi::TwoLevel => return Ok(()),
            other => other.map_err(failed("no priority"))?,
        }
        turns[index].arm(hears)?;
    }
    equal("priority 16", loops[0].0.set_priority(16), Err(ChannelError::Unsupported))?;
    guest.events().held_back(|| loops.iter().try_for_each(|(_, sends)| notify(sends)))?;
    let order: Vec<_> = turns.iter().map(|turn| turn.turn.load(Ordering::Relaxed)).collect();
    ensure(order.is_sorted_by(|a, b| a > b), &format!("served in the order {order:?}"))
}

fn waker(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let turn = Turn::new();
    let woken = || turn.woken.load(Ordering::Relaxed);
    notify(&sends)?;
    equal("wakes before one was asked for", woken(), 0)?;
    turn.arm(&hears)?;
    let seen = hears.count();
    equal("wakes without an event", woken(), 0)?;
    notify(&sends)?;
    notify(&sends)?;
    equal("wakes", woken(), 1)?;
    let waker = Waker::from(turn.clone());
    let ready = hears.poll_event(&mut Context::from_waker(&waker), seen);
    equal("the count", ready, Poll::Ready(Ok(seen.wrapping_add(2))))
}

fn waits(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let clock = guest.clock();
    let now = || clock.now();
    let seen = hears.count();
    for deadline in [Duration::ZERO, now() + Duration::from_millis(5)] {
        equal("poll", hears.wait_poll(seen, deadline, now).map_err(failed("no poll"))?, Waited::TimedOut)?;
        equal("block", hears.wait_block(seen, deadline, now).map_err(failed("no block"))?, Waited::TimedOut)?;
        ensure(now() >= deadline, "a wait ended before its deadline")?;
    }
    let far = now() + Duration::from_secs(5);
    let counted = |count: u32| Waited::Counted(seen.wrapping_add(count));
    let waited = guest.events().held_back(|| notify(&sends).map(|()| hears.wait_poll(hears.count(), far, now)))?;
    equal("poll", waited.map_err(failed("no poll"))?, counted(1))?;
    let waited = guest.events().held_back(|| notify(&sends).map(|()| hears.wait_block(hears.count(), far, now)))?;
    equal("block", waited.map_err(failed("no block"))?, counted(2))?;
    ensure(now() < far, "a wait slept through its event")
}

fn storm(guest: &Guest) -> Result<(), String> {
    let (stormy, calm) = (loopback(guest)?, loopback(guest)?);
    let before = [stormy.0.count(), calm.0.count()];
    for _ in 0..20 * BURST {
        notify(&stormy.1)?;
    }
    notify(&calm.1)?;
    let statistics = stormy.0.statistics();
    equal("storms", statistics.storms, 1)?;
    ensure(statistics.events <= BURST + 1, "the port was not masked in time")?;
    equal("events elsewhere", calm.0.count().wrapping_sub(before[1]), 1)?;
    let seen = stormy.0.count();
    ensure(settle(guest, &stormy.0, Found::Work)? == Settled::Open, "the port stays held")?;
    equal("the event behind the mask", stormy.0.count().wrapping_sub(seen), 1)?;
    notify(&stormy.1)?;
    equal("events then", stormy.0.count().wrapping_sub(seen), 2)
}

fn spurious(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let (mut last, mut holds) = (Duration::ZERO, 0);
    for _ in 0..10 {
        notify(&sends)?;
        let now = guest.clock().now();
        if let Settled::Held(end) = hears.settle(Found::Nothing, now).map_err(failed("not settled"))? {
            let time = end - now;
            ensure(holds == 0 || time == 2 * last, &format!("a hold of {time:?} after one of {last:?}"))?;
            (last, holds) = (time, holds + 1);
            let (seen, far) = (hears.count(), now + Duration::from_secs(5));
            notify(&sends)?;
            equal("events while it is held", hears.count(), seen)?;
            let waited = guest.events().wait(&hears, seen, far).map_err(failed("no wait"))?;
            equal("the event behind the hold", waited, Waited::Counted(seen.wrapping_add(1)))?;
            ensure(guest.clock().now() >= end, "the hold ended early")?;
        }
    }
    ensure(holds >= 5, &format!("{holds} holds only"))?;
    notify(&sends)?;
    ensure(settle(guest, &hears, Found::Work)? == Settled::Open, "work does not end a hold")
}

fn masked(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let seen = hears.count();
    hears.mask().map_err(failed("not masked"))?;
    notify(&sends)?;
    notify(&sends)?;
    equal("events through the mask", hears.count(), seen)?;
    hears.unmask().map_err(failed("not unmasked"))?;
    equal("events after it", hears.count().wrapping_sub(seen), 1)?;
    notify(&sends)?;
    equal("events then", hears.count().wrapping_sub(seen), 2)
}

fn unknown_port(guest: &Guest) -> Result<(), String> {
    let (xen, (hears, sends)) = (guest.xen(), loopback(guest)?);
    let ignored = || xen.event_channels().ignored();
    let open = event_channel::alloc_unbound(&xen, DomId::SELF, DomId::SELF).map_err(failed("no port"))?;
    let from = event_channel::bind_interdomain(&xen, DomId::SELF, open).map_err(failed("no connection"))?;
    let (before, seen) = (ignored(), hears.count());
    for _ in 0..1000 {
        event_channel::send(&xen, from).map_err(failed("not sent"))?;
    }
    // Xen signals both ends when they are connected.
    ensure((1..=2).contains(&ignored().wrapping_sub(before)), "they were not masked, or not counted")?;
    notify(&sends)?;
    equal("events elsewhere", hears.count().wrapping_sub(seen), 1)?;
    for port in [open, from] {
        event_channel::close(&xen, port).map_err(failed("not closed"))?;
    }
    Ok(())
}

fn no_such_vcpu(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let seen = hears.count();
    equal("binding", hears.bind_vcpu(VcpuId(1)), Err(ChannelError::NoVcpu(VcpuId(1))))?;
    notify(&sends)?;
    equal("events", hears.count().wrapping_sub(seen), 1)
}

fn close_while_pending(guest: &Guest) -> Result<(), String> {
    for _ in 0..100 {
        let (hears, sends) = loopback(guest)?;
        let (port, xen) = (hears.port(), guest.xen());
        let next = guest.events().held_back(|| {
            notify(&sends)?;
            hears.close().map_err(failed("not closed"))?;
            let next = Channel::unbound(&xen, DomId::SELF).map_err(failed("no port"))?;
            Ok::<_, String>((next.count(), next))
        })?;
        let (seen, next) = next;
        // FIFO: Xen keeps a closed port back as long as it is in a queue.
        ensure(guest.events().abi() == Abi::Fifo || next.port() == port, "the port has another number")?;
        equal("events of the next owner", (next.count(), next.statistics().events), (seen, 0))?;
        let sends = Channel::interdomain(&xen, DomId::SELF, next.port()).map_err(failed("no connection"))?;
        notify(&sends)?;
        equal("its own event", next.count().wrapping_sub(seen), 1)?;
    }
    Ok(())
}

fn peer_gone(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let Ok(Peer::Connected { domain, port }) = hears.peer() else { return Err("no peer".into()) };
    equal("the peer's port", port, sends.port())?;
    drop(sends);
    equal("the peer", hears.peer(), Ok(Peer::Unbound { domain }))?;
    match hears.notify() {
        Ok(()) | Err(NotifyError::PeerGone) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn out_of_ports(guest: &Guest) -> Result<(), String> {
    // The 131,071 ports of FIFO take Xen minutes; so many are more than the 2-level ABI has, and take six pages of words.
    let most = if guest.events().abi() == Abi::Fifo { 6000 } else { 5000 };
    let mut open = Vec::new();
    let refused = loop {
        match Channel::unbound(&guest.xen(), DomId::SELF) {
            Ok(channel) => open.push(channel),
            Err(error) => break Some(error),
        }
        if open.len() == most {
            break None;
        }
    };
    println!("{} ports were open", open.len());
    let wanted = if guest.events().abi() == Abi::Fifo { None } else { Some(OpenError::NoPorts) };
    equal("the error", refused, wanted)?;
    ensure(open.len() > 4000, "there were fewer ports than there should be")?;
    let last = open.pop().ok_or("no port")?;
    let seen = last.count();
    drop(open);
    let sends = Channel::interdomain(&guest.xen(), DomId::SELF, last.port()).map_err(failed("no connection"))?;
    notify(&sends)?;
    equal("events of the last port", last.count().wrapping_sub(seen), 1)?;
    loops(guest, 100).map(drop)
}

fn reset_to_the_other(guest: &Guest) -> Result<(), String> {
    let (hears, sends) = loopback(guest)?;
    let (preference, wanted) = match guest.events().abi() {
        Abi::TwoLevel => (Preference::Fifo, Abi::Fifo),
        Abi::Fifo => (Preference::TwoLevel, Abi::TwoLevel),
    };
    let turn = Turn::new();
    turn.arm(&hears)?;
    equal("the ABI", reset(&guest.xen(), preference).map_err(failed("no reset"))?, wanted)?;
    equal("wakes of who waited", turn.woken.load(Ordering::Relaxed), 1)?;
    let (next, from) = loopback(guest)?;
    let (old, seen) = (hears.count(), next.count());
    equal("the old channel", sends.notify(), Err(NotifyError::Stale))?;
    timer_after_reset(guest, &next)?;
    drop((hears, sends));
    notify(&from)?;
    equal("events of the new one", next.count().wrapping_sub(seen), 1)?;
    let _ = old;
    drop((next, from));
    load(guest)
}

/// The runtime's own channel, the timer's, is stale as well, and is opened again.
fn timer_after_reset(guest: &Guest, next: &Channel<Xen>) -> Result<(), String> {
    let time = Duration::from_millis(5);
    let deadline = guest.clock().now() + time;
    let waited = guest.events().wait(next, next.count(), deadline).map_err(failed("no wait"))?;
    equal("waiting for nothing", waited, Waited::TimedOut)?;
    ensure(guest.clock().now() >= deadline, "the wait ended early")?;
    guest.clock().sleep(time).map_err(failed("no sleep"))?;
    ensure(guest.clock().now() >= deadline + time, "the sleep ended early")
}
