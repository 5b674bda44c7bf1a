//! The baton: whose turn it is, chosen by the seed.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::{MutexGuard, PoisonError};
use std::thread;

use rand::RngExt;
use xen_hypercall::abi::DomId;

use super::calls::waits;
use super::{Ended, Failure, RunError, Status, Task};
use crate::hypercall::{Caller, Sleep};
use crate::machine::Shared;
use crate::state::State;

impl Shared {
    pub(super) fn add_task(&self, caller: Caller) -> usize {
        let mut state = self.lock();
        assert!(state.vcpu(caller.domain, caller.vcpu).is_ok(), "there is no vCPU {}", caller.vcpu.0);
        let run = state.run.as_mut().expect("the scope's run is on");
        assert!(run.task_of(caller).is_none(), "the vCPU runs something already");
        run.tasks.push(Task { caller, status: Status::Ready });
        run.tasks.len() - 1
    }

    pub(super) fn start(&self) {
        let mut state = self.lock();
        state.choose();
        self.turn.notify_all();
    }

    /// Ends the run before it has begun.
    pub(super) fn stop(&self, panic: Box<dyn Any + Send>) {
        self.lock().fail(Failure::Panicked(panic));
        self.turn.notify_all();
    }

    /// Hands the baton on, maybe to oneself, and waits until it is back.
    pub(super) fn pass_turn(&self, task: usize) {
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

    pub(super) fn wait_turn(&self, task: usize) {
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

    pub(super) fn end_task(&self, task: usize, panic: Option<Box<dyn Any + Send>>) {
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

impl State {
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

/// Whether a vCPU goes on.
enum Go {
    On,
    Away,
}
