//! The two ABIs: choosing, falling back, growing, priorities, many ports.

// Under Miri each machine takes seconds to make; `storm` goes through the same code there.
#![cfg(not(any(loom, miri)))]

mod common;

use std::num::NonZero;

use common::{ABIS, Pair, connect, started};
use xen_event_channel::{
    Abi, Channel, ChannelError, Events, OpenError, Preference, StartError, reset, start, start_vcpu,
};
use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel::Command;
use xen_hypercall::abi::{Number, Port, VcpuId, Virq};
use xen_sim::{Limit, Machine, Target, When};

#[test]
fn hc_171_without_fifo_in_xen_the_2_level_abi_is_in_use() {
    for errno in [Errno::NOSYS, Errno::INVAL, Errno::NOMEM, Errno::PERM, Errno(4095)] {
        let machine = Machine::new(1);
        let (guest, peer) = (machine.domain(), machine.domain());
        machine.faults().fail(Target::event_channel(Command::INIT_CONTROL), When::Always, errno);
        assert_eq!(start(&guest, Preference::Fifo), Ok(Abi::TwoLevel));
        let (ours, theirs) = connect(&guest, &peer);
        let seen = ours.count();
        theirs.notify().unwrap();
        assert_eq!(ours.count(), seen + 1);
        assert_eq!(ours.set_priority(3), Err(ChannelError::Unsupported));
    }
}

#[test]
fn hc_171_without_a_page_the_2_level_abi_is_in_use() {
    let machine = Machine::new(1);
    let guest = machine.domain();
    machine.faults().limit(&guest, Limit::Pages(0));
    assert_eq!(start(&guest, Preference::Fifo), Ok(Abi::TwoLevel));
    assert!(Channel::ipi(&guest, VcpuId(0)).is_ok());
}

#[test]
fn hc_172_every_refusal_of_a_new_port_is_an_error_with_its_culprit() {
    let answers = [
        (Errno::PERM, OpenError::Denied(Errno::PERM)),
        (Errno::INVAL, OpenError::Invalid),
        (Errno::NOMEM, OpenError::NoMemory),
        (Errno::NOSPC, OpenError::NoPorts),
        (Errno::EXIST, OpenError::InUse),
        (Errno::NOENT, OpenError::Invalid),
        (Errno::FAULT, OpenError::Refused(Errno::FAULT)),
        (Errno(4095), OpenError::Refused(Errno(4095))),
        (Errno(u32::MAX), OpenError::Refused(Errno(u32::MAX))),
    ];
    for (errno, error) in answers {
        let machine = Machine::new(1);
        let guest = machine.domain();
        for command in [Command::ALLOC_UNBOUND, Command::BIND_VIRQ, Command::BIND_IPI] {
            machine.faults().fail(Target::event_channel(command), When::Nth(1), errno);
        }
        assert_eq!(Channel::unbound(&guest, guest.id()).err(), Some(error));
        assert_eq!(Channel::virq(&guest, Virq::TIMER, VcpuId(0)).err(), Some(error));
        assert_eq!(Channel::ipi(&guest, VcpuId(0)).err(), Some(error));
        assert!(guest.open_ports().is_empty());
    }
}

/// A port that was opened here is closed again; one that the toolstack has opened could not be had back.
#[test]
fn hc_172_a_refusal_to_unmask_closes_a_new_port_and_leaves_an_adopted_one_open() {
    let machine = Machine::new(1);
    let guest = machine.domain();
    let stray = xen_hypercall::event_channel::bind_ipi(&guest, VcpuId(0)).unwrap();
    machine.spurious_event(&guest, stray);
    machine.faults().fail(Target::event_channel(Command::UNMASK), When::Nth(1), Errno::PERM);
    assert_eq!(Channel::adopt(&guest, stray).err(), Some(OpenError::Refused(Errno::PERM)));
    assert_eq!(guest.open_ports(), [stray]);
    let adopted = Channel::adopt(&guest, stray).unwrap();
    adopted.mask().unwrap();
    drop(adopted);
    machine.faults().fail(Target::event_channel(Command::UNMASK), When::Nth(1), Errno::PERM);
    assert_eq!(Channel::ipi(&guest, VcpuId(0)).err(), Some(OpenError::Refused(Errno::PERM)));
    assert!(guest.open_ports().is_empty());
}

