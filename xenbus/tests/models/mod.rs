//! A kernel as a model: its clock, and as much of Xen as the store asks for.

pub(crate) mod front;
pub(crate) mod tree;

use std::alloc::{Layout, alloc_zeroed};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loom::thread;
use xen_event_channel::model::{SharedInfo, VcpuInfo};
use xen_event_channel::{Channel, EventChannels, Events};
use xen_hypercall::abi::event_channel as abi;
use xen_hypercall::abi::{DomId, Gfn, Number, Port, VcpuId, arch, sched};
use xen_hypercall::{Arg, Clock, Errno, Frame, Hypercall, Pages};
use xen_xenbus::Store;
use xen_xenbus::store::model::Daemon;
use xen_xenbus::wire::{Header, MessageType};

/// A kernel with one vCPU. Clock and ports are the host's: no order rests on them.
#[derive(Clone)]
pub(crate) struct Kernel(Arc<Domain>);

struct Domain {
    table: EventChannels,
    shared: SharedInfo,
    vcpu: VcpuInfo,
    ports: AtomicU32,
    milliseconds: AtomicU64,
}

// SAFETY: atomics; what is none, of the vCPU that the shared page holds, nobody touches.
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Kernel {
    pub(crate) fn new() -> Self {
        let (table, shared, vcpu) = (EventChannels::new(), SharedInfo::new(), VcpuInfo::new());
        Self(Arc::new(Domain { table, shared, vcpu, ports: AtomicU32::new(0), milliseconds: AtomicU64::new(0) }))
    }

    /// A kernel with a store, and the daemon.
    pub(crate) fn boot() -> (Self, Arc<Daemon<Self>>, Store<Self>) {
        let kernel = Self::new();
        let (daemon, store) = Daemon::connect(kernel.clone(), kernel.channel());
        (kernel, Arc::new(daemon), store)
    }

    pub(crate) fn channel(&self) -> Channel<Self> {
        Channel::unbound(self, DomId(0)).expect("a port")
    }

    /// Lets the clock go to a time, if it is not there yet.
    pub(crate) fn advance(&self, to: Duration) {
        self.0.milliseconds.fetch_max(to.as_millis() as u64, SeqCst);
    }
}

impl Clock for Kernel {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.milliseconds.load(SeqCst))
    }
}

// SAFETY: touches nothing but the arguments.
unsafe impl Hypercall for Kernel {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        match (number, arguments[0].as_value() as u32) {
            (Number::EVENT_CHANNEL_OP, command) if command == abi::Command::ALLOC_UNBOUND.0 => {
                let port = Port(self.0.ports.fetch_add(1, SeqCst) + 1);
                // SAFETY: the command's structure.
                unsafe { (*arguments[1].as_ptr::<abi::AllocUnbound>()).port = port };
            }
            (Number::SCHED_OP, command) if command == sched::Command::POLL.0 => {
                // SAFETY: the command's structure.
                let timeout = unsafe { (*arguments[1].as_ptr::<sched::Poll>()).timeout };
                thread::yield_now();
                // Others have had their turn, or come too late.
                self.advance(Duration::from_nanos(timeout));
            }
            // Others send no events, and wait for none.
            (Number::EVENT_CHANNEL_OP, _) => {}
            _ => return -(Errno::NOSYS.0 as isize),
        }
        0
    }
}

// SAFETY: pages of the host's allocator, never freed.
unsafe impl Pages for Kernel {
    fn alloc(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(Layout::array::<Frame>(count.get()).ok()?) }.cast())
    }

    unsafe fn dealloc(&self, _: NonNull<Frame>) {}

    fn gfn(&self, page: NonNull<Frame>) -> Gfn {
        Gfn(page.as_ptr().expose_provenance() as u64)
    }
}

// SAFETY: the structures live as long as the domain, and hold loom's atomics, as the channels expect under loom.
unsafe impl Events for Kernel {
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

/// What the daemon was asked.
pub(crate) struct Asked {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Asked {
    pub(crate) fn is(&self, kind: MessageType) -> bool {
        self.header.kind == kind
    }

    /// The second string: of `WATCH` and `UNWATCH`, the token.
    pub(crate) fn token(&self) -> Vec<u8> {
        self.payload.split(|byte| *byte == 0).nth(1).unwrap_or_default().to_vec()
    }
}

/// What each daemon does.
pub(crate) trait Serve {
    fn next(&self) -> Option<Asked>;
    fn reply(&self, asked: &Asked);
    fn fire(&self, path: &str, token: &[u8]);
    /// Answers what there is, in its order, and returns it.
    fn serve(&self) -> Vec<Asked> {
        let all: Vec<Asked> = std::iter::from_fn(|| self.next()).collect();
        all.iter().for_each(|asked| self.reply(asked));
        all
    }
}

impl Serve for Daemon<Kernel> {
    fn next(&self) -> Option<Asked> {
        self.take().map(|(header, payload)| Asked { header, payload })
    }

    /// What was read is its own path; every transaction has the number 7.
    fn reply(&self, asked: &Asked) {
        let payload = match asked.header.kind {
            MessageType::READ => &asked.payload[..asked.payload.len() - 1],
            MessageType::TRANSACTION_START => b"7\0",
            _ => b"OK\0",
        };
        self.send(asked.header, payload);
    }

    fn fire(&self, path: &str, token: &[u8]) {
        let header = Header { kind: MessageType::WATCH_EVENT, req_id: 0, tx_id: 0, len: 0 };
        self.send(header, &[path.as_bytes(), b"\0", token, b"\0"].concat());
    }
}

/// A task that may be woken. The flag is the host's: no order rests on it.
pub(crate) struct Task(AtomicBool);

impl Task {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false)))
    }

    pub(crate) fn asks<T>(self: &Arc<Self>, ask: impl FnOnce(&mut Context<'_>) -> T) -> T {
        ask(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A model with up to three forced switches, unless the environment says otherwise.
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}
