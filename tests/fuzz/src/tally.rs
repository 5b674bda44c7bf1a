//! What came of a script.

use std::collections::BTreeMap;
use std::fmt;

/// How often what came of a script, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    /// It came once more.
    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    fn add(&mut self, what: &'static str, times: u32) {
        let counter = self.0.entry(what).or_default();
        *counter = counter.saturating_add(times);
    }

    /// How often it came.
    #[must_use]
    pub fn of(&self, what: &str) -> u32 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what came of another script.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| self.add(what, *times));
    }
}

impl FromIterator<(&'static str, u32)> for Tally {
    fn from_iter<I: IntoIterator<Item = (&'static str, u32)>>(counts: I) -> Self {
        Self(counts.into_iter().collect())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
        f.write_str(&words.join(", "))
    }
}
