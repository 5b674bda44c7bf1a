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
mod options;
mod oracle;
mod queue;
mod request;
mod states;
mod window;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::xenbus::State;
use xen_hypercall::sched;

pub use control::{Control, Fault, Restart, Which};
pub use disk::{Crash, Discard, DiskStatistics, Honesty, Loss, SimDisk};
pub use hostile::Misdeed;
pub use options::{DiscardOffer, Listen, Notify, Options, Order};
pub use oracle::{BlockOracle, Finding, Flush, Flushed, Outcome, Read, Write, Wrong};

use engine::Engine;
use queue::{Fate, Queue};

use crate::{Device, Domain, Machine};

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// The back half of a block device. See the [module](self).
pub struct Blkback {
    device: Device,
    back_path: String,
    front_path: String,
    engine: Engine,
    queues: Vec<Queue>,
    /// The state that it has written, and the front's that it has seen.
    state: State,
    front_state: State,
    /// Whether it waits for a front again after it has closed.
    restarts: bool,
    /// Whether nodes have changed.
    changed: Arc<AtomicBool>,
    /// How often the front had been migrated when it connected.
    front_era: u64,
    last_error: Option<String>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Something: there may be more to do.
    Worked,
    /// Nothing, and nothing is due before this time.
    Until(Duration),
    /// Nothing.
    Idle,
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
        assert_eq!(device.back_id(), back.id(), "the device's back half is in this domain");
        let changed = Arc::new(AtomicBool::new(true));
        for path in [device.back_path(), device.front_path()] {
            // A backend that is gone is told nothing.
            let changed = Arc::downgrade(&changed);
            machine.xenstore().watch(&path, move |_, _| {
                if let Some(changed) = changed.upgrade() {
                    changed.store(true, Ordering::Relaxed);
                }
            });
        }
        let rng = stream(machine.seed(), &device.back_path());
        Self {
            device: device.clone(),
            back_path: device.back_path(),
            front_path: device.front_path(),
            engine: Engine::new(back, device.front_id(), disk, options, rng),
            queues: Vec::new(),
            state: State::UNKNOWN,
            front_state: State::UNKNOWN,
            restarts: false,
            changed,
            front_era: 0,
            last_error: None,
        }
    }

    /// Does what can be done now, and returns. Where there is nothing to do, it takes one of the machine's steps, so that time
    /// passes.
    pub fn step(&mut self) -> Progress {
        let Some(era) = self.look_around() else { return Progress::Idle };
        if era != self.front_era {
            self.front_era = era;
            self.leave(self.state);
            self.changed.store(true, Ordering::Relaxed);
        }
        if self.engine.control.hangs() {
            return self.rest();
        }
        let mut worked = self.fulfil() | self.follow();
        for queue in &mut self.queues {
            worked |= queue.work(&mut self.engine);
        }
        if !self.engine.withdrawn.is_empty() {
            self.withdraw_keys();
        }
        if worked { Progress::Worked } else { self.rest() }
    }

    /// Works as a program of the domain's vCPU, until there was nothing to do for so long.
    pub fn serve(&mut self, idle: Duration) {
        let mut last = self.engine.domain.now();
        self.serve_until(|back, progress| {
            let now = back.engine.now;
            if progress == Progress::Worked {
                last = now;
            }
            now >= last + idle
        });
    }

    /// As [`serve`](Self::serve), until `done` says so, which is asked after each step.
    pub fn serve_until(&mut self, mut done: impl FnMut(&Self, Progress) -> bool) {
        /// How long it sleeps at most: changes in xenstore wake nobody.
        const LONGEST: Duration = Duration::from_millis(1);
        loop {
            let progress = self.step();
            if done(self, progress) || !self.is_alive() {
                return;
            }
            let until = match progress {
                Progress::Worked => continue,
                Progress::Until(time) => time.min(self.engine.now + LONGEST),
                Progress::Idle => self.engine.now + LONGEST,
            };
            // An event ends the sleep, and what ended it does not matter.
            let _ = sched::poll(&self.engine.domain, &[], Some(until));
        }
    }

    /// A hold on it, for scripts.
    #[must_use]
    pub fn control(&self) -> Control {
        self.engine.control.clone()
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

    /// Whether it is connected.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        !self.queues.is_empty()
    }

    /// How many queues are connected.
    #[must_use]
    pub const fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Requests that it has taken and not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.queues.iter().map(Queue::unanswered).sum()
    }

    /// Why the last front was refused, if one was.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Whether its domain is.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.engine.domain.machine().lock().exists(self.engine.domain.id())
    }

    /// Looks at the clock, and how often the front was migrated; `None` where the domain is gone.
    fn look_around(&mut self) -> Option<u64> {
        let domain = self.engine.domain.clone();
        let state = domain.machine().lock();
        self.engine.now = state.now();
        state.exists(domain.id()).then(|| state.domains.get(&self.engine.front).map_or(0, |front| front.resumes))
    }

    /// There is nothing to do.
    fn rest(&mut self) -> Progress {
        let due = self.queues.iter().filter_map(Queue::due).min();
        self.engine.now = self.engine.domain.now();
        due.map_or(Progress::Idle, Progress::Until)
    }
}

impl Drop for Blkback {
    /// Its program ends, and lets go of everything without a word.
    fn drop(&mut self) {
        self.disconnect(Fate::Lost);
        self.engine.let_go();
    }
}

impl fmt::Debug for Blkback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blkback")
            .field("device", &self.back_path)
            .field("state", &self.state)
            .field("queues", &self.queues.len())
            .finish_non_exhaustive()
    }
}

/// Random numbers for one device, so that another one does not shift them.
fn stream(seed: u64, path: &str) -> ChaCha8Rng {
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(path.bytes().fold(0xcbf2_9ce4_8422_2325, mix));
    rng
}
