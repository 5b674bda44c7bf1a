//! `cargo xtask test`: everything that must hold.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::cli::Test;
use crate::process::{self, Guarded};
use crate::progress::Progress;
use crate::workspace::{self, GUEST_TARGET, Package};

/// The package with the tests that boot real Xen.
const XEN_TESTS: &str = "real-xen-tests";
/// The other target without an operating system.
const ARM_TARGET: &str = "aarch64-unknown-none";

/// Runs the checks and returns 0 if all passed.
///
/// # Errors
///
/// When cargo cannot be run at all, or the user interrupts.
pub fn run(options: &Test) -> Result<u8> {
    let packages = workspace::packages()?;
    let mut checks = Vec::new();
    if !options.xen {
        checks.extend(host_checks(&packages)?);
    }
    if !options.host && packages.iter().any(|package| package.name == XEN_TESTS) {
        checks.push(Check::loud("real Xen", cargo(&["test", "--package", XEN_TESTS])?));
    }
    let progress = Progress::new();
    let mut failed = Vec::new();
    for check in checks {
        let (name, line) = (check.name, process::describe(&check.command));
        if !check.run(&progress)? {
            failed.push((name, line));
        }
    }
    Ok(conclude(&failed, &progress))
}

/// One thing to check.
struct Check {
    name: &'static str,
    command: Command,
    /// Whether what it prints is worth seeing when it passes.
    loud: bool,
}

impl Check {
    const fn quiet(name: &'static str, command: Command) -> Self {
        Self { name, command, loud: false }
    }

    const fn loud(name: &'static str, command: Command) -> Self {
        Self { name, command, loud: true }
    }

    fn run(self, progress: &Progress) -> Result<bool> {
        let step = progress.step("test", self.name);
        let passed = if self.loud {
            drop(step);
            progress.note("test", format!("{}: {}", self.name, process::describe(&self.command)));
            let mut command = self.command;
            command.stdin(Stdio::null());
            Guarded::spawn(command)?.wait(None)?.success()
        } else {
            let passed = silently(self.command)?;
            drop(step);
            passed
        };
        progress.line("test", format!("{} {}", self.name, if passed { "passed" } else { "FAILED" }));
        Ok(passed)
    }
}

/// Runs a command and shows what it printed only if it failed.
fn silently(mut command: Command) -> Result<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut guarded = Guarded::spawn(command)?;
    let stdout = process::drain(guarded.child().stdout.take());
    let stderr = process::drain(guarded.child().stderr.take());
    let passed = guarded.wait(None)?.success();
    let text = process::collect(stdout) + &process::collect(stderr);
    if !passed {
        eprintln!("{}", text.trim_end());
    }
    Ok(passed)
}

fn host_checks(packages: &[Package]) -> Result<Vec<Check>> {
    let guests = names(packages, Package::is_guest);
    let with_targets = |command: &[&str], target: &str| {
        let selected = names(packages, |package| package.supports(target));
        bare(command, target, &selected)
    };
    let mut docs = workspace_without(&["doc", "--no-deps"], &guests, &[])?;
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut tests = workspace_without(&["test"], &guests, &[])?;
    if packages.iter().any(|package| package.name == XEN_TESTS) {
        tests.args(["--exclude", XEN_TESTS]);
    }
    Ok(vec![
        Check::quiet("format", cargo(&["fmt", "--all", "--check"])?),
        Check::quiet("clippy, host", workspace_without(&["clippy", "--all-targets"], &guests, &["-D", "warnings"])?),
        Check::quiet("clippy, x86-64 guests", with_targets(&["clippy"], GUEST_TARGET)?),
        Check::quiet("clippy, ARM64 libraries", with_targets(&["clippy"], ARM_TARGET)?),
        Check::quiet("documentation", docs),
        Check::loud("host tests", tests),
    ])
}

/// A cargo command for the packages that are built for the host; guests have no host build.
fn workspace_without(command: &[&str], guests: &[&str], rest: &[&str]) -> Result<Command> {
    let mut cargo = cargo(command)?;
    cargo.arg("--workspace");
    for guest in guests {
        cargo.args(["--exclude", guest]);
    }
    Ok(with_rest(cargo, rest))
}

/// A lint command for selected packages on a bare target.
fn bare(command: &[&str], target: &str, packages: &[&str]) -> Result<Command> {
    let mut cargo = cargo(command)?;
    cargo.args(["--target", target]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    Ok(with_rest(cargo, &["-D", "warnings"]))
}

fn with_rest(mut command: Command, rest: &[&str]) -> Command {
    if !rest.is_empty() {
        command.arg("--").args(rest);
    }
    command
}

fn cargo(arguments: &[&str]) -> Result<Command> {
    let mut command = workspace::cargo()?;
    command.args(arguments);
    Ok(command)
}

fn names(packages: &[Package], accept: impl Fn(&Package) -> bool) -> Vec<&str> {
    packages.iter().filter(|package| accept(package)).map(|package| package.name.as_str()).collect()
}

fn conclude(failed: &[(&str, String)], progress: &Progress) -> u8 {
    if failed.is_empty() {
        progress.line("test", "everything passed");
        return 0;
    }
    for (name, line) in failed {
        eprintln!("error: {name} failed; to repeat it: {line}");
    }
    1
}
