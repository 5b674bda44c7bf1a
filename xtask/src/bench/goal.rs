//! What figures are to be, and whether they are.

use std::fmt;

use super::number;
use super::report::{Better, Row};

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    /// What is compared with the limit.
    pub(super) of: Of,
    /// Which way it may differ from the limit.
    pub(super) better: Better,
    /// The limit.
    pub(super) limit: f64,
}

/// What is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The first guest's figure divided by the second's.
    Ratio,
    /// The first guest's figure.
    First,
}

impl Goal {
    pub(super) const fn ratio(better: Better, limit: f64) -> Self {
        Self { of: Of::Ratio, better, limit }
    }
}

/// What became of a goal.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    what: String,
    goal: Goal,
    /// None, if it was not measured.
    value: Option<f64>,
}

impl Verdict {
    /// Compares a row with a goal; without a second guest there may be nothing to compare.
    pub(super) fn of(row: &Row, goal: Goal) -> Option<Self> {
        let value = match goal.of {
            Of::Ratio if row.values.len() < 2 => return None,
            Of::Ratio => row.ratio(),
            Of::First => row.values.first()?.map(|spread| spread.median),
        };
        Some(Self { what: format!("{}, {}", row.case, row.figure.name), goal, value })
    }

    /// Whether the goal is met.
    pub(super) fn is_met(&self) -> bool {
        self.value.is_some_and(|value| self.goal.better.holds(value, self.goal.limit))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, goal, value } = self;
        let bound = match goal.better {
            Better::More => "at least",
            Better::Less => "at most",
        };
        let outcome = if self.is_met() { "met" } else { "NOT MET" };
        let value = value.map_or_else(|| "was not measured".to_owned(), |value| format!("is {}", number::ratio(value)));
        let limit = number::ratio(goal.limit);
        let times = if goal.of == Of::Ratio { " times the other's" } else { "" };
        write!(f, "{outcome}: {what}: {bound} {limit}{times}, and it {value}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn goals_tell_whether_they_are_met() {
        let (rate, instructions) = (&example().rows[0], &example().rows[1]);
        let goal = Goal::ratio;
        let verdict = Verdict::of(rate, goal(Better::More, 2.5)).unwrap();
        assert_eq!(
            verdict.to_string(),
            "met: small, requests per second: at least 2.50 times the other's, and it is 2.50"
        );
        assert!(!Verdict::of(rate, goal(Better::More, 2.6)).unwrap().is_met());
        assert!(Verdict::of(instructions, goal(Better::Less, 0.05)).unwrap().is_met());
        assert!(!Verdict::of(instructions, goal(Better::Less, 0.04)).unwrap().is_met());
        let own = Goal { of: Of::First, better: Better::Less, limit: 2999.0 };
        let verdict = Verdict::of(instructions, own).unwrap();
        assert_eq!(verdict.to_string(), "NOT MET: small, instructions: at most 2,999, and it is 3,000");
    }

    #[test]
    fn what_was_not_measured_is_not_met_and_one_guest_has_nothing_to_compare() {
        let (mut without, mut alone) = (example().rows[0].clone(), example().rows[0].clone());
        without.values[1] = None;
        alone.values.truncate(1);
        let verdict = |row| Verdict::of(row, Goal::ratio(Better::More, 1.0));
        let missed = verdict(&without).unwrap();
        assert!(!missed.is_met() && missed.to_string().ends_with("and it was not measured"), "{missed}");
        assert!(verdict(&alone).is_none());
    }
}
