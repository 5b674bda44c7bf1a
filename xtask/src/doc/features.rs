//! The table of features, made of `docs/features.toml`: a feature is there if its tests are.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::sources;
use super::tests_of::{Place, Tests};
use crate::results::{Results, Verdict};

/// The list, from the root of the repository.
const LIST: &str = "docs/features.toml";
/// Where the tests are that boot guests on real Xen.
const REAL_XEN: &str = "tests/real-xen/tests/";
const HEAD: &str = "\
| device | feature | key | in the simulator | on real Xen, x86-64 PV |
|---|---|---|---|---|";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    feature: Vec<Feature>,
}

/// What a device can do, and who says so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feature {
    /// The device, or the part of Xen's interface.
    device: String,
    /// What it does, in words.
    name: String,
    /// Its keys in xenstore, or Xen's other names for it.
    #[serde(default)]
    key: Vec<String>,
    /// The package's folder, where `simulated` are.
    package: String,
    /// Tests against the simulator or the model of it.
    #[serde(default)]
    simulated: Vec<String>,
    /// Tests on real Xen: x86-64 PV.
    #[serde(default)]
    real: Vec<String>,
}

/// Returns the table, in Markdown; its links are the book's.
///
/// # Errors
///
/// When the list names a test that is not there, or a feature has none.
pub(super) fn table(root: &Path, tests: &Tests, results: &Results) -> Result<String> {
    let text = std::fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list = toml::from_str::<List>(&text).with_context(|| format!("{LIST} is wrong"))?;
    let table = render(&list, tests, results)?;
    let when = match results.commits() {
        [] => "No test has been run by `cargo xtask test` here, so none has a mark: ✓ for one that passed, ✗ for one that failed.".to_owned(),
        commits => format!(
            "Marks are what `cargo xtask test` found here last, at {}: ✓ passed, ✗ failed; a test without one was not run.",
            commits.join(", ")
        ),
    };
    Ok(format!("{when}\n\n{table}"))
}

fn render(list: &List, tests: &Tests, results: &Results) -> Result<String> {
    let (mut rows, mut faults) = (vec![HEAD.to_owned()], Vec::new());
    for feature in &list.feature {
        match row(feature, tests, results) {
            Ok(row) => rows.push(row),
            Err(why) => faults.push(format!("{LIST}: {}, {}: {why}", feature.device, feature.name)),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(rows.join("\n"))
}

fn row(feature: &Feature, tests: &Tests, results: &Results) -> Result<String> {
    let Feature { device, name, package, key, simulated, real } = feature;
    if simulated.is_empty() && real.is_empty() {
        bail!("it has no test");
    }
    let keys: Vec<String> = key.iter().map(|key| format!("`{key}`")).collect();
    let cell = |folder: &str, names: &[String]| cell(tests, results, folder, names);
    let (simulated, real) = (cell(&format!("{package}/"), simulated)?, cell(REAL_XEN, real)?);
    Ok(format!("| {device} | {name} | {} | {simulated} | {real} |", keys.join(", ")))
}

/// Links to tests.
fn cell(tests: &Tests, results: &Results, folder: &str, names: &[String]) -> Result<String> {
    if names.is_empty() {
        return Ok("not yet".to_owned());
    }
    let link = |name: &String| {
        let places = tests.find(folder, name);
        let place = places.first().with_context(|| format!("no test in {folder} is named {name}"))?;
        let mark = results.of(name).map_or("", Verdict::mark);
        Ok(format!("{mark}{}", link(name, place)))
    };
    Ok(names.iter().map(link).collect::<Result<Vec<_>>>()?.join("<br>"))
}

fn link(name: &str, Place { file, line }: &Place) -> String {
    format!("[`{name}`]({}#L{line})", sources::page_of(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    fn list(tests: &str) -> List {
        let text = format!("[[feature]]\ndevice = \"disk\"\nname = \"x\"\nkey = [\"k\"]\npackage = \"xtask\"\n{tests}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_feature_without_a_test_is_refused() {
        let tests = Tests::read(&paths::workspace().unwrap().join("xtask/src/doc")).unwrap();
        assert!(render(&list(""), &tests, &Results::default()).unwrap_err().to_string().contains("no test"));
    }

    #[test]
    fn a_row_has_links_to_its_tests_and_one_that_is_gone_is_refused() {
        let root = paths::workspace().unwrap();
        let tests = Tests::read(&root).unwrap();
        let row = render(
            &list("simulated = [\"a_row_has_links_to_its_tests_and_one_that_is_gone_is_refused\"]"),
            &tests,
            &Results::default(),
        )
        .unwrap();
        assert!(row.contains("| disk | x | `k` | [`a_row_has_links_to_its_tests_and_one_that_is_gone_is_refused`](file/xtask/src/doc/features.rs.html#L"), "{row}");
        let error = render(&list("simulated = [\"it_never_was\"]"), &tests, &Results::default()).unwrap_err();
        assert!(format!("{error:#}").contains("it_never_was"), "{error:#}");
    }

    #[test]
    fn all_features_of_the_list_have_their_tests() {
        let root = paths::workspace().unwrap();
        assert!(
            table(&root, &Tests::read(&root).unwrap(), &Results::default())
                .is_ok_and(|table| table.lines().count() > 10)
        );
    }
}
