//! Builds in which loom replaces the atomics and tries the interleavings of several processors.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::paths;
use crate::workspace::{self, Package};

/// Returns whether a package has models: `tests/loom.rs`.
#[must_use]
pub fn has_models(package: &Package) -> bool {
    package.folder.join("tests/loom.rs").is_file()
}

/// Returns cargo's command with these words, for builds with loom.
///
/// # Errors
///
/// When the workspace is not found.
pub fn cargo(words: &[&str]) -> Result<Command> {
    let mut command = workspace::cargo()?;
    configure(&mut command, &paths::target()?.join("loom"));
    command.args(words);
    Ok(command)
}

/// Makes a cargo command build with loom into a folder of its own: the flag changes every crate.
pub fn configure<'a>(command: &'a mut Command, target: &Path) -> &'a mut Command {
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target);
    workspace::build_quickly(command)
}
