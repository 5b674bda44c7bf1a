//! What became of all mutants.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::{Trial, Verdict};

/// The trials of a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// All of them, in the order of the lists.
    pub trials: Vec<Trial<'a>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(mut trials: Vec<Trial<'a>>) -> Self {
        trials.sort_by_key(|trial| (&trial.mutant.package, &trial.mutant.id));
        Self { trials }
    }

    /// Returns whether tests noticed every mutant.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.trials.iter().all(|trial| trial.verdict == Verdict::Killed)
    }

    /// Counts the trials for each package.
    fn rows(&self) -> BTreeMap<String, Row> {
        let mut rows = BTreeMap::<String, Row>::new();
        for trial in &self.trials {
            let name = format!("{} ({})", trial.mutant.package, trial.mutant.kind.name());
            rows.entry(name).or_default().add(trial);
        }
        rows
    }
}

#[derive(Default, Clone, Copy)]
struct Row {
    killed: u32,
    survived: u32,
    broken: u32,
    took: Duration,
}

impl Row {
    fn add(&mut self, trial: &Trial<'_>) {
        let count = match trial.verdict {
            Verdict::Killed => &mut self.killed,
            Verdict::Survived => &mut self.survived,
            Verdict::Hung | Verdict::Broken(_) => &mut self.broken,
        };
        *count += 1;
        self.took += trial.took;
    }

    const fn plus(self, other: &Self) -> Self {
        Self {
            killed: self.killed + other.killed,
            survived: self.survived + other.survived,
            broken: self.broken + other.broken,
            took: self.took.saturating_add(other.took),
        }
    }

    fn write(&self, name: &str, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { killed, survived, broken, took } = self;
        writeln!(f, "  {name:<34} {killed:>7} {survived:>9} {broken:>7} {:>8.1} s", took.as_secs_f32())
    }
}

/// The table, and below it what has to be mended.
impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        writeln!(f, "\n  {:<34} {:>7} {:>9} {:>7} {:>10}", "mutants of", "killed", "survived", "broken", "time")?;
        rows.iter().try_for_each(|(name, row)| row.write(name, f))?;
        rows.values().fold(Row::default(), Row::plus).write("all", f)?;
        let mut last = None;
        for trial in &self.trials {
            last = explain(trial, last, f)?.or(last);
        }
        Ok(())
    }
}

/// Writes what is wrong with a mutant, and returns the reason; what stands above is not repeated.
fn explain<'a>(
    trial: &'a Trial<'_>,
    above: Option<&str>,
    f: &mut Formatter<'_>,
) -> Result<Option<&'a str>, fmt::Error> {
    let mutant = trial.mutant;
    let reason = match &trial.verdict {
        Verdict::Killed => return Ok(None),
        Verdict::Survived => "its tests pass without this guard",
        Verdict::Hung => "its tests never end; if the guard is the end of a loop, say `hang = true`",
        Verdict::Broken(reason) => reason,
    };
    let said = if above == Some(reason) { "as above" } else { reason };
    writeln!(
        f,
        "\n{}: {} in {}, test {}: {said}",
        trial.verdict.name(),
        mutant.id,
        mutant.file.display(),
        mutant.test
    )?;
    writeln!(f, "to repeat it: cargo xtask mutants {}", mutant.id)?;
    Ok(Some(reason))
}