/// In the FIFO ABI, the first port needs the first page of the array, and the 1024th the next one.
#[test]
fn hc_174_a_port_without_room_is_refused_and_the_others_keep_working() {
    let machine = Machine::new(1);
    let (guest, peer) =
        (machine.domain_builder().max_ports(5000).build(), machine.domain_builder().max_ports(5000).build());
    started(&guest, Preference::Fifo);
    let mut channels: Vec<_> = (1..1024).map(|_| connect(&guest, &peer)).collect();
    machine.faults().fail(Target::event_channel(Command::EXPAND_ARRAY), When::From(1), Errno::NOMEM);
    for _ in 0..3 {
        let refused = Channel::unbound(&guest, peer.id()).err();
        assert_eq!(refused, Some(OpenError::NoRoom(Port(1024), Errno::NOMEM)));
        assert_eq!(guest.open_ports().len(), 1023, "the port is closed again");
    }
    each_counts_once(&channels);
    machine.faults().clear();
    channels.push(connect(&guest, &peer));
    assert_eq!(channels[1023].0.port(), Port(1024));
    each_counts_once(&channels);
}

#[test]
fn hc_174_without_memory_a_port_is_refused_and_the_others_keep_working() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let (guest, peer) = (machine.domain(), machine.domain());
        started(&guest, abi);
        // The table itself has room for the first 64 ports.
        let mut channels: Vec<_> = (1..64).map(|_| connect(&guest, &peer)).collect();
        machine.faults().limit(&guest, Limit::Pages(0));
        assert_eq!(Channel::unbound(&guest, peer.id()).err(), Some(OpenError::NoMemory));
        assert_eq!(guest.open_ports().len(), 63, "{abi:?}: the port is closed again");
        each_counts_once(&channels);
        machine.faults().limit(&guest, Limit::Pages(1024));
        channels.push(connect(&guest, &peer));
        each_counts_once(&channels);
    }
}

#[test]
fn hc_175_the_abi_is_chosen_before_the_first_port_and_once() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let guest = machine.domain();
        started(&guest, abi);
        assert_eq!(start(&guest, Preference::Fifo), Err(StartError::TooLate));

        let guest = machine.domain();
        let port = Channel::ipi(&guest, VcpuId(0)).unwrap();
        let calls = || machine.trace().count(Number::EVENT_CHANNEL_OP, Some(Command::INIT_CONTROL.0));
        let before = calls();
        assert_eq!(start(&guest, abi), Err(StartError::TooLate));
        assert_eq!(calls(), before, "Xen was not asked");
        drop(port);
        assert_eq!(start(&guest, abi), Err(StartError::TooLate), "ports may be pending that nobody knows");
    }
}

#[test]
fn hc_175_a_refused_reset_changes_nothing() {
    let pair = Pair::new(Preference::TwoLevel);
    pair.machine.faults().fail(Target::event_channel(Command::RESET), When::Nth(1), Errno::PERM);
    assert_eq!(reset(&pair.guest, Preference::Fifo), Err(StartError::Refused(Errno::PERM)));
    let seen = pair.ours.count();
    pair.signal(1);
    assert_eq!(pair.ours.count(), seen + 1);
}

#[test]
fn many_events_on_many_ports_are_counted_each() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let limits = || machine.domain_builder().max_ports(4095);
        let (guest, peer) = (limits().build(), limits().build());
        started(&guest, abi);
        let channels: Vec<_> = (0..3000).map(|_| connect(&guest, &peer)).collect();
        for _ in 0..3 {
            each_counts_once(&channels);
        }
        guest.hold_upcalls();
        let before: Vec<_> = channels.iter().map(|(ours, _)| ours.count()).collect();
        for _ in 0..2 {
            channels.iter().for_each(|(_, theirs)| theirs.notify().unwrap());
        }
        guest.release_upcalls();
        for ((ours, _), before) in channels.iter().zip(before) {
            assert_eq!(ours.count(), before + 1, "{abi:?}: two events while held back are one");
        }
    }
}

type Connected = (Channel<xen_sim::Domain>, Channel<xen_sim::Domain>);

