//! What the queues have in common.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_grant_table::Mapping;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::blkif::{Operation, Status};

use super::control::{Control, Fault};
use super::options::Options;
use super::request::Job;
use super::{SimDisk, Statistics};
use crate::Domain;
use crate::backend::{Forge, Leftovers, Mapped, Window, latency};

pub(super) struct Engine {
    pub(super) domain: Domain,
    pub(super) front: DomId,
    pub(super) disk: SimDisk,
    pub(super) window: Window,
    /// Those of the connection.
    pub(super) options: Options,
    /// Whether both sides want pages to stay mapped.
    pub(super) persistent: bool,
    pub(super) control: Control,
    pub(super) rng: ChaCha8Rng,
    pub(super) now: Duration,
    pub(super) statistics: Statistics,
    /// Features that turned out not to be there: their keys are to be set to 0.
    pub(super) withdrawn: Vec<&'static str>,
    /// What stays mapped though the connection has ended.
    leftovers: Leftovers,
    number: u64,
}

impl Engine {
    pub(super) fn new(domain: &Domain, front: DomId, disk: SimDisk, control: Control, rng: ChaCha8Rng) -> Self {
        let options = control.options();
        Self {
            domain: domain.clone(),
            front,
            disk,
            window: Window::new(domain.clone(), front),
            persistent: false,
            control,
            options,
            rng,
            now: Duration::ZERO,
            statistics: Statistics::default(),
            withdrawn: Vec::new(),
            leftovers: Leftovers::default(),
            number: 0,
        }
    }

    /// The number of the next request.
    pub(super) const fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// How long the next request takes.
    pub(super) fn latency(&mut self) -> Duration {
        latency(&self.options.latency, &mut self.rng)
    }

    /// What the script has for the next request.
    pub(super) fn fault(&mut self, operation: Operation) -> Option<Fault> {
        self.control.fault(operation, &mut self.rng)
    }

    /// Whether an operation is one that was offered.
    pub(super) const fn offers(&self, operation: Operation) -> Result<(), Status> {
        let offered = match operation {
            Operation::FLUSH_DISKCACHE => self.options.flush,
            Operation::WRITE_BARRIER => self.options.barrier,
            Operation::DISCARD => self.options.discard.is_some(),
            _ => true,
        };
        if offered { Ok(()) } else { Err(Status::EOPNOTSUPP) }
    }

    /// An operation turned out not to be there: as Linux's backend does, its key says so from now on.
    pub(super) fn withdraw(&mut self, operation: Operation) {
        match operation {
            Operation::FLUSH_DISKCACHE => self.withdrawn.push("feature-flush-cache"),
            Operation::WRITE_BARRIER => self.withdrawn.push("feature-barrier"),
            _ => {}
        }
    }

    pub(super) fn count(&mut self, job: &Job) {
        let statistics = &mut self.statistics;
        statistics.requests += 1;
        statistics.segments += job.segments.len() as u64;
        statistics.indirect += u64::from(job.is_indirect);
        statistics.refused += u64::from(job.status != Status::OKAY);
        match job.operation {
            Operation::READ => statistics.reads += 1,
            Operation::WRITE => statistics.writes += 1,
            Operation::WRITE_BARRIER => statistics.barriers += 1,
            Operation::FLUSH_DISKCACHE => statistics.flushes += 1,
            Operation::DISCARD => statistics.discards += 1,
            _ => {}
        }
    }

    /// What a hostile one writes.
    pub(super) const fn forge(&mut self) -> Forge<'_> {
        Forge { domain: &self.domain, front: self.front, rng: &mut self.rng }
    }

    /// A connection ends: its pages are unmapped, unless the script has them kept.
    pub(super) fn part(&mut self, mut pages: Vec<Mapped>, ring: Mapping<Domain>) {
        self.leftovers.add_pages(&mut pages);
        self.leftovers.add_ring(ring);
        if !self.control.keeps() {
            self.let_go();
        }
    }

    /// Unmaps what was kept.
    pub(super) fn let_go(&mut self) {
        self.leftovers.let_go(&mut self.window);
    }
}
