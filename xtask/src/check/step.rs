//! One step of the check.

use std::io::IsTerminal as _;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::coverage::{self, Tools};
use crate::interrupt::Interrupted;
use crate::miri;
use crate::mutants::{self, Share};
use crate::process::{self, TimeLimitPassed};
use crate::progress::Progress;
use crate::results;

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
    /// The lines that tests run, which needs LLVM's tools.
    Coverage,
    /// A share of all mutants.
    Mutants(Share),
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
    /// The last lines that it printed, if it failed: what stands above the summary may be of another step.
    pub(super) last: Vec<String>,
}

impl Ended {
    /// What became of it, how long it took, and what it said last if it failed.
    pub(super) fn words(&self) -> String {
        let Self { name, outcome, took, last, .. } = self;
        let reason = last.iter().rev().find(|line| !line.trim().is_empty()).filter(|_| *outcome == Outcome::Failed);
        let reason = reason.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        format!("{name} {} in {:.1} s{reason}", outcome.words(), took.as_secs_f32())
    }
}

/// How many lines of a step that failed are said again.
const LAST: usize = 40;

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

    pub(super) fn coverage() -> Self {
        Self { name: "coverage".into(), part: Part::Host, work: Work::Coverage }
    }

    pub(super) fn mutants(share: Share) -> Self {
        Self { name: format!("mutants, share {share}"), part: Part::Host, work: Work::Mutants(share) }
    }

    /// One that the user did not let run to its end.
    pub(super) fn interrupted(name: String) -> Ended {
        let outcome = Outcome::NotRun("interrupted".into());
        Ended { name, outcome, took: Duration::ZERO, repeat: String::new(), last: Vec::new() }
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
        let (repeat, said) = (self.work.describe(), Said::default());
        let outcome = match self.work.run(&self.name, progress, &said) {
            Err(error) if !error.is::<Interrupted>() => {
                let words = format!("error: {error:#}");
                said.note(&words);
                progress.text(&words);
                Outcome::Failed
            }
            result => result?,
        };
        if let Err(error) = results::keep(&self.name, said.lines().iter().map(String::as_str)) {
            progress.text(&format!("warning: {error:#}"));
        }
        let last = if outcome == Outcome::Failed { said.last(LAST) } else { Vec::new() };
        Ok(Ended { name: self.name, outcome, took: started.elapsed(), repeat, last })
    }
}

impl Work {
    fn describe(&self) -> String {
        match self {
            Self::Quiet(command) | Self::Loud(command) | Self::Miri(command) => process::describe(command),
            Self::Coverage => "cargo xtask coverage".into(),
            Self::Mutants(share) => format!("cargo xtask mutants --share {share}"),
        }
    }

    fn run(self, name: &str, progress: &Progress, said: &Said) -> Result<Outcome> {
        match self {
            Self::Quiet(command) => silently(name, command, progress, said),
            Self::Loud(command) => loudly(name, command, progress, said),
            Self::Miri(command) => match miri::ensure(progress)? {
                Ok(()) => loudly(name, command, progress, said),
                Err(reason) => Ok(Outcome::NotRun(reason)),
            },
            Self::Coverage => match Tools::ensure(progress)? {
                Ok(tools) => {
                    progress.note("test", format!("{name}: {}", self.describe()));
                    Ok(Outcome::of(coverage::judge(&tools, &[], progress, |report| said.note(report))?))
                }
                Err(reason) => Ok(Outcome::NotRun(reason)),
            },
            Self::Mutants(share) => {
                progress.note("test", format!("{name}: {}", self.describe()));
                Ok(Outcome::of(mutants::judge(&[], share, progress, |report| said.note(report))?))
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

fn loudly(name: &str, mut command: Command, progress: &Progress, said: &Said) -> Result<Outcome> {
    progress.note("test", format!("{name}: {}", process::describe(&command)));
    if std::io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        // Through a pipe cargo does not see the terminal.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let (listener, heard) = (progress.clone(), said.clone());
    watched(name, command, progress, said, move |line| {
        heard.note(line);
        listener.print(line);
    })
}

/// Runs a command and shows what it printed only if it failed.
fn silently(name: &str, command: Command, progress: &Progress, said: &Said) -> Result<Outcome> {
    progress.note("test", format!("{name}: {}", process::describe(&command)));
    let listener = said.clone();
    let outcome = watched(name, command, progress, said, move |line| listener.note(line))?;
    if outcome != Outcome::Passed {
        progress.text(said.last(usize::MAX).join("\n").trim_end());
    }
    Ok(outcome)
}

/// Runs a command with the time limit of steps; `say` gets what it prints.
fn watched(
    name: &str,
    command: Command,
    progress: &Progress,
    said: &Said,
    say: impl FnMut(&str) + Send + 'static,
) -> Result<Outcome> {
    match process::stream(command, Some(Instant::now() + LIMIT), say) {
        Ok(status) => Ok(Outcome::of(status.success())),
        Err(error) if error.is::<TimeLimitPassed>() => {
            let words = format!("{name}: {error}, {} minutes", LIMIT.as_secs() / 60);
            said.note(&words);
            progress.note("test", words);
            Ok(Outcome::Failed)
        }
        Err(error) => Err(error),
    }
}

/// What a step has printed.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn note(&self, text: &str) {
        self.lines().extend(text.lines().map(str::to_owned));
    }

    fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_step_that_failed_has_its_last_words_and_one_that_passed_has_none() {
        for step in [Step::quiet, Step::loud] {
            let ended = step("talk", shell("for line in $(seq 100); do echo $line; done; exit 1"));
            let ended = ended.run(&Progress::quiet()).unwrap();
            assert_eq!(ended.outcome, Outcome::Failed);
            assert_eq!((ended.last.len(), ended.last.last().map(String::as_str)), (LAST, Some("100")));
            let words = ended.words();
            assert!(words.starts_with("talk FAILED in ") && words.ends_with(" s: 100"), "{words}");
        }
        assert!(Step::quiet("talk", shell("echo word")).run(&Progress::quiet()).unwrap().last.is_empty());
    }
}
