//! Our guest and Linux, in turn, in one boot of domain 0.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::goal::{Goal, Verdict};
use super::report::{Better, Figure, Row, Spread};
use super::sample::Sample;
use super::{folder, linux};
use crate::boot::{self, Ending, GuestSpec, Outcome, Session};
use crate::cli::{Contestant, Terms};
use crate::guests;
use crate::process::last_lines;
use crate::progress::Progress;
use crate::strip;

/// Guests read the processor's counter themselves, as on every host whose counter is invariant. QEMU's is not, so that Xen would
/// emulate each look at a clock, in a thousand instructions.
const TSC: &str = "tsc_mode = \"native\"";

/// What holds for all figures.
pub(super) const CAVEATS: [&str; 3] = [
    "One processor, translated by QEMU (TCG): no caches, no TLB misses, no cost of a TLB flush or a barrier, no device that takes \
     time. What is shown is work, not speed; what is per second follows from it.",
    "Each repetition of a string instruction counts as an instruction, so that a copy of a page counts as 512 to 4,096.",
    "A guest's instructions are those of its vCPU as Xen accounts them (RUNSTATE_running), with Xen's own on its behalf: \
     hypercalls, traps and part of the switches between domains.",
];

/// A contest.
pub(super) struct Contest<'a> {
    /// A word for files.
    pub(super) name: &'static str,
    pub(super) terms: &'a Terms,
    /// What domain 0 does while a guest runs.
    pub(super) scenario: String,
    /// Lines for the xl configuration of both.
    pub(super) config: Vec<String>,
    /// Our guest, its memory in mebibytes, and its words.
    pub(super) ours: (&'static str, u32, String),
    /// Linux's modules, and its words.
    pub(super) linux: (&'static [&'static str], String),
    /// Whether the first answered ping is of interest.
    pub(super) pings: bool,
    pub(super) progress: &'a Progress,
}

/// What was measured.
pub(super) struct Found<W> {
    /// Who was there.
    pub(super) guests: Vec<Contestant>,
    /// What they call themselves.
    pub(super) titles: Vec<String>,
    samples: Vec<(Contestant, Sample<W>)>,
}

/// A figure: its name, which is the better one, and how it follows from a measurement.
pub(super) type Measure<W> = (String, Better, fn(&Sample<W>) -> Option<f64>);

impl Contest<'_> {
    /// Gives each guest its turn; a line of the plan is a work that it is to do.
    pub(super) fn run<W: FromStr>(&self, plan: &[String]) -> Result<Found<W>> {
        let file = folder(self.name)?.join("plan");
        fs::write(&file, plan.concat()).with_context(|| format!("cannot write {}", file.display()))?;
        let program = linux::program(self.progress)?;
        let turns = match self.terms.only {
            Some(guest) => vec![guest],
            // Whatever grows with time, in domain 0 or in Xen, is the same for both.
            None => vec![Contestant::Ours, Contestant::Linux, Contestant::Linux, Contestant::Ours],
        };
        let specs = turns.iter().map(|guest| self.guest(*guest, &file, &program)).collect::<Result<Vec<_>>>()?;
        let mut session = Session {
            progress: self.progress.clone(),
            verbose: self.terms.verbose,
            icount: !self.terms.real_time,
            timeline: self.pings,
            ..Session::default()
        };
        let outcomes = boot::full_with(&specs, &mut session)?;
        let mut samples = Vec::new();
        for (guest, outcome) in turns.iter().zip(&outcomes) {
            samples.extend(measured(outcome)?.into_iter().map(|sample| (*guest, sample)));
        }
        Ok(Found::new(samples, &linux::version(self.progress)?))
    }

    fn guest(&self, guest: Contestant, plan: &Path, program: &Path) -> Result<GuestSpec> {
        let spec = match guest {
            Contestant::Ours => self.ours()?,
            Contestant::Linux => linux::guest(program, self.linux.0, &self.linux.1, self.progress)?,
        };
        // Under the count of instructions, idle time passes at once.
        let pause = if self.terms.real_time { 2_000_000 } else { 20_000_000 };
        let file = |name: &str, path: &Path| (format!("domu/bench/{name}"), path.to_owned());
        Ok(GuestSpec {
            config: [&self.config[..], &[TSC.to_owned()], &self.terms.config].concat(),
            scenario: Some(format!("pause={pause}\n{}", self.scenario)),
            files: vec![file("plan", plan), file("linux-bench", program)],
            timeout: Duration::from_secs(self.terms.timeout),
            ..spec
        })
    }

    fn ours(&self) -> Result<GuestSpec> {
        let (name, memory, arguments) = &self.ours;
        // As it would be used.
        let elf = strip::beside(&guests::build(&guests::find(name)?, self.progress)?)?;
        Ok(GuestSpec { memory: *memory, arguments: arguments.clone(), ..GuestSpec::new("ours", elf) })
    }
}

