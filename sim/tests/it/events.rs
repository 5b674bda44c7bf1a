//! Event channels: what works in both forms, and what Xen answers to each misuse.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use xen_event_channel::Events;
use xen_hypercall::abi::event_channel::{BindPirqFlags, FIFO_LINKED, FIFO_MASKED, FIFO_PENDING, State};
use xen_hypercall::abi::{DomId, Gfn, Port, VcpuId, Virq};
use xen_hypercall::{Errno, Pages, event_channel};
use xen_sim::{Domain, Leniency, Machine};

use crate::common::{page, pair, word};

const SELF: DomId = DomId::SELF;

/// A channel from the second domain to the first: the ports of both.
fn channel(a: &Domain, b: &Domain) -> (Port, Port) {
    let open = event_channel::alloc_unbound(a, SELF, b.id()).unwrap();
    (open, event_channel::bind_interdomain(b, a.id(), open).unwrap())
}

/// A word of the shared info page, by its offset in Xen's header.
fn shared_word(domain: &Domain, offset: usize) -> &'static AtomicU64 {
    // SAFETY: inside the page.
    let at = unsafe { domain.shared_info().cast::<u8>().add(offset) };
    // SAFETY: the tests keep their machine, and reach the page by atomics.
    unsafe { AtomicU64::from_ptr(at.cast().as_ptr()) }
}

const PENDING: usize = std::mem::offset_of!(xen_hypercall::abi::arch::SharedInfo, evtchn_pending);
const MASK: usize = std::mem::offset_of!(xen_hypercall::abi::arch::SharedInfo, evtchn_mask);

/// A handler that takes every pending bit of the first word, and keeps a list.
fn listen(domain: &Domain) -> Arc<Mutex<Vec<u64>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    domain.set_upcall(move |domain, vcpu| {
        let info = domain.vcpu_info(vcpu).unwrap().cast::<u64>();
        // SAFETY: the pending flag and the mask are the first two bytes.
        let flags = unsafe { std::sync::atomic::AtomicU8::from_ptr(info.cast().as_ptr()) };
        flags.store(0, Ordering::SeqCst);
        // SAFETY: the selector comes next.
        let at = unsafe { info.add(1) };
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(at.as_ptr()) }.swap(0, Ordering::SeqCst);
        let mask = shared_word(domain, MASK).load(Ordering::SeqCst);
        list.lock().unwrap().push(shared_word(domain, PENDING).fetch_and(mask, Ordering::SeqCst) & !mask);
    });
    seen
}

#[test]
fn an_event_calls_the_other_side_once() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let seen = listen(&a);
    let (ours, theirs) = channel(&a, &b);
    assert!(seen.lock().unwrap().is_empty(), "only the side that binds is pending from the start");
    event_channel::send(&b, theirs).unwrap();
    event_channel::send(&b, theirs).unwrap();
    assert_eq!(*seen.lock().unwrap(), [1 << ours.0, 1 << ours.0]);
}

#[test]
fn a_masked_event_waits_for_the_unmask() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let seen = listen(&a);
    let (ours, theirs) = channel(&a, &b);
    shared_word(&a, MASK).store(1 << ours.0, Ordering::SeqCst);
    event_channel::send(&b, theirs).unwrap();
    assert!(seen.lock().unwrap().is_empty());
    event_channel::unmask(&a, ours).unwrap();
    assert_eq!(*seen.lock().unwrap(), [1 << ours.0]);
}

