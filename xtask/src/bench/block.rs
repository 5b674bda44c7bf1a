//! `cargo xtask bench block`: reads from a disk of blkback's, by our driver and by Linux's.

use anyhow::{Result, ensure};
use bench_load::{Order, Work};

use super::contest::{self, Contest, Found, Measure, setting, unit, verdicts};
use super::goal::Goal;
use super::report::{Better, Report};
use super::sample::Sample;
use crate::cli::BenchBlock;
use crate::progress::Progress;

const NAME: &str = "block";
const SCENARIO: &str = include_str!("block.sh");
/// The disk in domain 0 that both guests read.
const DEVICE: &str = "/dev/ram2";
/// Our guest, and its memory in mebibytes.
const OURS: (&str, u32) = ("block-bench", 32);
const LINUX_MODULES: &[&str] = &["xen-privcmd", "xen-blkfront"];
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
    let wanted: Vec<_> = CASES.iter().filter(|case| case.name.contains(&options.terms.case)).collect();
    ensure!(
        !wanted.is_empty(),
        "no work has {:?} in its name: {}",
        options.terms.case,
        CASES.map(|case| case.name).join("; ")
    );
    Ok(wanted)
}

impl Case {
    const fn work(&self, requests: u64) -> Work {
        Work { bytes: self.bytes, order: self.order, depth: self.depth, requests: requests * self.sixteenths / 16 }
    }
}

const CAVEAT: &str = "The disk is brd, a RAM disk of domain 0's, behind Linux's blkback. Less than one percent of domain 0's figure is \
                      what its console needs to tell a guest what to do.";

/// Measures, and returns what was found.
pub(super) fn run(options: &BenchBlock, progress: &Progress) -> Result<Report> {
    let contest = Contest {
        name: NAME,
        terms: &options.terms,
        scenario: format!("device={DEVICE}\n{SCENARIO}"),
        config: vec![format!("disk = [\"phy:{DEVICE},xvda,w\"]")],
        ours: (OURS.0, OURS.1, options.ours.clone()),
        linux: (LINUX_MODULES, options.linux.clone()),
        pings: false,
        progress,
    };
    report(options, &contest.run(&plan(options)?)?)
}

/// What a guest is to do: all cases once with fewer requests, to warm up, and then again and again.
fn plan(options: &BenchBlock) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for round in 0..=options.terms.rounds {
        let requests = if round == 0 { options.requests / WARMING } else { options.requests };
        lines.extend(cases(options)?.iter().map(|case| format!("{}\n", case.work(requests))));
    }
    Ok(lines)
}

fn report(options: &BenchBlock, found: &Found<Work>) -> Result<Report> {
    let (mut rows, mut judged) = (Vec::new(), Vec::new());
    for case in cases(options)? {
        let works = [case.work(options.requests)];
        let of_case = found.rows(case.name, |guest| found.best(guest, &works), measures(unit(&options.terms)))?;
        let goals = [Goal::ratio(Better::More, case.rate), Goal::ratio(Better::Less, SHARE)].map(Some);
        judged.extend(verdicts(&of_case, &goals));
        rows.extend(of_case);
    }
    Ok(Report {
        name: NAME,
        title: "Reading a disk of Xen's blkback".to_owned(),
        setting: setting(&options.terms),
        guests: found.titles.clone(),
        rows,
        verdicts: judged,
        caveats: contest::CAVEATS.into_iter().chain([CAVEAT]).map(str::to_owned).collect(),
    })
}

/// The figures of a case, first those that have goals.
fn measures(unit: &str) -> Vec<Measure<Work>> {
    vec![
        ("requests per second".to_owned(), Better::More, Sample::rate),
        (format!("guest {unit} per request"), Better::Less, Sample::guest),
        (format!("domain 0 {unit} per request"), Better::Less, Sample::domain0),
        (format!("all {unit} per request"), Better::Less, Sample::machine),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::contest::tests::terms;
    use super::super::goal::Verdict;
    use super::*;
    use crate::cli::Contestant;

    fn options(requests: u64) -> BenchBlock {
        BenchBlock { terms: terms(), requests, ours: String::new(), linux: String::new() }
    }

    fn sample(work: Work, nanoseconds: u64) -> Sample<Work> {
        let line = format!("{work}: done {} {nanoseconds} {nanoseconds}; domain 0 7", work.requests);
        line.parse().unwrap()
    }

    #[test]
    fn a_report_has_ratios_and_goals_and_leaves_out_what_warmed_up() {
        let options = options(1600);
        let mut samples = Vec::new();
        for (guest, nanoseconds) in [(Contestant::Ours, 1_000), (Contestant::Linux, 40_000)] {
            let all = CASES.iter().flat_map(|case| {
                let (warming, real) = (case.work(1600 / WARMING), case.work(1600));
                [sample(warming, 1), sample(real, nanoseconds * real.requests)]
            });
            samples.extend(all.map(|sample| (guest, sample)));
        }
        let report = report(&options, &Found::new(samples.clone(), "Linux")).unwrap();
        assert_eq!((report.rows.len(), report.verdicts.len()), (12, 6));
        assert_eq!(report.rows[0].ratio(), Some(40.0));
        assert_eq!(report.rows[1].values[1].unwrap().median, 40_000.0);
        assert!(report.verdicts.iter().all(Verdict::is_met));
        samples.retain(|(guest, sample)| *guest == Contestant::Ours || sample.work.requests < 100);
        assert!(super::report(&options, &Found::new(samples, "Linux")).is_err());
    }
}
