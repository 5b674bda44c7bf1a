//! `cargo xtask bench net`: traffic through an interface of netback's, by our driver and by Linux's.

use anyhow::{Result, ensure};
use bench_load::{Traffic, What};

use super::contest::{self, Contest, Found, Measure, setting, unit, verdicts};
use super::goal::{Goal, Of};
use super::report::{Better, Report};
use super::sample::Sample;
use crate::cli::{BenchNet, Contestant};
use crate::network::{DOM0, GUEST, GUEST_MAC};
use crate::progress::Progress;

const NAME: &str = "net";
const SCENARIO: &str = include_str!("net.sh");
const WEB_SCENARIO: &str = include_str!("web.sh");
/// Our guests, and their memory in mebibytes.
const OURS: (&str, u32) = ("net-bench", 32);
const OUR_WEB: (&str, u32) = ("web", 16);
const LINUX_MODULES: &[&str] = &["xen-privcmd", "xen-netfront", "pktgen"];
const LINUX_WEB_MODULES: &[&str] = &["xen-privcmd", "xen-netfront"];
/// So much less of a work warms a guest up.
const WARMING: u64 = 4;
/// How many packets are given to an interface at a time, by pktgen and by all others.
const BURSTS: &[u32] = &[1, 32];
const BURST: &[u32] = &[32];

/// What is done, and the goals: for what is done in a second, for the guest's own share, and for its hypercalls.
struct Case {
    name: &'static str,
    what: What,
    bytes: u32,
    /// One of it, as in "per packet", and several.
    unit: (&'static str, &'static str),
    /// How many of the packets that are wanted make one.
    packets: u64,
    rate: Option<f64>,
    share: Option<f64>,
    hypercalls: Option<f64>,
}

const PACKETS: (&str, &str) = ("packet", "packets");
const PINGS: (&str, &str) = ("round trip", "round trips");
const KIBIBYTES: (&str, &str) = ("KiB", "KiB");

const CASES: [Case; 9] = [
    Case {
        name: "transmit packets of 60 bytes",
        what: What::Transmit,
        bytes: 60,
        unit: PACKETS,
        packets: 1,
        rate: Some(3.0),
        share: Some(0.02),
        hypercalls: Some(1.0 / 16.0),
    },
    Case {
        name: "transmit packets of 1,514 bytes",
        what: What::Transmit,
        bytes: 1514,
        unit: PACKETS,
        packets: 1,
        rate: Some(1.0),
        share: Some(0.02),
        hypercalls: Some(1.0 / 16.0),
    },
    Case {
        name: "transmit packets of 60 bytes, Linux by a program",
        what: What::Send,
        bytes: 60,
        unit: PACKETS,
        packets: 1,
        rate: None,
        share: None,
        hypercalls: None,
    },
    Case {
        name: "transmit packets of 1,514 bytes, Linux by a program",
        what: What::Send,
        bytes: 1514,
        unit: PACKETS,
        packets: 1,
        rate: None,
        share: None,
        hypercalls: None,
    },
    Case {
        name: "receive packets of 60 bytes",
        what: What::Receive,
        bytes: 60,
        unit: PACKETS,
        packets: 1,
        rate: Some(1.0),
        share: Some(0.1),
        hypercalls: None,
    },
    Case {
        name: "receive packets of 1,514 bytes",
        what: What::Receive,
        bytes: 1514,
        unit: PACKETS,
        packets: 1,
        rate: Some(1.0),
        share: Some(0.1),
        hypercalls: None,
    },
    Case {
        name: "ping, 56 bytes",
        what: What::Ping,
        bytes: 56,
        unit: PINGS,
        packets: 20,
        rate: Some(1.0),
        share: None,
        hypercalls: None,
    },
    Case {
        name: "TCP to the guest",
        what: What::TcpIn,
        bytes: 1024,
        unit: KIBIBYTES,
        packets: 5,
        rate: Some(1.0),
        share: None,
        hypercalls: None,
    },
    Case {
        name: "TCP from the guest",
        what: What::TcpOut,
        bytes: 1024,
        unit: KIBIBYTES,
        packets: 5,
        rate: Some(1.0),
        share: None,
        hypercalls: None,
    },
];

