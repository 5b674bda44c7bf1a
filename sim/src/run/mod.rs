//! vCPUs side by side, each on a thread of its own, one at a time.

mod baton;
mod calls;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use xen_hypercall::abi::VcpuId;

use crate::hypercall::{Caller, Sleep};
use crate::machine::Shared;
use crate::{Domain, Machine};
use calls::as_vcpu;
pub(crate) use calls::{current_vcpu, is_vcpu};

/// Why a [`Machine::run`] did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// Every vCPU sleeps, and nothing will ever wake one.
    Deadlock {
        /// The machine's seed.
        seed: u64,
        /// Who waits for what.
        waiting: Vec<String>,
    },
    /// The vCPUs made more calls than the machine's fuel allows.
    OutOfFuel {
        /// The machine's seed.
        seed: u64,
        /// How many calls that were.
        steps: u64,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock { seed, waiting } => {
                write!(f, "xen-sim, seed {seed}: everybody sleeps for ever: {}", waiting.join("; "))
            }
            Self::OutOfFuel { seed, steps } => write!(f, "xen-sim, seed {seed}: no end after {steps} steps"),
        }
    }
}

impl std::error::Error for RunError {}

/// The vCPUs of one [`Machine::run`].
pub struct Scope<'scope, 'env: 'scope> {
    machine: &'env Shared,
    threads: &'scope thread::Scope<'scope, 'env>,
}

impl<'scope> Scope<'scope, '_> {
    /// Has the domain's first vCPU run `work`.
    pub fn spawn(&self, domain: &Domain, work: impl FnOnce(&Domain) + Send + 'scope) {
        self.spawn_on(domain, VcpuId(0), work);
    }

    /// Has one of the domain's vCPUs run `work`.
    ///
    /// # Panics
    ///
    /// If the domain has no such vCPU, or it runs something already.
    pub fn spawn_on(&self, domain: &Domain, vcpu: VcpuId, work: impl FnOnce(&Domain) + Send + 'scope) {
        let caller = Caller { domain: domain.id(), vcpu };
        let task = self.machine.add_task(caller);
        let domain = domain.clone();
        self.threads.spawn(move || {
            let shared = Arc::clone(domain.machine());
            let ended = catch_unwind(AssertUnwindSafe(|| {
                as_vcpu(&shared, caller, Some(task), || {
                    shared.wait_turn(task);
                    shared.deliver_upcalls();
                    work(&domain);
                });
            }));
            shared.end_task(task, ended.err());
        });
    }
}

impl Machine {
    /// Runs vCPUs side by side, each on a thread of its own, but one at a time: at every call the next one to run is
    /// chosen by the seed. Returns when all have ended.
    ///
    /// A vCPU that sleeps (`SCHEDOP_block`, `SCHEDOP_poll`) lets the others run; when all sleep, the clock moves to the
    /// next timer. A loop that makes no call is not interrupted.
    ///
    /// # Errors
    ///
    /// [`RunError`], after every vCPU was unwound.
    ///
    /// # Panics
    ///
    /// If one of the vCPUs panics, with its panic.
    pub fn run<'env>(&'env self, work: impl for<'scope> FnOnce(&Scope<'scope, 'env>)) -> Result<(), RunError> {
        let before = self.0.lock().run.replace(Run::new());
        assert!(before.is_none(), "the machine runs already");
        thread::scope(|threads| {
            // Whoever was spawned before a panic must not wait for ever.
            match catch_unwind(AssertUnwindSafe(|| work(&Scope { machine: &self.0, threads }))) {
                Ok(()) => self.0.start(),
                Err(panic) => self.0.stop(panic),
            }
        });
        let run = self.0.lock().run.take();
        self.0.report();
        match run.map(|run| run.failure) {
            Some(Some(Failure::Panicked(payload))) => resume_unwind(payload),
            Some(Some(Failure::Error(error))) => Err(error),
            Some(None) | None => Ok(()),
        }
    }
}

/// The vCPUs that run, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Run {
    tasks: Vec<Task>,
    turn: Option<usize>,
    steps: u64,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Task {
    caller: Caller,
    status: Status,
}

#[derive(Debug)]
enum Status {
    Ready,
    Asleep(Sleep),
    Done,
}

enum Failure {
    Error(RunError),
    Panicked(Box<dyn Any + Send>),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error:?}"),
            Self::Panicked(_) => f.write_str("Panicked"),
        }
    }
}

/// Unwinds a vCPU that shall run no longer.
struct Ended;

impl Run {
    const fn new() -> Self {
        Self { tasks: Vec::new(), turn: None, steps: 0, failure: None }
    }

    fn task_of(&self, caller: Caller) -> Option<usize> {
        let running = |task: &Task| task.caller == caller && !matches!(task.status, Status::Done);
        self.tasks.iter().position(running)
    }
}

impl Task {
    fn asleep(&self) -> Option<(Caller, Sleep)> {
        match &self.status {
            Status::Asleep(sleep) => Some((self.caller, sleep.clone())),
            Status::Ready | Status::Done => None,
        }
    }
}
