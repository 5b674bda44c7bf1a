//! What our frontends cost, against the same frontends in C over Xen's macros, in instructions.

mod common;

use anyhow::{Context, Result};
use differential_tests::cost::{BLOCK, HEAD, RINGS, Row, Scenario, TABLES};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our rings, hostile-input checks included, cost no more than C's without any.
#[test]
fn a_ring_costs_no_more_instructions_than_in_c() -> Result<()> {
    let (c, program) = (common::compile("cost.c", &["-O2"])?, rust(&[])?);
    let rings = count(&c, &program, &RINGS)?;
    let tables = count(&c, &program, &TABLES)?;
    // After the first program has been counted: the second one is built in its place.
    let (c, program) = (common::compile("cost.c", &["-O2", "-DID_FIRST"])?, rust(&["--features", "id-first"])?);
    let id_first = count(&c, &program, &BLOCK)?;
    println!("{HEAD}");
    rings.iter().for_each(|row| println!("{row}"));
    id_first.iter().for_each(|row| println!("{row}   with the id before the sector"));
    tables.iter().for_each(|row| println!("{row}"));
    for row in rings.iter().chain(&id_first) {
        anyhow::ensure!(row.ratio() <= 1.0, "more than C:\n{HEAD}\n{row}");
    }
    Ok(())
}

fn count(c: &Path, rust: &Path, scenarios: &[Scenario]) -> Result<Vec<Row>> {
    scenarios.iter().map(|scenario| Row::count(xtask::valgrind, c, rust, *scenario)).collect()
}

/// Builds our side as a kernel would be built, and returns where it is.
fn rust(options: &[&str]) -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("cargo's folder has a parent")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "differential-tests",
        "--bin",
        "ring-cost",
        "--target-dir",
    ]);
    // What is counted should not depend on flags that the tests themselves were built with.
    cargo.arg(target).args(options).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    anyhow::ensure!(cargo.status()?.success(), "the Rust side does not build");
    Ok(target.join("release/ring-cost"))
}
