//! Miri, which interprets tests and finds undefined behaviour; it needs a nightly toolchain.

use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use crate::process;
use crate::progress::Progress;
use crate::workspace::{self, Package};

/// The toolchain, pinned here and nowhere else.
const NIGHTLY: &str = "nightly-2026-10-30";
/// The packages whose tests Miri runs, those with `unsafe` that need no processor, no Xen and no file; and which of their tests: a
/// simulated machine takes seconds to make under Miri, so that few of those that use one can be run, and none of the simulator's back ends
/// and oracles, which have no `unsafe` and look at thousands of blocks and packets.
const PACKAGES: [(&str, &[&str]); 4] = [
    ("xen-shared-ring", &["--lib", "--test", "byte_honest", "--test", "in_flight", "--test", "slots"]),
    ("xen-grant-table", &["--lib", "--test", "foreign"]),
    ("xen-event-channel", &["--lib", "--test", "storm"]),
    ("xen-sim", &["--lib", "--", "--skip", "back::"]),
];
/// An address is no pointer; no test may depend on the outside, but reading the environment is no danger.
const FLAGS: &str = "-Zmiri-strict-provenance -Zmiri-disable-isolation";

/// Returns which tests of a package Miri runs, as words for cargo.
#[must_use]
pub fn tests_of(package: &Package) -> Option<&'static [&'static str]> {
    PACKAGES.iter().find(|(name, _)| *name == package.name).map(|(_, tests)| *tests)
}

/// Returns the command `cargo miri` with these words.
///
/// # Errors
///
/// When the workspace is not found.
pub fn cargo(words: &[&str]) -> Result<Command> {
    let mut command = rustup(&["run", NIGHTLY, "cargo", "miri"])?;
    // Interpreted code is a thousand times slower, so a few cases of each property must do.
    command.env("MIRIFLAGS", FLAGS).env("PROPTEST_CASES", "2").args(words);
    Ok(command)
}

/// Makes sure that Miri is there, installing it where rustup can; otherwise says why it is not, and what to do.
///
/// # Errors
///
/// When the user interrupts.
pub fn ensure(progress: &Progress) -> Result<Result<(), String>> {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    if let Some(ready) = READY.get() {
        return Ok(ready.clone());
    }
    let ready = prepare(progress)?;
    Ok(READY.get_or_init(|| ready).clone())
}

/// Returns the command that installs Miri, or what else to do, unless it is installed.
///
/// # Errors
///
/// When the user interrupts.
pub fn missing() -> Result<Option<String>> {
    if process::find("rustup").is_none() {
        return Ok(Some("https://rustup.rs has rustup, which fetches nightly toolchains".into()));
    }
    let listed = process::capture(rustup(&["component", "list", "--installed", "--toolchain", NIGHTLY])?, None)?;
    let has = |name: &str| listed.stdout.lines().any(|line| line.starts_with(name));
    let installed = listed.status.success() && has("miri") && has("rust-src");
    Ok(if installed { None } else { Some(format!("`{}`", process::describe(&install()?))) })
}

fn prepare(progress: &Progress) -> Result<Result<(), String>> {
    if let Some(hint) = missing()?
        && (process::find("rustup").is_none() || !loudly(install()?, progress)?)
    {
        return Ok(Err(format!("Miri is not here and could not be fetched; with a network: {hint}")));
    }
    // Builds the standard library for Miri, once.
    let setup = cargo(&["setup"])?;
    let line = process::describe(&setup);
    Ok(if loudly(setup, progress)? { Ok(()) } else { Err(format!("Miri could not be prepared: see `{line}`")) })
}

fn install() -> Result<Command> {
    rustup(&["toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", "miri", "--component", "rust-src"])
}

fn loudly(command: Command, progress: &Progress) -> Result<bool> {
    progress.note("miri", process::describe(&command));
    let listener = progress.clone();
    Ok(process::stream(command, None, move |line| listener.print(line))?.success())
}

/// A command for rustup, in the root of the workspace and without what cargo tells this program about itself.
fn rustup(words: &[&str]) -> Result<Command> {
    let cargo = workspace::cargo()?;
    let mut command = Command::new("rustup");
    command.args(words);
    cargo.get_current_dir().map(|folder| command.current_dir(folder));
    for (name, _) in cargo.get_envs() {
        command.env_remove(name);
    }
    Ok(command)
}
