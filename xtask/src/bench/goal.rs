//! What figures are to be, and whether they are.

use std::fmt;

use super::number;
use super::report::{Better, Row};

/// What the ratio of a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    /// Which way the ratio may differ from the limit.
    pub(super) better: Better,
    /// The limit.
    pub(super) limit: f64,
}

/// What became of a goal.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    what: String,
    goal: Goal,
    ratio: f64,
}

impl Verdict {
    /// Compares a row with a goal; without a second guest there is nothing to compare.
    pub(super) fn of(row: &Row, goal: Goal) -> Option<Self> {
        let ratio = row.ratio()?;
        Some(Self { what: format!("{}, {}", row.case, row.figure.name), goal, ratio })
    }

    /// Whether the goal is met.
    pub(super) fn is_met(&self) -> bool {
        self.goal.better.holds(self.ratio, self.goal.limit)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, goal, ratio } = self;
        let bound = match goal.better {
            Better::More => "at least",
            Better::Less => "at most",
        };
        let outcome = if self.is_met() { "met" } else { "NOT MET" };
        let (ratio, limit) = (number::ratio(*ratio), number::ratio(goal.limit));
        write!(f, "{outcome}: {what}: {bound} {limit} times the other's, and it is {ratio}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn goals_tell_whether_they_are_met() {
        let (rate, instructions) = (&example().rows[0], &example().rows[1]);
        let goal = |better, limit| Goal { better, limit };
        let verdict = Verdict::of(rate, goal(Better::More, 2.5)).unwrap();
        assert_eq!(
            verdict.to_string(),
            "met: small, requests per second: at least 2.50 times the other's, and it is 2.50"
        );
        assert!(!Verdict::of(rate, goal(Better::More, 2.6)).unwrap().is_met());
        assert!(Verdict::of(instructions, goal(Better::Less, 0.05)).unwrap().is_met());
        assert!(!Verdict::of(instructions, goal(Better::Less, 0.04)).unwrap().is_met());
    }
}
