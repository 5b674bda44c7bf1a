//! The example guests: finding and building them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{self, Guarded};
use crate::progress::Progress;
use crate::workspace::{self, GUEST_TARGET};

/// A guest of the workspace.
#[derive(Debug)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// The package that holds it.
    pub package: String,
    /// What it shows, in a sentence.
    pub summary: String,
}

/// Returns the guests of the workspace, by name.
///
/// # Errors
///
/// When cargo cannot describe the workspace.
pub fn list() -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for package in workspace::packages()?.into_iter().filter(workspace::Package::is_guest) {
        for (name, source) in package.programs {
            guests.push(Guest { name, package: package.name.clone(), summary: summary(&source) });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// Returns the guest with this name.
///
/// # Errors
///
/// Names the most similar guest, and all of them.
pub fn find(name: &str) -> Result<Guest> {
    let guests = list()?;
    let names: Vec<String> = guests.iter().map(|guest| guest.name.clone()).collect();
    match guests.into_iter().find(|guest| guest.name == name) {
        Some(guest) => Ok(guest),
        None => bail!(unknown(name, &names)),
    }
}

/// Builds a guest for its bare target and returns the ELF file.
///
/// # Errors
///
/// When it does not build; the message is the compiler's.
pub fn build(guest: &Guest, progress: &Progress) -> Result<PathBuf> {
    let step = progress.step("build", format!("building {}", guest.name));
    let mut command = workspace::cargo()?;
    command.args(["build", "--release", "--target", GUEST_TARGET]);
    command.args(["--package", &guest.package, "--bin", &guest.name]);
    command.arg("--message-format=json-render-diagnostics");
    let line = process::describe(&command);
    let (messages, errors, success) = run(command)?;
    if !success {
        bail!("{} does not build:\n{errors}\n{}`{line}` repeats this", guest.name, target_hint(&errors));
    }
    let elf = executable(&messages, &guest.name).context("cargo built no program")?;
    let size = fs::metadata(&elf)?.len();
    step.done(format!("{} built, {}", guest.name, process::size(size)));
    Ok(elf)
}

/// Runs cargo to its end: standard output, standard error, success.
fn run(mut command: std::process::Command) -> Result<(String, String, bool)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut cargo = Guarded::spawn(command)?;
    let stdout = process::drain(cargo.child().stdout.take());
    let stderr = process::drain(cargo.child().stderr.take());
    let status = cargo.wait(None)?;
    Ok((process::collect(stdout), process::collect(stderr), status.success()))
}

/// Returns the program's path from cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut artifacts = parsed.filter(|message| message["target"]["name"] == name);
    artifacts.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

fn target_hint(errors: &str) -> String {
    if errors.contains("can't find crate for `core`") {
        return format!("the Rust target is missing: `rustup target add {GUEST_TARGET}` installs it\n");
    }
    String::new()
}

fn unknown(name: &str, names: &[String]) -> String {
    let close = |other: &&String| strsim::damerau_levenshtein(name, other) <= 1 + name.len() / 3;
    let similar = names.iter().filter(close).min_by_key(|other| strsim::damerau_levenshtein(name, other));
    let hint = similar.map(|other| format!(" (did you mean `{other}`?)")).unwrap_or_default();
    format!("there is no example `{name}`{hint}; the examples are: {}", names.join(", "))
}

/// Returns the first sentence of a source file's documentation.
fn summary(source: &Path) -> String {
    let text = fs::read_to_string(source).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("//!")).unwrap_or_default();
    line.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_a_similar_one() {
        let names = ["hello", "tour"].map(str::to_owned);
        assert!(unknown("helo", &names).contains("did you mean `hello`?"));
        let far = unknown("zzz", &names);
        assert!(!far.contains("did you mean") && far.contains("hello, tour"), "{far}");
    }

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"hello"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"hello"},"executable":"/t/hello"}"#;
        assert_eq!(executable(messages, "hello"), Some("/t/hello".into()));
        assert_eq!(executable(messages, "tour"), None);
    }
}