#[test]
fn ports_are_bound_and_closed_as_xen_does() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let third = machine.domain();
    let open = event_channel::alloc_unbound(&a, SELF, b.id()).unwrap();
    assert_eq!(event_channel::bind_interdomain(&third, a.id(), open), Err(Errno::INVAL), "it is for another");
    assert_eq!(event_channel::bind_interdomain(&b, DomId(99), open), Err(Errno::SRCH));
    assert_eq!(event_channel::bind_interdomain(&b, a.id(), Port(500)), Err(Errno::INVAL));
    assert_eq!(event_channel::alloc_unbound(&a, b.id(), SELF), Err(Errno::PERM));
    let theirs = event_channel::bind_interdomain(&b, a.id(), open).unwrap();
    let status = |domain: &Domain, port| event_channel::status(domain, SELF, port).unwrap();
    assert_eq!(status(&a, open).remote_port(), Some(theirs));
    assert_eq!(status(&b, theirs).remote_domain(), Some(a.id()));
    event_channel::close(&a, open).unwrap();
    assert_eq!(event_channel::close(&a, open), Err(Errno::INVAL));
    assert_eq!(status(&b, theirs).status, State::UNBOUND);
    assert_eq!(event_channel::send(&b, theirs), Ok(()), "an event to nobody is swallowed");
    assert_eq!(event_channel::send(&a, open), Err(Errno::INVAL));
    assert_eq!(event_channel::close(&a, Port(0)), Err(Errno::INVAL));
    assert_eq!(event_channel::status(&a, b.id(), open).unwrap_err(), Errno::PERM);
}

#[test]
fn interrupts_and_vcpus_are_checked() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().vcpus(NonZeroUsize::new(2).unwrap()).build();
    let timer = event_channel::bind_virq(&domain, Virq::TIMER, VcpuId(1)).unwrap();
    assert_eq!(event_channel::bind_virq(&domain, Virq::TIMER, VcpuId(1)), Err(Errno::EXIST));
    assert_eq!(event_channel::bind_virq(&domain, Virq::TIMER, VcpuId(2)), Err(Errno::NOENT));
    assert_eq!(event_channel::bind_virq(&domain, Virq::CONSOLE, VcpuId(1)), Err(Errno::INVAL));
    assert_eq!(event_channel::bind_virq(&domain, Virq(24), VcpuId(0)), Err(Errno::INVAL));
    assert_eq!(event_channel::bind_ipi(&domain, VcpuId(2)), Err(Errno::NOENT));
    assert_eq!(event_channel::bind_pirq(&domain, 4, BindPirqFlags::empty()), Err(Errno::PERM));
    assert_eq!(event_channel::bind_vcpu(&domain, timer, VcpuId(0)), Err(Errno::INVAL), "it stays where it is");
    let open = event_channel::alloc_unbound(&domain, SELF, SELF).unwrap();
    assert_eq!(event_channel::bind_vcpu(&domain, open, VcpuId(1)), Ok(()));
    assert_eq!(event_channel::bind_vcpu(&domain, open, VcpuId(2)), Err(Errno::NOENT));
    event_channel::close(&domain, timer).unwrap();
    assert!(event_channel::bind_virq(&domain, Virq::TIMER, VcpuId(1)).is_ok());
}

#[test]
fn an_ipi_calls_the_vcpu_that_it_is_for() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().vcpus(NonZeroUsize::new(2).unwrap()).build();
    let called = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&called);
    domain.set_upcall(move |domain, vcpu| {
        assert_eq!(domain.vcpu(), vcpu);
        list.lock().unwrap().push(vcpu);
        xen_event_channel::dispatch(domain, vcpu);
    });
    let port = event_channel::bind_ipi(&domain, VcpuId(1)).unwrap();
    event_channel::send(&domain, port).unwrap();
    assert_eq!(*called.lock().unwrap(), [VcpuId(1)]);
}

#[test]
fn ports_run_out() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().max_ports(3).build();
    for port in 1..=3 {
        assert_eq!(event_channel::alloc_unbound(&domain, SELF, SELF), Ok(Port(port)));
    }
    assert_eq!(event_channel::alloc_unbound(&domain, SELF, SELF), Err(Errno::NOSPC));
    event_channel::close(&domain, Port(2)).unwrap();
    assert_eq!(event_channel::alloc_unbound(&domain, SELF, SELF), Ok(Port(2)));
}

