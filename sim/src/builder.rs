//! How a machine and its domains are made.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use xen_hypercall::abi::DomId;

use crate::{Domain, Machine};

/// A strictness of the simulator that can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Leniency {
    /// Input fields of the structures that Xen writes back stay as the guest set them. By default they are overwritten
    /// with junk, for nothing promises that they stay.
    KeepArguments,
    /// A page is seen to be unmapped as soon as it is. By default that takes a few steps, as if the peer was slow.
    PromptUnmap,
    /// Pages can be given back while granted, and entries changed while in use: what happens on real Xen then is not
    /// checked for.
    UncheckedGrants,
}

/// Makes a [`Machine`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: MachineConfig,
}

#[derive(Clone, Debug)]
pub(crate) struct MachineConfig {
    pub(crate) seed: u64,
    pub(crate) first_frame: u64,
    pub(crate) lenient: BTreeSet<Leniency>,
    pub(crate) on_violation: OnViolation,
    pub(crate) fuel: u64,
}

/// What happens at a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnViolation {
    Panic,
    Record,
}

impl Builder {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            config: MachineConfig {
                seed,
                first_frame: 0x1_2000,
                lenient: BTreeSet::new(),
                on_violation: OnViolation::Panic,
                fuel: 1_000_000,
            },
        }
    }

    /// Lifts one strictness.
    #[must_use]
    pub fn allow(mut self, leniency: Leniency) -> Self {
        self.config.lenient.insert(leniency);
        self
    }

    /// Keeps violations for [`Machine::violations`], where by default they panic.
    #[must_use]
    pub const fn record_violations(mut self) -> Self {
        self.config.on_violation = OnViolation::Record;
        self
    }

    /// The number from which on frames are counted: beyond 32 bits, for instance, where only version 2 of the grant
    /// table can name them.
    #[must_use]
    pub const fn first_frame(mut self, number: u64) -> Self {
        self.config.first_frame = number;
        self
    }

    /// How many steps one [`Machine::run`] may take before it ends as [`RunError::OutOfFuel`](crate::RunError): a
    /// million by default.
    #[must_use]
    pub const fn fuel(mut self, steps: u64) -> Self {
        self.config.fuel = steps;
        self
    }

    /// Switches the machine on.
    #[must_use]
    pub fn build(self) -> Machine {
        Machine::from_config(&self.config)
    }
}

/// Makes a [`Domain`].
#[derive(Debug)]
pub struct DomainBuilder<'a> {
    machine: &'a Machine,
    config: DomainConfig,
}

#[derive(Clone, Debug)]
pub(crate) struct DomainConfig {
    pub(crate) id: Option<DomId>,
    pub(crate) pages: NonZeroUsize,
    pub(crate) vcpus: NonZeroUsize,
    pub(crate) max_ports: u32,
    pub(crate) max_grant_frames: u32,
    pub(crate) max_mappings: usize,
}

impl<'a> DomainBuilder<'a> {
    pub(crate) const fn new(machine: &'a Machine) -> Self {
        const PAGES: NonZeroUsize = NonZeroUsize::new(256).unwrap();
        let config = DomainConfig {
            id: None,
            pages: PAGES,
            vcpus: NonZeroUsize::MIN,
            max_ports: 1023,
            max_grant_frames: 64,
            max_mappings: 4096,
        };
        Self { machine, config }
    }

    /// The domain's id; by default the first that is free, from 1.
    #[must_use]
    pub const fn id(mut self, id: DomId) -> Self {
        self.config.id = Some(id);
        self
    }

    /// How much memory it has, in pages; 256 by default.
    #[must_use]
    pub const fn pages(mut self, pages: NonZeroUsize) -> Self {
        self.config.pages = pages;
        self
    }

    /// How many vCPUs it has; 1 by default, 32 at most.
    #[must_use]
    pub fn vcpus(mut self, vcpus: NonZeroUsize) -> Self {
        assert!(vcpus.get() <= 32, "a domain has at most 32 vCPUs here");
        self.config.vcpus = vcpus;
        self
    }

    /// The greatest port number that it may have; 1023 by default, as the `xl` tool has it.
    #[must_use]
    pub const fn max_ports(mut self, ports: u32) -> Self {
        self.config.max_ports = ports;
        self
    }

    /// How long its grant table may become, in frames; 64 by default.
    #[must_use]
    pub const fn max_grant_frames(mut self, frames: u32) -> Self {
        self.config.max_grant_frames = frames;
        self
    }

    /// How many foreign pages it may map at a time; 4096 by default.
    #[must_use]
    pub const fn max_mappings(mut self, mappings: usize) -> Self {
        self.config.max_mappings = mappings;
        self
    }

    /// Starts the domain.
    #[must_use]
    pub fn build(self) -> Domain {
        self.machine.create(&self.config)
    }
}
