//! What goes on around a call: sleeping, upcalls, and which vCPU it is that calls.

use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use xen_hypercall::abi::{DomId, VcpuId};

use super::{RunError, Status};
use crate::hypercall::{Call, Caller, Outcome, Sleep};
use crate::machine::Shared;
use crate::order;
use crate::state::State;

impl Shared {
    pub(crate) fn hypercall(&self, caller: Caller, call: &Call) -> isize {
        self.check_thread();
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
        self.check_thread();
        self.deliver(current_task(self));
    }

    pub(super) fn deliver(&self, task: Option<usize>) {
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

    pub(super) fn orphan_upcalls(&self) -> bool {
        self.upcalls(None).next().is_some()
    }

    /// Whether what a vCPU sleeps for has come.
    pub(super) fn is_over(&self, caller: Caller, sleep: &Sleep) -> bool {
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
    pub(super) fn advance_idle(&mut self, deadline: Option<Duration>) -> bool {
        let delayed = self.delayed.iter().map(|delayed| delayed.due).min();
        if let Some(due) = delayed.into_iter().chain(self.store.next_step(self.now())).min() {
            self.step = self.step.max(due);
            self.apply_delayed(due);
            self.serve_store();
            return true;
        }
        let Some(next) = [self.next_timer(), deadline].into_iter().flatten().min() else { return false };
        self.set_time(next.max(self.now()));
        true
    }
}

impl Sleep {
    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Block => None,
            Self::Poll { deadline, .. } => *deadline,
        }
    }
}

/// Who waits for what, in words.
pub(super) fn waits(caller: Caller, sleep: &Sleep) -> String {
    let who = format!("domain {} vCPU {}", caller.domain, caller.vcpu.0);
    match sleep {
        Sleep::Block => format!("{who} waits for an upcall"),
        Sleep::Poll { ports, deadline } => {
            let ports: Vec<u32> = ports.iter().map(|port| port.0).collect();
            format!("{who} waits for one of the ports {ports:?}, until {deadline:?}")
        }
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
pub(super) fn as_vcpu(machine: &Shared, caller: Caller, task: Option<usize>, work: impl FnOnce()) {
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

/// Whether this thread runs a vCPU of the machine.
pub(crate) fn is_vcpu(machine: &Shared) -> bool {
    current_task(machine).is_some()
}

/// The task that this thread is, if any.
fn current_task(machine: &Shared) -> Option<usize> {
    let of_machine = |role: &&Role| role.machine == address(machine);
    ROLES.with_borrow(|roles| roles.iter().filter(of_machine).find_map(|role| role.task))
}
