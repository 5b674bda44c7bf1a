//! The programs of `fuzz/`, in which coverage leads scripts of what peers write.

use std::process::Command;

use anyhow::Result;

use crate::workspace::{self, Package};
use crate::{paths, process};

/// The package that plays the scripts.
const PACKAGE: &str = "fuzz-tests";

/// The programs.
pub const TARGETS: [&str; 5] = ["connection", "console", "device", "receive", "responses"];

/// No script needs more bytes.
const LONGEST: u32 = 600;

/// Returns whether the workspace has the programs, and this machine a compiler for the fuzzer that they are linked with.
#[must_use]
pub fn is_possible(packages: &[Package]) -> bool {
    packages.iter().any(|package| package.name == PACKAGE) && process::find("c++").is_some()
}

/// Returns the command that runs a program for so many seconds.
///
/// # Errors
///
/// When the workspace is not found, or the folder for what is found cannot be made.
pub fn command(target: &str, seconds: u64, seed: u64) -> Result<Command> {
    let found = paths::target()?.join("fuzz-corpus").join(target);
    paths::make(&found)?;
    let mut command = workspace::cargo()?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command.args(["run", "--release", "--config", "fuzz/config.toml", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--target", &host, "--bin", target, "--"]);
    // New scripts go to the first folder. The simulator's domains hold each other: that is no leak.
    command.arg(&found).arg(format!("fuzz/corpus/{target}")).arg("-detect_leaks=0");
    // The fuzzer takes 32 bits, and 0 for one by the clock.
    let seed = seed % u64::from(u32::MAX) + 1;
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={LONGEST}"), format!("-seed={seed}")]);
    let mut prefix = std::ffi::OsString::from("-artifact_prefix=");
    prefix.push(&found);
    prefix.push("-");
    command.arg(prefix);
    // The pinned toolchain has what is needed, and only hides the options.
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", paths::target()?.join("fuzz"));
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_those_of_the_folder_and_each_has_a_corpus() {
        let fuzz = paths::workspace().unwrap().join("fuzz");
        let names = |folder: &str| {
            let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
            let name = |entry: std::fs::DirEntry| entry.path().file_stem().unwrap().to_string_lossy().into_owned();
            let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
            names.sort();
            names
        };
        assert_eq!(names("fuzz_targets"), TARGETS);
        assert_eq!(names("corpus"), TARGETS);
    }
}
