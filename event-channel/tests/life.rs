//! Opening, closing, peers that go, handles that are too old.

// Under Miri each machine takes seconds to make; `storm` goes through the same code there.
#![cfg(not(any(loom, miri)))]

mod common;

use common::{ABIS, Pair, chosen, connect, ms, started};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use xen_event_channel::{
    BURST, Channel, ChannelError, Events, Found, Kind, NotifyError, OpenError, Peer, Stale, Statistics, WaitError,
    reset, resume,
};
use xen_hypercall::abi::event_channel::Command;
use xen_hypercall::abi::{DomId, Number, Port, VcpuId, Virq};
use xen_hypercall::{Errno, event_channel, sched};
use xen_sim::{Domain, Machine, Target, When};

#[test]
fn hc_095_a_late_event_of_a_closed_port_does_not_reach_its_next_owner() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let port = pair.ours.port();
        pair.guest.hold_upcalls();
        pair.signal(1);
        drop(pair.ours);
        let next = Channel::unbound(&pair.guest, pair.peer.id()).unwrap();
        assert_eq!(next.port(), port, "Xen gives the number out again");
        let seen = next.count();
        pair.guest.release_upcalls();
        assert_eq!(next.count(), seen, "{abi:?}");
        pair.machine.spurious_event(&pair.guest, port);
        assert_eq!(next.count(), seen + 1, "{abi:?}: its own events do");
    }
}

/// The port was closed behind the table's back, and Xen has given it out again.
#[test]
fn hc_095_an_old_handle_touches_nothing_of_the_new_owners() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        event_channel::close(&pair.guest, pair.ours.port()).unwrap();
        let next = Channel::unbound(&pair.guest, pair.peer.id()).unwrap();
        assert_eq!(next.port(), pair.ours.port());
        is_stale(&pair.ours);
        drop(pair.ours);
        assert_eq!(next.peer(), Ok(Peer::Unbound { domain: pair.peer.id() }), "{abi:?}: still open");
    }
}

/// All that a handle can do.
fn is_stale(channel: &Channel<Domain>) {
    let now = || ms(0);
    let count = channel.count();
    assert_eq!(channel.notify(), Err(NotifyError::Stale));
    assert_eq!(channel.peer(), Err(ChannelError::Stale));
    assert_eq!(channel.mask(), Err(Stale));
    assert_eq!(channel.unmask(), Err(ChannelError::Stale));
    assert_eq!(channel.settle(Found::Work, ms(0)), Err(ChannelError::Stale));
    assert_eq!(channel.lift(ms(0)), Err(ChannelError::Stale));
    assert_eq!(channel.set_priority(0), Err(ChannelError::Stale));
    assert_eq!(channel.bind_vcpu(VcpuId(0)), Err(ChannelError::Stale));
    assert_eq!(channel.wait_poll(count, ms(1), now), Err(WaitError::Stale));
    assert_eq!(channel.wait_block(count, ms(1), now), Err(WaitError::Stale));
    assert_eq!(poll(channel, count, Waker::noop()), Poll::Ready(Err(WaitError::Stale)));
    assert_eq!(channel.statistics(), Statistics::default());
    assert_eq!(channel.count(), count);
}

fn poll(channel: &Channel<Domain>, seen: u32, waker: &Waker) -> Poll<Result<u32, WaitError>> {
    channel.poll_event(&mut Context::from_waker(waker), seen)
}

/// A mask belongs to the number, not to the channel: it must not outlive it.
#[test]
fn hc_095_a_port_closed_while_it_is_held_is_open_for_its_next_owner() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        pair.signal(2 * BURST);
        assert_eq!(pair.ours.statistics().storms, 1);
        drop(pair.ours);
        let (next, peers) = connect(&pair.guest, &pair.peer);
        let seen = next.count();
        for n in 1..=BURST {
            peers.notify().unwrap();
            assert_eq!(next.count(), seen + n, "{abi:?}: with all of its limit");
        }
        assert_eq!(next.statistics(), Statistics { events: BURST, spurious: 0, storms: 0 });
    }
}

