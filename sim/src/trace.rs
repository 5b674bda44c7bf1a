//! What happened, call by call.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use xen_hypercall::abi::{DomId, Number, VcpuId};
use xen_hypercall::abi::{event_channel, grant_table, memory, sched, vcpu, version};

/// How many calls are kept.
const KEPT: usize = 10_000;

/// One line of a machine's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How many calls came before.
    pub step: u64,
    /// When, in system time.
    pub at: Duration,
    /// In which domain.
    pub domain: DomId,
    /// What happened.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A hypercall, after it was answered.
    Call {
        /// On which vCPU.
        vcpu: VcpuId,
        /// Which hypercall.
        number: Number,
        /// Its first argument, which is the command for most.
        command: u32,
        /// Xen's answer.
        answer: isize,
    },
    /// Something that the machine did by itself, or that a fault or a hostile domain caused.
    Note(String),
}

/// The last calls of a machine, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(VecDeque<Event>);

impl Trace {
    /// The events, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.0.iter()
    }

    /// The last `count` events.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        Self(self.0.iter().skip(self.0.len().saturating_sub(count)).cloned().collect())
    }

    /// The last `count` events, where many naps of a domain in a row, that led to nothing else, are its last one.
    #[must_use]
    pub(crate) fn last_telling(&self, count: usize) -> Self {
        let mut napping = BTreeSet::new();
        let tells = |event: &&Event| {
            if event.what.is_nap() {
                return napping.insert(event.domain);
            }
            napping.remove(&event.domain);
            true
        };
        let mut events: VecDeque<Event> = self.0.iter().rev().filter(tells).take(count).cloned().collect();
        events.make_contiguous().reverse();
        Self(events)
    }

    /// How often a hypercall was made: those with the given number, and command where one is given.
    #[must_use]
    pub fn count(&self, number: Number, command: Option<u32>) -> usize {
        let is_it = |event: &&Event| match event.what {
            What::Call { number: n, command: c, .. } => n == number && command.is_none_or(|command| c == command),
            What::Note(_) => false,
        };
        self.0.iter().filter(is_it).count()
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }
}

impl What {
    /// Whether a vCPU waited, and nothing else.
    fn is_nap(&self) -> bool {
        use sched::Command;
        let Self::Call { number: Number::SCHED_OP, command, answer: 0, .. } = *self else { return false };
        [Command::POLL, Command::BLOCK, Command::YIELD].contains(&Command(command))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6} {:>12?} domain {}", self.step, self.at, self.domain)?;
        match &self.what {
            What::Call { vcpu, number, command, answer } => {
                write!(f, " vCPU {}: {} = {answer}", vcpu.0, name(*number, *command))
            }
            What::Note(text) => write!(f, ": {text}"),
        }
    }
}

/// A call as Xen's headers name it.
fn name(number: Number, command: u32) -> String {
    let (prefix, known) = match number {
        Number::GRANT_TABLE_OP => ("GNTTABOP", grant_table::Command(command).name()),
        Number::EVENT_CHANNEL_OP => ("EVTCHNOP", event_channel::Command(command).name()),
        Number::SCHED_OP => ("SCHEDOP", sched::Command(command).name()),
        Number::MEMORY_OP => ("XENMEM", memory::Command(command).name()),
        Number::VCPU_OP => ("VCPUOP", vcpu::Command(command).name()),
        Number::XEN_VERSION => ("XENVER", version::Command(command).name()),
        number => return number.name().map_or_else(|| format!("{number:?}"), str::to_lowercase),
    };
    known.map_or_else(|| format!("{prefix}_{command}"), |known| format!("{prefix}_{}", known.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(step: u64, domain: u16, command: sched::Command) -> Event {
        let what = What::Call { vcpu: VcpuId(0), number: Number::SCHED_OP, command: command.0, answer: 0 };
        Event { step, at: Duration::ZERO, domain: DomId(domain), what }
    }

    #[test]
    fn naps_in_a_row_are_one() {
        let (nap, other) = (sched::Command::POLL, sched::Command::SHUTDOWN);
        let of = |step| event(step, (step % 2) as u16, if step == 3 { other } else { nap });
        let trace = Trace((0..10).map(of).collect());
        let steps = |count| trace.last_telling(count).iter().map(|event| event.step).collect::<Vec<_>>();
        assert_eq!(steps(24), [1, 3, 8, 9]);
        assert_eq!(steps(2), [8, 9]);
    }
}