/// The start of a guest, and what it is timed to.
const START: &str = "start";
const STARTS: [(&str, What); 2] = [("answered ping", What::Boot), ("page of a web server", What::Page)];
/// The ratio of times that is aimed at.
const START_TIME: f64 = 0.1;

const CAVEATS: [&str; 4] = [
    "Linux sends by its kernel's pktgen, the better of bursts of 1 and of 32, which sends one and the same packet again and again, and \
     spins while there is no room: its instructions include that wait. Ours sleeps, as does a program that has a packet socket send \
     32 at a time, which is shown for comparison. The packets go through Linux's netback to a bridge, and are for nobody.",
    "What is received was sent by domain 0's pktgen, which spins as well while the guest takes nothing; \
     it is for nobody, so that Linux is done with it at once.",
    "Linux has all offloads; so has ours. Linux's stack makes TCP packets of 64 KiB; ours makes segments, of which the driver joins up to 35 (50 KB).",
    "Starts are timed by domain 0's clock, in steps of 4 ms, from before `xl create` to the first answered ping; domain 0 asks for the \
     guest every 12 ms. The first page is asked for every 5 ms from then on: ours is the example `web` without a disk, whose page has \
     figures and charts; Linux's is six bytes of a program's. Linux's RAM disk holds nothing but that program, and its modules.",
];

/// The works that are wanted.
fn cases(options: &BenchNet) -> Result<Vec<&'static Case>> {
    let is_wanted = |name: &str| name.contains(&options.terms.case);
    let wanted: Vec<_> = CASES.iter().filter(|case| is_wanted(case.name)).collect();
    ensure!(
        !wanted.is_empty() || is_wanted(START),
        "no work has {:?} in its name: {}; {}",
        options.terms.case,
        CASES.map(|case| case.name).join("; "),
        START
    );
    Ok(wanted)
}

impl Case {
    /// What a guest does for it: one of these, whichever is best.
    fn works(&self, guest: Contestant, packets: u64) -> Vec<Traffic> {
        let bursts = match (self.what, guest) {
            (What::Transmit, Contestant::Linux) => BURSTS,
            (What::Transmit | What::Send, _) => BURST,
            _ => &[1],
        };
        let work = |burst: &u32| Traffic {
            what: self.what,
            bytes: self.bytes,
            burst: *burst,
            count: (packets / self.packets).max(1),
        };
        bursts.iter().map(work).collect()
    }

    /// The figures of the case.
    fn measures(&self, unit: &str) -> Vec<Measure<Traffic>> {
        let (one, several) = self.unit;
        vec![
            (format!("{several} per second"), Better::More, Sample::rate),
            (format!("guest {unit} per {one}"), Better::Less, Sample::guest),
            (format!("domain 0 {unit} per {one}"), Better::Less, Sample::domain0),
            (format!("hypercalls per {one}"), Better::Less, Sample::hypercalls),
        ]
    }

    /// The goals for these figures.
    fn goals(&self) -> [Option<Goal>; 4] {
        let hypercalls = |limit| Goal { of: Of::First, better: Better::Less, limit };
        [
            self.rate.map(|rate| Goal::ratio(Better::More, rate)),
            self.share.map(|share| Goal::ratio(Better::Less, share)),
            None,
            self.hypercalls.map(hypercalls),
        ]
    }
}

/// Measures, and returns what was found.
pub(super) fn run(options: &BenchNet, progress: &Progress) -> Result<Report> {
    let mut found = traffic(options, progress).run(&plan(options)?)?;
    if START.contains(&options.terms.case) {
        found.extend(web(options, progress).run(&[])?);
    }
    report(options, &found)
}

fn traffic<'a>(options: &'a BenchNet, progress: &'a Progress) -> Contest<'a> {
    Contest {
        name: NAME,
        terms: &options.terms,
        scenario: SCENARIO.to_owned(),
        config: vec![format!("vif = [\"mac={GUEST_MAC},bridge=br0\"]")],
        ours: (OURS.0, OURS.1, format!("ip={GUEST}/24 gw={DOM0} {}", options.ours)),
        linux: (LINUX_MODULES, format!("bench=net {}", options.linux)),
        pings: true,
        progress,
    }
}

