//! The orderings of dispatch, masks and holds, in every interleaving: the crate's own code against a model of Xen.
//!
//! One rule is behind all of them. An owner notes the count, looks at what its peer did, and sleeps until the count moves.
//! When everything has come to rest, the last look saw everything, or the count has moved since.

#![cfg(loom)]

mod models;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::thread;
use models::{Guest, Work};
use xen_event_channel::{Abi, Channel, Found, Preference, Settled, WaitError, resume, start};
use xen_hypercall::abi::{DomId, Port};

/// What an owner keeps of its last look.
struct Look {
    count: u32,
    work: u8,
}

fn look(channel: &Channel<Guest>, work: &Work) -> Look {
    let count = channel.count();
    Look { count, work: work.seen() }
}

/// The last look saw everything, or the owner is called to another one.
fn nothing_is_lost(channel: &Channel<Guest>, last: &Look, total: u8) {
    assert!(last.work == total || channel.count() != last.count, "{} of {total} seen, and asleep", last.work);
}

fn open(guest: &Guest) -> Channel<Guest> {
    Channel::unbound(guest, DomId(1)).expect("a port")
}

/// Up to three forced switches, unless the environment says otherwise: every known mutant dies with two.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

/// A bit is cleared before its event is counted: who sees the count sees the work, and work that comes after the look calls
/// again.
#[test]
fn m4_an_event_is_forgotten_before_it_is_counted() {
    model(|| {
        let (guest, work) = (Guest::new(), Work::new());
        let channel = open(&guest);
        let port = channel.port();
        let peer = thread::spawn({
            let (guest, work) = (guest.clone(), work.clone());
            move || (0..2).for_each(|_| work.send(&guest, port))
        });
        let vcpu = thread::spawn({
            let guest = guest.clone();
            move || guest.upcall()
        });
        let before = channel.count();
        let last = look(&channel, &work);
        assert!(last.count == before || last.work > 0, "counted, and nothing to be seen");
        peer.join().unwrap();
        vcpu.join().unwrap();
        guest.settle();
        nothing_is_lost(&channel, &last, 2);
    });
}

/// Events in one word, and in two, while the vCPU looks at them: each is counted, and no upcall is missed.
#[test]
fn m5_an_event_during_a_pass_calls_again() {
    for ports in [[1, 2], [1, 4]] {
        model(move || {
            let guest = Guest::new();
            let channels: Vec<_> = (1..=4).map(|_| open(&guest)).collect();
            let chosen = ports.map(|port| &channels[port - 1]);
            let before = chosen.map(Channel::count);
            let peer = thread::spawn({
                let (guest, ports) = (guest.clone(), chosen.map(Channel::port));
                move || ports.into_iter().for_each(|port| guest.signal(port))
            });
            guest.upcall();
            guest.upcall();
            peer.join().unwrap();
            guest.settle();
            let counted = chosen.map(Channel::count).iter().zip(before).all(|(count, before)| *count == before + 1);
            assert!(counted, "an event was counted twice or not at all");
        });
    }
}

/// An event while the port is masked comes through when it is unmasked, whichever comes first.
#[test]
fn m5_an_event_behind_a_mask_comes_through() {
    model(|| {
        let (guest, work) = (Guest::new(), Work::new());
        let channel = open(&guest);
        let port = channel.port();
        let peer = thread::spawn({
            let (guest, work) = (guest.clone(), work.clone());
            move || work.send(&guest, port)
        });
        channel.mask().unwrap();
        guest.upcall();
        let last = look(&channel, &work);
        channel.unmask().unwrap();
        peer.join().unwrap();
        guest.settle();
        nothing_is_lost(&channel, &last, 1);
    });
}

/// Two ports of one queue, signalled again while the guest takes them: none is lost in a queue that has ended.
#[test]
fn m6_a_port_taken_from_a_queue_can_be_linked_again() {
    model(|| {
        let guest = Guest::new();
        assert_eq!(start(&guest, Preference::Fifo), Ok(Abi::Fifo));
        let channels = [open(&guest), open(&guest)];
        let works = [Work::new(), Work::new()];
        let peer = thread::spawn({
            let (guest, works) = (guest.clone(), works.clone());
            let ports = [0, 1].map(|i: usize| channels[i].port());
            move || [0, 1, 0].into_iter().for_each(|i: usize| works[i].send(&guest, ports[i]))
        });
        let vcpu = thread::spawn({
            let guest = guest.clone();
            move || guest.upcall()
        });
        let last = [0, 1].map(|i: usize| look(&channels[i], &works[i]));
        peer.join().unwrap();
        vcpu.join().unwrap();
        guest.settle();
        nothing_is_lost(&channels[0], &last[0], 2);
        nothing_is_lost(&channels[1], &last[1], 1);
    });
}

