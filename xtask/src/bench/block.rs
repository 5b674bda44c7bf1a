//! `cargo xtask bench block`: reads from a disk of blkback's, by our driver and by Linux's.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bench_load::{Order, Work};

use super::goal::{Goal, Verdict};
use super::report::{Better, Figure, Report, Row, Spread};
use super::sample::Sample;
use super::{folder, linux};
use crate::boot::{self, Ending, GuestSpec, Outcome, Session};
use crate::cli::{BenchBlock, Contestant};
use crate::guests;
use crate::process::last_lines;
use crate::progress::Progress;

const NAME: &str = "block";
const SCENARIO: &str = include_str!("block.sh");
/// The disk in domain 0 that both guests read.
const DEVICE: &str = "/dev/ram2";
/// Guests read the processor's counter themselves, as on every host whose counter is invariant. QEMU's is not, so that Xen would
/// emulate each look at a clock, in a thousand instructions.
const TSC: &str = "tsc_mode = \"native\"";
/// Our guest, and its memory in mebibytes.
const OURS: (&str, u32) = ("block-bench", 32);
/// So much less of a work warms a guest up.
const WARMING: u64 = 4;

/// What is read, and the goals for requests per second and for the guest's own share.
struct Case {
    name: &'static str,
    bytes: u32,
    order: Order,
    depth: u32,
    /// How many sixteenths of the requests that are wanted it has: similar work for all.
    sixteenths: u64,
    /// The ratio of requests per second that is aimed at.
    rate: f64,
}

/// The ratio of instructions that is aimed at, in all cases.
const SHARE: f64 = 0.05;

const CASES: [Case; 3] = [
    Case {
        name: "4 KiB random reads, 1 under way",
        bytes: 4096,
        order: Order::Random,
        depth: 1,
        sixteenths: 16,
        rate: 2.5,
    },
    Case {
        name: "4 KiB random reads, 32 under way",
        bytes: 4096,
        order: Order::Random,
        depth: 32,
        sixteenths: 64,
        rate: 1.0,
    },
    Case {
        name: "1 MiB sequential reads, 1 under way",
        bytes: 1 << 20,
        order: Order::Sequential,
        depth: 1,
        sixteenths: 1,
        rate: 1.0,
    },
];

/// The works that are wanted.
fn cases(options: &BenchBlock) -> Result<Vec<&'static Case>> {
    let wanted: Vec<_> = CASES.iter().filter(|case| case.name.contains(&options.case)).collect();
    ensure!(
        !wanted.is_empty(),
        "no work has {:?} in its name: {}",
        options.case,
        CASES.map(|case| case.name).join("; ")
    );
    Ok(wanted)
}

impl Case {
    const fn work(&self, requests: u64) -> Work {
        Work { bytes: self.bytes, order: self.order, depth: self.depth, requests: requests * self.sixteenths / 16 }
    }
}

const CAVEATS: [&str; 4] = [
    "One processor, translated by QEMU (TCG): no caches, no TLB misses, no cost of a TLB flush or a barrier, no device that takes \
     time. What is shown is work, not speed; requests per second follow from it.",
    "Each repetition of a string instruction counts as an instruction, so that a copy of a page counts as 512 to 4,096.",
    "A guest's instructions are those of its vCPU as Xen accounts them (RUNSTATE_running), with Xen's own on its behalf: \
     hypercalls, traps and part of the switches between domains.",
    "The disk is brd, a RAM disk of domain 0's, behind Linux's blkback. Less than one percent of domain 0's figure is what its console \
     needs to tell a guest what to do.",
];

