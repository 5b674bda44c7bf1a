//! `cargo xtask bench rings`: our rings beside the macros of Xen's `ring.h`, compiled by gcc, in instructions counted by callgrind.

use anyhow::{Result, ensure};

use super::goal::{Goal, Verdict};
use super::report::{Better, Figure, Report, Row, Spread};
use crate::progress::Progress;
use crate::{process, workspace};

const CAVEATS: [&str; 3] = [
    "Instructions of the front for each message, on the host: put, publish and decide about the event, take the answer, arm.",
    "Ours include all checks of what the peer wrote; C's macros have none.",
    "Tables of ids are for information: ours refuses ids that are stale or were not published, which C's does not.",
];

/// Measures, and returns what was found.
pub(super) fn run(progress: &Progress) -> Result<Report> {
    let step = progress.step("rings", "counting instructions of rings");
    let mut cargo = workspace::cargo()?;
    cargo.args(["test", "--quiet", "--package", "differential-tests", "--test", "cost", "--", "--nocapture"]);
    let text = process::output(cargo)?;
    let rows: Vec<Row> = text.lines().filter_map(row).collect();
    ensure!(!rows.is_empty(), "the test has printed no table:\n{text}");
    step.done(format!("{} figures", rows.len()));
    Ok(report(rows))
}

fn report(rows: Vec<Row>) -> Report {
    let goal = |row: &Row| (!row.case.contains("table")).then_some(Goal::ratio(Better::Less, 1.0));
    Report {
        name: "rings",
        title: "Messages through a ring".into(),
        setting: "callgrind on the host; gcc -O2 and rustc in release".into(),
        guests: vec!["domu".into(), "C".into()],
        verdicts: rows.iter().filter_map(|row| Verdict::of(row, goal(row)?)).collect(),
        rows,
        caveats: CAVEATS.map(str::to_owned).into(),
    }
}

/// Reads a line of the test's table: ring, batch, C, ours, ratio, and maybe more words.
fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (ring, batch) = (words.next()?, words.next()?.parse::<u32>().ok()?);
    let mut number = || words.next()?.parse::<f64>().ok();
    let (c, ours, _) = (number()?, number()?, number()?);
    let more = words.collect::<Vec<_>>().join(" ");
    let (kind, table) = ring.strip_suffix("-ids").map_or((ring, ""), |kind| (kind, ", with a table of ids"));
    let kind = if kind == "blk" { "block requests" } else { "network transmit" };
    let case = format!("{kind}{table}, {batch} in a batch {more}").trim_end().to_owned();
    let figure = Figure { name: "instructions per message".into(), better: Better::Less };
    Some(Row { case, figure, values: vec![Spread::of([ours]), Spread::of([c])] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_a_row() {
        let read = row("blk          32    34.78    34.94   1.00   with the id before the sector").unwrap();
        assert_eq!(read.case, "block requests, 32 in a batch with the id before the sector");
        assert_eq!(read.values.iter().map(|value| value.unwrap().median).collect::<Vec<_>>(), [34.94, 34.78]);
        assert!(row("ring     batch        C     Rust  ratio").is_none());
        assert!(row("test result: ok. 1 passed").is_none());
    }

    #[test]
    fn tables_of_ids_have_no_goal() {
        let rows = ["net 1 82 80 0.98", "net-ids 1 125 142 1.14"].map(|line| row(line).unwrap());
        let report = report(rows.into());
        assert_eq!((report.rows.len(), report.verdicts.len()), (2, 1));
    }
}
