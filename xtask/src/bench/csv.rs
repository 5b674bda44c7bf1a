//! A report for programs, and for the next report: a line for each figure of each guest.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::report::{Report, Row, Spread};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    case: String,
    figure: String,
    guest: String,
    median: f64,
    least: f64,
    most: f64,
    measurements: usize,
    /// That of the first guest to the second.
    ratio: Option<f64>,
}

/// Returns the report as text with comma-separated values.
pub(super) fn text(report: &Report) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in report.rows.iter().flat_map(|row| lines(report, row)) {
        writer.serialize(line)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn lines(report: &Report, row: &Row) -> Vec<Line> {
    let line = |(guest, spread): (&String, &Spread)| Line {
        case: row.case.clone(),
        figure: row.figure.name.clone(),
        guest: guest.clone(),
        median: thousandths(spread.median),
        least: thousandths(spread.least),
        most: thousandths(spread.most),
        measurements: spread.count,
        ratio: row.ratio().map(|ratio| (ratio * 1e4).round() / 1e4),
    };
    let told = |(guest, spread)| Some((guest, Option::as_ref(spread)?));
    report.guests.iter().zip(&row.values).filter_map(told).map(line).collect()
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// What was measured before.
pub(super) struct Before(HashMap<[String; 3], f64>);

impl Before {
    /// Reads what [`text`] has written; nothing where there is no file.
    pub(super) fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self(HashMap::new()));
        }
        let unreadable = || format!("cannot read {}", file.display());
        let mut reader = csv::Reader::from_path(file).with_context(unreadable)?;
        let lines = reader.deserialize().collect::<Result<Vec<Line>, _>>().with_context(unreadable)?;
        Ok(Self(lines.into_iter().map(|line| ([line.case, line.figure, line.guest], line.median)).collect()))
    }

    /// The first guest's figure of a row.
    pub(super) fn median(&self, report: &Report, row: &Row) -> Option<f64> {
        let key = [row.case.clone(), row.figure.name.clone(), report.guests.first()?.clone()];
        self.0.get(&key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn each_figure_has_a_line() {
        let text = text(&example()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 4 * 2);
        assert_eq!(lines[0], "case,figure,guest,median,least,most,measurements,ratio");
        assert_eq!(lines[1], "small,requests per second,ours,25000.0,22500.0,27500.0,3,2.5");
    }

    #[test]
    fn who_does_not_tell_has_no_line() {
        let mut report = example();
        report.rows[1].values[1] = None;
        let text = text(&report).unwrap();
        assert_eq!(text.lines().count(), 4 * 2);
        assert!(
            text.lines().any(|line| line.starts_with("small,instructions,ours,") && line.ends_with(",3,")),
            "{text}"
        );
    }

    #[test]
    fn what_was_written_is_found_again() {
        let mut report = example();
        report.rows[0].case = "small, \"tiny\"".into();
        let file = std::env::temp_dir().join(format!("domu-before-{}.csv", std::process::id()));
        std::fs::write(&file, text(&report).unwrap()).unwrap();
        let before = Before::read(&file);
        std::fs::remove_file(&file).unwrap();
        let before = before.unwrap();
        assert_eq!(before.median(&report, &report.rows[0]), Some(25_000.0));
        report.rows[0].case = "other".into();
        assert_eq!(before.median(&report, &report.rows[0]), None);
        assert_eq!(Before::read(&file).unwrap().median(&report, &report.rows[1]), None);
    }
}