/// Measures, and returns what was found.
pub(super) fn run(options: &BenchBlock, progress: &Progress) -> Result<Report> {
    let program = linux::program(progress)?;
    let bench = Benchmark { options, plan: plan(options)?, program, progress };
    let turns = match options.only {
        Some(guest) => vec![guest],
        // Whatever grows with time, in domain 0 or in Xen, is the same for both.
        None => vec![Contestant::Ours, Contestant::Linux, Contestant::Linux, Contestant::Ours],
    };
    let guests: Vec<GuestSpec> = turns.iter().map(|guest| bench.guest(*guest)).collect::<Result<_>>()?;
    let mut session = Session {
        progress: progress.clone(),
        verbose: options.verbose,
        icount: !options.real_time,
        ..Session::default()
    };
    let outcomes = boot::full_with(&guests, &mut session)?;
    let mut samples: HashMap<Contestant, Vec<Sample>> = HashMap::new();
    for (guest, outcome) in turns.iter().zip(&outcomes) {
        samples.entry(*guest).or_default().extend(measured(outcome)?);
    }
    report(options, &guests, &samples)
}

/// What guests are made from.
struct Benchmark<'a> {
    options: &'a BenchBlock,
    plan: PathBuf,
    program: PathBuf,
    progress: &'a Progress,
}

impl Benchmark<'_> {
    fn guest(&self, guest: Contestant) -> Result<GuestSpec> {
        let spec = match guest {
            Contestant::Ours => self.ours()?,
            Contestant::Linux => linux::guest(&self.program, &self.options.linux, self.progress)?,
        };
        // Under the count of instructions, idle time passes at once.
        let pause = if self.options.real_time { 2_000_000 } else { 20_000_000 };
        let file = |name: &str, path: &PathBuf| (format!("domu/bench/{name}"), path.clone());
        Ok(GuestSpec {
            config: [&[format!("disk = [\"phy:{DEVICE},xvda,w\"]"), TSC.to_owned()], &self.options.config[..]].concat(),
            scenario: Some(format!("device={DEVICE} pause={pause}\n{SCENARIO}")),
            files: vec![file("plan", &self.plan), file("linux-bench", &self.program)],
            timeout: Duration::from_secs(self.options.timeout),
            ..spec
        })
    }

    fn ours(&self) -> Result<GuestSpec> {
        let (name, memory) = OURS;
        let elf = guests::build(&guests::find(name)?, self.progress)?;
        Ok(GuestSpec { memory, arguments: self.options.ours.clone(), ..GuestSpec::new("ours", elf) })
    }
}

