//! Xen as a model: the hypercalls that the models make, and how Xen delivers an event by the rules of public/xen.h and
//! public/event_channel.h.

use std::alloc::{Layout, alloc_zeroed};
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicU8, AtomicU32};
use loom::sync::{Arc, Mutex};
use xen_event_channel::model::{SharedInfo, VcpuInfo, control, event_words};
use xen_event_channel::{EventChannels, Events, dispatch};
use xen_hypercall::abi::event_channel as abi;
use xen_hypercall::abi::{Gfn, Number, Port, VcpuId, arch};
use xen_hypercall::{Arg, Errno, Frame, Hypercall, Pages};

const PENDING: u32 = 1 << abi::FIFO_PENDING;
const MASKED: u32 = 1 << abi::FIFO_MASKED;
const LINKED: u32 = 1 << abi::FIFO_LINKED;
const BUSY: u32 = 1 << abi::FIFO_BUSY;

/// A domain with one vCPU, and Xen's state of it.
#[derive(Clone)]
pub(crate) struct Guest(Arc<Domain>);

struct Domain {
    table: EventChannels,
    shared: SharedInfo,
    vcpu: VcpuInfo,
    xen: Mutex<Xen>,
}

/// What Xen keeps under its locks.
#[derive(Default)]
struct Xen {
    ports: u32,
    control: Option<Page>,
    array: Option<Page>,
    /// The last port of the queue.
    tail: u32,
}

#[derive(Clone, Copy)]
struct Page(NonNull<Frame>);

// SAFETY: atomics.
unsafe impl Send for Page {}

impl Guest {
    pub(crate) fn new() -> Self {
        let (table, shared, vcpu) = (EventChannels::new(), SharedInfo::new(), VcpuInfo::new());
        Self(Arc::new(Domain { table, shared, vcpu, xen: Mutex::new(Xen::default()) }))
    }

    /// The upcalls that are due, on the guest's vCPU. Relaxed: the dispatch relies on nothing that comes before it.
    pub(crate) fn upcall(&self) {
        if self.0.vcpu.upcall_pending().load(Relaxed) != 0 {
            dispatch(self, VcpuId(0));
        }
    }

    /// The upcalls that are due when nobody else runs any more.
    pub(crate) fn settle(&self) {
        for _ in 0..4 {
            self.upcall();
        }
        assert_eq!(self.0.vcpu.upcall_pending().load(SeqCst), 0, "the upcalls do not end");
    }

    /// The other domain signals.
    pub(crate) fn signal(&self, port: Port) {
        let xen = self.0.xen.lock().unwrap();
        if xen.control.is_some() { self.signal_fifo(xen, port) } else { self.signal_two_level(port) }
    }

    fn signal_two_level(&self, port: Port) {
        let (pending, mask, bit) = self.0.shared.port(port.0);
        if pending.fetch_or(bit, SeqCst) & bit == 0 && mask.fetch_or(0, SeqCst) & bit == 0 {
            self.select(port);
        }
    }

    fn select(&self, port: Port) {
        let word = 1 << (port.0 / xen_event_channel::model::PORTS);
        if self.0.vcpu.selector().fetch_or(word, SeqCst) & word == 0 {
            self.0.vcpu.upcall_pending().swap(1, SeqCst);
        }
    }

    fn signal_fifo(&self, mut xen: loom::sync::MutexGuard<'_, Xen>, port: Port) {
        let word = &xen.words()[port.0 as usize];
        word.fetch_or(PENDING, SeqCst);
        if word.fetch_or(0, SeqCst) & MASKED != 0 || word.fetch_or(LINKED, SeqCst) & LINKED != 0 {
            return;
        }
        // A tail that is linked is in a queue, which goes on; otherwise the queue is empty and begins anew.
        let tail = xen.tail;
        let appended = tail != 0 && tail != port.0 && append(&xen.words()[tail as usize], port.0);
        let control = xen.control();
        if !appended {
            control.head.swap(port.0, SeqCst);
        }
        xen.tail = port.0;
        if !appended && control.ready.fetch_or(1, SeqCst) & 1 == 0 {
            self.0.vcpu.upcall_pending().swap(1, SeqCst);
        }
    }

