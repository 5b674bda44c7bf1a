//! Counts the instructions of a program's functions, by valgrind's callgrind.

use anyhow::{Context, Result};
use std::fmt;
use std::path::Path;
use std::process::Command;

/// What a frontend does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name in `c/cost.c` and `src/bin/ring-cost`.
    pub name: &'static str,
    /// Messages that are sent before their answers are reaped.
    pub batch: u64,
}

/// What the bare rings cost: the claim is that ours cost no more than C's.
pub const RINGS: [Scenario; 5] = [
    Scenario { name: "net", batch: 1 },
    Scenario { name: "net", batch: 32 },
    Scenario { name: "net", batch: 256 },
    BLOCK[0],
    BLOCK[1],
];

/// The block ring, which is counted in two orders of fields.
pub const BLOCK: [Scenario; 2] = [Scenario { name: "blk", batch: 1 }, Scenario { name: "blk", batch: 32 }];

/// The same with a table of what is in flight.
pub const TABLES: [Scenario; 5] = [
    Scenario { name: "net-ids", batch: 1 },
    Scenario { name: "net-ids", batch: 32 },
    Scenario { name: "net-ids", batch: 256 },
    Scenario { name: "blk-ids", batch: 1 },
    Scenario { name: "blk-ids", batch: 32 },
];

/// How often a batch is sent.
const ROUNDS: u64 = 256;

/// What a scenario cost in both implementations.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The scenario.
    pub scenario: Scenario,
    /// Instructions for each message, in C.
    pub c: f64,
    /// Instructions for each message, in Rust.
    pub rust: f64,
}

impl Row {
    /// Counts both programs in a scenario. `valgrind` gives the command that runs it.
    ///
    /// # Errors
    ///
    /// When one of the programs cannot be run or counted, or when they did not come to the same result.
    pub fn count(valgrind: impl Fn() -> Result<Command>, c: &Path, rust: &Path, scenario: Scenario) -> Result<Self> {
        let (c, c_result) = count(valgrind()?, c, scenario)?;
        let (rust, rust_result) = count(valgrind()?, rust, scenario)?;
        anyhow::ensure!(c_result == rust_result, "{scenario:?}: C came to {c_result}, Rust to {rust_result}");
        Ok(Self { scenario, c, rust })
    }

    /// Rust's instructions over C's.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.rust / self.c
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { name, batch } = self.scenario;
        write!(f, "{name:<8} {batch:>5} {:>8.2} {:>8.2} {:>6.2}", self.c, self.rust, self.ratio())
    }
}

/// The head of the table whose lines are [`Row`]s.
pub const HEAD: &str = "ring     batch        C     Rust  ratio   (instructions of the frontend for each message)";

/// Instructions for each message inside of the functions `counted_...`, and what the program printed.
fn count(mut valgrind: Command, program: &Path, scenario: Scenario) -> Result<(f64, String)> {
    let options = ["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_*"];
    let command = valgrind.args(options).arg("--callgrind-out-file=/dev/null").arg(program);
    let arguments = [scenario.batch.to_string(), ROUNDS.to_string()];
    let output = command.arg(scenario.name).args(arguments).output().context("cannot run valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{} in {scenario:?}:\n{log}", program.display());
    let collected = collected(&log).with_context(|| format!("callgrind counted nothing:\n{log}"))?;
    let messages = scenario.batch * ROUNDS;
    anyhow::ensure!(collected > messages, "{collected} instructions cannot be {messages} messages: what was counted?");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((collected as f64 / messages as f64, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// Reads the line `==PID== Collected : NUMBER`.
fn collected(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_callgrinds_log() {
        assert_eq!(collected("==7== \n==7== Collected : 8512\n==7== \n"), Some(8512));
        assert_eq!(collected("==7== Command: x\n"), None);
    }
}
