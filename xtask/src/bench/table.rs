//! A report as a table in text.

use super::number;
use super::report::{Report, Row};

/// The width of a column of figures.
const COLUMN: usize = 14;

/// Returns the report as text.
pub(super) fn text(report: &Report) -> String {
    let names = report.rows.iter().flat_map(|row| [row.case.len(), row.figure.name.len() + 2]);
    let width = names.max().unwrap_or(0);
    let mut lines = vec![report.title.clone(), report.setting.clone()];
    for rows in report.cases() {
        lines.push(String::new());
        lines.push(head(report, &rows[0].case, width));
        lines.extend(rows.iter().map(|row| line(row, width)));
    }
    lines.push(String::new());
    lines.extend(report.verdicts.iter().map(|verdict| format!("goal {verdict}")));
    lines.extend(report.caveats.iter().map(|caveat| format!("note: {caveat}")));
    lines.join("\n")
}

fn head(report: &Report, case: &str, width: usize) -> String {
    let mut text = format!("{case:<width$}");
    let ratio = (report.guests.len() > 1).then(|| "ratio".to_owned());
    report.guests.iter().cloned().chain(ratio).for_each(|name| text.push_str(&format!("{name:>COLUMN$}")));
    text
}

fn line(row: &Row, width: usize) -> String {
    let mut text = format!("{:<width$}", format!("  {}", row.figure.name));
    for spread in &row.values {
        let figure = spread.map_or_else(|| "n/a".to_owned(), |spread| number::figure(spread.median));
        text.push_str(&format!("{figure:>COLUMN$}"));
    }
    text.push_str(&row.ratio().map(|ratio| format!("{:>COLUMN$}", number::ratio(ratio))).unwrap_or_default());
    text.push_str(&spread(row));
    text
}

/// How far the measurements lie apart, where they do.
fn spread(row: &Row) -> String {
    let widest =
        row.values.iter().flatten().map(|spread| (spread.most - spread.least) / spread.median.max(f64::MIN_POSITIVE));
    let percent = widest.fold(0.0, f64::max) * 100.0;
    if percent < 1.0 { String::new() } else { format!("   (spread {percent:.0} %)") }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn figures_stand_below_their_guests() {
        let text = text(&example());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "small                          ours        theirs         ratio");
        assert_eq!(lines[4], "  requests per second        25,000        10,000          2.50   (spread 20 %)");
        assert_eq!(lines[5], "  instructions                3,000        69,000         0.043   (spread 20 %)");
        assert!(text.ends_with("note: It is an <example>."), "{text}");
    }

    #[test]
    fn who_does_not_tell_has_no_figure() {
        let mut report = example();
        report.rows[1].values[1] = None;
        assert!(
            text(&report).contains("\n  instructions                3,000           n/a   (spread 20 %)\n"),
            "{}",
            text(&report)
        );
    }

    #[test]
    fn a_guest_alone_has_no_ratio() {
        let mut report = example();
        report.guests.truncate(1);
        report.rows.iter_mut().for_each(|row| row.values.truncate(1));
        assert!(!text(&report).contains("ratio"));
    }
}
