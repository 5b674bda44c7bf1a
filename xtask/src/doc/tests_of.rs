//! The tests of the workspace by their names, as the sources have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::place;

/// All tests: of each name, where it stands.
pub(super) struct Tests(BTreeMap<String, Vec<Place>>);

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// From the root of the repository.
    pub(super) file: String,
    pub(super) line: usize,
}

impl Tests {
    /// Reads the workspace's sources.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tests = Self(BTreeMap::new());
        for path in place::files(root)? {
            if path.extension().is_some_and(|ending| ending == "rs") {
                let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                tests.add(&file, &fs::read_to_string(&path)?);
            }
        }
        Ok(tests)
    }

    fn add(&mut self, file: &str, text: &str) {
        let mut is_test = false;
        for (at, line) in text.lines().map(str::trim).enumerate() {
            is_test |= line == "#[test]";
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
            if let (true, Some(name)) = (is_test, name) {
                is_test = false;
                self.0.entry(name.to_owned()).or_default().push(Place { file: file.to_owned(), line: at + 1 });
            }
        }
    }

    /// Returns where the tests are that have this name, or begin with it and go on with another word, below a folder.
    pub(super) fn find(&self, folder: &str, name: &str) -> Vec<&Place> {
        let whole = |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        let named = self.0.range(name.to_owned()..).take_while(|(other, _)| other.starts_with(name));
        let places = named.filter(|(other, _)| whole(other)).flat_map(|(_, places)| places);
        places.filter(|place| place.file.starts_with(folder)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_its_name_and_by_its_first_words() {
        let mut tests = Tests(BTreeMap::new());
        tests.add("a/b.rs", "fn hc_01() {}\n#[test]\n#[ignore]\nfn hc_012_is_kept() {}\n");
        assert_eq!(tests.find("a/", "hc_012"), [&Place { file: "a/b.rs".into(), line: 4 }]);
        assert!(tests.find("", "hc_01").is_empty() && tests.find("b", "hc_012").is_empty());
    }
}
