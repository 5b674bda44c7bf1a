//! What tests said of themselves when they ran here: kept for `cargo xtask doc` and for the page of `cargo xtask bench`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{paths, process};

/// The last verdict on each test, by its name without its module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Results {
    verdicts: BTreeMap<String, Verdict>,
    /// The commits at which they were found, as git abbreviates them.
    commits: Vec<String>,
}

/// What came of a test; of several with one name, the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It failed.
    Failed,
    /// It passed.
    Passed,
}

impl Verdict {
    /// Returns what stands before the test's name.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Passed => "✓ ",
            Self::Failed => "✗ ",
        }
    }
}

impl Results {
    /// Reads what was kept; nothing, if no step has run here.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn kept() -> Result<Self> {
        let (folder, mut results) = (folder()?, Self::default());
        if folder.is_dir() {
            for entry in fs::read_dir(&folder)? {
                results.add(&fs::read_to_string(entry?.path()).context("cannot read the results of tests")?);
            }
        }
        Ok(results)
    }

    /// Returns the verdict on the tests of a name, if one has run.
    #[must_use]
    pub fn of(&self, test: &str) -> Option<Verdict> {
        self.verdicts.get(test).copied()
    }

    /// Returns the commits at which tests have run, each once.
    #[must_use]
    pub fn commits(&self) -> &[String] {
        &self.commits
    }

    /// Adds a file: the commit in its first line, then what `libtest` prints.
    fn add(&mut self, text: &str) {
        let (commit, lines) = text.split_once('\n').unwrap_or_default();
        if !self.commits.iter().any(|known| known == commit) {
            self.commits.push(commit.to_owned());
        }
        for (test, verdict) in lines.lines().filter_map(verdict) {
            let entry = self.verdicts.entry(test.to_owned()).or_insert(verdict);
            *entry = verdict.min(*entry);
        }
    }
}

/// Forgets all verdicts: those of steps that are called otherwise now would stay.
///
/// # Errors
///
/// When they cannot be removed.
pub fn forget() -> Result<()> {
    let folder = folder()?;
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Keeps what the tests of a step have said, in place of what they said the last time.
///
/// # Errors
///
/// When it cannot be written.
pub fn keep<'a>(step: &str, lines: impl Iterator<Item = &'a str>) -> Result<()> {
    let lines: Vec<&str> = lines.filter(|line| verdict(line).is_some()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    paths::make(&folder()?)?;
    let file = folder()?.join(step.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    // Others may read it at this moment.
    let new = paths::target()?.join(paths::unique("test-results.new"));
    fs::write(&new, format!("{}\n{}\n", commit(&paths::workspace()?), lines.join("\n")))
        .and_then(|()| fs::rename(&new, &file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Keeps a table for `cargo xtask bench`, below a line that says of which commit it is.
///
/// # Errors
///
/// When it cannot be written.
pub fn keep_table(name: &str, text: &str) -> Result<()> {
    let file = table_file(name)?;
    fs::write(&file, format!("At {}:\n{text}\n", commit(&paths::workspace()?)))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Returns the table of this name that was kept last, if there is one.
#[must_use]
pub fn table(name: &str) -> Option<String> {
    fs::read_to_string(table_file(name).ok()?).ok()
}

fn table_file(name: &str) -> Result<PathBuf> {
    let folder = paths::target()?.join("test-tables");
    paths::make(&folder)?;
    Ok(folder.join(format!("{name}.txt")))
}

/// `test module::name ... ok`. One that was ignored has no verdict, and a test in a document has no name.
fn verdict(line: &str) -> Option<(&str, Verdict)> {
    let (name, end) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let verdict = match end.trim() {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        _ => return None,
    };
    (!name.contains(' ')).then(|| (name.rsplit("::").next().unwrap_or(name), verdict))
}

fn folder() -> Result<PathBuf> {
    Ok(paths::target()?.join("test-results"))
}

/// The commit, with a plus sign if the files are others.
fn commit(root: &Path) -> String {
    let mut git = std::process::Command::new("git");
    git.current_dir(root).args(["describe", "--always", "--dirty=+", "--exclude=*"]);
    process::output(git).map_or_else(|_| "an unknown commit".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_and_others_are_none() {
        assert_eq!(verdict("test queue::tests::it_wraps ... ok"), Some(("it_wraps", Verdict::Passed)));
        assert_eq!(verdict("test it_wraps ... FAILED"), Some(("it_wraps", Verdict::Failed)));
        assert_eq!(verdict("test a::b - should panic ... ok"), Some(("b", Verdict::Passed)));
        for other in ["test x ... ignored, why", "test docs/a.md - b (line 3) ... ok", "test result: ok. 1 passed", "x"]
        {
            assert_eq!(verdict(other), None, "{other}");
        }
    }

    #[test]
    fn one_of_a_name_that_failed_outweighs_others_that_passed() {
        let mut results = Results::default();
        results.add("abc123\ntest a::x ... ok\ntest y ... ok\n");
        results.add("abc123\ntest b::x ... FAILED\ntest c::x ... ok\n");
        let all = ["x", "y", "z"].map(|test| results.of(test));
        assert_eq!(all, [Some(Verdict::Failed), Some(Verdict::Passed), None]);
        assert_eq!(results.commits(), ["abc123"]);
    }
}
