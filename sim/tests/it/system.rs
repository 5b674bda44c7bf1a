//! The other calls: memory, vCPUs, timers, version, console, batches, suspend.

use std::num::NonZeroUsize;
use std::time::Duration;

use xen_event_channel::Events;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef, MapFlags, Status};
use xen_hypercall::abi::memory::MemFlags;
use xen_hypercall::abi::vcpu::SingleshotFlags;
use xen_hypercall::abi::version::Command as Version;
use xen_hypercall::abi::{DomId, Gfn, Mfn, Number, VcpuId};
use xen_hypercall::memory::{self, Source};
use xen_hypercall::multicall::{Batch, Call};
use xen_hypercall::sched::Suspended;
use xen_hypercall::{Arg, Errno, Hypercall, Pages, console_io, event_channel, pvclock, sched, vcpu, version};
use xen_sim::Machine;

use crate::common::{granted, map, page, pair};

#[test]
fn an_unknown_call_is_refused() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    // SAFETY: no such call.
    assert_eq!(unsafe { domain.call(Number(63), [Arg::value(0)]) }, -38);
    // SAFETY: no such command.
    assert_eq!(unsafe { domain.call(Number::GRANT_TABLE_OP, [Arg::value(77), Arg::value(0), Arg::value(0)]) }, -38);
    // SAFETY: Xen checks the address first.
    assert_eq!(unsafe { domain.call(Number::EVENT_CHANNEL_OP, [Arg::value(4), Arg::value(0)]) }, -14);
}

#[test]
fn the_version_is_told() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    assert_eq!(version::version(&domain).unwrap().to_string(), "4.17");
    assert_eq!(version::page_size(&domain), Ok(4096));
    assert_eq!(&version::extra_version(&domain).unwrap()[..6], b".0-sim");
    assert_eq!(version::features(&domain).unwrap().iter().count(), 0);
    assert_eq!(version::build_id(&domain), Err(Errno::NODATA));
}

#[test]
fn the_console_goes_both_ways() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    console_io::write(&domain, b"hello").unwrap();
    assert_eq!(domain.console_output(), "hello");
    domain.console_input("abc");
    let mut two = [0; 2];
    assert_eq!(console_io::read(&domain, &mut two), Ok(2));
    assert_eq!(&two, b"ab");
    assert_eq!(console_io::read(&domain, &mut two), Ok(1));
}

#[test]
fn a_batch_has_an_answer_for_each_call() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let mut batch = Batch::<3>::new();
    batch.push(Call::new(Number::XEN_VERSION, [Arg::value(Version::PAGESIZE.0 as usize)])).unwrap();
    batch.push(Call::new(Number(63), [])).unwrap();
    batch.push(Call::new(Number::XEN_VERSION, [Arg::value(Version::VERSION.0 as usize)])).unwrap();
    // SAFETY: no call takes a pointer.
    let answers = unsafe { batch.issue(&domain) }.unwrap();
    let answers: Vec<_> = answers.iter().map(Option::unwrap).collect();
    assert_eq!(answers, [Ok(4096), Err(Errno::NOSYS), Ok(4 << 16 | 17)]);
}

#[test]
fn memory_goes_back_to_xen_and_comes_again() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().pages(NonZeroUsize::new(8).unwrap()).build();
    let gfn = domain.gfn(page(&domain));
    assert_eq!(memory::current_reservation(&domain, DomId::SELF).unwrap().0, 8);
    // SAFETY: nothing refers to the page.
    assert_eq!(unsafe { memory::decrease_reservation(&domain, &[gfn, Gfn(1)], 0) }, Ok(1), "the second is not its own");
    assert_eq!(memory::current_reservation(&domain, DomId::SELF).unwrap().0, 7);
    let mut frames = [gfn];
    // SAFETY: nothing is there.
    assert_eq!(unsafe { memory::populate_physmap(&domain, &mut frames, 0, MemFlags::empty()) }, Ok(1));
    assert_eq!(memory::maximum_reservation(&domain, DomId::SELF).unwrap().0, 8);
    let other = machine.domain();
    assert_eq!(memory::current_reservation(&domain, other.id()), Err(Errno::PERM));
}

