//! `cargo xtask mutants`: takes each guard of the code away in turn and demands that a test notices.
//!
//! The lists in `tests/mutants` name the guards. Each is tried in a copy of the workspace: its test must exist, pass
//! without the mutant and fail with it. Two copies are worked on at a time, one from each end of the list, so that few
//! packages are built twice.

mod entry;
mod report;
mod share;
mod suite;
mod tree;

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use self::entry::{Kind, Mutant};
pub use self::report::Report;
pub use self::share::Share;
use self::suite::{Bench, Suite};
use crate::progress::{Progress, Step};
use crate::{cli, interrupt, paths, results};

/// Where the lists are.
const LISTS: &str = "tests/mutants";

/// Tries mutants and returns 0 if tests noticed all of them.
///
/// # Errors
///
/// When a list cannot be read, names no mutant that is meant, or the user interrupts.
pub fn run(options: &cli::Mutants) -> Result<u8> {
    let passed = judge(&options.filter, options.share, &Progress::new(), |_| ())?;
    Ok(u8::from(!passed))
}

/// Tries a share of the mutants that the words mean, prints the report, hands it on, and returns whether tests noticed all of them.
///
/// # Errors
///
/// As [`run`].
pub fn judge(words: &[String], share: Share, progress: &Progress, told: impl FnOnce(&str)) -> Result<bool> {
    let laboratory = Laboratory { root: paths::workspace()?, folder: paths::target()?.join("mutants") };
    let mutants = share.of(laboratory.mutants(words)?);
    let report = laboratory.judge(&mutants, progress)?;
    let text = report.to_string();
    progress.text(&text);
    told(&text);
    if words.is_empty() && share == Share::ALL {
        results::keep_table("mutants", &text)?;
    }
    Ok(report.passed())
}

/// Returns whether the workspace lists any mutants.
///
/// # Errors
///
/// When a list cannot be read.
pub fn any() -> Result<bool> {
    let folder = paths::workspace()?.join(LISTS);
    Ok(folder.is_dir() && !entry::load(&folder)?.is_empty())
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A test failed, as it must.
    Killed,
    /// All tests passed: the guard is not tested, or guards nothing.
    Survived,
    /// The tests did not end in time, and the list does not say that they may.
    Hung,
    /// It says nothing: no such test, no such text, it does not compile, or the tests fail without it.
    Broken(String),
}

/// A mutant that was tried.
#[derive(Debug)]
pub struct Trial<'a> {
    /// What was tried.
    pub mutant: &'a Mutant,
    /// What became of it.
    pub verdict: Verdict,
    /// How long building and running took.
    pub took: Duration,
}

/// A workspace and a folder in which copies of it are changed.
#[derive(Debug)]
pub struct Laboratory {
    /// The root of the workspace.
    pub root: PathBuf,
    /// The folder for the copies and what is built from them.
    pub folder: PathBuf,
}

impl Laboratory {
    /// Returns the listed mutants that the words mean.
    ///
    /// # Errors
    ///
    /// When a list cannot be read, or no mutant is meant.
    pub fn mutants(&self, words: &[String]) -> Result<Vec<Mutant>> {
        let mut mutants = entry::load(&self.root.join(LISTS))?;
        mutants.retain(|mutant| mutant.is_meant(words));
        match (mutants.is_empty(), words.is_empty()) {
            (false, _) => Ok(mutants),
            (true, true) => bail!("{LISTS} lists no mutants"),
            (true, false) => bail!("no mutant has {} in its id, file or package", words.join(" or ")),
        }
    }

    /// Tries mutants.
    ///
    /// # Errors
    ///
    /// When the workspace cannot be copied, cargo cannot be run, or the user interrupts.
    pub fn judge<'a>(&self, mutants: &'a [Mutant], progress: &Progress) -> Result<Report<'a>> {
        let _lock = self.lock(progress)?;
        let queue = Queue::new(mutants);
        let (sender, trials) = mpsc::channel();
        let step = progress.step("mutants", "building");
        thread::scope(|scope| {
            let workers: Vec<_> = [End::Front, End::Back]
                .map(|end| {
                    let (queue, sender) = (&queue, sender.clone());
                    scope.spawn(move || self.work(end, queue, &sender))
                })
                .into();
            drop(sender);
            let done = collect(&trials, mutants.len(), &step);
            for worker in workers {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(Report::new(done))
        })
    }

    /// Keeps other runs out of the folder until the result is dropped.
    fn lock(&self, progress: &Progress) -> Result<File> {
        paths::make(&self.folder)?;
        let file = File::create(self.folder.join(".lock"))?;
        if file.try_lock().is_err() {
            progress.note("mutants", "waiting for another run to end");
            file.lock()?;
        }
        Ok(file)
    }

    /// Takes mutants from one end until none is left.
    fn work<'a>(&self, end: End, queue: &Queue<'a>, trials: &mpsc::Sender<Trial<'a>>) -> Result<()> {
        let result = self.try_all(end, queue, trials);
        if result.is_err() {
            queue.clear();
        }
        result
    }

    fn try_all<'a>(&self, end: End, queue: &Queue<'a>, trials: &mpsc::Sender<Trial<'a>>) -> Result<()> {
        let bench = Bench::new(&self.root, &self.folder.join(end.name()))?;
        let mut suite: Option<Suite<'_>> = None;
        while let Some(mutant) = queue.take(end) {
            interrupt::check()?;
            let started = Instant::now();
            let suite = match suite.take() {
                Some(fitting) if fitting.fits(mutant) => suite.insert(fitting),
                _ => suite.insert(Suite::prepare(&bench, &queue.alike(mutant))?),
            };
            let verdict = suite.try_mutant(mutant)?;
            // The other side is gone only after a failure, which it reports.
            let _ = trials.send(Trial { mutant, verdict, took: started.elapsed() });
        }
        Ok(())
    }
}

fn collect<'a>(trials: &mpsc::Receiver<Trial<'a>>, count: usize, step: &Step) -> Vec<Trial<'a>> {
    let mut done: Vec<Trial<'a>> = Vec::new();
    for trial in trials {
        step.remark(&format!("  {trial}"));
        done.push(trial);
        step.update(format!("{} of {count} tried", done.len()));
    }
    done
}

/// Mutants that wait to be tried.
struct Queue<'a> {
    all: &'a [Mutant],
    waiting: Mutex<VecDeque<&'a Mutant>>,
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Back => "back",
        }
    }
}

impl<'a> Queue<'a> {
    fn new(all: &'a [Mutant]) -> Self {
        Self { all, waiting: Mutex::new(all.iter().collect()) }
    }

    fn take(&self, end: End) -> Option<&'a Mutant> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match end {
            End::Front => waiting.pop_front(),
            End::Back => waiting.pop_back(),
        }
    }

    fn clear(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns all mutants that are for the same tests.
    fn alike(&self, mutant: &Mutant) -> Vec<&'a Mutant> {
        let same = |other: &&Mutant| (&other.package, other.kind) == (&mutant.package, mutant.kind);
        self.all.iter().filter(same).collect()
    }
}

/// Says in one line what became of a mutant.
impl std::fmt::Display for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mutant { id, test, .. } = self.mutant;
        write!(f, "{:<11} {:<52} {:>6.1} s", self.verdict.name(), format!("{id}: {test}"), self.took.as_secs_f32())
    }
}

impl Verdict {
    /// Returns one word for it, in capitals where something is wrong.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Survived => "SURVIVED",
            Self::Hung => "HUNG",
            Self::Broken(_) => "BROKEN",
        }
    }
}
