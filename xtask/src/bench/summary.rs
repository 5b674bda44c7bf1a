//! All reports in one picture: how many times the other's figure ours is, for the first figure of each case.

use super::number;
use super::report::{Better, Report, Row};
use crate::picture::{FAINT, HEAD, Letters, MARGIN, PLAIN, Picture, RED as BAD, TEAL as GOOD, TITLE, WIDTH};

const STEP: usize = 26;
const BAR: usize = 16;
/// Where the bars begin, and what is kept free behind them.
const BARS: usize = 470;
const NUMBER: usize = 130;
/// What the scale ends with, at both ends: that many times better or worse.
const MOST: f64 = 16.0;

/// Returns the picture as an SVG file.
pub(super) fn text(reports: &[Report]) -> String {
    let mut picture = Picture::default();
    picture.y = 50;
    picture.write(MARGIN, "How often better than the other, for each work", TITLE);
    picture.y += 24;
    let faint = Letters { colour: FAINT, ..PLAIN };
    picture.write(MARGIN, "A bar to the right of the line is ours to the good; the scale is logarithmic.", faint);
    for report in reports {
        picture.part(report);
    }
    picture.y += 20;
    picture.finish()
}

impl Picture {
    fn part(&mut self, report: &Report) {
        let Some(other) = report.guests.get(1) else { return };
        self.y += 24;
        self.rule();
        self.y += 30;
        self.write(MARGIN, &format!("{}: {} beside {other}", report.title, report.guests[0]), HEAD);
        self.y += 8;
        for row in report.cases().filter_map(<[Row]>::first) {
            self.bar(row);
        }
    }

    fn bar(&mut self, row: &Row) {
        let Some(ratio) = row.ratio() else { return };
        let better = if row.figure.better == Better::More { ratio } else { 1.0 / ratio };
        let half = (WIDTH - MARGIN - NUMBER - BARS) / 2;
        let length = ((better.clamp(1.0 / MOST, MOST).ln().abs() / MOST.ln()) * half as f64).round() as usize;
        let middle = BARS + half;
        let (start, colour) = if better >= 1.0 { (middle, GOOD) } else { (middle - length, BAD) };
        self.y += 8;
        self.rectangle(start, length.max(2), BAR, colour);
        self.rectangle(middle - 1, 2, BAR, FAINT);
        self.y += 13;
        self.write(MARGIN, &row.case, PLAIN);
        self.write(WIDTH - MARGIN - NUMBER + 10, &format!("{} ×", number::ratio(better)), Letters { colour, ..PLAIN });
        self.y += STEP - 21;
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn each_case_has_a_bar_on_its_side() {
        let text = text(&[example()]);
        assert!(text.contains(">2.50 ×</text>") && text.contains(">0.50 ×</text>"), "{text}");
        assert_eq!((text.matches(GOOD).count(), text.matches(BAD).count()), (2, 2));
    }

    #[test]
    fn one_alone_has_none() {
        let report = Report { guests: vec!["ours".into()], ..example() };
        assert!(!text(&[report]).contains(GOOD));
    }
}