    fn unmask(&self, port: Port) {
        let xen = self.0.xen.lock().unwrap();
        if xen.control.is_none() {
            let (pending, mask, bit) = self.0.shared.port(port.0);
            if mask.fetch_and(!bit, SeqCst) & bit != 0 && pending.fetch_or(0, SeqCst) & bit != 0 {
                self.select(port);
            }
        } else if xen.words()[port.0 as usize].fetch_and(!MASKED, SeqCst) & PENDING != 0 {
            self.signal_fifo(xen, port);
        }
    }
}

/// Links a port behind the tail, if that is linked still. BUSY announces the change.
fn append(tail: &AtomicU32, port: u32) -> bool {
    let linked = |word| (word & LINKED != 0).then_some(word | BUSY);
    if tail.fetch_update(SeqCst, SeqCst, linked).is_err() {
        return false;
    }
    let link = |word| (word & LINKED != 0).then_some(word & !(BUSY | abi::FIFO_LINK_MASK) | port);
    let appended = tail.fetch_update(SeqCst, SeqCst, link).is_ok();
    if !appended {
        tail.fetch_and(!BUSY, SeqCst);
    }
    appended
}

impl Xen {
    fn words(&self) -> &'static [AtomicU32] {
        // SAFETY: the table's page, which is never freed.
        unsafe { event_words(self.array.expect("an array").0) }
    }

    fn control(&self) -> xen_event_channel::model::Control<'static> {
        // SAFETY: as above.
        unsafe { control(self.control.expect("a control block").0) }
    }
}

// SAFETY: touches nothing but the arguments.
unsafe impl Hypercall for Guest {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        assert_eq!(number, Number::EVENT_CHANNEL_OP, "a call that no model makes");
        let argument = arguments[1];
        match abi::Command(arguments[0].as_value() as u32) {
            abi::Command::ALLOC_UNBOUND => {
                let mut xen = self.0.xen.lock().unwrap();
                xen.ports += 1;
                // SAFETY: the command's structure.
                unsafe { (*argument.as_ptr::<abi::AllocUnbound>()).port = Port(xen.ports) };
            }
            // SAFETY: the command's structure.
            abi::Command::UNMASK => self.unmask(unsafe { *argument.as_ptr::<abi::Unmask>() }.port),
            abi::Command::INIT_CONTROL => {
                // SAFETY: the command's structure.
                let init = unsafe { *argument.as_ptr::<abi::InitControl>() };
                self.0.xen.lock().unwrap().control = Some(page(init.control_gfn));
            }
            abi::Command::EXPAND_ARRAY => {
                // SAFETY: the command's structure.
                let expand = unsafe { *argument.as_ptr::<abi::ExpandArray>() };
                self.0.xen.lock().unwrap().array = Some(page(expand.array_gfn));
            }
            abi::Command::CLOSE => {}
            _ => return -(Errno::NOSYS.0 as isize),
        }
        0
    }
}

const fn page(gfn: Gfn) -> Page {
    Page(NonNull::new(std::ptr::with_exposed_provenance_mut(gfn.0 as usize)).expect("a page"))
}

// SAFETY: pages of the host's allocator, never freed.
unsafe impl Pages for Guest {
    fn alloc(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(Layout::array::<Frame>(count.get()).ok()?) }.cast())
    }

    unsafe fn dealloc(&self, _: NonNull<Frame>) {}

    fn gfn(&self, page: NonNull<Frame>) -> Gfn {
        Gfn(page.as_ptr().expose_provenance() as u64)
    }
}

// SAFETY: the structures live as long as the domain, and hold loom's atomics, as this crate expects under loom.
unsafe impl Events for Guest {
    fn event_channels(&self) -> &EventChannels {
        &self.0.table
    }

    fn vcpu(&self) -> VcpuId {
        VcpuId(0)
    }

    fn shared_info(&self) -> NonNull<arch::SharedInfo> {
        self.0.shared.as_abi()
    }

    fn vcpu_info(&self, vcpu: VcpuId) -> Option<NonNull<arch::VcpuInfo>> {
        (vcpu == VcpuId(0)).then(|| self.0.vcpu.as_abi())
    }
}

/// What a peer does before each event: the work that its signal announces.
pub(crate) struct Work(AtomicU8);

impl Work {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(0)))
    }

    /// Does one piece and signals.
    pub(crate) fn send(&self, guest: &Guest, port: Port) {
        // Relaxed: that it is seen is what the events' own orderings are for.
        self.0.fetch_add(1, Relaxed);
        guest.signal(port);
    }

    /// How much there is to see.
    pub(crate) fn seen(&self) -> u8 {
        self.0.load(Relaxed)
    }
}
