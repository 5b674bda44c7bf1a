//! `cargo xtask soak`: the random tests with fresh seeds, for as long as one likes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

use crate::cli::Soak;
use crate::process::{self, Guarded};
use crate::progress::Progress;
use crate::storm::{self, Build, Disks, Interfaces};
use crate::workspace::{self, Package};
use crate::{fuzz, loom, miri};

/// The variables by which tests whose name has `storm` in it take their seed and their number of steps.
const SEED: &str = "DOMU_SEED";
const STEPS: &str = "DOMU_STORM_STEPS";
/// The packages that have such tests.
const STORMY: [&str; 6] =
    ["xen-grant-table", "xen-event-channel", "xen-sim", "xen-xenbus", "differential-tests", "fuzz-tests"];

/// Runs rounds and returns 0 if nothing was found.
///
/// # Errors
///
/// When cargo cannot be run, no exercise has the given name, or the user interrupts.
pub fn run(options: &Soak) -> Result<u8> {
    let (progress, packages) = (Progress::new(), workspace::packages()?);
    let first = options.seed.unwrap_or_else(from_clock);
    let end = Instant::now() + Duration::from_secs(options.minutes.saturating_mul(60));
    let rounds = (0..options.rounds.unwrap_or(u64::MAX)).take_while(|number| *number == 0 || Instant::now() < end);
    let mut tally = Tally::default();
    for number in rounds {
        let round = Round { number, seed: seed_of(first, number), steps: options.steps };
        let exercises = selected(exercises(&packages, round)?, &options.exercises);
        if exercises.is_empty() {
            break;
        }
        progress.note("soak", format!("round {}, seed {}", number + 1, round.seed));
        for exercise in exercises {
            if !exercise.run(&progress, &mut tally)? {
                eprintln!("{tally}");
                return Ok(1);
            }
        }
    }
    if tally.0.is_empty() {
        bail!("no exercise has {} in its name", options.exercises.join(" or "));
    }
    eprintln!("{tally}\n  nothing was found; the seed was {first}");
    Ok(0)
}

/// What a round depends on.
#[derive(Debug, Clone, Copy)]
struct Round {
    number: u64,
    seed: u64,
    /// Hostile steps on rings; of slower things there are fewer.
    steps: u64,
}

/// A command with a seed of its own.
struct Exercise {
    name: String,
    command: Command,
    /// How much it does, in words.
    amount: String,
}

impl Exercise {
    fn new(name: impl Into<String>, command: Command, amount: impl Into<String>) -> Self {
        Self { name: name.into(), command, amount: amount.into() }
    }

    /// Runs the exercise and returns whether it found nothing.
    fn run(mut self, progress: &Progress, tally: &mut Tally) -> Result<bool> {
        let (started, line) = (Instant::now(), process::describe(&self.command));
        progress.note("soak", format!("{}, {}: {line}", self.name, self.amount));
        self.command.stdin(Stdio::null());
        let clean = Guarded::spawn(self.command)?.wait(None)?.success();
        tally.add(&self.name, started.elapsed());
        progress.line("soak", format!("{} {}", self.name, if clean { "found nothing" } else { "FOUND SOMETHING" }));
        if !clean {
            eprintln!("error: {} found something; to repeat it: {line}", self.name);
        }
        Ok(clean)
    }
}

/// Returns the exercises of a round, as far as the workspace has them.
fn exercises(packages: &[Package], round: Round) -> Result<Vec<Exercise>> {
    let mut exercises = Vec::new();
    if storm::exists(packages) {
        exercises.extend(ring_storms(round)?);
    }
    if storm::has_disks(packages) {
        let seeds = (round.steps / 10_000).max(1);
        let faults = storm::disks(Disks::Faults { seeds, seed: round.seed })?;
        exercises.push(Exercise::new("faults around disks", faults, format!("{seeds} seeds")));
    }
    if storm::has_interfaces(packages) {
        let seeds = (round.steps / 10_000).max(1);
        let faults = storm::interfaces(Interfaces::Faults { seeds, seed: round.seed % u64::from(u32::MAX) })?;
        exercises.push(Exercise::new("faults around interfaces", faults, format!("{seeds} seeds")));
    }
    if fuzz::is_possible(packages) {
        exercises.extend(fuzzers(round)?);
    }
    for package in packages {
        exercises.extend(seeded_tests(package, round)?);
    }
    if round.number == 0 {
        exercises.extend(models(packages)?);
    }
    Ok(exercises)
}