fn each_counts_once(channels: &[Connected]) {
    for (ours, theirs) in channels {
        let seen = ours.count();
        theirs.notify().unwrap();
        assert_eq!(ours.count(), seen + 1, "port {}", ours.port().0);
    }
}

/// Order by priority cannot be seen in counts; wakes happen in the order of the queues.
#[test]
fn more_urgent_events_come_first() {
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Wake, Waker};

    struct Order(u32, Arc<Mutex<Vec<u32>>>);
    impl Wake for Order {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    let machine = Machine::new(1);
    let (guest, peer) = (machine.domain(), machine.domain());
    started(&guest, Preference::Fifo);
    let order = Arc::new(Mutex::new(Vec::new()));
    let channels: Vec<_> = (0..4).map(|_| connect(&guest, &peer)).collect();
    for ((ours, _), priority) in channels.iter().zip([9, 15, 0, 3]) {
        ours.set_priority(priority).unwrap();
        let waker = Waker::from(Arc::new(Order(priority, Arc::clone(&order))));
        assert!(ours.poll_event(&mut Context::from_waker(&waker), ours.count()).is_pending());
    }
    assert_eq!(channels[0].0.set_priority(16), Err(ChannelError::Unsupported));
    guest.hold_upcalls();
    channels.iter().for_each(|(_, theirs)| theirs.notify().unwrap());
    guest.release_upcalls();
    assert_eq!(*order.lock().unwrap(), [0, 3, 9, 15]);
}

#[test]
fn events_go_to_the_vcpu_that_is_asked_for() {
    for abi in ABIS {
        let machine = Machine::new(1);
        let (guest, peer) = (machine.domain_builder().vcpus(NonZero::new(2).unwrap()).build(), machine.domain());
        started(&guest, abi);
        let (ours, theirs) = connect(&guest, &peer);
        let called = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(9));
        let note = std::sync::Arc::clone(&called);
        guest.set_upcall(move |guest, vcpu| {
            note.store(vcpu.0, std::sync::atomic::Ordering::Relaxed);
            xen_event_channel::dispatch(guest, vcpu);
        });
        for vcpu in [1, 0, 1] {
            assert_eq!(ours.bind_vcpu(VcpuId(vcpu)), Ok(()));
            let seen = ours.count();
            theirs.notify().unwrap();
            assert_eq!((ours.count(), called.load(std::sync::atomic::Ordering::Relaxed)), (seen + 1, vcpu), "{abi:?}");
        }
        assert_eq!(ours.bind_vcpu(VcpuId(2)), Err(ChannelError::NoVcpu(VcpuId(2))));
        let ipi = Channel::ipi(&guest, VcpuId(0)).unwrap();
        assert_eq!(ipi.bind_vcpu(VcpuId(1)), Err(ChannelError::Unsupported), "an IPI stays where it is");
    }
}

/// In the 2-level ABI a port that is masked is passed over; in the FIFO ABI it may be in a queue already.
#[test]
fn a_port_that_is_masked_keeps_its_event() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let (other, others_peer) = connect(&pair.guest, &pair.peer);
        let before = [&pair.ours, &other].map(Channel::count);
        pair.guest.hold_upcalls();
        pair.theirs.notify().unwrap();
        others_peer.notify().unwrap();
        pair.ours.mask().unwrap();
        pair.guest.release_upcalls();
        assert_eq!([&pair.ours, &other].map(Channel::count), [before[0], before[1] + 1], "{abi:?}");
        pair.ours.unmask().unwrap();
        assert_eq!(pair.ours.count(), before[0] + 1, "{abi:?}");
        pair.ours.mask().unwrap();
        pair.ours.unmask().unwrap();
        assert_eq!(pair.ours.count(), before[0] + 1, "{abi:?}: and does not give it twice");
    }
}

/// An event of the 2-level ABI that is pending when FIFO is chosen must not hide those of the queues.
#[test]
fn hc_175_what_was_selected_before_the_choice_hides_nothing() {
    let machine = Machine::new(1);
    let (guest, peer) = (machine.domain(), machine.domain());
    let early = xen_hypercall::event_channel::bind_ipi(&guest, VcpuId(0)).unwrap();
    guest.hold_upcalls();
    machine.spurious_event(&guest, early);
    started(&guest, Preference::Fifo);
    let ours = Channel::unbound(&guest, peer.id()).unwrap();
    let seen = ours.count();
    machine.spurious_event(&guest, ours.port());
    guest.release_upcalls();
    assert_eq!(ours.count(), seen + 1);
}

