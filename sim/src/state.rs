//! Everything that the hypervisor knows. One lock holds it all.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xen_hypercall::Errno;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::{DomId, Port, VcpuId};

use crate::builder::{DomainConfig, Leniency, MachineConfig};
use crate::event::{Channels, Vcpu};
use crate::fault::Plan;
use crate::grant::{Mappings, Table};
use crate::memory::{Entry, Memory};
use crate::run::Run;
use crate::store::Store;
use crate::time::Clock;
use crate::trace::{Event, Trace, What};
use crate::violation::Violation;

/// The hypervisor's state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) seed: u64,
    pub(crate) domains: BTreeMap<DomId, Dom>,
    pub(crate) memory: Memory,
    pub(crate) clock: Clock,
    pub(crate) step: u64,
    pub(crate) faults: Plan,
    pub(crate) delayed: Vec<Delayed>,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) violations: Vec<Violation>,
    /// How many of the violations have caused a panic.
    pub(crate) reported: usize,
    pub(crate) lenient: BTreeSet<Leniency>,
    pub(crate) run: Option<Run>,
    pub(crate) store: Store,
}

/// One stream of random numbers for each purpose, so that more of one does not shift the others.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) delays: ChaCha8Rng,
    pub(crate) schedule: ChaCha8Rng,
    pub(crate) hostile: ChaCha8Rng,
    pub(crate) junk: ChaCha8Rng,
}

/// A domain, as Xen sees it.
#[derive(Debug)]
pub(crate) struct Dom {
    pub(crate) id: DomId,
    pub(crate) shared_info: Entry,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) channels: Channels,
    pub(crate) table: Table,
    pub(crate) mappings: Mappings,
    /// Pages of Xen's that the guest has placed at frames of its choice.
    pub(crate) placed: BTreeMap<u64, Entry>,
    pub(crate) max_pages: usize,
    pub(crate) console: Console,
    pub(crate) shutdown: Option<ShutdownReason>,
    pub(crate) suspend: SuspendOutcome,
    /// How often it was resumed elsewhere.
    pub(crate) resumes: u64,
    /// It is gone: others cannot reach it, and its calls fail.
    pub(crate) destroyed: bool,
}

/// The emergency console of a domain.
#[derive(Debug, Default)]
pub(crate) struct Console {
    pub(crate) output: Vec<u8>,
    pub(crate) input: Vec<u8>,
}

/// What a suspend of a domain leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SuspendOutcome {
    #[default]
    Cancelled,
    Resumed,
}

/// Something that takes effect some steps later.
#[derive(Clone, Debug)]
pub(crate) struct Delayed {
    pub(crate) due: u64,
    pub(crate) effect: Effect,
}

/// What takes effect later.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// A domain is no longer seen to use a page of `granter`.
    Unpin { granter: DomId, gref: GrantRef, writing: Writing },
    /// An event arrives.
    Event { domain: DomId, port: Port },
}

/// Whether a page is used for writing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    No,
    Yes,
}

