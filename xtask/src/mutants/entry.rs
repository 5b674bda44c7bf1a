//! The lists of mutants: `tests/mutants/*.toml`.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A change that takes a guard away, and the test that must notice.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name, unique in all lists.
    pub id: String,
    /// The source file, from the root of the workspace.
    pub file: PathBuf,
    /// The text to replace, which occurs once in the file.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
    /// The package whose tests must notice.
    pub package: String,
    /// The part of a test's name that the tests to run have in common.
    pub test: String,
    /// How the tests are built.
    #[serde(default)]
    pub kind: Kind,
    /// Whether tests that never end count as noticing, because the guard is the end of a loop.
    #[serde(default)]
    pub hang: bool,
}

/// How tests are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// As `cargo test` does.
    #[default]
    Test,
    /// With `--cfg loom`, in release: models of what several processors do.
    Loom,
}

impl Kind {
    /// Returns the word that the lists use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Loom => "loom",
        }
    }
}

impl Mutant {
    /// Returns whether one of the words is a part of the id, the file or the package; no words accept everything.
    #[must_use]
    pub fn is_meant(&self, words: &[String]) -> bool {
        let file = self.file.to_string_lossy();
        let holds = |word: &String| [&self.id, &self.package, &*file].iter().any(|text| text.contains(word.as_str()));
        words.is_empty() || words.iter().any(holds)
    }

    /// Returns the source with the guard taken away.
    ///
    /// # Errors
    ///
    /// When the text to replace is not there, is there more than once, or stays the same.
    pub fn applied_to(&self, source: &str) -> Result<String> {
        match source.matches(&self.find).count() {
            1 if self.find == self.replace => bail!("`find` and `replace` are the same"),
            1 => Ok(source.replacen(&self.find, &self.replace, 1)),
            count => bail!("`find` occurs {count} times in {}, not once", self.file.display()),
        }
    }
}

/// Reads all lists in a folder; mutants that are built alike come one after the other.
///
/// # Errors
///
/// When a list cannot be read, an id occurs twice, or a file lies outside the workspace.
pub(super) fn load(folder: &Path) -> Result<Vec<Mutant>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut lists: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    lists.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    lists.sort();
    let mut mutants = Vec::new();
    for list in lists {
        let text = fs::read_to_string(&list)?;
        mutants.extend(parse(&text).with_context(|| format!("cannot read {}", list.display()))?);
    }
    check(&mutants)?;
    mutants.sort_by(|a, b| (a.kind, &a.package).cmp(&(b.kind, &b.package)));
    Ok(mutants)
}

fn parse(text: &str) -> Result<Vec<Mutant>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        #[serde(default)]
        mutant: Vec<Mutant>,
    }
    Ok(toml::from_str::<List>(text)?.mutant)
}

fn check(mutants: &[Mutant]) -> Result<()> {
    let mut ids = HashSet::new();
    for mutant in mutants {
        if !ids.insert(&mutant.id) {
            bail!("two mutants are called {}", mutant.id);
        }
        if !mutant.file.components().all(|part| matches!(part, Component::Normal(_))) {
            bail!("mutant {}: {} is no path from the root of the workspace", mutant.id, mutant.file.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        [[mutant]]
        id = "a"
        file = "ring/src/law.rs"
        find = "x < y"
        replace = "x <= y"
        package = "ring"
        test = "hc_001"
    "#;

    #[test]
    fn a_list_is_read_and_its_mutant_applied_once() {
        let mutants = parse(LIST).unwrap();
        let mutant = &mutants[0];
        assert_eq!((mutant.kind, mutant.hang), (Kind::Test, false));
        assert_eq!(mutant.applied_to("if x < y {").unwrap(), "if x <= y {");
        assert!(mutant.applied_to("x > y").unwrap_err().to_string().contains("0 times"));
        assert!(mutant.applied_to("x < y, x < y").unwrap_err().to_string().contains("2 times"));
    }

    #[test]
    fn a_mutant_that_changes_nothing_is_refused() {
        let mut mutant = parse(LIST).unwrap().remove(0);
        mutant.replace = mutant.find.clone();
        assert!(mutant.applied_to("x < y").is_err());
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let message = parse(&LIST.replace("test =", "tests =")).unwrap_err().to_string();
        assert!(message.contains("tests"), "{message}");
    }

    #[test]
    fn ids_are_unique_and_files_inside() {
        let mut mutants = parse(&(LIST.to_owned() + LIST)).unwrap();
        assert!(check(&mutants).unwrap_err().to_string().contains("called a"));
        mutants[1].id = "b".into();
        check(&mutants).unwrap();
        mutants[1].file = "../outside.rs".into();
        assert!(check(&mutants).is_err());
    }

    #[test]
    fn words_select_by_id_file_and_package() {
        let mutant = parse(LIST).unwrap().remove(0);
        let meant = |word: &str| mutant.is_meant(&[word.to_owned()]);
        assert!(mutant.is_meant(&[]) && meant("law") && meant("ring") && meant("a"));
        assert!(!meant("grant"));
    }
}
