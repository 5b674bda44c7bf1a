//! Who runs: calls, sleeps, upcalls, and the baton that passes between vCPUs.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rand::RngExt;
use xen_hypercall::abi::{DomId, VcpuId};

use crate::hypercall::{Call, Caller, Outcome, Sleep};
use crate::machine::Shared;
use crate::order;
use crate::state::State;
use crate::{Domain, Machine};

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
        self.0.lock().run = Some(Run::new());
        thread::scope(|threads| {
            work(&Scope { machine: &self.0, threads });
            self.0.start();
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

thread_local! {
    /// As which vCPUs this thread runs, the innermost last.
    static ROLES: RefCell<Vec<Role>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct Role {
    machine: usize,
    caller: Caller,
    task: Option<usize>,
}

fn address(machine: &Shared) -> usize {
    std::ptr::from_ref(machine).addr()
}

/// Does something as a vCPU.
fn as_vcpu(machine: &Shared, caller: Caller, task: Option<usize>, work: impl FnOnce()) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            ROLES.with_borrow_mut(|roles| roles.pop());
        }
    }
    ROLES.with_borrow_mut(|roles| roles.push(Role { machine: address(machine), caller, task }));
    let _leave = Leave;
    work();
}

/// The vCPU of a domain as which this thread runs; the first one unless it is told otherwise.
pub(crate) fn current_vcpu(machine: &Shared, domain: DomId) -> VcpuId {
    let is_it = |role: &&Role| role.machine == address(machine) && role.caller.domain == domain;
    ROLES.with_borrow(|roles| roles.iter().rev().find(is_it).map_or(VcpuId(0), |role| role.caller.vcpu))
}

/// The task that this thread is, if any.
fn current_task(machine: &Shared) -> Option<usize> {
    let of_machine = |role: &&Role| role.machine == address(machine);
    ROLES.with_borrow(|roles| roles.iter().filter(of_machine).find_map(|role| role.task))
}

impl Shared {
    pub(crate) fn hypercall(&self, caller: Caller, call: &Call) -> isize {
        let outcome = self.lock().execute(caller, call);
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Yield | Outcome::Stop => 0,
            Outcome::Sleep(sleep) => {
                self.sleep(caller, &sleep);
                0
            }
        };
        self.after_call();
        answer
    }

    /// What happens between two calls: mistakes are reported, others may run, upcalls do.
    pub(crate) fn after_call(&self) {
        self.report();
        if let Some(task) = current_task(self) {
            self.pass_turn(task);
        }
        self.deliver_upcalls();
    }

    /// Runs the upcalls that are due on this thread: its own vCPU's, and those of vCPUs that have no thread.
    pub(crate) fn deliver_upcalls(&self) {
        self.deliver(current_task(self));
    }

    fn deliver(&self, task: Option<usize>) {
        /// A handler that leaves its events pending is called again, but not for ever.
        const MOST: usize = 256;
        for _ in 0..MOST {
            let Some(caller) = self.begin_upcall(task) else { return };
            match self.handle(caller.domain) {
                Some(domain) => as_vcpu(self, caller, None, || domain.upcall(caller.vcpu)),
                None => self.forget_upcall(caller),
            }
            self.end_upcall(caller);
        }
        assert!(thread::panicking(), "the upcall handler leaves its vCPU's pending flag set for ever");
    }

    /// A domain that nobody has a handle of takes no upcalls.
    fn forget_upcall(&self, caller: Caller) {
        if let Ok(vcpu) = self.lock().vcpu(caller.domain, caller.vcpu) {
            order::put8(vcpu.upcall_pending(), 0);
        }
    }

    /// Chooses the next upcall; Xen masks further ones until it returns.
    fn begin_upcall(&self, task: Option<usize>) -> Option<Caller> {
        let mut state = self.lock();
        let caller = state.upcalls(task).next()?;
        let vcpu = state.vcpu_mut(caller.domain, caller.vcpu).ok()?;
        vcpu.in_upcall = true;
        vcpu.upcalls += 1;
        order::put8(vcpu.upcall_mask(), 1);
        Some(caller)
    }

    fn end_upcall(&self, caller: Caller) {
        if let Ok(vcpu) = self.lock().vcpu_mut(caller.domain, caller.vcpu) {
            vcpu.in_upcall = false;
            order::put8(vcpu.upcall_mask(), 0);
        }
    }

    /// Returns when what the vCPU sleeps for has come.
    fn sleep(&self, caller: Caller, sleep: &Sleep) {
        if thread::panicking() {
            return;
        }
        if let Some(task) = current_task(self) {
            let mut state = self.lock();
            if let Some(run) = &mut state.run
                && run.tasks[task].caller == caller
            {
                run.tasks[task].status = Status::Asleep(sleep.clone());
                return;
            }
        }
        self.sleep_alone(caller, sleep);
    }

    /// Sleeps without others to run meanwhile: only time can bring what the vCPU sleeps for.
    fn sleep_alone(&self, caller: Caller, sleep: &Sleep) {
        let upcalls = |state: &State| state.vcpu(caller.domain, caller.vcpu).map_or(0, |vcpu| vcpu.upcalls);
        let before = upcalls(&self.lock());
        loop {
            let mut state = self.lock();
            // An upcall that came in the wake of another domain's ends the sleep as well.
            if state.is_over(caller, sleep) || upcalls(&state) != before {
                return;
            }
            if state.orphan_upcalls() {
                drop(state);
                self.deliver(None);
            } else if !state.advance_idle(sleep.deadline()) {
                let error = RunError::Deadlock { seed: state.seed, waiting: vec![waits(caller, sleep)] };
                drop(state);
                panic!("{error}");
            }
        }
    }
}

