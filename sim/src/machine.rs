//! The machine that the domains of a test run on.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use xen_hypercall::abi::{DomId, Port, VcpuId, Virq};

use crate::builder::{Builder, DomainBuilder, DomainConfig, MachineConfig, OnViolation};
use crate::domain::{Domain, Inner};
use crate::run;
use crate::state::State;
use crate::trace::Trace;
use crate::violation::Violation;

/// A simulated machine with Xen on it.
///
/// Everything that it leaves to chance follows from its seed: the same program with the same seed does the same. The
/// seed is in every report. When a test panics, the machine prints its seed and the last calls.
///
/// Outside [`run`](Self::run) it is for the thread that made it; see [`Domain`](Domain#threads).
pub struct Machine(pub(crate) Arc<Shared>);

/// What the machine and the handles of its domains have in common.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The thread that made the machine.
    home: ThreadId,
    /// Signalled when another vCPU is to run.
    pub(crate) turn: Condvar,
    pub(crate) fuel: u64,
    on_violation: OnViolation,
    domains: Mutex<BTreeMap<DomId, Weak<Inner>>>,
}

/// How many of the last calls a report shows.
const SHOWN: usize = 24;

impl Machine {
    /// A machine as strict as it can be. See [`builder`](Self::builder) for others.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::builder(seed).build()
    }

    /// Begins to make a machine.
    #[must_use]
    pub const fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }

    /// A machine whose seed is in the environment variable `XEN_SIM_SEED`, and `seed` if it is not set: to replay a run
    /// without a change of the program.
    ///
    /// # Panics
    ///
    /// If the variable is not a number.
    #[must_use]
    pub fn from_env(seed: u64) -> Self {
        let value = std::env::var("XEN_SIM_SEED").ok();
        Self::new(value.map_or(seed, |text| text.parse().expect("XEN_SIM_SEED is not a number")))
    }

    pub(crate) fn from_config(config: &MachineConfig) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(config)),
            home: thread::current().id(),
            turn: Condvar::new(),
            fuel: config.fuel,
            on_violation: config.on_violation,
            domains: Mutex::default(),
        }))
    }

    /// A new domain with one vCPU and 256 pages.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.domain_builder().build()
    }

    /// Begins to make a domain.
    #[must_use]
    pub const fn domain_builder(&self) -> DomainBuilder<'_> {
        DomainBuilder::new(self)
    }

    pub(crate) fn create(&self, config: &DomainConfig) -> Domain {
        let domain = {
            let mut state = self.0.lock();
            let id = state.create(config);
            Domain::new(id, state.dom(id).shared_info.page, &self.0)
        };
        self.0.enter(&domain);
        domain
    }

    /// The number that everything follows from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.lock().seed
    }

    /// System time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.lock().now()
    }

    /// Lets time pass: timers that expire raise their interrupt, and upcalls run.
    pub fn advance(&self, time: Duration) {
        let end = self.now() + time;
        loop {
            let next = self.0.lock().next_timer().filter(|next| *next <= end);
            self.0.lock().set_time(next.unwrap_or(end));
            self.0.deliver_upcalls();
            if next.is_none() {
                break;
            }
        }
        self.0.report();
    }

    /// Sets the clock, to an earlier time too, as after a migration.
    pub fn jump_to(&self, time: Duration) {
        self.0.lock().set_time(time);
        self.0.deliver_upcalls();
    }

    /// Has everything come that was delayed: unmapped pages are seen to be, events arrive.
    pub fn settle(&self) {
        self.0.lock().audit();
        while let Some(due) = {
            let state = self.0.lock();
            state.delayed.iter().map(|delayed| delayed.due).max()
        } {
            self.0.lock().apply_delayed(due);
        }
        self.0.lock().settle_store();
        self.0.deliver_upcalls();
        self.0.report();
    }

    /// Raises a virtual interrupt of a domain, on its first vCPU where each has its own.
    pub fn raise(&self, domain: &Domain, virq: Virq) {
        self.0.lock().raise_virq(domain.id(), virq, VcpuId(0));
        self.0.deliver_upcalls();
    }

    /// Makes a port of a domain pending, for no reason: a spurious event. Nothing happens on a port that is not open.
    pub fn spurious_event(&self, domain: &Domain, port: Port) {
        {
            let mut state = self.0.lock();
            state.note(domain.id(), format!("a spurious event on port {}", port.0));
            state.set_pending(domain.id(), port);
        }
        self.0.deliver_upcalls();
    }

    /// Destroys a domain: its ports are closed, its calls fail. What it granted stays in the hands of those who have it
    /// mapped.
    ///
    /// What it has mapped itself stays mapped, and its peers' entries in use, until the test drops its mappings: a dead
    /// domain can unmap, and nothing else. Real Xen, too, lets go of a dead domain's pages late, and tells nobody when.
    pub fn destroy(&self, domain: &Domain) {
        self.0.lock().destroy(domain.id());
        self.0.turn.notify_all();
        self.0.deliver_upcalls();
    }

    /// The last calls.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.0.lock().trace.clone()
    }

    /// The violations so far. Only with [`Builder::record_violations`] can there be some without a panic.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.0.lock().violations.clone()
    }
}

// As for `Domain`.
impl UnwindSafe for Machine {}
impl RefUnwindSafe for Machine {}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("seed", &self.seed()).finish_non_exhaustive()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = self.0.lock();
            eprintln!(
                "xen-sim: the machine's seed is {}; its last calls were (of naps in a row, the last):\n{}",
                state.seed,
                state.trace.last_telling(SHOWN)
            );
        }
    }
}

impl Shared {
    /// The state. What a panic left behind is still consistent: panics come between calls.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Panics on a thread that is neither a vCPU's nor the machine's own: what it does would race with theirs.
    pub(crate) fn check_thread(&self) {
        let known = thread::current().id() == self.home || run::is_vcpu(self) || thread::panicking();
        assert!(known, "xen-sim: outside `Machine::run` only the thread that made a machine can have it do something");
    }

    fn enter(&self, domain: &Domain) {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        domains.insert(domain.id(), domain.downgrade());
    }

    /// A handle of a domain, where there are others.
    pub(crate) fn handle(&self, id: DomId) -> Option<Domain> {
        let domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        domains.get(&id).and_then(Domain::upgrade)
    }

    /// Panics at violations that have not been reported, unless they are only kept, or there is a panic already.
    pub(crate) fn report(&self) {
        let report = {
            let mut state = self.lock();
            let fresh = state.violations[state.reported..].to_vec();
            state.reported = state.violations.len();
            if fresh.is_empty() || self.on_violation == OnViolation::Record || std::thread::panicking() {
                return;
            }
            let all: Vec<String> = fresh.iter().map(ToString::to_string).collect();
            format!("xen-sim, seed {}: {}", state.seed, all.join("; "))
        };
        panic!("{report}");
    }
}
