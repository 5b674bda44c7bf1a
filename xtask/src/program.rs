//! The programs of a package's tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// A program with tests.
#[derive(Debug)]
pub(crate) struct Program {
    /// Cargo's words that select it.
    pub(crate) words: Vec<String>,
    /// The names of its tests.
    tests: Vec<String>,
    path: PathBuf,
    /// The folder of its package, where cargo runs it.
    folder: PathBuf,
}

impl Program {
    /// Reads which programs cargo built, and asks each for its tests.
    pub(crate) fn all(messages: &str) -> Result<Vec<Self>> {
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let tests = messages.filter(|message| message["profile"]["test"].as_bool() == Some(true));
        tests.filter_map(|message| Self::new(&message).transpose()).collect()
    }

    fn new(message: &Value) -> Result<Option<Self>> {
        let Some(path) = message["executable"].as_str() else { return Ok(None) };
        let manifest = Path::new(message["manifest_path"].as_str().context("cargo tells no manifest")?);
        Ok(Some(Self {
            words: selector(&message["target"])?,
            tests: tests(path)?,
            path: path.into(),
            folder: manifest.parent().unwrap_or(manifest).to_owned(),
        }))
    }

    /// Returns whether a test has this in its name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tests.iter().any(|test| test.contains(name))
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the command that runs the tests with one of these in their names, in the folder where cargo would.
    pub(crate) fn command(&self, names: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(names).current_dir(&self.folder);
        command
    }
}

/// Returns the words that make cargo build one target only.
fn selector(target: &Value) -> Result<Vec<String>> {
    let name = target["name"].as_str().unwrap_or_default();
    let words = match target["kind"][0].as_str() {
        Some("lib" | "rlib" | "proc-macro") => vec!["--lib"],
        Some("test") => vec!["--test", name],
        Some("bin") => vec!["--bin", name],
        other => bail!("tests in {name}, which is of the kind {other:?}"),
    };
    Ok(words.into_iter().map(str::to_owned).collect())
}

fn tests(program: &str) -> Result<Vec<String>> {
    let mut command = Command::new(program);
    // One that counts which lines run has nothing to say of a list.
    command.args(["--list", "--format", "terse"]).env("LLVM_PROFILE_FILE", "/dev/null");
    let text = process::output(command)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_selected_by_kind_and_name() {
        let target = |kind: &str| serde_json::json!({ "name": "ring", "kind": [kind] });
        assert_eq!(selector(&target("lib")).unwrap(), ["--lib"]);
        assert_eq!(selector(&target("test")).unwrap(), ["--test", "ring"]);
        assert!(selector(&target("bench")).is_err());
    }

    #[test]
    fn only_programs_with_tests_count_and_run_in_their_folder() {
        let message = |test: bool, program: &str| {
            let target = serde_json::json!({ "name": "t", "kind": ["test"] });
            let profile = serde_json::json!({ "test": test });
            serde_json::json!({ "target": target, "profile": profile, "executable": program, "manifest_path": "/w/p/Cargo.toml" })
        };
        let messages = format!("{}\nno json\n{}\n", message(false, "/bin/false"), message(true, "/bin/true"));
        let programs = Program::all(&messages).unwrap();
        assert_eq!(programs.len(), 1);
        let command = programs[0].command(&["hc_001"]);
        assert_eq!(command.get_current_dir(), Some(Path::new("/w/p")));
        assert_eq!(process::describe(&command), "true hc_001");
        assert!(!programs[0].has("hc_001"));
    }
}