/// A domain in the FIFO form: its control block and its first page of words.
struct Fifo {
    control: std::ptr::NonNull<xen_hypercall::Frame>,
    words: std::ptr::NonNull<xen_hypercall::Frame>,
}

fn fifo(domain: &Domain) -> Fifo {
    let (control, words) = (page(domain), page(domain));
    // A handler that does nothing but to acknowledge: the tests look at the words themselves.
    domain.set_upcall(|domain, vcpu| {
        let info = domain.vcpu_info(vcpu).unwrap();
        // SAFETY: the pending flag is the first byte.
        unsafe { std::sync::atomic::AtomicU8::from_ptr(info.cast().as_ptr()) }.store(0, Ordering::SeqCst);
    });
    // SAFETY: the page is for this alone.
    assert_eq!(unsafe { event_channel::init_control(domain, domain.gfn(control), 8, VcpuId(0)) }, Ok(17));
    // SAFETY: as above.
    unsafe { event_channel::expand_array(domain, domain.gfn(words)) }.unwrap();
    Fifo { control, words }
}

impl Fifo {
    fn word(&self, port: Port) -> &AtomicU32 {
        word(self.words, 4 * port.0 as usize)
    }

    fn ready(&self) -> u32 {
        word(self.control, 8).load(Ordering::SeqCst)
    }

    fn head(&self, priority: usize) -> u32 {
        word(self.control, 8 + 8 + 4 * priority).load(Ordering::SeqCst)
    }

    /// Takes the first port of a queue out, as the header says, and tells the next one.
    fn take(&self, port: Port) -> u32 {
        let word = self.word(port);
        word.fetch_and(!(1 << FIFO_PENDING), Ordering::SeqCst);
        let old = word.fetch_and(!(1 << FIFO_LINKED | 0x1_ffff), Ordering::SeqCst);
        old & 0x1_ffff
    }
}

#[test]
fn fifo_events_are_linked_in_their_order() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let fifo = fifo(&a);
    let ports = [channel(&a, &b), channel(&a, &b), channel(&a, &b)];
    for (_, theirs) in ports {
        event_channel::send(&b, theirs).unwrap();
        event_channel::send(&b, theirs).unwrap();
    }
    assert_eq!((fifo.ready(), fifo.head(7)), (1 << 7, ports[0].0.0));
    assert_eq!(fifo.take(ports[0].0), ports[1].0.0);
    assert_eq!(fifo.take(ports[1].0), ports[2].0.0);
    assert_eq!(fifo.take(ports[2].0), 0, "each is there once");
    // The queue is empty: the next event starts it again.
    event_channel::send(&b, ports[1].1).unwrap();
    assert_eq!(fifo.head(7), ports[1].0.0);
}

#[test]
fn fifo_masks_and_priorities() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let fifo = fifo(&a);
    let (ours, theirs) = channel(&a, &b);
    event_channel::set_priority(&a, ours, 3).unwrap();
    fifo.word(ours).fetch_or(1 << FIFO_MASKED, Ordering::SeqCst);
    event_channel::send(&b, theirs).unwrap();
    assert_eq!(fifo.word(ours).load(Ordering::SeqCst), 1 << FIFO_MASKED | 1 << FIFO_PENDING);
    event_channel::unmask(&a, ours).unwrap();
    assert_eq!(fifo.word(ours).load(Ordering::SeqCst), 1 << FIFO_LINKED | 1 << FIFO_PENDING);
    assert_eq!((fifo.ready(), fifo.head(3)), (1 << 3, ours.0));
    assert_eq!(event_channel::set_priority(&a, ours, 16), Err(Errno::INVAL));
}

