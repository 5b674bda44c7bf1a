//! A block backend, for tests of a block front-end.
//!
//! A [`Blkback`] has the back half of a `vbd`: it follows the device's states as Linux's backend does, maps the front's rings,
//! and reads and writes a [`SimDisk`]. It works by [`step`](Blkback::step) where a test has one thread, or
//! [serves](Blkback::serve) as a vCPU's program in a [`Machine::run`]. What it offers is in its [`Options`]; by its [`Control`]
//! a test has it fail, restart, vanish or lie.
//!
//! Sectors are of 512 bytes everywhere, whatever the `sector-size` of the disk, as in Linux.

mod control;
mod disk;
mod engine;
mod hostile;
mod kept;
mod options;
mod oracle;
mod queue;
mod request;
mod states;

pub use crate::backend::{Listen, Notify, Order, Progress, Restart};
pub use control::{Control, Fault, Which};
pub use disk::{Crash, Discard, DiskStatistics, Honesty, Loss, SimDisk};
pub use hostile::Misdeed;
pub use options::{DiscardOffer, Options};
pub use oracle::{BlockOracle, Finding, Flush, Flushed, Outcome, Read, Write, Wrong};

use control::Disk;
use engine::Engine;
use queue::Queue;

use crate::backend::{self, Backend, Half, backend_methods};
use crate::{Device, Domain, Machine};

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// The back half of a block device. See the [module](self).
pub struct Blkback {
    half: Half<Disk>,
    engine: Engine,
    queues: Vec<Queue>,
}

/// What a backend has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Requests.
    pub requests: u64,
    /// Reads among them.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Write barriers.
    pub barriers: u64,
    /// Flushes.
    pub flushes: u64,
    /// Discards.
    pub discards: u64,
    /// Those that were indirect.
    pub indirect: u64,
    /// Those that were refused for what they asked for.
    pub refused: u64,
    /// Segments of all.
    pub segments: u64,
    /// Answers.
    pub responses: u64,
    /// Events that were sent.
    pub notifications: u64,
    /// Connections.
    pub connections: u64,
    /// Pages that were mapped, other than rings.
    pub mapped: u64,
    /// Pages that were unmapped.
    pub unmapped: u64,
    /// Pages that are kept mapped now.
    pub kept: u64,
}

impl Blkback {
    /// Takes a device's back half in hand, in the domain that the device names. The device may be plugged in before or later.
    ///
    /// A device that another backend has left as it was is closed first.
    ///
    /// # Panics
    ///
    /// If the device's back half is in another domain.
    #[must_use]
    pub fn new(machine: &Machine, back: &Domain, device: &Device, disk: SimDisk, options: Options) -> Self {
        let half = Half::new(machine, back, device, options);
        let rng = backend::stream(machine.seed(), &half.back_path);
        let engine = Engine::new(back, device.front_id(), disk, half.control.clone(), rng);
        Self { half, engine, queues: Vec::new() }
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        self.engine.disk.clone()
    }

    /// What it has done.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let window = &self.engine.window;
        let kept = self.queues.iter().map(|queue| queue.kept() as u64).sum();
        Statistics { mapped: window.mapped, unmapped: window.unmapped, kept, ..self.engine.statistics }
    }

    /// Requests that it has taken and not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.queues.iter().map(Queue::unanswered).sum()
    }
}

backend_methods!(Blkback, Control);
