//! `tests/coverage.toml`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What is measured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// How many of a hundred lines must run, in all files together.
    pub(super) goal: f64,
    /// The packages whose tests are run.
    pub(super) packages: Vec<String>,
    #[serde(rename = "file")]
    pub(super) files: Vec<Entry>,
}

/// A file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// From the root of the workspace.
    pub(super) path: PathBuf,
    /// What of a peer's it reads: for those who read the list.
    reason: String,
}

impl List {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text)?;
        let mut seen = HashSet::new();
        for Entry { path, reason } in &list.files {
            if reason.trim().is_empty() {
                bail!("{} has no reason", path.display());
            }
            if !seen.insert(path) {
                bail!("{} occurs twice", path.display());
            }
        }
        Ok(list)
    }

    /// Those with one of these words in their paths; all, without any.
    pub(super) fn only(mut self, words: &[String]) -> Result<Self> {
        let meant = |entry: &Entry| words.iter().any(|word| entry.path.to_string_lossy().contains(word.as_str()));
        self.files.retain(|entry| words.is_empty() || meant(entry));
        if self.files.is_empty() {
            bail!("no file of the list has {} in its path", words.join(" or "));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[(&str, &str)]) -> String {
        let files = files.iter().map(|(path, reason)| format!("[[file]]\npath = \"{path}\"\nreason = \"{reason}\"\n"));
        format!("goal = 95\npackages = [\"a\"]\n{}", files.collect::<String>())
    }

    #[test]
    fn each_file_is_named_once_with_its_reason() {
        let read = |files: &[_]| List::parse(&list(files)).map_err(|error| error.to_string());
        let good = read(&[("a/src/b.rs", "answers"), ("a/src/c.rs", "keys")]).unwrap();
        assert_eq!((good.files.len(), good.goal), (2, 95.0));
        assert_eq!(read(&[("a.rs", " ")]).unwrap_err(), "a.rs has no reason");
        assert_eq!(read(&[("a.rs", "x"), ("a.rs", "y")]).unwrap_err(), "a.rs occurs twice");
        assert!(List::parse(&list(&[("a.rs", "x")]).replace("goal", "gaol")).is_err());
    }

    #[test]
    fn words_select_files() {
        let all = || List::parse(&list(&[("a/src/b.rs", "answers"), ("c/src/d.rs", "keys")])).unwrap();
        assert_eq!(all().only(&["d.rs".into()]).unwrap().files[0].path, Path::new("c/src/d.rs"));
        assert_eq!(all().only(&[]).unwrap().files.len(), 2);
        assert!(all().only(&["xyz".into()]).is_err());
    }
}