/// A port that is masked while it is linked keeps its event.
#[test]
fn m6_a_port_masked_in_a_queue_keeps_its_event() {
    model(|| {
        let (guest, work) = (Guest::new(), Work::new());
        assert_eq!(start(&guest, Preference::Fifo), Ok(Abi::Fifo));
        let channel = open(&guest);
        let port = channel.port();
        let peer = thread::spawn({
            let (guest, work) = (guest.clone(), work.clone());
            move || (0..2).for_each(|_| work.send(&guest, port))
        });
        channel.mask().unwrap();
        guest.upcall();
        let last = look(&channel, &work);
        channel.unmask().unwrap();
        peer.join().unwrap();
        guest.settle();
        nothing_is_lost(&channel, &last, 2);
    });
}

/// More events than the limit while the owner settles on another vCPU: the mask hides none from an owner that goes to sleep.
#[test]
fn m13_a_storm_does_not_hide_the_last_event() {
    model(|| {
        let (guest, work) = (Guest::new(), Work::new());
        let channel = open(&guest);
        let port = channel.port();
        let vcpu = thread::spawn({
            let (guest, work) = (guest.clone(), work.clone());
            move || {
                for _ in 0..3 {
                    work.send(&guest, port);
                    guest.upcall();
                }
            }
        });
        let mut last = look(&channel, &work);
        settle(&channel, Found::Work);
        vcpu.join().unwrap();
        guest.settle();
        // The owner sleeps, and wakes for as long as the count moves.
        for _ in 0..4 {
            if channel.count() != last.count {
                last = look(&channel, &work);
                settle(&channel, Found::Work);
                guest.settle();
            }
        }
        assert_eq!(last.work, 3, "asleep, with work behind the mask");
    });
}

/// An event that comes while the port is held for being spurious comes through when the hold ends.
#[test]
fn m13_a_hold_does_not_hide_the_last_event() {
    model(|| {
        let (guest, work) = (Guest::new(), Work::new());
        let channel = open(&guest);
        let port = channel.port();
        guest.signal(port);
        guest.settle();
        let peer = thread::spawn({
            let (guest, work) = (guest.clone(), work.clone());
            move || work.send(&guest, port)
        });
        let last = look(&channel, &work);
        let settled = settle(&channel, Found::Nothing);
        guest.upcall();
        let Settled::Held(end) = settled else { panic!("an event without work, and no hold") };
        assert_eq!(channel.lift(end), Ok(Settled::Open));
        peer.join().unwrap();
        guest.settle();
        nothing_is_lost(&channel, &last, 1);
    });
}

/// A port's event is dispatched on one vCPU and finds no owner while another vCPU opens the port: the mask does not stay, and who
/// waits by then is woken.
#[test]
fn m13_a_port_opened_while_it_is_masked_is_not_masked_for_good() {
    // The third one is the first port of the second word.
    for (preference, others) in [(Preference::TwoLevel, 0), (Preference::Fifo, 1), (Preference::TwoLevel, 3)] {
        model(move || {
            let guest = Guest::new();
            start(&guest, preference).unwrap();
            let others: Vec<_> = (0..others).map(|_| open(&guest)).collect();
            let port = Port(others.len() as u32 + 1);
            let vcpu = thread::spawn({
                let guest = guest.clone();
                move || {
                    guest.signal(port);
                    guest.upcall();
                }
            });
            let (channel, task) = (open(&guest), Task::new());
            let seen = channel.count();
            let asked = task.asks(&channel, seen);
            vcpu.join().unwrap();
            guest.settle();
            assert!(asked.is_ready() || channel.count() == seen || task.is_woken(), "asleep, and the count has moved");
            settle(&channel, Found::Work);
            let before = channel.count();
            guest.signal(port);
            guest.settle();
            assert_ne!(channel.count(), before, "masked for good");
        });
    }
}

/// Who asks for a wake while the ports go is woken, or told at once.
#[test]
fn m14_who_asks_for_a_wake_during_a_resume_finds_out() {
    model(|| {
        let (guest, task) = (Guest::new(), Task::new());
        let channel = open(&guest);
        let vcpu = thread::spawn({
            let guest = guest.clone();
            move || resume(&guest, Preference::TwoLevel)
        });
        let asked = task.asks(&channel, channel.count());
        assert_eq!(vcpu.join().unwrap(), Ok(Abi::TwoLevel));
        assert!(asked.is_ready() || task.is_woken(), "asleep for good");
    });
}

/// A task that may be woken. The flag is the host's: no order rests on it.
struct Task(AtomicBool);

impl Task {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false)))
    }

    fn asks(self: &Arc<Self>, channel: &Channel<Guest>, seen: u32) -> Poll<Result<u32, WaitError>> {
        channel.poll_event(&mut Context::from_waker(&Waker::from(Arc::clone(self))), seen)
    }

    fn is_woken(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn settle(channel: &Channel<Guest>, found: Found) -> Settled {
    channel.settle(found, Duration::ZERO).expect("an open port")
}
