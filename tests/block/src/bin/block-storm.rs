//! Random faults around disks under random load, each followed by checks of what must hold.
//!
//! ```text
//! block-storm [--seeds N] [--seed S] [--broken NAME]
//! ```
//!
//! Lives the lives of the seeds from S on, and prints what was met how often. Fails on the first finding, with its seed, and when a
//! storm of some length did not meet everything it is there for. With `--broken`, a rule is broken on purpose, and not to find that
//! is the failure. Where `DOMU_TRACE` is set, all that happens is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use block_tests::{Breakage, Finding, Tally, live};

const USAGE: &str = "usage: block-storm [--seeds N] [--seed S] [--broken NAME]";

/// Seeds that meet everything, whatever the first one is.
const ENOUGH: u64 = 1000;

struct Options {
    seeds: u64,
    seed: u64,
    breakage: Breakage,
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        let names: Vec<&str> = Breakage::ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("{USAGE}\nnames: {}", names.join(" "));
        return ExitCode::from(2);
    };
    let Options { seeds, seed, breakage } = options;
    println!("block-storm --seeds {seeds} --seed {seed}");
    let (mut tally, start) = (Tally::default(), Instant::now());
    let found = (0..seeds).map(|number| seed.wrapping_add(number)).find_map(|seed| one(seed, breakage, &mut tally));
    println!("{tally}");
    println!("{:.1} lives per second", tally.lives as f64 / start.elapsed().as_secs_f64());
    match found {
        Some((seed, what)) => {
            eprintln!("FINDING: seed {seed}: {what}");
            eprintln!("to repeat: cargo run --release -p block-tests --bin block-storm -- --seeds 1 --seed {seed}");
            if breakage == Breakage::Nothing { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        None if breakage != Breakage::Nothing => fail("a rule was broken, and that was not found"),
        None if seeds >= ENOUGH && tally.least() == 0 => fail("the storm never met something"),
        None => ExitCode::SUCCESS,
    }
}

/// Lives one life; says what was found.
fn one(seed: u64, breakage: Breakage, tally: &mut Tally) -> Option<(u64, String)> {
    let found = match catch_unwind(AssertUnwindSafe(|| live(seed, breakage, tally))) {
        Ok(Ok(())) => return None,
        Ok(Err(Finding(text))) => text,
        Err(_) => "a panic".to_owned(),
    };
    Some((seed, found))
}

fn fail(what: &str) -> ExitCode {
    eprintln!("FINDING: {what}");
    ExitCode::FAILURE
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { seeds: ENOUGH, seed: fresh(), breakage: Breakage::Nothing };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            let number = || value.replace('_', "").parse().ok();
            match name.as_str() {
                "--seeds" => options.seeds = number()?,
                "--seed" => options.seed = number()?,
                "--broken" => options.breakage = Breakage::ALL.iter().find(|(name, _)| *name == value)?.1,
                _ => return None,
            }
        }
        Some(options)
    }
}

/// A seed that no run before had.
fn fresh() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}