fn ring_storms(round: Round) -> Result<Vec<Exercise>> {
    let mut exercises = Vec::new();
    for (name, build, divisor) in [
        ("ring storm", Build::Release, 1),
        ("ring storm, AddressSanitizer", Build::AddressSanitizer, 5),
        ("ring storm, Miri", Build::Miri, 2_500),
    ] {
        let missing = build == Build::Miri && miri::ensure(&Progress::new())?.is_err();
        let steps = (round.steps / divisor).max(1);
        // Whoever lacks Miri was told by now.
        if !missing {
            exercises.push(Exercise::new(name, storm::command(build, steps, round.seed)?, format!("{steps} steps")));
        }
    }
    Ok(exercises)
}

/// Returns the programs in which coverage leads.
fn fuzzers(round: Round) -> Result<Vec<Exercise>> {
    let seconds = (round.steps / 3_000_000).max(1);
    let one = |target| {
        let command = fuzz::command(target, seconds, round.seed)?;
        Ok(Exercise::new(format!("fuzzer, {target}"), command, format!("{seconds} s")))
    };
    fuzz::TARGETS.into_iter().map(one).collect()
}

/// Returns the storms and the property tests of one package.
fn seeded_tests(package: &Package, round: Round) -> Result<Vec<Exercise>> {
    let mut exercises = Vec::new();
    if STORMY.contains(&package.name.as_str()) {
        let steps = (round.steps / 100).max(1);
        let mut storms = tests(package)?;
        storms.env(SEED, round.seed.to_string()).env(STEPS, steps.to_string()).args(["storm", "--", "--nocapture"]);
        exercises.push(Exercise::new(format!("storms of {}", package.name), storms, format!("{steps} steps")));
    }
    if package.depends.iter().any(|name| name == "proptest") {
        let cases = (round.steps / 10_000).max(1);
        let mut properties = tests(package)?;
        properties.env("PROPTEST_RNG_SEED", round.seed.to_string()).env("PROPTEST_CASES", cases.to_string());
        let name = format!("properties of {}", package.name);
        exercises.push(Exercise::new(name, properties, format!("{cases} cases each")));
    }
    Ok(exercises)
}

/// Returns the models with more switches between processors than the usual check allows.
fn models(packages: &[Package]) -> Result<Vec<Exercise>> {
    const SWITCHES: &str = "5";
    let one = |package: &Package| {
        let mut command = loom::cargo(&["test", "--release", "--test", "loom", "--package", &package.name])?;
        command.env("LOOM_MAX_PREEMPTIONS", SWITCHES);
        Ok(Exercise::new(format!("models of {}", package.name), command, format!("{SWITCHES} switches")))
    };
    packages.iter().filter(|package| loom::has_models(package)).map(one).collect()
}

fn tests(package: &Package) -> Result<Command> {
    let mut command = workspace::cargo()?;
    workspace::build_quickly(&mut command);
    // What debugging builds check as well is a finding, too.
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    command.args(["test", "--release", "--lib", "--tests", "--package", &package.name]);
    Ok(command)
}

fn selected(mut exercises: Vec<Exercise>, words: &[String]) -> Vec<Exercise> {
    let meant = |exercise: &Exercise| words.iter().any(|word| exercise.name.contains(word.as_str()));
    exercises.retain(|exercise| words.is_empty() || meant(exercise));
    exercises
}

/// Returns the seed of a round: that of the first is the given one; neighbours have nothing in common.
const fn seed_of(first: u64, round: u64) -> u64 {
    // SplitMix64 (Steele, Lea, Flood 2014), which maps different inputs to different outputs.
    if round == 0 {
        return first;
    }
    let mut z = first.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn from_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

/// How often each exercise ran, and for how long.
#[derive(Debug, Default)]
struct Tally(Vec<(String, u32, Duration)>);

impl Tally {
    fn add(&mut self, name: &str, took: Duration) {
        match self.0.iter_mut().find(|(known, ..)| known == name) {
            Some((_, runs, time)) => (*runs, *time) = (*runs + 1, *time + took),
            None => self.0.push((name.to_owned(), 1, took)),
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n  {:<44} {:>6} {:>11}", "exercise", "runs", "time")?;
        let row = |(name, runs, time): &(String, u32, Duration)| (name.clone(), *runs, time.as_secs_f32());
        self.0.iter().map(row).try_for_each(|(name, runs, time)| write!(f, "\n  {name:<44} {runs:>6} {time:>9.1} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_has_the_given_seed_and_the_others_follow_from_it() {
        assert_eq!(seed_of(7, 0), 7);
        let seeds: std::collections::HashSet<u64> = (0..1000).map(|round| seed_of(7, round)).collect();
        assert_eq!(seeds.len(), 1000);
        assert_eq!(seed_of(7, 3), seed_of(7, 3));
    }

    #[test]
    fn runs_are_added_up_by_name() {
        let mut tally = Tally::default();
        tally.add("storm", Duration::from_secs(1));
        tally.add("storm", Duration::from_secs(2));
        assert!(tally.to_string().ends_with("2       3.0 s"), "{tally}");
    }
}
