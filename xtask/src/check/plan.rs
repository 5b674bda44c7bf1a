//! The steps of the check, those first that end soon.

use std::process::Command;

use anyhow::Result;

use super::step::Step;
use crate::doc::FEATURES;
use crate::mutants::{self, Share};
use crate::storm::{self, Build, Disks, Interfaces};
use crate::workspace::{self, GUEST_TARGET, Package};
use crate::{coverage, loom, miri};

/// The step that makes the book.
pub(super) const DOCUMENTATION: &str = "documentation";
/// The package with the tests that boot real Xen.
const XEN_TESTS: &str = "real-xen-tests";
/// Those of them that print figures.
const FIGURES: [&str; 3] = ["xenbus", "block", "network"];
/// The package that compares with Xen's own ring macros, and prints a table of costs.
const DIFFERENTIAL_TESTS: &str = "differential-tests";
/// The other target without an operating system.
const ARM_TARGET: &str = "aarch64-unknown-none";
/// Hostile steps on rings for each way to build.
const STORMS: [(&str, Build, u64); 3] = [
    ("ring storm", Build::Release, 50_000_000),
    ("ring storm, AddressSanitizer", Build::AddressSanitizer, 10_000_000),
    ("ring storm, Miri", Build::Miri, 8_000),
];
/// What disks live through.
const DISKS: [(&str, Disks); 2] = [
    ("faults around disks", Disks::Faults { seeds: 2_000, seed: SEED }),
    ("requests on a disk", Disks::Requests(50_000_000)),
];
/// What network interfaces live through.
const INTERFACES: [(&str, Interfaces); 2] = [
    ("faults around interfaces", Interfaces::Faults { seeds: 2_000, seed: SEED }),
    ("packets on interfaces", Interfaces::Packets(50_000_000)),
];
/// The seed of all that has one, so that what fails here fails everywhere. (`soak` takes fresh ones.)
const SEED: u64 = 15;

/// In how many shares the mutants are tried, each commit the next: all of them take longer than a push has time for.
const SHARES: usize = 32;

/// Returns all steps; those for tests that the workspace does not have are left out.
pub(super) fn steps(packages: &[Package]) -> Result<Vec<Step>> {
    let mut steps = lints(packages)?;
    steps.push(Step::loud("host tests", host_tests(packages)?));
    steps.push(Step::quiet("packages", packaged(packages)?));
    if has(packages, DIFFERENTIAL_TESTS) {
        // Its table is worth seeing when all is well, too.
        let words = ["test", "--package", DIFFERENTIAL_TESTS, "--", "--nocapture"];
        steps.push(Step::loud("comparison with Xen's ring.h", cargo(&words)?));
    }
    steps.extend(models(packages)?);
    steps.extend(storms(packages)?);
    if storm::has_disks(packages) {
        let step = |(name, what)| Ok(Step::loud(name, storm::disks(what)?));
        steps.extend(DISKS.into_iter().map(step).collect::<Result<Vec<_>>>()?);
    }
    if storm::has_interfaces(packages) {
        let step = |(name, what)| Ok(Step::loud(name, storm::interfaces(what)?));
        steps.extend(INTERFACES.into_iter().map(step).collect::<Result<Vec<_>>>()?);
    }
    steps.extend(miri_tests(packages)?);
    steps.extend(real_xen(packages)?);
    if coverage::is_wanted()? {
        steps.push(Step::coverage());
    }
    if mutants::any()? {
        steps.push(Step::mutants(Share::of_commit(SHARES)));
    }
    Ok(steps)
}

fn lints(packages: &[Package]) -> Result<Vec<Step>> {
    let guests = names(packages, Package::is_guest);
    let with_targets = |target: &str| bare("clippy", target, &names(packages, |package| package.supports(target)));
    Ok(vec![
        Step::quiet("format", cargo(&["fmt", "--all", "--check"])?),
        Step::quiet("clippy, host", workspace_without(&["clippy", "--all-targets"], &guests, &["-D", "warnings"])?),
        Step::quiet("clippy, x86-64 guests", with_targets(GUEST_TARGET)?),
        Step::quiet("clippy, ARM64 libraries", with_targets(ARM_TARGET)?),
        Step::quiet(DOCUMENTATION, documentation(&[])?),
    ])
}

