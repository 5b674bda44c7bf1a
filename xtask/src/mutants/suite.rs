//! The tests of one package, built in one way, in a copy of the workspace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Verdict;
use super::entry::{Kind, Mutant};
use super::tree::Tree;
use crate::process::{self, Finished, TimeLimitPassed};
use crate::program::Program;
use crate::{loom, paths, workspace};

/// How long all tests of a package may take without a mutant.
const BASELINE: Duration = Duration::from_secs(600);
/// The same for the tests of one mutant; a model in which nothing is found looks at every interleaving. Boots may run beside them,
/// and whatever else the machine does: what comes to its end is never taken for what hangs.
const TEST: Duration = Duration::from_secs(240);
const LOOM: Duration = Duration::from_secs(360);
/// The same where the tests are expected never to end.
const HANG: Duration = Duration::from_secs(10);
/// How many lines of a program's complaints are kept.
const LINES: usize = 25;

/// Where tests are built: a copy of the workspace and cargo's folder for it.
#[derive(Debug)]
pub(super) struct Bench {
    tree: Tree,
    target: PathBuf,
}

impl Bench {
    /// Makes a copy of the workspace in `root` below `folder`.
    pub(super) fn new(root: &Path, folder: &Path) -> Result<Self> {
        Ok(Self { tree: Tree::copy(root, &folder.join("tree"))?, target: folder.join("target") })
    }

    fn cargo(&self, kind: Kind, arguments: &[&str]) -> Result<Command> {
        let mut command = workspace::cargo()?;
        let target = self.target.join(kind.name());
        match kind {
            Kind::Test => command.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "--cap-lints=warn"),
            // What makes a build fast counts more than what makes a model fast: it is built once for each mutant.
            Kind::Loom => loom::configure(&mut command, &target).env("RUSTFLAGS", "--cfg loom --cap-lints=warn"),
        };
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "1");
        self.settings(&mut command)?;
        command.current_dir(self.tree.folder()).arg("test").args(arguments);
        command.args(if kind == Kind::Loom { &["--release"][..] } else { &[] });
        Ok(command)
    }

    /// What tests find in their environment.
    fn settings(&self, command: &mut Command) -> Result<()> {
        // A finding is enough; nobody looks at the smallest one.
        command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
        // Packages that are unpacked already need not be fetched for the copy.
        command.env("RUST_BACKTRACE", "0").env("DOMU_DIR", paths::domu()?);
        Ok(())
    }
}

/// The tests of one package, built in one way, that pass without a mutant.
#[derive(Debug)]
pub(super) struct Suite<'a> {
    bench: &'a Bench,
    package: &'a str,
    kind: Kind,
    programs: Vec<Program>,
    /// Why no mutant can be tried.
    unusable: Option<String>,
    /// Tests that fail without a mutant.
    failing: Vec<String>,
}