#[test]
fn a_vcpu_without_queues_is_given_no_events() {
    let machine = Machine::new(1);
    let guest = machine.domain_builder().vcpus(NonZero::new(2).unwrap()).build();
    machine.faults().fail(Target::event_channel(Command::INIT_CONTROL), When::Nth(2), Errno::NOMEM);
    started(&guest, Preference::Fifo);
    let channel = Channel::unbound(&guest, guest.id()).unwrap();
    let opened = || [Channel::ipi(&guest, VcpuId(1)), Channel::virq(&guest, Virq::TIMER, VcpuId(1))].map(Result::err);
    assert_eq!(channel.bind_vcpu(VcpuId(1)), Err(ChannelError::NoVcpu(VcpuId(1))));
    assert_eq!(opened(), [Some(OpenError::NoVcpu(VcpuId(1))); 2]);
    assert_eq!(start_vcpu(&guest, VcpuId(2)), Err(StartError::NoVcpu(VcpuId(2))));
    assert_eq!(start_vcpu(&guest, VcpuId(1)), Ok(()));
    assert_eq!(channel.bind_vcpu(VcpuId(1)), Ok(()));
    assert_eq!(opened(), [None; 2]);
}

/// More ports in one queue than a pass takes.
#[test]
fn what_exceeds_the_budget_of_a_queue_comes_with_the_next_upcall() {
    let machine = Machine::new(1);
    let (guest, peer) = (machine.domain(), machine.domain());
    started(&guest, Preference::Fifo);
    let channels: Vec<_> = (0..100).map(|_| connect(&guest, &peer)).collect();
    let upcalls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let note = std::sync::Arc::clone(&upcalls);
    guest.set_upcall(move |guest, vcpu| {
        note.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        xen_event_channel::dispatch(guest, vcpu);
    });
    let before: Vec<_> = channels.iter().map(|(ours, _)| ours.count()).collect();
    guest.hold_upcalls();
    channels.iter().for_each(|(_, theirs)| theirs.notify().unwrap());
    guest.release_upcalls();
    assert!(channels.iter().zip(before).all(|((ours, _), before)| ours.count() == before + 1));
    assert_eq!(upcalls.load(std::sync::atomic::Ordering::Relaxed), 2);
}

/// An upcall on top of a pass, at its most delicate place: a wake between two ports of a queue.
#[test]
fn a_dispatch_on_top_of_itself_loses_nothing() {
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};

    struct Nest(xen_sim::Domain, Vec<Connected>);
    impl Wake for Nest {
        fn wake(self: Arc<Self>) {
            self.1.iter().for_each(|(_, theirs)| theirs.notify().unwrap());
            xen_event_channel::dispatch(&self.0, VcpuId(0));
        }
    }

    for (abi, last) in ABIS.into_iter().flat_map(|abi| [(abi, false), (abi, true)]) {
        let pair = Pair::new(abi);
        let other = connect(&pair.guest, &pair.peer);
        let more: Vec<_> = (0..3).map(|_| connect(&pair.guest, &pair.peer)).collect();
        let before: Vec<_> = more.iter().map(|(ours, _)| ours.count()).collect();
        let nest = Arc::new(Nest(pair.guest.clone(), more));
        let waker = Waker::from(Arc::clone(&nest));
        assert!(pair.ours.poll_event(&mut Context::from_waker(&waker), pair.ours.count()).is_pending());
        let seen = other.0.count();
        pair.guest.hold_upcalls();
        // Whether there is more in the queue when the wake comes, or it has ended.
        let order = if last { [&other.1, &pair.theirs] } else { [&pair.theirs, &other.1] };
        order.iter().for_each(|channel| channel.notify().unwrap());
        pair.guest.release_upcalls();
        assert_eq!(other.0.count(), seen + 1, "{abi:?}: the rest of the outer pass");
        let counted = nest.1.iter().zip(before).all(|((ours, _), before)| ours.count() == before + 1);
        assert!(counted, "{abi:?}: what came during the pass");
    }
}