/// The baton.
impl Shared {
    fn add_task(&self, caller: Caller) -> usize {
        let mut state = self.lock();
        assert!(state.vcpu(caller.domain, caller.vcpu).is_ok(), "there is no vCPU {}", caller.vcpu.0);
        let run = state.run.as_mut().expect("the scope's run is on");
        assert!(run.task_of(caller).is_none(), "the vCPU runs something already");
        run.tasks.push(Task { caller, status: Status::Ready });
        run.tasks.len() - 1
    }

    fn start(&self) {
        let mut state = self.lock();
        state.choose();
        self.turn.notify_all();
    }

    /// Hands the baton on, maybe to oneself, and waits until it is back.
    fn pass_turn(&self, task: usize) {
        if thread::panicking() {
            return;
        }
        let mut state = self.lock();
        let Some(run) = &mut state.run else { return };
        run.steps += 1;
        let steps = run.steps;
        if steps > self.fuel {
            let error = RunError::OutOfFuel { seed: state.seed, steps };
            state.fail(Failure::Error(error));
        } else {
            self.choose_with_upcalls(state);
            state = self.lock();
        }
        self.turn.notify_all();
        self.wait(state, task);
    }

    /// As [`State::choose`], but before the clock is moved, vCPUs without a thread run their upcalls.
    fn choose_with_upcalls<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        while !state.choose_ready() {
            if state.orphan_upcalls() {
                drop(state);
                self.deliver(None);
                state = self.lock();
            } else if !state.advance_or_fail() {
                return;
            }
        }
    }

    fn wait_turn(&self, task: usize) {
        let state = self.lock();
        self.wait(state, task);
    }

    fn wait(&self, mut state: MutexGuard<'_, State>, task: usize) {
        loop {
            match state.may_run(task) {
                Some(Go::On) => return,
                Some(Go::Away) => {
                    drop(state);
                    resume_unwind(Box::new(Ended));
                }
                None => state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn end_task(&self, task: usize, panic: Option<Box<dyn Any + Send>>) {
        let mut state = self.lock();
        if let Some(run) = &mut state.run {
            run.tasks[task].status = Status::Done;
        }
        if let Some(payload) = panic.filter(|payload| !payload.is::<Ended>()) {
            state.fail(Failure::Panicked(payload));
        }
        self.choose_with_upcalls(state);
        self.turn.notify_all();
    }
}

/// Whether a vCPU goes on.
enum Go {
    On,
    Away,
}

impl State {
    /// The vCPUs that would be called now: those of `task` and those that have no task.
    fn upcalls(&self, task: Option<usize>) -> impl Iterator<Item = Caller> + '_ {
        let callers = self
            .domains
            .values()
            .flat_map(|dom| (0..dom.vcpus.len() as u32).map(|vcpu| Caller { domain: dom.id, vcpu: VcpuId(vcpu) }));
        let of = move |caller: &Caller| {
            let owner = self.run.as_ref().and_then(|run| run.task_of(*caller));
            (owner.is_none() || owner == task) && self.wants_upcall(caller.domain, caller.vcpu)
        };
        callers.filter(of)
    }

    fn orphan_upcalls(&self) -> bool {
        self.upcalls(None).next().is_some()
    }

    /// Whether what a vCPU sleeps for has come.
    fn is_over(&self, caller: Caller, sleep: &Sleep) -> bool {
        let called = self.wants_upcall(caller.domain, caller.vcpu);
        match sleep {
            Sleep::Block => called,
            Sleep::Poll { ports, deadline } => {
                called
                    || deadline.is_some_and(|deadline| deadline <= self.now())
                    || ports.iter().any(|port| self.is_pending(caller.domain, *port))
            }
        }
    }

    /// Nobody runs: has the next thing happen that will happen by itself. Says whether there was one.
    fn advance_idle(&mut self, deadline: Option<Duration>) -> bool {
        if let Some(due) = self.delayed.iter().map(|delayed| delayed.due).min() {
            self.step = self.step.max(due);
            self.apply_delayed(due);
            return true;
        }
        let Some(next) = [self.next_timer(), deadline].into_iter().flatten().min() else { return false };
        self.set_time(next.max(self.now()));
        true
    }

    fn fail(&mut self, failure: Failure) {
        if let Some(run) = &mut self.run {
            run.failure.get_or_insert(failure);
        }
    }

    fn choose(&mut self) {
        while !self.choose_ready() && self.advance_or_fail() {}
    }

    /// Gives the turn to one of those that can run, if there is one; or nobody is left, or all is over.
    fn choose_ready(&mut self) -> bool {
        let Some(run) = &self.run else { return true };
        let all_done = run.tasks.iter().all(|task| matches!(task.status, Status::Done));
        if run.failure.is_some() || all_done {
            return true;
        }
        let ready: Vec<usize> = (0..run.tasks.len()).filter(|task| self.is_ready(&run.tasks[*task])).collect();
        if ready.is_empty() {
            return false;
        }
        let chosen = ready[self.random.schedule.random_range(0..ready.len())];
        if let Some(run) = &mut self.run {
            run.tasks[chosen].status = Status::Ready;
            run.turn = Some(chosen);
        }
        true
    }

    fn is_ready(&self, task: &Task) -> bool {
        match &task.status {
            Status::Ready => true,
            // One whose domain has ended runs to its end.
            Status::Asleep(sleep) => self.has_ended(task.caller.domain) || self.is_over(task.caller, sleep),
            Status::Done => false,
        }
    }

    fn has_ended(&self, domain: DomId) -> bool {
        self.dom(domain).shutdown.is_some()
    }

    /// Has something happen by itself, or declares a deadlock.
    fn advance_or_fail(&mut self) -> bool {
        let asleep: Vec<(Caller, Sleep)> =
            self.run.iter().flat_map(|run| &run.tasks).filter_map(Task::asleep).collect();
        let deadline = asleep.iter().filter_map(|(_, sleep)| sleep.deadline()).min();
        let advanced = self.advance_idle(deadline);
        if !advanced {
            let waiting = asleep.iter().map(|(caller, sleep)| waits(*caller, sleep)).collect();
            let error = RunError::Deadlock { seed: self.seed, waiting };
            self.fail(Failure::Error(error));
        }
        advanced
    }

    fn may_run(&self, task: usize) -> Option<Go> {
        let run = self.run.as_ref()?;
        if run.failure.is_some() {
            return Some(Go::Away);
        }
        if run.turn != Some(task) {
            return None;
        }
        let ended = self.has_ended(run.tasks[task].caller.domain);
        Some(if ended { Go::Away } else { Go::On })
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

impl Sleep {
    const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Block => None,
            Self::Poll { deadline, .. } => *deadline,
        }
    }
}

/// Who waits for what, in words.
fn waits(caller: Caller, sleep: &Sleep) -> String {
    let who = format!("domain {} vCPU {}", caller.domain, caller.vcpu.0);
    match sleep {
        Sleep::Block => format!("{who} waits for an upcall"),
        Sleep::Poll { ports, deadline } => {
            let ports: Vec<u32> = ports.iter().map(|port| port.0).collect();
            format!("{who} waits for one of the ports {ports:?}, until {deadline:?}")
        }
    }
}
