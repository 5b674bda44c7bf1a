//! `sched_op` and `set_timer_op`.

use std::time::Duration;

use xen_hypercall::Errno;
use xen_hypercall::abi::sched::{Command, Poll, Shutdown, ShutdownReason};
use xen_hypercall::abi::{DomId, Port};

use super::arguments::Operands;
use super::{Answer, Call, Caller, Outcome, Sleep};
use crate::order;
use crate::state::{State, SuspendOutcome};

/// How many ports Xen looks at in one poll.
const MOST_PORTS: u32 = 128;

impl State {
    pub(super) fn sched_op(&mut self, caller: Caller, call: &Call) -> Outcome {
        match Command(call.command()) {
            Command::YIELD => Outcome::Yield,
            Command::BLOCK => {
                if let Ok(vcpu) = self.vcpu(caller.domain, caller.vcpu) {
                    order::put8(vcpu.upcall_mask(), 0);
                }
                Outcome::Sleep(Sleep::Block)
            }
            Command::POLL => self.poll(caller, call).map_or_else(|errno| Err(errno).into(), Outcome::Sleep),
            Command::SHUTDOWN => match call.operand::<Shutdown>(1) {
                Ok(shutdown) => self.shutdown(caller, shutdown.get(0).reason),
                Err(errno) => Err(errno).into(),
            },
            _ => Err(Errno::NOSYS).into(),
        }
    }

    fn poll(&self, caller: Caller, call: &Call) -> Result<Sleep, Errno> {
        let poll = call.operand::<Poll>(1)?.get(0);
        if poll.nr_ports > MOST_PORTS {
            return Err(Errno::INVAL);
        }
        // SAFETY: the call's contract has Xen read `nr_ports` ports there.
        let ports: Vec<Port> = unsafe { Operands::nested(poll.ports, poll.nr_ports as usize) }?.iter().collect();
        for port in &ports {
            self.dom(caller.domain).channels.get(*port)?;
        }
        Ok(Sleep::Poll { ports, deadline: deadline(poll.timeout) })
    }

    fn shutdown(&mut self, caller: Caller, reason: ShutdownReason) -> Outcome {
        if reason == ShutdownReason::SUSPEND {
            return self.suspend(caller);
        }
        if reason > ShutdownReason::MAX {
            return Err(Errno::INVAL).into();
        }
        self.dom_mut(caller.domain).shutdown = Some(reason);
        self.note(caller.domain, format!("shuts down: {reason:?}"));
        self.tell_store_of_end();
        Outcome::Stop
    }

    /// 1 for a suspend that was cancelled; 0 in the domain that was made from the image.
    fn suspend(&mut self, caller: Caller) -> Outcome {
        match self.dom(caller.domain).suspend {
            SuspendOutcome::Cancelled => Outcome::Answer(1),
            SuspendOutcome::Resumed => {
                self.resume(caller.domain);
                Outcome::Answer(0)
            }
        }
    }

    /// What a domain finds after a migration: no port, no grant in use, no mapping, everything else as it was.
    /// What others have mapped is the memory of before.
    fn resume(&mut self, domain: DomId) {
        self.drop_mappings(domain);
        self.reset_channels(domain);
        self.clear_words(domain);
        self.leave_users(domain);
        self.reset_table(domain);
        self.renumber(domain);
        for vcpu in &mut self.dom_mut(domain).vcpus {
            vcpu.timers = crate::time::Timers::default();
        }
        self.dom_mut(domain).resumes += 1;
        self.note(domain, "resumed");
        self.resume_store(domain);
        self.tell_time();
    }

    /// Gives all pages of a domain other numbers; Xen knows its own by these, too.
    fn renumber(&mut self, domain: DomId) {
        let Self { memory, domains, .. } = self;
        memory.renumber(domain);
        let Some(dom) = domains.get_mut(&domain) else { return };
        memory.refresh(&mut dom.shared_info);
        dom.placed.values_mut().for_each(|page| memory.refresh(page));
        dom.table.refresh(memory);
    }

    pub(super) fn set_timer_op(&mut self, caller: Caller, call: &Call) -> Answer {
        let deadline = call.value(0) as u64;
        self.vcpu_mut(caller.domain, caller.vcpu)?.timers.timer =
            (deadline != 0).then(|| Duration::from_nanos(deadline));
        self.fire_timers();
        Ok(0)
    }
}

/// 0 is Xen's word for no deadline. Its times are signed: the last one never comes, and what looks like a later one was long ago.
fn deadline(timeout: u64) -> Option<Duration> {
    match i64::try_from(timeout) {
        Ok(0 | i64::MAX) => None,
        Ok(_) => Some(Duration::from_nanos(timeout)),
        Err(_) => Some(Duration::ZERO),
    }
}