#[test]
fn xens_pages_are_placed_where_the_guest_wants_them() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().max_grant_frames(2).build();
    // SAFETY: nothing is at those frames.
    let place = |source, at| unsafe { memory::add_to_physmap(&domain, DomId::SELF, source, Gfn(at)) };
    assert_eq!(place(Source::SharedInfo, 5), Ok(()));
    assert_eq!(domain.page_at(Gfn(5)).unwrap().cast(), domain.shared_info());
    assert_eq!(place(Source::GrantTable(1), 6), Ok(()));
    assert_eq!(place(Source::GrantTable(2), 7), Err(Errno::INVAL));
    assert!(domain.page_at(Gfn(6)).is_some() && domain.page_at(Gfn(7)).is_none());
}

#[test]
fn timers_are_checked() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().vcpus(NonZeroUsize::new(2).unwrap()).build();
    let soon = domain.now() + Duration::from_secs(1);
    let set = |number, at, flags| vcpu::set_singleshot_timer(&domain, VcpuId(number), at, flags);
    assert_eq!(set(0, soon, SingleshotFlags::FUTURE), Ok(()));
    assert_eq!(set(0, Duration::from_nanos(1), SingleshotFlags::FUTURE), Err(Errno::TIME));
    assert_eq!(set(1, soon, SingleshotFlags::empty()), Err(Errno::INVAL), "another's");
    assert_eq!(set(2, soon, SingleshotFlags::empty()), Err(Errno::NOENT));
    assert_eq!(vcpu::set_periodic_timer(&domain, VcpuId(0), Duration::from_micros(1)), Err(Errno::INVAL));
    assert_eq!(vcpu::is_up(&domain, VcpuId(1)), Ok(true));
    assert_eq!(vcpu::is_up(&domain, VcpuId(2)), Err(Errno::NOENT));
    assert_eq!(vcpu::get_runstate_info(&domain, VcpuId(0)).unwrap().state.0, 0);
}

#[test]
fn the_guests_clock_tells_the_machines_time() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let info = domain.vcpu_info(VcpuId(0)).unwrap();
    let offset = std::mem::offset_of!(xen_hypercall::abi::arch::VcpuInfo, time);
    // SAFETY: inside the structure.
    let time = unsafe { info.cast::<u8>().add(offset) }.cast::<xen_hypercall::abi::time::VcpuTimeInfo>();
    // SAFETY: the machine stays, and Xen alone writes it.
    let clock = unsafe { pvclock::Pvclock::new(time) };
    for counter in [0, u64::MAX, 12345] {
        machine.advance(Duration::from_secs(5));
        let _ = version::version(&domain);
        assert_eq!(Duration::from_nanos(clock.now(|| counter)), machine.now(), "whatever the counter says");
    }
}

#[test]
fn a_suspend_is_cancelled_or_ends_elsewhere() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (shared, table, gref) = granted(&front, &back, GrantFlags::empty());
    map(&back, front.id(), gref, MapFlags::HOST_MAP).unwrap();
    let port = event_channel::alloc_unbound(&front, DomId::SELF, back.id()).unwrap();
    let before = front.gfn(shared);
    // SAFETY: nothing changes.
    assert_eq!(unsafe { sched::suspend(&front, Mfn(0)) }, Ok(Suspended::Cancelled));
    assert_eq!((front.open_ports(), front.gfn(shared)), (vec![port], before));
    front.migrate_on_suspend();
    // SAFETY: nothing of before is used.
    assert_eq!(unsafe { sched::suspend(&front, Mfn(0)) }, Ok(Suspended::Resumed));
    assert_eq!(front.open_ports(), []);
    assert_eq!(table.flags(gref), GrantFlags::empty());
    assert_ne!(front.gfn(shared), before, "pages have other numbers");
    assert_eq!(map(&back, front.id(), GrantRef(8), MapFlags::HOST_MAP).unwrap_err(), Status::GENERAL_ERROR);
    assert_eq!(machine.violations(), []);
}
