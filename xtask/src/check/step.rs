//! One step of the check.

use std::io::IsTerminal as _;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::interrupt::Interrupted;
use crate::process::{self, TimeLimitPassed};
use crate::progress::Progress;
use crate::{miri, mutants};

/// How long a step may take: something that hangs is a failure to report, not to wait for. There may be another step beside it,
/// on a machine with two processors, and it may have to wait until that has built.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// One thing to check.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) part: Part,
    work: Work,
}

/// What a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Only this machine.
    Host,
    /// Xen's and Linux's packages.
    Xen,
}

/// Where a step runs: beside those of other lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// With what cargo builds in the target folder, and what uses all processors.
    Builds,
    /// With boots, which take a processor for long and build little.
    Boots,
    /// With what Miri interprets, which takes a processor for long and is built in a folder of its own.
    Miri,
}

#[derive(Debug)]
enum Work {
    /// A command whose output is worth seeing only when it fails.
    Quiet(Command),
    /// A command whose output is worth seeing.
    Loud(Command),
    /// The same, but it needs the nightly toolchain with Miri.
    Miri(Command),
    /// All mutants.
    Mutants,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// It could not run here, for this reason.
    NotRun(String),
}

/// A step that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// The command that runs it again.
    pub(super) repeat: String,
}

impl Step {
    pub(super) fn quiet(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), part: Part::Host, work: Work::Quiet(command) }
    }

    pub(super) fn loud(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), part: Part::Host, work: Work::Loud(command) }
    }

    pub(super) fn miri(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), part: Part::Host, work: Work::Miri(command) }
    }

    pub(super) fn xen(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), part: Part::Xen, work: Work::Loud(command) }
    }

    pub(super) fn mutants(name: impl Into<String>) -> Self {
        Self { name: name.into(), part: Part::Host, work: Work::Mutants }
    }

    pub(super) const fn lane(&self) -> Lane {
        match (self.part, &self.work) {
            (Part::Xen, _) => Lane::Boots,
            (Part::Host, Work::Miri(_)) => Lane::Miri,
            (Part::Host, _) => Lane::Builds,
        }
    }

    /// Runs the step to its end; whatever prevents that makes it fail.
    ///
    /// # Errors
    ///
    /// When the user interrupts.
    pub(super) fn run(self, progress: &Progress) -> Result<Ended> {
        let started = Instant::now();
        let repeat = self.work.describe();
        let outcome = match self.work.run(&self.name, progress) {
            Err(error) if !error.is::<Interrupted>() => {
                progress.text(&format!("error: {error:#}"));
                Outcome::Failed
            }
            result => result?,
        };
        let ended = Ended { name: self.name, outcome, took: started.elapsed(), repeat };
        progress.line("test", format!("{} {}", ended.name, ended.outcome.words()));
        Ok(ended)
    }
}

impl Work {
    fn describe(&self) -> String {
        match self {
            Self::Quiet(command) | Self::Loud(command) | Self::Miri(command) => process::describe(command),
            Self::Mutants => "cargo xtask mutants".into(),
        }
    }

    fn run(self, name: &str, progress: &Progress) -> Result<Outcome> {
        match self {
            Self::Quiet(command) => silently(name, command, progress),
            Self::Loud(command) => loudly(name, command, progress),
            Self::Miri(command) => match miri::ensure(progress)? {
                Ok(()) => loudly(name, command, progress),
                Err(reason) => Ok(Outcome::NotRun(reason)),
            },
            Self::Mutants => {
                progress.note("test", format!("{name}: {}", Self::Mutants.describe()));
                Ok(Outcome::of(mutants::judge_all(&[], progress)?))
            }
        }
    }
}

impl Outcome {
    const fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }

    /// Returns what to say of it, in capitals where something is wrong.
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotRun(_) => "NOT RUN",
        }
    }
}

fn loudly(name: &str, mut command: Command, progress: &Progress) -> Result<Outcome> {
    progress.note("test", format!("{name}: {}", process::describe(&command)));
    if std::io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        // Through a pipe cargo does not see the terminal.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let listener = progress.clone();
    watched(name, command, progress, move |line| listener.print(line))
}

/// Runs a command and shows what it printed only if it failed.
fn silently(name: &str, command: Command, progress: &Progress) -> Result<Outcome> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let outcome = watched(name, command, progress, move |line| locked(&listener).push(line.to_owned()))?;
    if outcome != Outcome::Passed {
        progress.text(locked(&said).join("\n").trim_end());
    }
    Ok(outcome)
}

/// Runs a command with the time limit of steps; `say` gets what it prints.
fn watched(
    name: &str,
    command: Command,
    progress: &Progress,
    say: impl FnMut(&str) + Send + 'static,
) -> Result<Outcome> {
    match process::stream(command, Some(Instant::now() + LIMIT), say) {
        Ok(status) => Ok(Outcome::of(status.success())),
        Err(error) if error.is::<TimeLimitPassed>() => {
            progress.note("test", format!("{name}: {error}, {} minutes", LIMIT.as_secs() / 60));
            Ok(Outcome::Failed)
        }
        Err(error) => Err(error),
    }
}

fn locked(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
