//! `cargo xtask bench`: the SDK beside Linux, on the same Xen.
//!
//! A benchmark makes a report: named figures of one or two guests, each with its spread, goals, and what one must know to
//! read them. It is shown as a table, as CSV and as a picture; all of them are one page, beside what was kept of the last time.

mod block;
mod contest;
mod csv;
mod goal;
mod linux;
mod net;
mod number;
mod page;
mod report;
mod rings;
mod sample;
mod setting;
mod summary;
mod svg;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::csv::Before;
use self::page::Check;
use self::report::Report;
use crate::cli::{Bench, Benchmark};
use crate::progress::Progress;
use crate::{paths, results};

/// Runs benchmarks and returns 0: whether their goals are met is told, and no failure.
///
/// # Errors
///
/// When one cannot be run to its end, or the user interrupts.
pub fn run(options: &Bench) -> Result<u8> {
    let (progress, keep) = (Progress::new(), options.keep);
    let mut reports = Vec::new();
    for benchmark in options.benchmarks() {
        let report = match &benchmark {
            Benchmark::Rings => rings::run(&progress)?,
            Benchmark::Block(options) => block::run(options, &progress)?,
            Benchmark::Net(options) => net::run(options, &progress)?,
        };
        println!("\n{}", table::text(&report));
        let before = Before::read(&kept(&format!("{}.csv", report.name))?)?;
        reports.push((report, before));
    }
    show(&reports, &progress)?;
    if keep {
        reports.iter().try_for_each(|(report, _)| keep_one(report, &progress))?;
        for (name, ..) in CHECKS {
            results::table(name).map_or(Ok(()), |table| keep_file(&format!("{name}.txt"), &table, &progress))?;
        }
        if options.benchmark.is_none() {
            keep_file("summary.svg", &page::summary(&reports), &progress)?;
        }
    }
    Ok(0)
}

/// What else a reader wants to know: tables that other commands have kept, by their names.
const CHECKS: [(&str, &str, &str); 2] = [
    ("mutants", "Guards that were taken away, and tests that noticed", "cargo xtask mutants"),
    ("coverage", "Lines that read what a peer wrote, and tests that run them", "cargo xtask coverage"),
];

/// The tables of the last runs here, or else those that were committed.
fn checks() -> Result<Vec<Check>> {
    let one = |(name, title, command)| {
        let committed = kept(&format!("{name}.txt"))?;
        let table = results::table(name).or_else(|| fs::read_to_string(committed).ok());
        Ok(Check { title, command, table })
    };
    CHECKS.into_iter().map(one).collect()
}

/// Writes the page, and what it shows.
fn show(reports: &[(Report, Before)], progress: &Progress) -> Result<()> {
    let folder = paths::target()?.join("bench");
    for (report, _) in reports {
        paths::make(&folder.join(report.name))?;
        write(&folder.join(report.name).join(format!("{}.csv", report.name)), &csv::text(report)?)?;
    }
    for (name, picture) in page::pictures(reports) {
        write(&folder.join(name), &picture)?;
    }
    let page = folder.join("index.html");
    write(&page, &page::text(reports, &checks()?, &setting::of(progress)?))?;
    progress.note("written", page.display().to_string());
    Ok(())
}

/// For the next report to compare with.
fn keep_one(report: &Report, progress: &Progress) -> Result<()> {
    for (ending, text) in [("csv", csv::text(report)?), ("svg", svg::text(report))] {
        keep_file(&format!("{}.{ending}", report.name), &text, progress)?;
    }
    Ok(())
}

fn keep_file(name: &str, text: &str, progress: &Progress) -> Result<()> {
    let file = kept(name)?;
    write(&file, text)?;
    progress.note("kept", file.display().to_string());
    Ok(())
}

fn kept(name: &str) -> Result<PathBuf> {
    Ok(paths::workspace()?.join("docs/bench").join(name))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A folder for what a benchmark needs.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = paths::target()?.join("bench").join(name);
    paths::make(&folder)?;
    Ok(folder)
}
