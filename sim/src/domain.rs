//! A domain, as its kernel's code sees it.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use xen_event_channel::{EventChannels, Events};
use xen_grant_table::{GrantTable, Memory, TableFrame};
use xen_hypercall::abi::arch::{SharedInfo, VcpuInfo};
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::{DomId, Gfn, Number, Port, VcpuId};
use xen_hypercall::grant_table::Error;
use xen_hypercall::{Arg, Clock, Frame, Hypercall, Pages, grant_table};

use crate::builder::Leniency;
use crate::hypercall::{Call, Caller};
use crate::machine::Shared;
use crate::memory::{Entry, Page, Use};
use crate::run;
use crate::state::SuspendOutcome;
use crate::violation::Violation;

/// A domain of a [`Machine`](crate::Machine): what a kernel's drivers are generic over.
///
/// Cloning gives another handle. Which vCPU makes a call follows from where it is made: inside
/// [`Scope::spawn`](crate::Scope::spawn) and in upcalls it is theirs, elsewhere it is the first one.
///
/// # Threads
///
/// Hypercalls are made by the threads of a [`Machine::run`](crate::Machine::run), of which one runs at a time, and outside
/// of it by the thread that made the machine. Others panic: Xen, or another domain in the same process, would copy bytes at
/// the same time as they are used elsewhere by accesses of another size, which Rust does not allow even to atomics. Pages
/// can be allocated, granted and given back by any thread. For memory that two domains share the same rule stands, but
/// nobody checks it: outside a run it is for one thread at a time.
#[derive(Clone)]
pub struct Domain(Arc<Inner>);

/// What runs when Xen calls a vCPU.
type Upcall = Arc<dyn Fn(&Domain, VcpuId) + Send + Sync>;

pub(crate) struct Inner {
    id: DomId,
    machine: Arc<Shared>,
    shared_info: Page,
    grant_table: GrantTable,
    event_channels: EventChannels,
    upcall: Mutex<Upcall>,
}

impl Domain {
    pub(crate) fn new(id: DomId, shared_info: Page, machine: &Arc<Shared>) -> Self {
        Self(Arc::new(Inner {
            id,
            machine: Arc::clone(machine),
            shared_info,
            grant_table: GrantTable::new(),
            event_channels: EventChannels::new(),
            upcall: Mutex::new(Arc::new(xen_event_channel::dispatch)),
        }))
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    pub(crate) fn upgrade(weak: &Weak<Inner>) -> Option<Self> {
        weak.upgrade().map(Self)
    }

    pub(crate) fn machine(&self) -> &Arc<Shared> {
        &self.0.machine
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { domain: self.0.id, vcpu: self.vcpu() }
    }

    /// The domain's id.
    #[must_use]
    pub fn id(&self) -> DomId {
        self.0.id
    }

    /// System time. To look at the clock takes a step, so that a loop which waits for a time ends, and lets others run.
    #[must_use]
    pub fn now(&self) -> Duration {
        let now = {
            self.0.machine.check_thread();
            let mut state = self.0.machine.lock();
            state.begin_step();
            state.now()
        };
        self.0.machine.after_call();
        now
    }

    /// Replaces the domain's upcall handler, which by default is [`xen_event_channel::dispatch`].
    pub fn set_upcall(&self, upcall: impl Fn(&Self, VcpuId) + Send + Sync + 'static) {
        *self.0.upcall.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(upcall);
    }

    pub(crate) fn upcall(&self, vcpu: VcpuId) {
        let handler = Arc::clone(&self.0.upcall.lock().unwrap_or_else(PoisonError::into_inner));
        handler(self, vcpu);
    }

    /// What the domain wrote on the emergency console.
    #[must_use]
    pub fn console_output(&self) -> String {
        String::from_utf8_lossy(&self.0.machine.lock().dom(self.0.id).console.output).into_owned()
    }

    /// Types on the domain's emergency console.
    pub fn console_input(&self, text: &str) {
        self.0.machine.lock().dom_mut(self.0.id).console.input.extend(text.bytes());
    }

    /// Why the domain has ended, if it has.
    #[must_use]
    pub fn shutdown_reason(&self) -> Option<ShutdownReason> {
        self.0.machine.lock().dom(self.0.id).shutdown
    }

    /// The ports that the domain has open.
    #[must_use]
    pub fn open_ports(&self) -> Vec<Port> {
        self.0.machine.lock().open_ports(self.0.id)
    }

    /// The page at a frame: an own one, or one of Xen's that was placed there.
    #[must_use]
    pub fn page_at(&self, frame: Gfn) -> Option<NonNull<Frame>> {
        let state = self.0.machine.lock();
        let placed = state.dom(self.0.id).placed.get(&frame.0).copied();
        let entry = placed.or_else(|| state.memory.find(frame).filter(|entry| entry.owner == self.0.id))?;
        Some(entry.page.frame())
    }

    /// Has the domain's next suspends end in a resume elsewhere: without its ports and grants, its pages under other
    /// numbers. By default suspends are cancelled.
    ///
    /// What other domains have mapped of it is, on real Xen, memory that it has left behind. Here it stays the same memory
    /// until the domain gives the page back. That no domain's code uses such a mapping any more is up to who calls
    /// [`suspend`](xen_hypercall::sched::suspend), which is unsafe for that reason, among others.
    pub fn migrate_on_suspend(&self) {
        self.0.machine.lock().dom_mut(self.0.id).suspend = SuspendOutcome::Resumed;
    }

    fn give_back(&self, page: NonNull<Frame>) {
        let mut state = self.0.machine.lock();
        let domain = self.0.id;
        let entry = state.memory.at(page).filter(|entry| entry.owner == domain && entry.usage == Use::Allocated);
        let Some(entry) = entry else {
            return state.violation(Violation::FreedUnallocated { domain, address: page.addr().get() });
        };
        if !state.is_lenient(Leniency::UncheckedGrants)
            && let Some(violation) = state.still_used(domain, entry.gfn)
        {
            // The page is kept, so that nobody else suffers.
            return state.violation(violation);
        }
        let entry = state.stand_in(entry);
        state.memory.free(&entry);
    }
}

// What a panic leaves behind is a hypervisor between two calls, so that a test can look at it.
impl UnwindSafe for Domain {}
impl RefUnwindSafe for Domain {}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("id", &self.0.id).finish_non_exhaustive()
    }
}

