//! What our frontends cost, against the same frontends in C over Xen's macros, in instructions.

mod common;

use anyhow::{Context, Result};
use differential_tests::cost::{HEAD, RINGS, Row, TABLES};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our rings, hostile-input checks included, cost no more than C's without any.
#[test]
fn a_ring_costs_no_more_instructions_than_in_c() -> Result<()> {
    let (c, rust) = (common::compile("cost.c", &["-O2"])?, rust()?);
    let count = |scenario| Row::count(xtask::valgrind, &c, &rust, scenario);
    let rings: Vec<_> = RINGS.into_iter().map(count).collect::<Result<_>>()?;
    let tables: Vec<_> = TABLES.into_iter().map(count).collect::<Result<_>>()?;
    println!("{HEAD}");
    rings.iter().chain(&tables).for_each(|row| println!("{row}"));
    for row in &rings {
        anyhow::ensure!(row.ratio() <= 1.0, "more than C:\n{HEAD}\n{row}");
    }
    Ok(())
}

/// Builds our side as a kernel would be built, and returns where it is.
fn rust() -> Result<PathBuf> {
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
    cargo.arg(target).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    anyhow::ensure!(cargo.status()?.success(), "the Rust side does not build");
    Ok(target.join("release/ring-cost"))
}
