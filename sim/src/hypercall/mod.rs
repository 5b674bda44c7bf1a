//! Hypercalls: from the raw arguments to what Xen does, and back.

mod arguments;
mod event_channel;
mod grant_table;
mod memory;
mod operands;
mod other;
mod sched;
mod vcpu;

use std::time::Duration;

use xen_hypercall::Errno;
use xen_hypercall::abi::multicall::Entry;
use xen_hypercall::abi::{DomId, Number, Port, VcpuId};

use crate::builder::Leniency;
use crate::state::State;
use crate::trace::{Event, What};
pub(crate) use arguments::Call;
use arguments::{Operand, Operands, Role};

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    pub(crate) domain: DomId,
    pub(crate) vcpu: VcpuId,
}

/// What comes of a call.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// An answer.
    Answer(isize),
    /// An answer, after others have run.
    Yield,
    /// An answer, when something has come.
    Sleep(Sleep),
    /// The domain has ended.
    Stop,
}

/// What a vCPU sleeps for.
#[derive(Clone, Debug)]
pub(crate) enum Sleep {
    /// An upcall.
    Block,
    /// One of these ports, or a time.
    Poll { ports: Vec<Port>, deadline: Option<Duration> },
}

/// The answer of a call that is over at once.
pub(crate) type Answer = Result<usize, Errno>;

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Answer(match answer {
            Ok(value) => value as isize,
            Err(errno) => -(errno.0 as isize),
        })
    }
}

impl State {
    /// Carries a call out, as far as that goes without waiting.
    pub(crate) fn execute(&mut self, caller: Caller, call: &Call) -> Outcome {
        self.begin_step();
        let outcome = match self.refusal(caller, call) {
            Some(errno) => Err(errno).into(),
            None => self.dispatch(caller, call),
        };
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Yield | Outcome::Sleep(_) | Outcome::Stop => 0,
        };
        self.record(caller, call, answer);
        outcome
    }

    /// Why the call fails before it begins: by a fault, or because the domain is gone. The dead can let go of what they have
    /// mapped, and do nothing else; Xen does that for them, some time after their death.
    fn refusal(&mut self, caller: Caller, call: &Call) -> Option<Errno> {
        if !self.exists(caller.domain) && !call.is_unmap() {
            return Some(Errno::SRCH);
        }
        let errno = self.faults.of_call(call.number, call.command(), caller.domain)?;
        self.note(caller.domain, format!("the next call fails by a fault: {errno}"));
        Some(errno)
    }

    fn dispatch(&mut self, caller: Caller, call: &Call) -> Outcome {
        match call.number {
            Number::GRANT_TABLE_OP => self.grant_table_op(caller, call).into(),
            Number::EVENT_CHANNEL_OP => self.event_channel_op(caller, call).into(),
            Number::SCHED_OP => self.sched_op(caller, call),
            Number::SET_TIMER_OP => self.set_timer_op(caller, call).into(),
            Number::VCPU_OP => self.vcpu_op(caller, call).into(),
            Number::MEMORY_OP => self.memory_op(caller, call).into(),
            Number::XEN_VERSION => self.xen_version(call).into(),
            Number::CONSOLE_IO => self.console_io(caller, call).into(),
            Number::VM_ASSIST => Outcome::Answer(0),
            Number::MULTICALL => self.multicall(caller, call).into(),
            _ => Err(Errno::NOSYS).into(),
        }
    }

    /// Calls in a batch are carried out one after the other; none of them waits.
    fn multicall(&mut self, caller: Caller, call: &Call) -> Answer {
        let entries = call.operands::<Entry>(0, call.value(1))?;
        for index in 0..entries.len() {
            let mut entry = entries.get(index);
            // SAFETY: the batch's contract is that of its calls.
            let inner = unsafe { Call::new(Number(entry.op as u32), &entry.args) };
            let outcome = match inner.number {
                Number::MULTICALL => Err(Errno::INVAL).into(),
                _ => self.execute(caller, &inner),
            };
            entry.result = match outcome {
                Outcome::Answer(answer) => answer as u64,
                Outcome::Yield | Outcome::Sleep(_) | Outcome::Stop => 0,
            };
            self.give_back(&entries, index, entry);
        }
        Ok(0)
    }

    /// Writes a structure back, its input overwritten.
    fn give_back<T: Operand>(&mut self, operands: &Operands<T>, index: usize, mut value: T) {
        assert!(T::ROLE == Role::Both);
        if !self.is_lenient(Leniency::KeepArguments) {
            value.scribble(self.junk());
        }
        operands.put(index, value);
    }

    fn junk(&mut self) -> u64 {
        use rand::Rng;
        self.random.junk.next_u64() | 1
    }

    fn record(&mut self, caller: Caller, call: &Call, answer: isize) {
        let what = What::Call { vcpu: caller.vcpu, number: call.number, command: call.command(), answer };
        self.trace.push(Event { step: self.step, at: self.now(), domain: caller.domain, what });
    }
}