#[test]
fn hc_096_a_peer_that_dies_is_found_out() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let connected = Peer::Connected { domain: pair.peer.id(), port: pair.theirs.port() };
        assert_eq!(pair.ours.peer(), Ok(connected));
        pair.machine.destroy(&pair.peer);
        assert_eq!(pair.ours.notify(), Ok(()), "Xen forgets the event");
        assert_eq!(pair.ours.peer(), Ok(Peer::Unbound { domain: pair.peer.id() }));
        assert_eq!(pair.ours.close(), Ok(()));
    }
}

#[test]
fn hc_096_a_peer_that_never_was_is_no_panic() {
    let machine = Machine::new(1);
    let (guest, peer) = (machine.domain(), machine.domain());
    assert_eq!(Channel::interdomain(&guest, peer.id(), Port(77)).err(), Some(OpenError::NoPeer));
    assert_eq!(Channel::interdomain(&guest, DomId(77), Port(1)).err(), Some(OpenError::NoPeer));
    let open = Channel::unbound(&peer, DomId(78)).unwrap();
    assert_eq!(Channel::interdomain(&guest, peer.id(), open.port()).err(), Some(OpenError::NoPeer), "not for us");
    assert!(guest.open_ports().is_empty());
}

#[test]
fn hc_097_each_answer_to_a_send_has_its_error_and_none_is_tried_again() {
    let gone = [Errno::NOENT, Errno::INVAL, Errno::BADF, Errno::SRCH];
    let refused = [Errno::PERM, Errno::NOMEM, Errno::FAULT, Errno::NOSYS, Errno(4095), Errno(u32::MAX)];
    let expected = gone.map(|errno| (errno, NotifyError::PeerGone)).into_iter();
    for (errno, error) in expected.chain(refused.map(|errno| (errno, NotifyError::Refused(errno)))) {
        let pair = Pair::new(ABIS[0]);
        pair.machine.faults().fail(Target::event_channel(Command::SEND), When::Nth(1), errno);
        let seen = pair.theirs.count();
        assert_eq!(pair.ours.notify(), Err(error));
        assert_eq!(pair.theirs.count(), seen, "a second try would have come through");
        assert_eq!(pair.ours.notify(), Ok(()));
    }
}

#[test]
fn hc_097_an_interrupt_has_no_other_end() {
    let machine = Machine::new(1);
    let timer = Channel::virq(&machine.domain(), Virq::TIMER, VcpuId(0)).unwrap();
    assert_eq!(timer.notify(), Err(NotifyError::NoOtherEnd));
    assert_eq!((timer.kind(), timer.peer()), (Kind::Virq(Virq::TIMER), Ok(Peer::None)));
}

/// Closes a channel when it is woken: in the upcall, in the middle of the dispatch.
struct Closer {
    channel: std::sync::Mutex<Option<Channel<Domain>>>,
    woken: AtomicU32,
}

impl Wake for Closer {
    fn wake(self: Arc<Self>) {
        drop(self.channel.lock().unwrap().take());
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn hc_098_a_channel_can_be_closed_from_its_own_wake() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let (other, others_peer) = connect(&pair.guest, &pair.peer);
        let port = pair.ours.port();
        let closer = Arc::new(Closer { channel: std::sync::Mutex::new(Some(pair.ours)), woken: AtomicU32::new(0) });
        {
            let channel = closer.channel.lock().unwrap();
            let channel = channel.as_ref().unwrap();
            assert_eq!(poll(channel, channel.count(), &Waker::from(Arc::clone(&closer))), Poll::Pending);
        }
        let seen = other.count();
        pair.guest.hold_upcalls();
        pair.theirs.notify().unwrap();
        others_peer.notify().unwrap();
        pair.guest.release_upcalls();
        assert_eq!(closer.woken.load(Ordering::Relaxed), 1);
        assert!(!pair.guest.open_ports().contains(&port), "{abi:?}: closed");
        assert_eq!(other.count(), seen + 1, "{abi:?}: the others are served");
    }
}

