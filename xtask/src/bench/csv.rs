//! A report for programs: a line for each figure of each guest (quoted as in RFC 4180).

use super::report::{Report, Row};

const HEAD: &str = "case,figure,guest,median,least,most,measurements,ratio\n";

/// Returns the report as text with comma-separated values; the ratio is that of the first guest to the second.
pub(super) fn text(report: &Report) -> String {
    let lines = report.rows.iter().flat_map(|row| lines(report, row));
    lines.fold(HEAD.to_owned(), |text, line| text + &line + "\n")
}

fn lines(report: &Report, row: &Row) -> Vec<String> {
    let ratio = row.ratio().map(|ratio| format!("{ratio:.4}")).unwrap_or_default();
    let line = |(guest, spread): (&String, &super::report::Spread)| {
        let numbers = [spread.median, spread.least, spread.most].map(|value| format!("{value:.3}"));
        let words = [quoted(&row.case), quoted(&row.figure.name), quoted(guest)];
        format!("{},{},{},{ratio}", words.join(","), numbers.join(","), spread.count)
    };
    let told = |(guest, spread)| Some((guest, Option::as_ref(spread)?));
    report.guests.iter().zip(&row.values).filter_map(told).map(line).collect()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn each_figure_has_a_line() {
        let text = text(&example());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 4 * 2);
        assert_eq!(lines[1], "small,requests per second,ours,25000.000,22500.000,27500.000,3,2.5000");
    }

    #[test]
    fn who_does_not_tell_has_no_line() {
        let mut report = example();
        report.rows[1].values[1] = None;
        let text = text(&report);
        assert_eq!(text.lines().count(), 4 * 2);
        assert!(
            text.lines().any(|line| line.starts_with("small,instructions,ours,") && line.ends_with(",3,")),
            "{text}"
        );
    }

    #[test]
    fn commas_and_quotes_are_kept() {
        assert_eq!(quoted("4 KiB, depth \"1\""), "\"4 KiB, depth \"\"1\"\"\"");
    }
}
