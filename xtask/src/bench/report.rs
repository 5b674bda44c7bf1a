//! What a benchmark found.

use super::goal::Verdict;

/// Everything that is told about a benchmark.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// A word for commands and files.
    pub(super) name: &'static str,
    /// What is shown.
    pub(super) title: String,
    /// Where and how it was measured.
    pub(super) setting: String,
    /// Who is compared: the first is divided by the second.
    pub(super) guests: Vec<String>,
    /// The figures, those of a case together.
    pub(super) rows: Vec<Row>,
    /// What became of the goals.
    pub(super) verdicts: Vec<Verdict>,
    /// What one must know to read the figures.
    pub(super) caveats: Vec<String>,
}

impl Report {
    /// The rows of each case, in their order.
    pub(super) fn cases(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|one, other| one.case == other.case)
    }
}

/// One figure of each guest.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// What was done.
    pub(super) case: String,
    /// What was counted.
    pub(super) figure: Figure,
    /// The figures, in the order of the guests; nothing for one that does not tell.
    pub(super) values: Vec<Option<Spread>>,
}

impl Row {
    /// The first guest's figure divided by the second's.
    pub(super) fn ratio(&self) -> Option<f64> {
        let [Some(ours), Some(theirs), ..] = self.values[..] else { return None };
        (theirs.median > 0.0).then(|| ours.median / theirs.median)
    }
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    /// Its name, with the unit.
    pub(super) name: String,
    /// Which is the better of two.
    pub(super) better: Better,
}

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// The larger one.
    More,
    /// The smaller one.
    Less,
}

impl Better {
    /// Whether a value is on the good side of a limit.
    pub(super) fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::More => value >= limit,
            Self::Less => value <= limit,
        }
    }
}

/// What several measurements of the same gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    /// How many measurements there were.
    pub(super) count: usize,
}

impl Spread {
    /// Sums up measurements; there is no spread of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (count, half) = (values.len(), values.len() / 2);
        let (least, most) = (*values.first()?, *values.last()?);
        let median = if count % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Some(Self { median, least, most, count })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with two cases of two figures each, for what shows reports.
    pub(in super::super) fn example() -> Report {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).unwrap();
        let row = |case: &str, name: &str, better, ours: f64, theirs: f64| Row {
            case: case.to_owned(),
            figure: Figure { name: name.to_owned(), better },
            values: vec![Some(spread(&[ours, ours * 1.1, ours * 0.9])), Some(spread(&[theirs]))],
        };
        Report {
            name: "example",
            title: "Reads & writes".into(),
            setting: "somewhere".into(),
            guests: vec!["ours".into(), "theirs".into()],
            rows: vec![
                row("small", "requests per second", Better::More, 25_000.0, 10_000.0),
                row("small", "instructions", Better::Less, 3_000.0, 69_000.0),
                row("large", "requests per second", Better::More, 500.0, 1_000.0),
                row("large", "instructions", Better::Less, 0.0, 2_000_000.0),
            ],
            verdicts: Vec::new(),
            caveats: vec!["It is an <example>.".into()],
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap(), Spread { median: 2.5, least: 1.0, most: 4.0, count: 4 });
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn rows_of_a_case_stay_together_and_have_ratios() {
        let report = example();
        let cases: Vec<usize> = report.cases().map(<[Row]>::len).collect();
        assert_eq!(cases, [2, 2]);
        assert_eq!(report.rows[0].ratio(), Some(2.5));
        let alone = Row { values: report.rows[0].values[..1].to_vec(), ..report.rows[0].clone() };
        assert_eq!(alone.ratio(), None);
    }
}
