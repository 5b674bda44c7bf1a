//! The example guests: finding and building them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{self, Guarded};
use crate::progress::Progress;
use crate::workspace::{self, GUEST_TARGET};
use crate::{paths, spelling};

/// What a guest is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It shows something: it lies in or below the folder `examples`.
    Example,
    /// Tests boot it.
    Test,
}

/// A guest of the workspace.
#[derive(Debug)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// The package that holds it.
    pub package: String,
    /// What it is for.
    pub role: Role,
    /// What it shows, in a sentence.
    pub summary: String,
}

/// Returns the guests of the workspace, by name.
///
/// # Errors
///
/// When cargo cannot describe the workspace.
pub fn list() -> Result<Vec<Guest>> {
    let examples = paths::workspace()?.join("examples");
    let mut guests = Vec::new();
    for package in workspace::packages()?.into_iter().filter(workspace::Package::is_guest) {
        let role = if package.folder.starts_with(&examples) { Role::Example } else { Role::Test };
        for (name, source) in package.programs {
            guests.push(Guest { name, package: package.name.clone(), role, summary: summary(&source) });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// Returns the guest with this name.
///
/// # Errors
///
/// Names the most similar guest, and all examples.
pub fn find(name: &str) -> Result<Guest> {
    let mut guests = list()?;
    match guests.iter().position(|guest| guest.name == name) {
        Some(index) => Ok(guests.swap_remove(index)),
        None => bail!(unknown(name, &guests)),
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
    let line = process::describe(&command);
    // Without cargo's own messages, what is left are warnings and errors.
    command.args(["--quiet", "--message-format=json-render-diagnostics"]);
    let (messages, errors, success) = run(command)?;
    if !success {
        bail!("{} does not build:\n{errors}\n{}`{line}` repeats this", guest.name, target_hint(&errors));
    }
    let elf = executable(&messages, &guest.name).context("cargo built no program")?;
    let size = fs::metadata(&elf)?.len();
    step.done(format!("{} built, {}", guest.name, process::size(size)));
    progress.text(errors.trim_end());
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

fn unknown(name: &str, guests: &[Guest]) -> String {
    let similar = spelling::similar(name, guests.iter().map(|guest| guest.name.as_str()));
    let hint = similar.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    let examples = guests.iter().filter(|guest| guest.role == Role::Example);
    let names: Vec<&str> = examples.map(|guest| guest.name.as_str()).collect();
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
        let guests = [("echo", Role::Test), ("hello", Role::Example), ("tour", Role::Example)]
            .map(|(name, role)| Guest { name: name.to_owned(), package: String::new(), role, summary: String::new() });
        assert!(unknown("helo", &guests).contains("did you mean `hello`?"));
        assert!(unknown("ecko", &guests).contains("did you mean `echo`?"));
        let far = unknown("zzz", &guests);
        assert!(!far.contains("did you mean") && far.ends_with("are: hello, tour"), "{far}");
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
