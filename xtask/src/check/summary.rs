//! What became of all steps.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::step::{Ended, Outcome};

/// The steps that have ended.
#[derive(Debug)]
pub(super) struct Summary {
    steps: Vec<Ended>,
    /// How long all of them took; less than their sum where some ran beside others.
    took: Duration,
}

impl Summary {
    pub(super) const fn new(steps: Vec<Ended>, took: Duration) -> Self {
        Self { steps, took }
    }

    /// Returns whether any step ended so.
    pub(super) fn has(&self, outcome: &Outcome) -> bool {
        self.steps.iter().any(|ended| ended.outcome == *outcome)
    }

    pub(super) const fn len(&self) -> usize {
        self.steps.len()
    }

    /// Returns whether the step of this name passed.
    pub(super) fn passed(&self, name: &str) -> bool {
        self.steps.iter().any(|ended| ended.name == name && ended.outcome == Outcome::Passed)
    }

    /// Returns whether any step did not run.
    pub(super) fn has_gaps(&self) -> bool {
        !self.gaps().is_empty()
    }

    /// Returns the steps that did not run, by the reason.
    fn gaps(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut gaps = BTreeMap::<&str, Vec<&str>>::new();
        for ended in &self.steps {
            if let Outcome::NotRun(reason) = &ended.outcome {
                gaps.entry(reason).or_default().push(&ended.name);
            }
        }
        gaps
    }

    fn verdict(&self) -> &'static str {
        match (self.has(&Outcome::Failed), self.has_gaps()) {
            (true, _) => "there are failures",
            (false, true) => "NOT COMPLETE: what ran has passed",
            (false, false) => "everything passed",
        }
    }
}

/// What the steps that failed said last, the table, below it what to do about each step that did not pass, and one line for all.
impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Ended { name, last, .. } in self.steps.iter().filter(|ended| !ended.last.is_empty()) {
            writeln!(f, "\n  {name} said last:\n{}", last.join("\n"))?;
        }
        writeln!(f, "\n  {:<34} {:<8} {:>9}", "step", "result", "time")?;
        for Ended { name, outcome, took, .. } in &self.steps {
            writeln!(f, "  {name:<34} {:<8} {:>7.1} s", outcome.words(), took.as_secs_f32())?;
        }
        for Ended { name, repeat, .. } in self.steps.iter().filter(|ended| ended.outcome == Outcome::Failed) {
            writeln!(f, "error: {name} failed; to repeat it: {repeat}")?;
        }
        for (reason, names) in self.gaps() {
            writeln!(f, "warning: NOT RUN: {}: {reason}", names.join("; "))?;
        }
        write!(f, "  {:<43} {:>7.1} s", self.verdict(), self.took.as_secs_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::Step;
    use super::*;

    fn summary(outcomes: &[Outcome]) -> Summary {
        let ended = |outcome: &Outcome| Ended {
            name: "loom".into(),
            outcome: outcome.clone(),
            took: Duration::from_secs(1),
            repeat: "cargo test".into(),
            last: if *outcome == Outcome::Failed { vec!["last words".into()] } else { Vec::new() },
        };
        Summary::new(outcomes.iter().map(ended).collect(), Duration::from_millis(1500))
    }

    #[test]
    fn a_failure_is_named_with_the_command_that_repeats_it() {
        let summary = summary(&[Outcome::Passed, Outcome::Failed]);
        let text = summary.to_string();
        assert!(summary.has(&Outcome::Failed) && text.contains("loom failed; to repeat it: cargo test"), "{text}");
        assert!(text.contains("loom said last:\nlast words"), "{text}");
        assert!(!text.contains("everything passed"), "{text}");
    }

    #[test]
    fn a_step_that_did_not_run_is_never_taken_for_one_that_passed() {
        let summary = summary(&[Outcome::Passed, Outcome::NotRun("no network".into())]);
        let text = summary.to_string();
        assert!(summary.has_gaps() && text.contains("NOT RUN: loom: no network"), "{text}");
        assert!(!text.contains("everything passed") && text.contains("NOT COMPLETE"), "{text}");
    }

    #[test]
    fn what_an_interruption_kept_from_running_is_told() {
        let steps = vec![Step::interrupted("loom".into()), Step::interrupted("Miri".into())];
        let text = Summary::new(steps, Duration::ZERO).to_string();
        assert!(text.contains("NOT RUN: loom; Miri: interrupted") && !text.contains("everything passed"), "{text}");
    }

    #[test]
    fn only_if_all_passed_it_says_so_with_the_time_from_begin_to_end() {
        let text = summary(&[Outcome::Passed, Outcome::Passed]).to_string();
        assert!(text.ends_with(" 1.5 s") && text.contains("everything passed"), "{text}");
    }
}