#[test]
fn fifo_misuse_is_refused() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let gfn = domain.gfn(page(&domain));
    // SAFETY: refused, all of them.
    let init = |gfn, offset, vcpu| unsafe { event_channel::init_control(&domain, gfn, offset, VcpuId(vcpu)) };
    // SAFETY: as above.
    let expand = |gfn| unsafe { event_channel::expand_array(&domain, gfn) };
    assert_eq!(expand(gfn), Err(Errno::OPNOTSUPP));
    assert_eq!(event_channel::set_priority(&domain, Port(1), 1), Err(Errno::NOSYS));
    assert_eq!(init(gfn, 4, 0), Err(Errno::INVAL), "not aligned");
    assert_eq!(init(gfn, 4096, 0), Err(Errno::INVAL));
    assert_eq!(init(gfn, 0, 1), Err(Errno::NOENT));
    assert_eq!(init(Gfn(1), 0, 0), Err(Errno::INVAL));
    assert_eq!(init(gfn, 0, 0), Ok(17));
    assert_eq!(init(gfn, 0, 0), Err(Errno::INVAL), "once for each vCPU");
    assert_eq!(expand(Gfn(1)), Err(Errno::INVAL));
    event_channel::reset(&domain, SELF).unwrap();
    assert_eq!(expand(gfn), Err(Errno::OPNOTSUPP), "back in the 2-level form");
}

#[test]
fn events_pending_at_the_switch_are_lost() {
    let machine = Machine::builder(1).allow(Leniency::KeepArguments).build();
    let (a, b) = pair(&machine);
    let (ours, theirs) = channel(&a, &b);
    shared_word(&a, MASK).store(u64::MAX, Ordering::SeqCst);
    event_channel::send(&b, theirs).unwrap();
    let fifo = fifo(&a);
    assert_eq!(fifo.word(ours).load(Ordering::SeqCst), 0);
}

#[test]
fn a_fifo_event_before_its_word_is_raised_with_it() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let control = page(&a);
    // SAFETY: the page is for this alone.
    unsafe { event_channel::init_control(&a, a.gfn(control), 0, VcpuId(0)) }.unwrap();
    let (ours, theirs) = channel(&a, &b);
    event_channel::send(&b, theirs).unwrap();
    a.set_upcall(|domain, vcpu| {
        let info = domain.vcpu_info(vcpu).unwrap();
        // SAFETY: the pending flag is the first byte.
        unsafe { std::sync::atomic::AtomicU8::from_ptr(info.cast().as_ptr()) }.store(0, Ordering::SeqCst);
    });
    let words = page(&a);
    // SAFETY: the page is for this alone.
    unsafe { event_channel::expand_array(&a, a.gfn(words)) }.unwrap();
    assert_eq!(word(words, 4 * ours.0 as usize).load(Ordering::SeqCst), 1 << FIFO_LINKED | 1 << FIFO_PENDING);
}

#[test]
fn a_moved_vcpu_info_is_where_events_go() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    let seen = listen(&a);
    let (ours, theirs) = channel(&a, &b);
    let place = page(&a);
    // SAFETY: the page is for this alone.
    let register = |offset| unsafe { xen_hypercall::vcpu::register_vcpu_info(&a, VcpuId(0), a.gfn(place), offset) };
    assert_eq!(register(4090), Err(Errno::INVAL));
    assert_eq!(register(64), Ok(()));
    assert_eq!(register(64), Err(Errno::INVAL), "once");
    assert_eq!(a.vcpu_info(VcpuId(0)).unwrap().addr().get(), place.addr().get() + 64);
    seen.lock().unwrap().clear();
    event_channel::send(&b, theirs).unwrap();
    assert_eq!(*seen.lock().unwrap(), [1 << ours.0]);
}

#[test]
#[should_panic(expected = "leaves its vCPU's pending flag set")]
fn a_handler_that_never_acknowledges_is_found() {
    let machine = Machine::new(1);
    let (a, b) = pair(&machine);
    a.set_upcall(|_, _| {});
    let (_, theirs) = channel(&a, &b);
    event_channel::send(&b, theirs).unwrap();
}
