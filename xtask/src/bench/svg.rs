//! A report as a picture: for each case and figure a bar of each guest, and their ratio.

use super::number;
use super::report::{Better, Report, Row};
use crate::picture::{
    FAINT, HEAD, INK, Letters, MARGIN, OCHRE, PLAIN, Picture, RED as BAD, SMALL, TEAL, TITLE, WIDTH, wrapped,
};

/// The height of a bar with the gap below it.
const STEP: usize = 26;
const BAR: usize = 20;
/// What a cell keeps free for the number behind its longest bar.
const NUMBER: usize = 92;
/// How many letters of a caveat fit into a line.
const LETTERS: usize = 175;

/// The colours of the guests, told apart by the colour-blind as well.
const GUESTS: [&str; 2] = [TEAL, OCHRE];
const GOOD: &str = "#1a7f37";

const RATIO: Letters = Letters { size: 16, bold: true, colour: INK };

/// Returns the report as an SVG file.
pub(super) fn text(report: &Report) -> String {
    let mut picture = Picture::default();
    picture.heading(report);
    for rows in report.cases() {
        picture.case(report, rows);
    }
    picture.footing(report);
    picture.finish()
}

impl Picture {
    fn heading(&mut self, report: &Report) {
        self.y = 50;
        self.write(MARGIN, &report.title, TITLE);
        self.y += 26;
        self.write(MARGIN, &report.setting, Letters { colour: FAINT, ..PLAIN });
        self.y += 18;
        let mut x = MARGIN;
        for (guest, colour) in report.guests.iter().zip(GUESTS.iter().cycle()) {
            self.rectangle(x, 16, 16, colour);
            self.y += 13;
            self.write(x + 24, guest, Letters { bold: true, ..PLAIN });
            self.y -= 13;
            x += 60 + guest.len() * 9;
        }
        self.y += 34;
    }

    /// A line of cells: what was counted in one case.
    fn case(&mut self, report: &Report, rows: &[Row]) {
        self.rule();
        self.y += 28;
        self.write(MARGIN, &rows[0].case, HEAD);
        self.y += 14;
        let (top, width) = (self.y, (WIDTH - 2 * MARGIN) / rows.len());
        for (index, row) in rows.iter().enumerate() {
            self.y = top;
            self.cell(MARGIN + index * width, width, report, row);
        }
        self.y += 24;
    }

    fn cell(&mut self, x: usize, width: usize, report: &Report, row: &Row) {
        self.y += 12;
        self.write(x, &row.figure.name, SMALL);
        self.y += 9;
        let medians = row.values.iter().map(|spread| spread.map(|spread| spread.median));
        let largest = medians.clone().flatten().fold(f64::MIN_POSITIVE, f64::max);
        let longest = (width - NUMBER) as f64;
        for (median, colour) in medians.zip(GUESTS.iter().cycle()) {
            // A bar of nothing is still to be seen.
            let length = |median: f64| ((median / largest * longest).round() as usize).max(2);
            let (end, text) = match median {
                Some(median) => (x + length(median) + 7, number::figure(median)),
                None => (x, "n/a".to_owned()),
            };
            if let Some(median) = median {
                self.rectangle(x, length(median), BAR, colour);
            }
            self.y += 15;
            self.write(end, &text, PLAIN);
            self.y += STEP - 15;
        }
        self.y += 16;
        if let (Some(ratio), Some(other)) = (row.ratio(), report.guests.get(1)) {
            let colour = if row.figure.better.holds(ratio, 1.0) { GOOD } else { BAD };
            let wish = match row.figure.better {
                Better::More => "more is better",
                Better::Less => "less is better",
            };
            let text = format!("{} × {other}", number::ratio(ratio));
            self.write(x, &text, Letters { colour, ..RATIO });
            self.y += 18;
            self.write(x, wish, SMALL);
        }
    }

    fn footing(&mut self, report: &Report) {
        self.rule();
        self.y += 8;
        for verdict in &report.verdicts {
            self.y += 20;
            let colour = if verdict.is_met() { GOOD } else { BAD };
            self.write(MARGIN, &format!("goal {verdict}"), Letters { colour, ..PLAIN });
        }
        self.y += 8;
        for line in report.caveats.iter().flat_map(|caveat| wrapped(caveat, LETTERS)) {
            self.y += 18;
            self.write(MARGIN, &line, SMALL);
        }
        self.y += 30;
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn each_figure_has_a_bar_a_number_and_a_ratio() {
        let text = text(&example());
        let count = |what: &str| text.matches(what).count();
        // The background, the legend, and the bars.
        assert_eq!(count("<rect"), 1 + 2 + 4 * 2);
        assert_eq!(count(" × theirs"), 4);
        assert!(text.contains(">25,000</text>") && text.contains(">2.50 × theirs</text>"), "{text}");
    }

    #[test]
    fn who_does_not_tell_has_no_bar() {
        let mut report = example();
        report.rows[1].values[1] = None;
        let text = text(&report);
        assert_eq!((text.matches("<rect").count(), text.matches(">n/a</text>").count()), (1 + 2 + 4 * 2 - 1, 1));
    }

    #[test]
    fn what_has_a_meaning_in_svg_is_escaped() {
        let text = text(&example());
        assert!(text.contains("Reads &amp; writes") && text.contains("&lt;example&gt;"), "{text}");
    }
}
