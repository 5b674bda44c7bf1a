//! Random hostile steps on both ends of a ring, checked one by one.
//!
//! ```text
//! ring-storm [--steps N] [--seed S]
//! ```
//!
//! Prints the seed, what was met how often, and the steps per second. Fails on the first finding, and on a storm of some length that
//! did not meet everything it is there for.

use hostile_tests::{Tally, storm};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

const USAGE: &str = "usage: ring-storm [--steps N] [--seed S]";

/// Steps that meet everything whatever the seed is.
const ENOUGH: u64 = 1_000_000;

struct Options {
    steps: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let Options { steps, seed } = options;
    println!("ring-storm --steps {steps} --seed {seed}");
    let (mut tally, start) = (Tally::default(), Instant::now());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storm::run(seed, steps, &mut tally)));
    println!("{tally}");
    println!("{:.1} million steps per second", steps as f64 / start.elapsed().as_secs_f64() / 1e6);
    match result {
        Ok(Ok(())) if tally.least() > 0 || steps < ENOUGH => ExitCode::SUCCESS,
        Ok(Ok(())) => fail(&options, "the storm never met something"),
        Ok(Err(finding)) => fail(&options, &finding.to_string()),
        Err(_) => fail(&options, "a panic"),
    }
}

fn fail(Options { steps, seed }: &Options, finding: &str) -> ExitCode {
    eprintln!("FINDING: {finding}");
    eprintln!("to repeat: cargo run --release -p hostile-tests --bin ring-storm -- --steps {steps} --seed {seed}");
    ExitCode::FAILURE
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut steps, mut seed, mut arguments) = (1_000_000, None, arguments);
        while let Some(name) = arguments.next() {
            let value = arguments.next()?.replace('_', "").parse().ok()?;
            match name.as_str() {
                "--steps" => steps = value,
                "--seed" => seed = Some(value),
                _ => return None,
            }
        }
        Some(Self { steps, seed: seed.unwrap_or_else(fresh) })
    }
}

/// A seed that no run before had.
fn fresh() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}
