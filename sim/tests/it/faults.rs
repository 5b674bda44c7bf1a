//! Faults by script, each with its control: without the fault the same succeeds.

use std::time::Duration;

use xen_event_channel::Events;
use xen_grant_table::{Memory, TableFrame};
use xen_hypercall::abi::event_channel::Command as EventChannel;
use xen_hypercall::abi::grant_table::{Command as GrantTable, GrantFlags, MapFlags, Status};
use xen_hypercall::abi::{DomId, VcpuId};
use xen_hypercall::grant_table::Version;
use xen_hypercall::{Errno, Pages, event_channel, grant_table, version};
use xen_sim::{EventFault, Leniency, Limit, Machine, Target, When};

use crate::common::{granted, map, page, pair, unmap};

const ONE: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN;

#[test]
fn calls_fail_when_the_script_says_so() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let target = Target::event_channel(EventChannel::ALLOC_UNBOUND);
    let open = |domain| event_channel::alloc_unbound(domain, DomId::SELF, DomId::SELF).map(drop);
    machine.faults().fail(target.by(a.id()), When::Nth(2), Errno::NOMEM);
    assert_eq!([open(&a), open(&b), open(&a), open(&a)], [Ok(()), Ok(()), Err(Errno::NOMEM), Ok(())]);
    machine.faults().fail(target, When::Every(3), Errno::NOSPC);
    let six = std::array::from_fn(|_| open(&b));
    assert_eq!(six, [Ok(()), Ok(()), Err(Errno::NOSPC), Ok(()), Ok(()), Err(Errno::NOSPC)]);
    machine.faults().clear();
    machine.faults().fail(target, When::From(2), Errno::INVAL);
    assert_eq!([open(&a), open(&a), open(&a)], [Ok(()), Err(Errno::INVAL), Err(Errno::INVAL)]);
    assert!(version::version(&a).is_ok(), "other calls are left alone");
    assert!(machine.trace().to_string().contains("fails by a fault"));
}

#[test]
#[cfg_attr(miri, ignore = "thousands of calls")]
fn some_of_a_thousand_fail_by_the_seed() {
    let failures = |seed, share| {
        let machine = Machine::new(seed);
        let domain = machine.domain();
        machine.faults().fail(
            Target::number(xen_hypercall::abi::Number::XEN_VERSION),
            When::PerMille(share),
            Errno::PERM,
        );
        (0..1000).map(|_| version::version(&domain).is_err()).collect::<Vec<_>>()
    };
    let count = failures(1, 300).iter().filter(|failed| **failed).count();
    assert!((200..400).contains(&count), "{count}");
    assert_eq!(failures(1, 300), failures(1, 300));
    assert_ne!(failures(1, 300), failures(2, 300));
    assert!(failures(1, 0).iter().all(|failed| !failed) && failures(1, 1000).iter().all(|failed| *failed));
}

#[test]
fn elements_of_a_batch_fail_alone() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, GrantFlags::empty());
    machine.faults().fail_element(GrantTable::MAP_GRANT_REF, When::Nth(2), Status::EAGAIN);
    let try_map = || map(&back, front.id(), gref, MapFlags::HOST_MAP);
    let first = try_map().unwrap();
    unmap(&back, first).unwrap();
    machine.settle();
    assert_eq!(try_map().unwrap_err(), Status::EAGAIN);
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS, "a fault has no effect");
    try_map().unwrap();
    machine.faults().fail_element_of(&front, GrantTable::MAP_GRANT_REF, When::Always, Status::NO_SPACE);
    try_map().unwrap();
}

#[test]
fn a_hypervisor_can_be_old() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    machine.faults().without_fifo();
    machine.faults().without_grant_v2();
    // SAFETY: both are refused.
    let fifo = unsafe { event_channel::init_control(&domain, domain.gfn(page(&domain)), 0, VcpuId(0)) };
    assert_eq!(fifo, Err(Errno::NOSYS));
    // SAFETY: as above.
    assert_eq!(unsafe { grant_table::set_version(&domain, Version::V2) }, Err(Errno::NOSYS));
}

#[test]
fn everything_can_run_out() {
    let machine = Machine::builder(1).allow(Leniency::PromptUnmap).build();
    let (front, back) = pair(&machine);
    let faults = machine.faults();
    faults.limit(&front, Limit::Pages(1));
    assert!(front.alloc(ONE).is_some() && front.alloc(ONE).is_none());
    faults.limit(&front, Limit::Pages(2));
    let (_, _, gref) = granted(&front, &back, GrantFlags::empty());
    faults.limit(&back, Limit::Mappings(0));
    assert_eq!(map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap_err(), Status::NO_SPACE);
    faults.limit(&front, Limit::Ports(1));
    let open = || event_channel::alloc_unbound(&front, DomId::SELF, DomId::SELF);
    assert!(open().is_ok());
    assert_eq!(open(), Err(Errno::NOSPC));
    faults.limit(&front, Limit::GrantFrames(1));
    assert!(front.map_table_frame(TableFrame::Shared, 1).is_err());
}

/// How many upcalls the first domain has had after `sends` events under a fault, and after all is settled.
fn upcalls(fault: Option<EventFault>, sends: usize) -> (usize, usize) {
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    a.set_upcall(move |domain, vcpu| {
        counted.fetch_add(1, Ordering::Relaxed);
        let info = domain.vcpu_info(vcpu).unwrap();
        // SAFETY: the pending flag is the first byte.
        unsafe { AtomicU8::from_ptr(info.cast().as_ptr()) }.store(0, Ordering::SeqCst);
    });
    let open = event_channel::alloc_unbound(&a, DomId::SELF, b.id()).unwrap();
    let theirs = event_channel::bind_interdomain(&b, a.id(), open).unwrap();
    if let Some(fault) = fault {
        machine.faults().disturb_events(&a, When::Always, fault);
    }
    for _ in 0..sends {
        event_channel::send(&b, theirs).unwrap();
    }
    let before = count.load(Ordering::Relaxed);
    machine.settle();
    (before, count.load(Ordering::Relaxed))
}

#[test]
fn events_get_lost_and_late() {
    assert_eq!(upcalls(None, 1), (1, 1));
    assert_eq!(upcalls(Some(EventFault::Lose), 1), (0, 0));
    assert_eq!(upcalls(Some(EventFault::Delay(5)), 1), (0, 1));
    assert_eq!(upcalls(Some(EventFault::Delay(1)), 3), (1, 1), "the bit stays: later events add nothing");
}

#[test]
fn events_come_for_no_reason() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let open = event_channel::alloc_unbound(&a, DomId::SELF, b.id()).unwrap();
    machine.spurious_event(&a, open);
    assert_eq!(a.event_channels().ignored(), 1);
    machine.faults().storm(&a, open, 100);
    assert_eq!(a.event_channels().ignored(), 1, "the port was masked at the first");
}

#[test]
fn the_clock_jumps() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let before = domain.now();
    machine.faults().stall(Duration::from_secs(9));
    assert!(domain.now() >= before + Duration::from_secs(9));
    machine.jump_to(Duration::from_secs(1));
    assert!(domain.now() < before + Duration::from_secs(9));
}
