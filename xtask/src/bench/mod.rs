//! `cargo xtask bench`: the SDK beside Linux, on the same Xen.
//!
//! A benchmark makes a report: named figures of one or two guests, each with its spread, goals, and what one must know to
//! read them. It is shown as a table, and kept as CSV and as a picture.

mod block;
mod contest;
mod csv;
mod goal;
mod linux;
mod net;
mod number;
mod report;
mod sample;
mod svg;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use self::report::Report;
use crate::cli::{Bench, Benchmark};
use crate::paths;
use crate::progress::Progress;

/// Runs a benchmark and returns 0: whether its goals are met is told, and no failure.
///
/// # Errors
///
/// When it cannot be run to its end, or the user interrupts.
pub fn run(options: &Bench) -> Result<u8> {
    let progress = Progress::new();
    let report = match &options.benchmark {
        Benchmark::Block(options) => block::run(options, &progress)?,
        Benchmark::Net(options) => net::run(options, &progress)?,
    };
    show(&report, &progress)?;
    Ok(0)
}

fn show(report: &Report, progress: &Progress) -> Result<()> {
    println!("\n{}", table::text(report));
    for (ending, text) in [("csv", csv::text(report)), ("svg", svg::text(report))] {
        let file = folder(report.name)?.join(format!("{}.{ending}", report.name));
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        progress.note("written", file.display().to_string());
    }
    Ok(())
}

fn folder(name: &str) -> Result<PathBuf> {
    let folder = paths::target()?.join("bench").join(name);
    paths::make(&folder)?;
    Ok(folder)
}