/// Returns what was measured in a guest's turn.
fn measured<W: FromStr>(outcome: &Outcome) -> Result<Vec<Sample<W>>> {
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

impl<W> Found<W> {
    /// Sorts what was measured, beside a Linux of this name.
    pub(super) fn new(samples: Vec<(Contestant, Sample<W>)>, linux: &str) -> Self {
        let all = [Contestant::Ours, Contestant::Linux];
        let guests = all.into_iter().filter(|guest| samples.iter().any(|(known, _)| known == guest));
        let guests: Vec<Contestant> = guests.collect();
        let title = |guest: &Contestant| if *guest == Contestant::Ours { "domu" } else { linux };
        let titles = guests.iter().map(|guest| title(guest).to_owned()).collect();
        Self { guests, titles, samples }
    }
}

impl<W> Found<W> {
    /// Adds what another contest of the same guests has found.
    pub(super) fn extend(&mut self, other: Self) {
        self.samples.extend(other.samples);
    }
}

impl<W: PartialEq> Found<W> {
    /// The figures of a case, each in a row. `work` says which work of a guest's counts.
    pub(super) fn rows<'w>(
        &self,
        case: &str,
        work: impl Fn(Contestant) -> Option<&'w W>,
        measures: Vec<Measure<W>>,
    ) -> Result<Vec<Row>>
    where
        W: 'w,
    {
        let works: Option<Vec<(Contestant, &W)>> =
            self.guests.iter().map(|guest| Some((*guest, work(*guest)?))).collect();
        let works = works.with_context(|| format!("nothing was measured of {case}"))?;
        let row = |(name, better, measure): Measure<W>| {
            let values = works.iter().map(|(guest, work)| self.spread(*guest, work, measure)).collect();
            Row { case: case.to_owned(), figure: Figure { name, better }, values }
        };
        Ok(measures.into_iter().map(row).collect())
    }

    /// What a guest's measurements of a work gave.
    fn spread(&self, guest: Contestant, work: &W, measure: fn(&Sample<W>) -> Option<f64>) -> Option<Spread> {
        let samples = self.samples.iter().filter(|(known, sample)| *known == guest && sample.work == *work);
        Spread::of(samples.filter_map(|(_, sample)| measure(sample)))
    }

    /// The work of several that a guest did most often in a second; only those that were done.
    pub(super) fn best<'w>(&self, guest: Contestant, works: &'w [W]) -> Option<&'w W> {
        let rate = |work: &W| self.spread(guest, work, Sample::rate).map(|spread| spread.median);
        let rated = works.iter().filter_map(|work| Some((work, rate(work)?)));
        rated.max_by(|one, other| one.1.total_cmp(&other.1)).map(|(work, _)| work)
    }
}

/// What became of the goals, in the order of the rows.
pub(super) fn verdicts(rows: &[Row], goals: &[Option<Goal>]) -> Vec<Verdict> {
    rows.iter().zip(goals).filter_map(|(row, goal)| Verdict::of(row, (*goal)?)).collect()
}

/// How the figures came about.
pub(super) fn setting(terms: &Terms) -> String {
    let counted = if terms.real_time { "real time" } else { "virtual time that counts instructions" };
    let turns = if terms.only.is_some() { 1 } else { 2 };
    let measurements = terms.rounds * turns;
    format!("PV guests with one vCPU on Xen in QEMU, {counted}; medians of {measurements} measurements")
}

/// What is counted.
pub(super) const fn unit(terms: &Terms) -> &'static str {
    if terms.real_time { "ns" } else { "instructions" }
}

#[cfg(test)]
pub(super) mod tests {
    use bench_load::{Traffic, What};

    use super::*;

    pub(in super::super) fn terms() -> Terms {
        Terms {
            rounds: 1,
            only: None,
            case: String::new(),
            config: Vec::new(),
            real_time: false,
            timeout: 1,
            verbose: false,
        }
    }

    #[test]
    fn the_better_of_two_works_counts() {
        let work = |burst| Traffic { what: What::Transmit, bytes: 60, burst, count: 10 };
        let sample = |burst, elapsed| format!("{}: done 10 {elapsed} 1; domain 0 1", work(burst)).parse().unwrap();
        let samples = vec![(Contestant::Linux, sample(1, 300)), (Contestant::Linux, sample(32, 200))];
        let found = Found::new(samples, "Linux");
        assert_eq!(found.best(Contestant::Linux, &[work(1), work(32)]), Some(&work(32)));
        assert_eq!(found.best(Contestant::Linux, &[work(1), work(2)]), Some(&work(1)));
        assert_eq!(found.best(Contestant::Ours, &[work(1)]), None);
    }
}