/// Writes what a guest is to do: all cases once with fewer requests, to warm up, and then again and again.
fn plan(options: &BenchBlock) -> Result<PathBuf> {
    let mut lines = Vec::new();
    for round in 0..=options.rounds {
        let requests = if round == 0 { options.requests / WARMING } else { options.requests };
        lines.extend(cases(options)?.iter().map(|case| format!("{}\n", case.work(requests))));
    }
    let file = folder(NAME)?.join("plan");
    fs::write(&file, lines.concat()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Returns what was measured in a guest's turn.
fn measured(outcome: &Outcome) -> Result<Vec<Sample>> {
    let scenario = outcome.scenario.as_ref();
    if let (Ending::Exited(0), Some(scenario)) = (&outcome.ending, scenario.filter(|scenario| scenario.succeeded())) {
        return scenario.said.iter().map(|line| line.parse()).collect();
    }
    let trace = scenario.map(|scenario| scenario.trace.join("\n")).unwrap_or_default();
    bail!(
        "{} came to no good end: {}\n{}\n{}\nlogs: {}",
        outcome.name,
        outcome.ending,
        last_lines(&trace, 10),
        last_lines(&outcome.console, 20),
        outcome.logs.display()
    )
}

fn report(options: &BenchBlock, specs: &[GuestSpec], samples: &HashMap<Contestant, Vec<Sample>>) -> Result<Report> {
    let guests: Vec<Contestant> =
        [Contestant::Ours, Contestant::Linux].into_iter().filter(|guest| samples.contains_key(guest)).collect();
    let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
    for case in cases(options)? {
        let of_case = rows_of(case, options, &guests, samples)?;
        let goals = [(Better::More, case.rate), (Better::Less, SHARE)];
        let judged =
            of_case.iter().zip(goals).filter_map(|(row, (better, limit))| Verdict::of(row, Goal { better, limit }));
        verdicts.extend(judged);
        rows.extend(of_case);
    }
    Ok(Report {
        name: NAME,
        title: "Reading a disk of Xen's blkback".to_owned(),
        setting: setting(options),
        guests: guests.iter().map(|guest| title(*guest, specs)).collect(),
        rows,
        verdicts,
        caveats: CAVEATS.map(str::to_owned).to_vec(),
    })
}

fn title(guest: Contestant, specs: &[GuestSpec]) -> String {
    match guest {
        Contestant::Ours => "domu".to_owned(),
        Contestant::Linux => {
            specs.iter().find(|spec| spec.ramdisk.is_some()).map(crate::linux::version).unwrap_or_default()
        }
    }
}

fn setting(options: &BenchBlock) -> String {
    let counted = if options.real_time { "real time" } else { "virtual time that counts instructions" };
    let turns = if options.only.is_some() { 1 } else { 2 };
    let measurements = options.rounds * turns;
    format!("PV guests with one vCPU on Xen in QEMU, {counted}; medians of {measurements} measurements")
}

type Measure = fn(&Sample) -> f64;

/// The figures of a case, first those that have goals.
fn figures(unit: &str) -> [(String, Better, Measure); 4] {
    [
        ("requests per second".to_owned(), Better::More, Sample::rate),
        (format!("guest {unit} per request"), Better::Less, Sample::guest),
        (format!("domain 0 {unit} per request"), Better::Less, Sample::domain0),
        (format!("all {unit} per request"), Better::Less, Sample::machine),
    ]
}

fn rows_of(
    case: &Case,
    options: &BenchBlock,
    guests: &[Contestant],
    samples: &HashMap<Contestant, Vec<Sample>>,
) -> Result<Vec<Row>> {
    let work = case.work(options.requests);
    let unit = if options.real_time { "ns" } else { "instructions" };
    let mut rows = Vec::new();
    for (name, better, measure) in figures(unit) {
        let spread =
            |guest: &Contestant| Spread::of(samples[guest].iter().filter(|sample| sample.work == work).map(measure));
        let values: Vec<Spread> = guests.iter().filter_map(spread).collect();
        ensure!(values.len() == guests.len(), "nothing was measured of {}", case.name);
        rows.push(Row { case: case.name.to_owned(), figure: Figure { name, better }, values });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(requests: u64) -> BenchBlock {
        BenchBlock {
            rounds: 1,
            requests,
            only: None,
            case: String::new(),
            ours: String::new(),
            linux: String::new(),
            config: Vec::new(),
            real_time: false,
            timeout: 1,
            verbose: false,
        }
    }

    fn sample(work: Work, nanoseconds: u64) -> Sample {
        let line = format!("{work}: done {} {nanoseconds} {nanoseconds}; domain 0 7", work.requests);
        line.parse().unwrap()
    }

    #[test]
    fn a_report_has_ratios_and_goals_and_leaves_out_what_warmed_up() {
        let options = options(1600);
        let mut samples: HashMap<Contestant, Vec<Sample>> = HashMap::new();
        for (guest, nanoseconds) in [(Contestant::Ours, 1_000), (Contestant::Linux, 40_000)] {
            let all = CASES.iter().flat_map(|case| {
                let (warming, real) = (case.work(1600 / WARMING), case.work(1600));
                [sample(warming, 1), sample(real, nanoseconds * real.requests)]
            });
            samples.insert(guest, all.collect());
        }
        let report = report(&options, &[], &samples).unwrap();
        assert_eq!((report.rows.len(), report.verdicts.len()), (12, 6));
        assert_eq!(report.rows[0].ratio(), Some(40.0));
        assert_eq!(report.rows[1].values[1].median, 40_000.0);
        assert!(report.verdicts.iter().all(Verdict::is_met));
        samples.get_mut(&Contestant::Linux).unwrap().clear();
        assert!(super::report(&options, &[], &samples).is_err());
    }
}
