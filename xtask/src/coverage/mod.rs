//! `cargo xtask coverage`: which lines of the code that reads what a peer wrote no test runs.

mod lines;
mod list;
mod report;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::lines::Lines;
use self::list::List;
use self::report::{Report, Row};
pub(crate) use self::tools::Tools;
use crate::program::Program;
use crate::progress::Progress;
use crate::{cli, paths, process, results, workspace};

/// Which files, and why.
const LIST: &str = "tests/coverage.toml";
/// How long the tests of a program may take; without counters it is seconds.
const LIMIT: Duration = Duration::from_secs(600);
/// How many lines of a program's complaints are told.
const LINES: usize = 25;

/// Measures, prints the table, and returns 0 if the goal is reached.
///
/// # Errors
///
/// When the list is wrong, LLVM's tools are not to be had, the tests do not build, or the user interrupts.
pub fn run(options: &cli::Coverage) -> Result<u8> {
    let progress = Progress::new();
    let tools = Tools::ensure(&progress)?.map_err(anyhow::Error::msg)?;
    Ok(u8::from(!judge(&tools, &options.files, &progress, |_| ())?))
}

/// Returns whether the workspace has a list.
pub(crate) fn is_wanted() -> Result<bool> {
    Ok(paths::workspace()?.join(LIST).is_file())
}

/// Measures the files that the words mean, prints the table, hands it on, and returns whether the goal is reached.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn judge(tools: &Tools, words: &[String], progress: &Progress, told: impl FnOnce(&str)) -> Result<bool> {
    let root = paths::workspace()?;
    let list = List::read(&root.join(LIST))?.only(words)?;
    let folder = paths::target()?.join("coverage");
    let counted = count(&list, &folder, tools, progress)?;
    let report = Report { rows: rows(&list, &root, &counted)?, goal: list.goal };
    let text = report.to_string();
    progress.text(&text);
    told(&text);
    if words.is_empty() {
        results::keep_table("coverage", &text)?;
    }
    Ok(report.passed())
}

/// Runs the tests, and returns what they say of all files.
fn count(list: &List, folder: &Path, tools: &Tools, progress: &Progress) -> Result<BTreeMap<PathBuf, Lines>> {
    let step = progress.step("coverage", "building tests that count");
    let programs = Program::all(&process::output(build(list, folder)?)?)?;
    let profiles = folder.join("profiles");
    paths::make(&profiles)?;
    let mut counted = BTreeMap::<PathBuf, Lines>::new();
    // What has no tests has no code either, such as models for another build.
    for program in programs.iter().filter(|program| program.has("")) {
        step.update(format!("running {}", program.name()));
        let profile = profiles.join(program.name());
        exercise(program, &profile)?;
        // Each by itself: what is built as a test differs from what others use, under the same names.
        for (file, lines) in lines::parse(&tools.export(program.path(), &profile)?) {
            counted.entry(file).or_default().merge(&lines);
        }
    }
    step.done("measured");
    Ok(counted)
}

fn build(list: &List, folder: &Path) -> Result<Command> {
    let mut command = workspace::cargo()?;
    command.args(["test", "--no-run", "--lib", "--tests", "--message-format=json-render-diagnostics"]);
    command.args(list.packages.iter().flat_map(|package| ["--package", package]));
    command.env("CARGO_TARGET_DIR", folder).env("RUSTFLAGS", "-C instrument-coverage").env("CARGO_INCREMENTAL", "0");
    // Compiler plug-ins count, too, and nobody wants to know.
    command.env("LLVM_PROFILE_FILE", "/dev/null");
    // What is counted is fixed before anything is made quicker.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
    Ok(command)
}

fn exercise(program: &Program, profile: &Path) -> Result<()> {
    let mut command = program.command(&[]);
    command.env("LLVM_PROFILE_FILE", profile.with_extension("profraw"));
    // Whether a line runs takes few cases.
    command.env("DOMU_SEEDS", "2").env("PROPTEST_CASES", "64").env("DOMU_DIR", paths::domu()?);
    let finished = process::capture(command, Some(Instant::now() + LIMIT))?;
    if !finished.status.success() {
        let said = process::last_lines(&(finished.stdout + &finished.stderr), LINES);
        bail!("the tests of {} fail ({}):\n{said}", program.name(), finished.status);
    }
    Ok(())
}

fn rows(list: &List, root: &Path, counted: &BTreeMap<PathBuf, Lines>) -> Result<Vec<Row>> {
    let row = |path: &PathBuf| {
        let file = root.join(path);
        let source = fs::read_to_string(&file).with_context(|| format!("{LIST} names {}", path.display()))?;
        let lines = counted.get(&file).with_context(|| format!("no test has anything of {}", path.display()))?;
        let end = lines::tests_begin(&source);
        if end.is_none() && source.contains("#[test]") {
            bail!("{}: where its own tests begin, which do not count, is not to be seen", path.display());
        }
        Ok(Row::new(path.display().to_string(), &lines.before(end)))
    };
    list.files.iter().map(|file| row(&file.path)).collect()
}
