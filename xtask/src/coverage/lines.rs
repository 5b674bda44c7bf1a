//! Which lines of files ran, as `llvm-cov export -format=lcov` tells.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The lines of a file that have code, each with whether it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines(BTreeMap<u32, bool>);

impl Lines {
    /// What ran here or there has run.
    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(line, ran)| *self.0.entry(*line).or_default() |= ran);
    }

    /// Those before a line, if one is given.
    pub(super) fn before(&self, end: Option<u32>) -> Self {
        Self(self.0.range(..end.unwrap_or(u32::MAX)).map(|(line, ran)| (*line, *ran)).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that did not run, those that follow each other together.
    pub(super) fn gaps(&self) -> Vec<(u32, u32)> {
        let mut gaps = Vec::<(u32, u32)>::new();
        let mut went_on = false;
        for (line, ran) in &self.0 {
            match gaps.last_mut() {
                _ if *ran => {}
                Some((_, last)) if went_on => *last = *line,
                _ => gaps.push((*line, *line)),
            }
            went_on = !ran;
        }
        gaps
    }

    pub(super) fn missed(&self) -> usize {
        self.0.values().filter(|ran| !**ran).count()
    }
}

/// Reads `SF:FILE`, then `DA:LINE,COUNT` for each line; the rest is about functions.
pub(super) fn parse(text: &str) -> BTreeMap<PathBuf, Lines> {
    let (mut files, mut file) = (BTreeMap::<PathBuf, Lines>::new(), PathBuf::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            file = name.into();
        }
        let Some((number, rest)) = line.strip_prefix("DA:").and_then(|data| data.split_once(',')) else { continue };
        let Ok(number) = number.parse() else { continue };
        *files.entry(file.clone()).or_default().0.entry(number).or_default() |= rest.trim() != "0";
    }
    files
}

/// Returns the line at which a file's own tests begin, which stand last.
pub(super) fn tests_begin(source: &str) -> Option<u32> {
    let lines: Vec<&str> = source.lines().collect();
    let is_for_tests = |line: &str| line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,");
    let is_begin = |pair: &[&str]| is_for_tests(pair[0]) && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_begin).and_then(|before| u32::try_from(before + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "SF:/w/a.rs\nFN:1,f\nDA:1,3\nDA:2,0\nDA:3,0\nDA:7,0\nDA:8,1\nend_of_record\nSF:/w/b.rs\nDA:1,0\n";

    #[test]
    fn lines_that_did_not_run_are_told_in_ranges() {
        let files = parse(TEXT);
        let a = &files[&PathBuf::from("/w/a.rs")];
        assert_eq!((a.count(), a.missed(), a.gaps()), (5, 3, vec![(2, 7)]));
        assert_eq!(files[&PathBuf::from("/w/b.rs")].gaps(), [(1, 1)]);
    }

    #[test]
    fn a_line_ran_if_it_ran_anywhere() {
        let mut lines = parse(TEXT).remove(&PathBuf::from("/w/a.rs")).unwrap();
        lines.merge(&parse("SF:/w/a.rs\nDA:3,1\nDA:9,0\n")[&PathBuf::from("/w/a.rs")]);
        assert_eq!(lines.gaps(), [(2, 2), (7, 7), (9, 9)]);
    }

    #[test]
    fn a_files_own_tests_do_not_count() {
        let source = "fn f() {}\n\n#[cfg(test)]\nmod helpers;\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!((tests_begin(source), tests_begin("fn f() {}")), (Some(6), None));
        assert_eq!(tests_begin("fn f() {}\n#[cfg(all(test, not(loom)))]\nmod tests {\n"), Some(2));
        let lines = parse(TEXT).remove(&PathBuf::from("/w/a.rs")).unwrap();
        assert_eq!((lines.before(Some(3)).count(), lines.before(None).count()), (2, 5));
    }
}
