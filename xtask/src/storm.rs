//! The program that lets a hostile peer loose on rings, built in several ways; those that have disks live through faults; and the tests
//! that do so to network interfaces, for longer than usual.

use std::process::Command;

use anyhow::Result;

use crate::workspace::{self, Package};
use crate::{miri, paths};

/// The package and its program.
const PACKAGE: &str = "hostile-tests";
const PROGRAM: &str = "ring-storm";
/// The package of those for disks.
const DISKS: &str = "block-tests";

/// The package whose tests are those for network interfaces, and their names.
const INTERFACES: &str = "xen-netfront";
const FAULTS: [&str; 2] = ["whatever_a_backend_does", "fault_26"];
const PACKETS: &str = "packets_over_the_ends";

/// How the program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As a user of the crates would.
    Release,
    /// So that each access outside an object is found.
    AddressSanitizer,
    /// Interpreted, so that undefined behaviour is found.
    Miri,
}

/// Returns whether the workspace has the program.
#[must_use]
pub fn exists(packages: &[Package]) -> bool {
    let of = |package: &Package| package.programs.iter().any(|(name, _)| name == PROGRAM);
    packages.iter().any(|package| package.name == PACKAGE && of(package))
}

/// Returns the command for a number of random steps.
///
/// # Errors
///
/// When the workspace is not found.
pub fn command(build: Build, steps: u64, seed: u64) -> Result<Command> {
    let mut command = match build {
        Build::Release => {
            let mut command = cargo(&["run", "--release"])?;
            build_for_long_runs(&mut command);
            command
        }
        Build::AddressSanitizer => with_address_sanitizer()?,
        Build::Miri => miri::cargo(&["run"])?,
    };
    command.args(["--package", PACKAGE, "--bin", PROGRAM, "--"]);
    command.args(["--steps", &steps.to_string(), "--seed", &seed.to_string()]);
    Ok(command)
}

/// What is done to disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disks {
    /// Each seed is a disk with random faults around it.
    Faults {
        /// How many.
        seeds: u64,
        /// The first one.
        seed: u64,
    },
    /// One disk has so many requests, over the ends of the rings' indices.
    Requests(u64),
}

/// Returns whether the workspace has the programs for disks.
#[must_use]
pub fn has_disks(packages: &[Package]) -> bool {
    packages.iter().any(|package| package.name == DISKS)
}

/// Returns the command that does this to disks.
///
/// # Errors
///
/// When the workspace is not found.
pub fn disks(what: Disks) -> Result<Command> {
    let mut command = cargo(&["run", "--release", "--package", DISKS, "--bin"])?;
    build_for_long_runs(&mut command);
    match what {
        Disks::Faults { seeds, seed } => {
            command.args(["block-storm", "--", "--seeds", &seeds.to_string(), "--seed", &seed.to_string()])
        }
        Disks::Requests(requests) => command.args(["block-many", "--", "--requests", &requests.to_string()]),
    };
    Ok(command)
}

/// What is done to network interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interfaces {
    /// Each seed is an interface whose backend does at random what it should not, and one that faults befall in pairs.
    Faults {
        /// How many.
        seeds: u64,
        /// The first one.
        seed: u64,
    },
    /// Interfaces have so many packets, over the ends of the rings' indices.
    Packets(u64),
}

/// Returns whether the workspace has the tests for network interfaces.
#[must_use]
pub fn has_interfaces(packages: &[Package]) -> bool {
    packages.iter().any(|package| package.name == INTERFACES)
}

/// Returns the command that does this to network interfaces.
///
/// # Errors
///
/// When the workspace is not found.
pub fn interfaces(what: Interfaces) -> Result<Command> {
    let mut command = cargo(&["test", "--release", "--package", INTERFACES, "--test", "it", "--", "--nocapture"])?;
    build_for_long_runs(&mut command);
    match what {
        Interfaces::Faults { seeds, seed } => {
            command.env("DOMU_SEEDS", seeds.to_string()).env("DOMU_SEED", seed.to_string()).args(FAULTS)
        }
        Interfaces::Packets(packets) => command.env("DOMU_PACKETS", packets.to_string()).arg(PACKETS),
    };
    Ok(command)
}

/// As quickly as it may be without losing more time in a run: the parts of a crate know each other.
fn build_for_long_runs(command: &mut Command) {
    workspace::build_quickly(command).env("CARGO_PROFILE_RELEASE_LTO", "false");
}

/// The sanitizer comes with the pinned toolchain, which only hides the option.
fn with_address_sanitizer() -> Result<Command> {
    // With a target named, the flag does not reach build scripts and compiler plug-ins.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = cargo(&["run", "--release", "--target", &target])?;
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    command.env("CARGO_TARGET_DIR", paths::target()?.join("asan"));
    workspace::build_quickly(&mut command);
    Ok(command)
}

fn cargo(words: &[&str]) -> Result<Command> {
    let mut command = workspace::cargo()?;
    command.args(words);
    Ok(command)
}