impl<'a> Suite<'a> {
    /// Builds the package's tests and runs those that mutants name.
    pub(super) fn prepare(bench: &'a Bench, mutants: &[&'a Mutant]) -> Result<Self> {
        let first = mutants.first().context("a suite without mutants")?;
        let mut suite = Self {
            bench,
            package: &first.package,
            kind: first.kind,
            programs: Vec::new(),
            unusable: None,
            failing: Vec::new(),
        };
        let (arguments, json) = (["--package", suite.package, "--no-run"], "--message-format=json-render-diagnostics");
        let mut build = bench.cargo(suite.kind, &arguments)?;
        // The models are not built with the other tests: those use what loom replaces.
        build.args(if suite.kind == Kind::Loom { &["--test", "loom"][..] } else { &[] }).arg(json);
        let built = process::capture(build, None)?;
        if !built.status.success() {
            suite.unusable = Some(format!("the tests do not build without it:\n{}", complaints(&built.stderr)));
            return Ok(suite);
        }
        suite.programs = Program::all(&built.stdout)?;
        suite.baseline(mutants)?;
        Ok(suite)
    }

    /// Returns whether a mutant is for these tests.
    pub(super) fn fits(&self, mutant: &Mutant) -> bool {
        (self.package, self.kind) == (mutant.package.as_str(), mutant.kind)
    }

    /// Applies a mutant, runs its tests, and undoes it.
    pub(super) fn try_mutant(&self, mutant: &Mutant) -> Result<Verdict> {
        if let Some(reason) = &self.unusable {
            return Ok(Verdict::Broken(reason.clone()));
        }
        let programs = self.programs_with(&[&mutant.test]);
        if programs.is_empty() {
            return Ok(Verdict::Broken(format!("no test of {} has {} in its name", self.package, mutant.test)));
        }
        if let Some(test) = self.failing.iter().find(|test| test.contains(&mutant.test)) {
            return Ok(Verdict::Broken(format!("the test {test} fails without it")));
        }
        let _applied = match self.bench.tree.apply(mutant) {
            Ok(applied) => applied,
            Err(error) => return Ok(Verdict::Broken(format!("{error:#}"))),
        };
        let built = process::capture(self.command(&programs, &["--no-run"])?, None)?;
        if !built.status.success() {
            return Ok(Verdict::Broken(format!("does not compile:\n{}", complaints(&built.stderr))));
        }
        self.judge(&programs, mutant)
    }

    /// Runs the tests of a mutant that has been built, up to the first program that fails. Cargo would look at all sources again.
    fn judge(&self, programs: &[&Program], mutant: &Mutant) -> Result<Verdict> {
        let deadline = Instant::now() + limit(mutant);
        for program in programs {
            let mut command = program.command(&[&mutant.test]);
            self.bench.settings(&mut command)?;
            let verdict = verdict(process::capture(command, Some(deadline)), mutant)?;
            if verdict != Verdict::Survived {
                return Ok(verdict);
            }
        }
        Ok(Verdict::Survived)
    }

    /// Runs the tests that mutants name while there is no mutant.
    fn baseline(&mut self, mutants: &[&Mutant]) -> Result<()> {
        let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.test.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let programs = self.programs_with(&names);
        if programs.is_empty() {
            return Ok(());
        }
        // As with a mutant: what the tests find here they find there.
        let (commands, deadline) = (programs.iter().map(|program| program.command(&names)), Instant::now() + BASELINE);
        let commands: Vec<Command> = commands.collect();
        for mut command in commands {
            self.bench.settings(&mut command)?;
            match process::capture(command, Some(deadline)) {
                Ok(run) if run.status.success() => {}
                Ok(run) => self.note_failures(&run),
                Err(error) if error.is::<TimeLimitPassed>() => {
                    self.unusable = Some("the tests never end without it".into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note_failures(&mut self, run: &Finished) {
        let failing = failed(&run.stdout);
        if failing.is_empty() {
            // A program was killed before it could say which test it was at.
            let words = process::last_lines(&run.stderr, LINES);
            self.unusable = Some(format!("the tests fail without it:\n{words}"));
        }
        self.failing.extend(failing);
    }

    /// Returns the programs that hold tests with one of these names.
    fn programs_with(&self, names: &[&str]) -> Vec<&Program> {
        self.programs.iter().filter(|program| names.iter().any(|name| program.has(name))).collect()
    }

    fn command(&self, programs: &[&Program], rest: &[&str]) -> Result<Command> {
        let mut command = self.bench.cargo(self.kind, &["--package", self.package])?;
        command.args(programs.iter().flat_map(|program| &program.words)).args(rest);
        Ok(command)
    }
}

const fn limit(mutant: &Mutant) -> Duration {
    match mutant.kind {
        _ if mutant.hang => HANG,
        Kind::Test => TEST,
        Kind::Loom => LOOM,
    }
}

fn verdict(run: Result<Finished>, mutant: &Mutant) -> Result<Verdict> {
    Ok(match run {
        Ok(run) if run.status.success() => Verdict::Survived,
        Ok(run) if tests_run(&run.stdout) > 0 => Verdict::Killed,
        Ok(run) => Verdict::Broken(format!("no test ran:\n{}", process::last_lines(&run.stderr, LINES))),
        Err(error) if error.is::<TimeLimitPassed>() && mutant.hang => Verdict::Killed,
        Err(error) if error.is::<TimeLimitPassed>() => Verdict::Hung,
        Err(error) => return Err(error),
    })
}

/// Returns the first complaint of the compiler; what follows is often its consequence.
fn complaints(stderr: &str) -> String {
    let lines = stderr.lines().skip_while(|line| !line.starts_with("error"));
    lines.take(LINES).collect::<Vec<_>>().join("\n")
}

/// Adds up what the test programs say: `running 2 tests`.
fn tests_run(stdout: &str) -> u64 {
    let counts =
        stdout.lines().filter_map(|line| line.strip_prefix("running ")?.split(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

/// Returns the tests that failed, from what the test programs say: `test NAME ... FAILED`.
fn failed(stdout: &str) -> Vec<String> {
    let names = stdout.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    // After the name of a test that must panic comes a remark.
    names.map(|name| name.split(" - ").next().unwrap_or(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_all_programs_are_counted() {
        assert_eq!(tests_run("\nrunning 1 test\ntest a ... ok\n\nrunning 12 tests\n"), 13);
        assert_eq!(tests_run("error: could not compile"), 0);
    }

    #[test]
    fn failed_tests_are_listed() {
        let text = "test a::b ... ok\ntest a::c ... FAILED\ntest d - should panic ... FAILED\nfailures:\n    a::c\n";
        assert_eq!(failed(text), ["a::c", "d"]);
    }
}