#[test]
fn hc_099_out_of_ports_is_said_so_and_passes() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let (guest, peer) = (machine.domain_builder().max_ports(3).build(), machine.domain());
        started(&guest, abi);
        let mut channels: Vec<_> = (0..3).map(|_| Channel::unbound(&guest, peer.id()).unwrap()).collect();
        let open = Channel::unbound(&peer, guest.id()).unwrap();
        assert_eq!(Channel::unbound(&guest, peer.id()).err(), Some(OpenError::NoPorts));
        assert_eq!(Channel::ipi(&guest, VcpuId(0)).err(), Some(OpenError::NoPorts));
        assert_eq!(Channel::virq(&guest, Virq::TIMER, VcpuId(0)).err(), Some(OpenError::NoPorts));
        assert_eq!(Channel::interdomain(&guest, peer.id(), open.port()).err(), Some(OpenError::NoPorts));
        channels.pop();
        assert!(Channel::interdomain(&guest, peer.id(), open.port()).is_ok(), "{abi:?}: one was closed");
    }
}

#[test]
fn a_channel_closes_its_port_when_dropped_and_once() {
    for abi in ABIS {
        let Pair { machine, guest, peer, ours, theirs } = Pair::new(abi);
        let closes = || machine.trace().count(Number::EVENT_CHANNEL_OP, Some(Command::CLOSE.0));
        assert_eq!((guest.open_ports(), closes()), (vec![ours.port()], 0));
        assert_eq!(ours.close(), Ok(()));
        assert_eq!((guest.open_ports(), closes()), (vec![], 1));
        drop(theirs);
        assert_eq!((peer.open_ports(), closes()), (vec![], 2), "{abi:?}");
    }
}

#[test]
fn an_adopted_port_is_what_xen_says_and_has_one_owner() {
    let pair = Pair::new(ABIS[0]);
    let port = pair.ours.port();
    assert_eq!(Channel::adopt(&pair.guest, port).err(), Some(OpenError::InUse));
    assert_eq!(Channel::adopt(&pair.guest, Port(0)).err(), Some(OpenError::Invalid));
    assert_eq!(Channel::adopt(&pair.guest, Port(99)).err(), Some(OpenError::Invalid));
    let raw = event_channel::bind_ipi(&pair.guest, VcpuId(0)).unwrap();
    let adopted = Channel::adopt(&pair.guest, raw).unwrap();
    assert_eq!(adopted.kind(), Kind::Ipi);
    let seen = adopted.count();
    adopted.notify().unwrap();
    assert_eq!(adopted.count(), seen + 1);
}

#[test]
fn hc_162_after_a_resume_old_handles_are_stale_whoever_has_the_port_now() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let woken = Arc::new(Closer { channel: std::sync::Mutex::new(None), woken: AtomicU32::new(0) });
        assert_eq!(poll(&pair.ours, pair.ours.count(), &Waker::from(Arc::clone(&woken))), Poll::Pending);
        suspend(&pair.guest);
        assert_eq!(resume(&pair.guest, abi), Ok(chosen(abi)));
        assert_eq!(woken.woken.load(Ordering::Relaxed), 1, "{abi:?}: who waits finds out");
        is_stale(&pair.ours);

        let (next, peers) = connect(&pair.guest, &pair.peer);
        assert_eq!(next.port(), pair.ours.port(), "the number is given out again");
        is_stale(&pair.ours);
        let seen = next.count();
        peers.notify().unwrap();
        assert_eq!(next.count(), seen + 1);
        drop(pair.ours);
        assert_eq!(pair.guest.open_ports(), [next.port()], "{abi:?}: the old handle has not closed it");
    }
}

fn suspend(guest: &Domain) {
    guest.migrate_on_suspend();
    // SAFETY: the test relies on nothing from before.
    let suspended = unsafe { sched::suspend(guest, xen_hypercall::abi::Mfn(0)) };
    assert_eq!(suspended, Ok(sched::Suspended::Resumed));
}

#[test]
fn hc_175_after_a_reset_everything_is_opened_afresh() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        assert_eq!(reset(&pair.guest, abi), Ok(chosen(abi)));
        is_stale(&pair.ours);
        assert!(pair.guest.open_ports().is_empty());
        let (next, peers) = connect(&pair.guest, &pair.peer);
        let seen = next.count();
        peers.notify().unwrap();
        assert_eq!(next.count(), seen + 1, "{abi:?}");
    }
}
