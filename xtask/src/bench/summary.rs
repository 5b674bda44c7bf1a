//! All reports in one picture: how many times better ours is than the other, for the first figure of each case, and for each that is
//! worse.

use super::number;
use super::report::{Better, Report, Row};
use crate::picture::{FAINT, HEAD, Letters, MARGIN, PLAIN, Picture, RED as BAD, SMALL, TEAL as GOOD, TITLE, WIDTH};

const STEP: usize = 26;
const BAR: usize = 16;
/// From a heading to the scale below it, and how far what belongs to another figure is indented.
const SCALE: usize = 22;
const INDENT: usize = 24;
/// Where the bars begin, and what is kept free behind them.
const BARS: usize = 470;
const NUMBER: usize = 130;
/// What the scale ends with, at both ends: that many times better or worse.
const MOST: f64 = 16.0;

const CAPTION: [&str; 2] = [
    "The main figure of each work, and every one in which ours is behind (red). The scale is logarithmic.",
    "Under QEMU: instructions are counted, and rates are by a clock that counts those of the whole machine, domain 0 included.",
];

/// Returns the picture as an SVG file.
pub(super) fn text(reports: &[Report]) -> String {
    let mut picture = Picture::default();
    picture.y = 50;
    picture.write(MARGIN, "How many times better than the other", TITLE);
    let faint = Letters { colour: FAINT, ..PLAIN };
    for line in CAPTION {
        picture.y += 24;
        picture.write(MARGIN, line, faint);
    }
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
        self.scale();
        for case in report.cases() {
            let behind = case.iter().skip(1).filter(|row| better(row).is_some_and(|better| better < 1.0));
            case.first().into_iter().for_each(|row| self.bar(row, &row.case, MARGIN));
            behind.for_each(|row| self.bar(row, &format!("its {}", row.figure.name), MARGIN + INDENT));
        }
    }

    /// What the places of the bars' ends mean.
    fn scale(&mut self) {
        let (half, faint) = ((WIDTH - MARGIN - NUMBER - BARS) / 2, Letters { colour: FAINT, ..SMALL });
        self.y += SCALE;
        for (text, at) in [("1/16 ×", 0), ("1/4 ×", half / 2), ("1 ×", half), ("4 ×", half * 3 / 2), ("16 ×", half * 2)]
        {
            self.write(BARS + at - 12, text, faint);
        }
        self.y += 8;
    }

    fn bar(&mut self, row: &Row, name: &str, left: usize) {
        let Some(better) = better(row) else { return };
        let half = (WIDTH - MARGIN - NUMBER - BARS) / 2;
        let length = ((better.clamp(1.0 / MOST, MOST).ln().abs() / MOST.ln()) * half as f64).round() as usize;
        let middle = BARS + half;
        let (start, colour) = if better >= 1.0 { (middle, GOOD) } else { (middle - length, BAD) };
        self.y += 8;
        self.rectangle(start, length.max(2), BAR, colour);
        self.rectangle(middle - 1, 2, BAR, FAINT);
        self.y += 13;
        self.write(left, name, PLAIN);
        self.write(WIDTH - MARGIN - NUMBER + 10, &format!("{} ×", number::ratio(better)), Letters { colour, ..PLAIN });
        self.y += STEP - 21;
    }
}

/// How many times better ours is.
fn better(row: &Row) -> Option<f64> {
    let ratio = row.ratio()?;
    Some(if row.figure.better == Better::More { ratio } else { 1.0 / ratio })
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
