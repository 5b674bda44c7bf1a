//! The tests of the workspace by their names, as the sources have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::place;

/// All tests: of each name, where it stands.
#[derive(Default)]
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

    pub(super) fn add(&mut self, file: &str, text: &str) {
        let mut is_test = false;
        for (at, line) in text.lines().map(str::trim).enumerate() {
            is_test |= line == "#[test]";
            // Who has to be asked for by hand proves nothing every day.
            is_test &= !line.starts_with("#[ignore");
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
            if let (true, Some(name)) = (is_test, name) {
                is_test = false;
                self.0.entry(name.to_owned()).or_default().push(Place { file: file.to_owned(), line: at + 1 });
            }
        }
    }

    /// Returns where the tests of this name are, below a folder.
    pub(super) fn find(&self, folder: &str, name: &str) -> Vec<&Place> {
        let places = self.0.get(name).into_iter().flatten();
        places.filter(|place| place.file.starts_with(folder)).collect()
    }

    /// Returns the tests of each case that names tell of.
    pub(super) fn by_case(&self) -> BTreeMap<(&str, u32), Vec<(&str, &Place)>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (name, places) in &self.0 {
            for case in cases(name) {
                all.entry(case).or_default().extend(places.iter().map(|place| (name.as_str(), place)));
            }
        }
        all
    }

    /// Whether there is a test of this name, or one about all cases that it names: `hc_026` is one of `hc_023_to_026_ids`.
    pub(super) fn has(&self, name: &str) -> bool {
        let wanted = cases(name);
        let about = |test: &String| test == name || !wanted.is_empty() && wanted.is_subset(&cases(test));
        self.0.keys().any(about)
    }
}

/// The cases of the catalogue that a name begins with: `hc_001_to_004`, `fault_07_fault_08_a_guest`, `hc_025_and_hc_060`.
fn cases(name: &str) -> BTreeSet<(&str, u32)> {
    let (mut kind, mut range, mut last, mut cases) = ("", false, 0, BTreeSet::new());
    for word in name.split('_') {
        match (word, word.parse::<u32>()) {
            ("hc" | "fault", _) => kind = word,
            ("to", _) => range = true,
            ("and", _) => {}
            (_, Ok(number)) if !kind.is_empty() => {
                let first = if range { last } else { number };
                cases.extend((first..=number).map(|number| (kind, number)));
                (last, range) = (number, false);
            }
            _ => break,
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_its_name_and_by_its_cases() {
        let mut tests = Tests(BTreeMap::new());
        tests.add(
            "a/b.rs",
            "fn hc_01() {}\n#[test]\n#[ignore]\nfn hc_02() {}\n#[test]\nfn hc_012_to_014_and_hc_020_are_kept() {}\n",
        );
        let name = "hc_012_to_014_and_hc_020_are_kept";
        assert_eq!(tests.find("a/", name), [&Place { file: "a/b.rs".into(), line: 6 }]);
        assert!(tests.find("b/", name).is_empty() && tests.find("", "hc_01").is_empty());
        for known in [name, "hc_012", "hc_013", "hc_012_014", "hc_020"] {
            assert!(tests.has(known), "{known}");
        }
        for unknown in ["hc_01", "hc_02", "hc_015", "fault_12", "hc_", "are_kept"] {
            assert!(!tests.has(unknown), "{unknown}");
        }
    }
}
