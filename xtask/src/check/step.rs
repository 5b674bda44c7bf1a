//! One step of the check.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{self, Guarded, TimeLimitPassed};
use crate::progress::Progress;
use crate::{miri, mutants};

/// How long a step may take: something that hangs is a failure to report, not to wait for.
const LIMIT: Duration = Duration::from_secs(10 * 60);

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

    /// Runs the step to its end.
    pub(super) fn run(self, progress: &Progress) -> Result<Ended> {
        let started = Instant::now();
        let repeat = self.work.describe();
        let outcome = self.work.run(&self.name, progress)?;
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
            Self::Quiet(command) => {
                let _spinner = progress.step("test", name);
                silently(command)
            }
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
    command.stdin(Stdio::null());
    match Guarded::spawn(command)?.wait(Some(Instant::now() + LIMIT)) {
        Ok(status) => Ok(Outcome::of(status.success())),
        Err(error) if error.is::<TimeLimitPassed>() => {
            progress.note("test", format!("{name}: {error}, {} minutes", LIMIT.as_secs() / 60));
            Ok(Outcome::Failed)
        }
        Err(error) => Err(error),
    }
}

/// Runs a command and shows what it printed only if it failed.
fn silently(command: Command) -> Result<Outcome> {
    let finished = process::capture(command, None)?;
    if !finished.status.success() {
        eprintln!("{}", (finished.stdout + &finished.stderr).trim_end());
    }
    Ok(Outcome::of(finished.status.success()))
}