// SAFETY: calls are decoded as Xen's headers have them, and memory is touched as they say.
unsafe impl Hypercall for Domain {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        // SAFETY: the caller's promise, which holds for the time of the call.
        let call = unsafe { Call::new(number, &arguments) };
        self.0.machine.hypercall(self.caller(), &call)
    }
}

// SAFETY: pages come from the machine's memory, zeroed, and are handed out once until they come back.
unsafe impl Pages for Domain {
    fn alloc(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        let page = self.0.machine.lock().alloc(self.0.id, count);
        self.0.machine.report();
        page.map(Page::frame)
    }

    unsafe fn dealloc(&self, page: NonNull<Frame>) {
        self.give_back(page);
        self.0.machine.report();
    }

    fn gfn(&self, page: NonNull<Frame>) -> Gfn {
        let gfn = {
            let mut state = self.0.machine.lock();
            // Xen puts a page that it was given back at the same frame again: its number is of use still.
            let known = |entry: &Entry| entry.owner == self.0.id && matches!(entry.usage, Use::Allocated | Use::Gone);
            match state.memory.at(page).filter(known) {
                Some(entry) => entry.gfn,
                None => {
                    let address = page.addr().get();
                    state.violation(Violation::NumberOfFreePage { domain: self.0.id, address });
                    Gfn(u64::MAX)
                }
            }
        };
        self.0.machine.report();
        gfn
    }
}

// SAFETY: the table is the domain's; its frames are those that Xen shares; reserved addresses are backed by nothing.
unsafe impl Memory for Domain {
    fn grant_table(&self) -> &GrantTable {
        &self.0.grant_table
    }

    /// As a PV kernel does it: Xen lists the frames, which the kernel then maps.
    fn map_table_frame(&self, kind: TableFrame, index: u32) -> Result<NonNull<Frame>, Error> {
        let mut frames = vec![Gfn::default(); index as usize + 1];
        match kind {
            TableFrame::Shared => grant_table::setup_table(self, DomId::SELF, &mut frames)?,
            TableFrame::Status => grant_table::get_status_frames(self, DomId::SELF, &mut frames)?,
        }
        let state = self.0.machine.lock();
        let entry = state.memory.find(frames[index as usize]).expect("Xen lists frames that exist");
        Ok(entry.page.frame())
    }

    fn reserve_foreign(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        /// More than a test uses, and few enough to have a list of.
        const MOST: usize = 1 << 20;
        if count.get() > MOST {
            return None;
        }
        let first = self.0.machine.lock().dom_mut(self.0.id).mappings.reserve(count.get());
        NonNull::new(std::ptr::without_provenance_mut(first as usize))
    }

    unsafe fn release_foreign(&self, at: NonNull<Frame>) {
        self.check_foreign(at, |mappings, address| mappings.release(address).then_some(()));
    }

    fn mapped(&self, at: NonNull<Frame>) -> NonNull<Frame> {
        let page = self.check_foreign(at, |mappings, address| mappings.at(address).map(|mapping| mapping.page));
        // Where a violation is only recorded, the guest goes on with a page that is of no use.
        let nowhere = || self.0.machine.lock().memory.xen_page(self.0.id).page;
        page.unwrap_or_else(nowhere).frame()
    }
}

impl Domain {
    fn check_foreign<T>(
        &self,
        at: NonNull<Frame>,
        look: impl FnOnce(&mut crate::grant::Mappings, u64) -> Option<T>,
    ) -> Option<T> {
        let address = at.addr().get();
        let answer = {
            let mut state = self.0.machine.lock();
            let answer = look(&mut state.dom_mut(self.0.id).mappings, address as u64);
            if answer.is_none() {
                state.violation(Violation::BadForeignAddress { domain: self.0.id, address });
            }
            answer
        };
        self.0.machine.report();
        answer
    }
}

impl Clock for Domain {
    fn now(&self) -> Duration {
        Self::now(self)
    }
}

// SAFETY: the structures are those that the machine's Xen writes, and live as long as the handle.
unsafe impl Events for Domain {
    fn event_channels(&self) -> &EventChannels {
        &self.0.event_channels
    }

    fn vcpu(&self) -> VcpuId {
        run::current_vcpu(&self.0.machine, self.0.id)
    }

    fn shared_info(&self) -> NonNull<SharedInfo> {
        self.0.shared_info.frame().cast()
    }

    fn vcpu_info(&self, vcpu: VcpuId) -> Option<NonNull<VcpuInfo>> {
        let state = self.0.machine.lock();
        let place = state.vcpu(self.0.id, vcpu).ok()?.place;
        Some(place.page.at(place.offset))
    }
}