impl State {
    pub(crate) fn new(config: &MachineConfig) -> Self {
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
            rng.set_stream(number);
            rng
        };
        Self {
            seed: config.seed,
            domains: BTreeMap::new(),
            memory: Memory::new(config.first_frame, stream(1)),
            clock: Clock::new(),
            step: 0,
            faults: Plan::new(stream(2)),
            delayed: Vec::new(),
            random: Random { delays: stream(3), schedule: stream(4), hostile: stream(5), junk: stream(6) },
            trace: Trace::default(),
            violations: Vec::new(),
            reported: 0,
            lenient: config.lenient.clone(),
            run: None,
            store: Store::new(stream(7)),
        }
    }

    /// Makes a domain. Its id is the first that is free, from 1.
    pub(crate) fn create(&mut self, config: &DomainConfig) -> DomId {
        let id = config.id.unwrap_or_else(|| self.free_id());
        assert!(id.is_ordinary() && !self.domains.contains_key(&id), "domain {id} exists, or cannot");
        self.memory.populate(id, config.pages);
        let shared_info = self.memory.xen_page(id);
        let vcpus = (0..config.vcpus.get()).map(|vcpu| Vcpu::new(vcpu, &mut self.memory, &shared_info)).collect();
        let table = Table::new(config.max_grant_frames, self.memory.xen_page(id));
        let dom = Dom {
            id,
            shared_info,
            vcpus,
            channels: Channels::new(config.max_ports),
            table,
            mappings: Mappings::new(id, config.max_mappings),
            placed: BTreeMap::new(),
            max_pages: config.pages.get(),
            console: Console::default(),
            shutdown: None,
            suspend: SuspendOutcome::default(),
            resumes: 0,
            destroyed: false,
        };
        self.domains.insert(id, dom);
        self.tell_time();
        id
    }

    fn free_id(&self) -> DomId {
        (1..DomId::FIRST_RESERVED.0).map(DomId).find(|id| !self.domains.contains_key(id)).expect("too many domains")
    }

    /// A domain that is there. The simulator's own ids are.
    pub(crate) fn dom(&self, id: DomId) -> &Dom {
        &self.domains[&id]
    }

    pub(crate) fn dom_mut(&mut self, id: DomId) -> &mut Dom {
        self.domains.get_mut(&id).expect("the domain was destroyed")
    }

    /// The domain that `who` means by an id of its own, by `DOMID_SELF`, or by another's.
    pub(crate) fn resolve(&self, caller: DomId, who: DomId) -> Result<DomId, Errno> {
        let id = if who == DomId::SELF { caller } else { who };
        if self.exists(id) { Ok(id) } else { Err(Errno::SRCH) }
    }

    /// Whether there is such a domain, and it was not destroyed.
    pub(crate) fn exists(&self, id: DomId) -> bool {
        self.domains.get(&id).is_some_and(|dom| !dom.destroyed)
    }

    /// As [`resolve`](Self::resolve), for what an ordinary domain may do to itself only.
    pub(crate) fn resolve_self(&self, caller: DomId, who: DomId) -> Result<DomId, Errno> {
        let id = self.resolve(caller, who)?;
        if id == caller { Ok(id) } else { Err(Errno::PERM) }
    }

    pub(crate) fn is_lenient(&self, leniency: Leniency) -> bool {
        self.lenient.contains(&leniency)
    }

    pub(crate) fn violation(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    pub(crate) fn note(&mut self, domain: DomId, text: impl Into<String>) {
        let what = What::Note(text.into());
        self.trace.push(Event { step: self.step, at: self.now(), domain, what });
    }

    pub(crate) const fn now(&self) -> Duration {
        self.clock.now()
    }

    /// One more call: time passes, and what was delayed until now takes effect.
    pub(crate) fn begin_step(&mut self) {
        self.step += 1;
        self.clock.tick();
        self.tell_time();
        self.apply_delayed(self.step);
        self.fire_timers();
        self.serve_store();
        self.audit();
    }

    /// Has an effect come some steps later, by the seed.
    pub(crate) fn delay(&mut self, effect: Effect) {
        let due = self.step + self.random.delays.random_range(1..=8);
        self.delayed.push(Delayed { due, effect });
    }

    /// Carries out what is due at `step`.
    pub(crate) fn apply_delayed(&mut self, step: u64) {
        if self.delayed.iter().all(|delayed| delayed.due > step) {
            return;
        }
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|delayed| delayed.due <= step);
        self.delayed = later;
        let due: Vec<Delayed> = due;
        for delayed in due {
            match delayed.effect {
                Effect::Unpin { granter, gref, writing } => self.unpin(granter, gref, writing),
                Effect::Event { domain, port } => self.set_pending(domain, port),
            }
        }
    }

    /// Ends a domain: ports closed, memory lost to nobody. Its mappings stay until its code lets go of them; until then its
    /// code can use the pages.
    pub(crate) fn destroy(&mut self, id: DomId) {
        self.close_all(id);
        self.note(id, "destroyed");
        let dom = self.dom_mut(id);
        dom.destroyed = true;
        dom.shutdown = dom.shutdown.or(Some(ShutdownReason::CRASH));
        self.forget_store(id);
    }

    /// The vCPU, where the domain has it.
    pub(crate) fn vcpu(&self, domain: DomId, vcpu: VcpuId) -> Result<&Vcpu, Errno> {
        self.dom(domain).vcpus.get(vcpu.0 as usize).ok_or(Errno::NOENT)
    }

    pub(crate) fn vcpu_mut(&mut self, domain: DomId, vcpu: VcpuId) -> Result<&mut Vcpu, Errno> {
        self.dom_mut(domain).vcpus.get_mut(vcpu.0 as usize).ok_or(Errno::NOENT)
    }

    /// Adjacent pages for a domain's kernel, as far as it may have them.
    pub(crate) fn alloc(&mut self, domain: DomId, count: NonZeroUsize) -> Option<crate::memory::Page> {
        let wanted = self.memory.in_use(domain).checked_add(count.get())?;
        if wanted > self.dom(domain).max_pages {
            return None;
        }
        let (page, damage) = self.memory.alloc(domain, count)?;
        for damage in damage {
            self.violation(Violation::WrittenAfterFree { domain, page: damage.gfn, offset: damage.offset });
        }
        Some(page)
    }
}