/// Returns the command that makes the API's pages and the book, with these words.
pub(super) fn documentation(words: &[&str]) -> Result<Command> {
    cargo(&[&["run", "--quiet", "--package", "xtask", "--", "doc"], words].concat())
}

fn host_tests(packages: &[Package]) -> Result<Command> {
    let elsewhere = [XEN_TESTS, DIFFERENTIAL_TESTS];
    let left_out = names(packages, |package| package.is_guest() || elsewhere.contains(&package.name.as_str()));
    workspace_without(&["test"], &left_out, &[])
}

/// Lints and runs what several processors do.
fn models(packages: &[Package]) -> Result<Vec<Step>> {
    let selected = names(packages, loom::has_models);
    if selected.is_empty() {
        return Ok(Vec::new());
    }
    let mut clippy = loom::cargo(&["clippy", "--lib", "--test", "loom"])?;
    let mut tests = loom::cargo(&["test", "--release", "--test", "loom"])?;
    with_packages(&mut clippy, &selected);
    with_packages(&mut tests, &selected);
    let clippy = with_rest(clippy, &["-D", "warnings"]);
    Ok(vec![Step::quiet("clippy, loom models", clippy), Step::loud("loom models", tests)])
}

fn storms(packages: &[Package]) -> Result<Vec<Step>> {
    if !storm::exists(packages) {
        return Ok(Vec::new());
    }
    let step = |(name, build, steps)| {
        let command = storm::command(build, steps, SEED)?;
        Ok(match build {
            Build::Miri => Step::miri(name, command),
            Build::Release | Build::AddressSanitizer => Step::loud(name, command),
        })
    };
    STORMS.into_iter().map(step).collect()
}

fn miri_tests(packages: &[Package]) -> Result<Vec<Step>> {
    let one = |(package, tests): (&Package, &[&str])| {
        let mut command = miri::cargo(&["test", "--package", &package.name])?;
        command.args(tests);
        Ok(Step::miri(format!("Miri, {}", package.name), command))
    };
    packages.iter().filter_map(|package| Some((package, miri::tests_of(package)?))).map(one).collect()
}

/// Makes the packages that are to be published. That each builds out of its own, a release finds out: it takes minutes.
fn packaged(packages: &[Package]) -> Result<Command> {
    let mut command = cargo(&["package", "--quiet", "--allow-dirty", "--locked", "--no-verify"])?;
    with_packages(&mut command, &names(packages, Package::is_published));
    Ok(command)
}

/// A step for each program of tests, as each step has a time limit; the figures of some are worth seeing when all is well, too.
fn real_xen(packages: &[Package]) -> Result<Vec<Step>> {
    let Some(package) = packages.iter().find(|package| package.name == XEN_TESTS) else { return Ok(Vec::new()) };
    let step = |test: &String| {
        let mut command = cargo(&["test", "--package", XEN_TESTS, "--test", test])?;
        if FIGURES.contains(&test.as_str()) {
            command.args(["--", "--nocapture"]);
        }
        Ok(Step::xen(format!("real Xen, {test}"), command))
    };
    package.tests.iter().map(step).collect()
}

/// A cargo command for the packages that are built for the host; guests have no host build.
fn workspace_without(command: &[&str], left_out: &[&str], rest: &[&str]) -> Result<Command> {
    let mut cargo = cargo(command)?;
    cargo.args(["--workspace", "--features", FEATURES]);
    for package in left_out {
        cargo.args(["--exclude", package]);
    }
    Ok(with_rest(cargo, rest))
}

/// A lint command for selected packages on a bare target.
fn bare(command: &str, target: &str, packages: &[&str]) -> Result<Command> {
    let mut cargo = cargo(&[command, "--target", target])?;
    with_packages(&mut cargo, packages);
    Ok(with_rest(cargo, &["-D", "warnings"]))
}

fn with_packages(command: &mut Command, packages: &[&str]) {
    for package in packages {
        command.args(["--package", package]);
    }
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

fn has(packages: &[Package], name: &str) -> bool {
    packages.iter().any(|package| package.name == name)
}

fn names(packages: &[Package], accept: impl Fn(&Package) -> bool) -> Vec<&str> {
    packages.iter().filter(|package| accept(package)).map(|package| package.name.as_str()).collect()
}