/// The same, of guests that do nothing but serve pages.
fn web<'a>(options: &'a BenchNet, progress: &'a Progress) -> Contest<'a> {
    Contest {
        scenario: WEB_SCENARIO.to_owned(),
        ours: (OUR_WEB.0, OUR_WEB.1, format!("ip={GUEST}/24 gw={DOM0}")),
        linux: (LINUX_WEB_MODULES, format!("bench=web {}", options.linux)),
        ..traffic(options, progress)
    }
}

/// What a guest is to do: all cases once with fewer packets, to warm up, and then again and again. It is the same for both.
fn plan(options: &BenchNet) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for round in 0..=options.terms.rounds {
        let packets = if round == 0 { options.packets / WARMING } else { options.packets };
        for case in cases(options)? {
            lines.extend(case.works(Contestant::Linux, packets).iter().map(|work| format!("{work}\n")));
        }
    }
    Ok(lines)
}

fn report(options: &BenchNet, found: &Found<Traffic>) -> Result<Report> {
    let (mut rows, mut judged) = (Vec::new(), Vec::new());
    for case in cases(options)? {
        let works = |guest| case.works(guest, options.packets);
        let (ours, theirs) = (works(Contestant::Ours), works(Contestant::Linux));
        let best = |guest| found.best(guest, if guest == Contestant::Ours { &ours } else { &theirs });
        let of_case = found.rows(case.name, best, case.measures(unit(&options.terms)))?;
        judged.extend(verdicts(&of_case, &case.goals()));
        rows.extend(of_case);
    }
    if START.contains(&options.terms.case) {
        for (to, what) in STARTS {
            let name = format!("seconds from xl create to the first {to}");
            let start = Traffic { what, bytes: 0, burst: 1, count: 1 };
            let of_start = found.rows(START, |_| Some(&start), vec![(name, Better::Less, Sample::seconds)])?;
            judged.extend(verdicts(&of_start, &[Some(Goal::ratio(Better::Less, START_TIME))]));
            rows.extend(of_start);
        }
    }
    Ok(Report {
        name: NAME,
        title: "Using a network interface of Xen's netback".to_owned(),
        setting: setting(&options.terms),
        guests: found.titles.clone(),
        rows,
        verdicts: judged,
        caveats: contest::CAVEATS.into_iter().chain(CAVEATS).map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::contest::tests::terms;
    use super::super::goal::Verdict;
    use super::*;

    fn options() -> BenchNet {
        BenchNet { terms: terms(), packets: 1000, ours: String::new(), linux: String::new() }
    }

    /// Ours has its hypercalls and one tenth of the time.
    fn sample(guest: Contestant, work: &Traffic) -> Sample<Traffic> {
        let (nanoseconds, hypercalls) = match guest {
            Contestant::Ours => (100 * work.count, format!(" {}", work.count / 20)),
            Contestant::Linux => (10_000 * work.count, String::new()),
        };
        let line = format!("{work}: done {} {nanoseconds} {nanoseconds}{hypercalls}; domain 0 7", work.count);
        line.parse().unwrap()
    }

    #[test]
    fn the_plan_has_all_works_of_both() {
        let plan = plan(&options()).unwrap().concat();
        assert_eq!(plan.lines().count(), 2 * 11);
        assert!(plan.starts_with("transmit 60 1 250\ntransmit 60 32 250\n"), "{plan}");
        assert!(plan.ends_with("ping 56 1 50\ntcp-in 1024 1 200\ntcp-out 1024 1 200\n"), "{plan}");
    }

    #[test]
    fn a_report_has_ratios_and_goals_for_each_case_and_the_start() {
        let mut samples = Vec::new();
        for guest in [Contestant::Ours, Contestant::Linux] {
            let works = CASES.iter().flat_map(|case| case.works(guest, 1000));
            let starts = STARTS.map(|(_, what)| Traffic { what, bytes: 0, burst: 1, count: 1 });
            samples.extend(works.chain(starts).map(|work| (guest, sample(guest, &work))));
        }
        let report = report(&options(), &Found::new(samples, "Linux")).unwrap();
        assert_eq!(report.rows.len(), 9 * 4 + 2);
        // Rates, six other goals of packets, and the starts.
        assert_eq!(report.verdicts.len(), 7 + 6 + 2);
        assert!(report.verdicts.iter().all(Verdict::is_met), "{:#?}", report.verdicts);
        assert_eq!(report.rows[3].values[0].unwrap().median, 0.05);
        assert_eq!(report.rows[3].values[1], None);
    }
}
