//! Faults by script: which call fails, how, and when.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::Errno;
use xen_hypercall::abi::grant_table::Status;
use xen_hypercall::abi::{DomId, Number};
use xen_hypercall::abi::{event_channel, grant_table, memory, sched, vcpu};

/// Which hypercalls a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    number: Number,
    command: Option<u32>,
    domain: Option<DomId>,
}

impl Target {
    /// All calls of that number.
    #[must_use]
    pub const fn number(number: Number) -> Self {
        Self { number, command: None, domain: None }
    }

    /// A command of `grant_table_op`.
    #[must_use]
    pub const fn grant_table(command: grant_table::Command) -> Self {
        Self::number(Number::GRANT_TABLE_OP).command(command.0)
    }

    /// A command of `event_channel_op`.
    #[must_use]
    pub const fn event_channel(command: event_channel::Command) -> Self {
        Self::number(Number::EVENT_CHANNEL_OP).command(command.0)
    }

    /// A command of `sched_op`.
    #[must_use]
    pub const fn sched(command: sched::Command) -> Self {
        Self::number(Number::SCHED_OP).command(command.0)
    }

    /// A command of `memory_op`.
    #[must_use]
    pub const fn memory(command: memory::Command) -> Self {
        Self::number(Number::MEMORY_OP).command(command.0)
    }

    /// A command of `vcpu_op`.
    #[must_use]
    pub const fn vcpu(command: vcpu::Command) -> Self {
        Self::number(Number::VCPU_OP).command(command.0)
    }

    /// Calls of one domain only.
    #[must_use]
    pub const fn by(mut self, domain: DomId) -> Self {
        self.domain = Some(domain);
        self
    }

    const fn command(mut self, command: u32) -> Self {
        self.command = Some(command);
        self
    }

    fn matches(&self, number: Number, command: u32, domain: DomId) -> bool {
        self.number == number
            && self.command.is_none_or(|wanted| wanted == command)
            && self.domain.is_none_or(|wanted| wanted == domain)
    }
}

/// Which of the occasions that a fault is for it strikes. They are counted from 1, from when the fault was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Each.
    Always,
    /// That one alone.
    Nth(u64),
    /// That one and all that follow.
    From(u64),
    /// Each one whose number is a multiple.
    Every(u64),
    /// So many of a thousand, chosen by the machine's seed.
    PerMille(u16),
}

impl When {
    fn strikes(self, occasion: u64, rng: &mut ChaCha8Rng) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(nth) => occasion == nth,
            Self::From(first) => occasion >= first,
            Self::Every(every) => every != 0 && occasion.is_multiple_of(every),
            Self::PerMille(share) => rng.random_range(0..1000) < share,
        }
    }
}

/// What becomes of an event on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventFault {
    /// It is lost.
    Lose,
    /// It arrives that many steps later.
    Delay(u64),
}

/// What a domain may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Open ports, including the ones that are open already.
    Ports(u32),
    /// Frames of the grant table. Less than there are leaves those.
    GrantFrames(u32),
    /// Pages that its kernel has allocated at a time, those included that it takes back from Xen.
    Pages(usize),
    /// Foreign pages that it has mapped at a time.
    Mappings(usize),
}

#[derive(Debug)]
pub(crate) struct Rule<F> {
    pub(crate) fault: F,
    when: When,
    occasions: u64,
}

impl<F> Rule<F> {
    pub(crate) const fn new(fault: F, when: When) -> Self {
        Self { fault, when, occasions: 0 }
    }

    fn strikes(&mut self, rng: &mut ChaCha8Rng) -> bool {
        self.occasions += 1;
        self.when.strikes(self.occasions, rng)
    }
}

/// All faults that are set.
#[derive(Debug)]
pub(crate) struct Plan {
    rng: ChaCha8Rng,
    calls: Vec<Rule<(Target, Errno)>>,
    elements: Vec<Rule<(Target, Status)>>,
    events: Vec<Rule<(DomId, EventFault)>>,
}

impl Plan {
    pub(crate) const fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, calls: Vec::new(), elements: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn fail(&mut self, target: Target, when: When, errno: Errno) {
        self.calls.push(Rule::new((target, errno), when));
    }

    pub(crate) fn fail_element(&mut self, target: Target, when: When, status: Status) {
        self.elements.push(Rule::new((target, status), when));
    }

    pub(crate) fn disturb_events(&mut self, to: DomId, when: When, fault: EventFault) {
        self.events.push(Rule::new((to, fault), when));
    }

    pub(crate) fn clear(&mut self) {
        self.calls.clear();
        self.elements.clear();
        self.events.clear();
    }

    /// How this call shall fail, if it shall. Every rule that is for it counts it.
    pub(crate) fn of_call(&mut self, number: Number, command: u32, domain: DomId) -> Option<Errno> {
        let rng = &mut self.rng;
        let rules = self.calls.iter_mut().filter(|rule| rule.fault.0.matches(number, command, domain));
        first_that_strikes(rules, rng).map(|(_, errno)| errno)
    }

    /// How this element of a batch shall fail.
    pub(crate) fn of_element(&mut self, command: grant_table::Command, domain: DomId) -> Option<Status> {
        let rng = &mut self.rng;
        let of_this =
            |rule: &&mut Rule<(Target, Status)>| rule.fault.0.matches(Number::GRANT_TABLE_OP, command.0, domain);
        first_that_strikes(self.elements.iter_mut().filter(of_this), rng).map(|(_, status)| status)
    }

    /// What shall become of this event.
    pub(crate) fn of_event(&mut self, to: DomId) -> Option<EventFault> {
        let rng = &mut self.rng;
        let rules = self.events.iter_mut().filter(|rule| rule.fault.0 == to);
        first_that_strikes(rules, rng).map(|(_, fault)| fault)
    }
}

pub(crate) fn first_that_strikes<'a, F: Clone + 'a>(
    rules: impl Iterator<Item = &'a mut Rule<F>>,
    rng: &mut ChaCha8Rng,
) -> Option<F> {
    let mut first = None;
    for rule in rules {
        let strikes = rule.strikes(rng);
        if strikes && first.is_none() {
            first = Some(rule.fault.clone());
        }
    }
    first
}
