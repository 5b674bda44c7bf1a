//! The table of hostile cases and faults: their numbers, and the tests of each.

use super::sources;
use super::tests_of::{Place, Tests};
use crate::results::{Results, Verdict};

const HEAD: &str = "| case | tests |\n|---|---|";

/// Returns the table, in Markdown; its links are the book's.
pub(super) fn table(tests: &Tests, results: &Results) -> String {
    let row = |((kind, number), all): ((&str, u32), Vec<(&str, &Place)>)| {
        let links: Vec<_> = all.into_iter().map(|(name, place)| link(name, place, results)).collect();
        format!("| `{kind}_{number:0width$}` | {} |", links.join("<br>"), width = if kind == "hc" { 3 } else { 2 })
    };
    let (hostile, faults): (Vec<_>, Vec<_>) = tests.by_case().into_iter().partition(|((kind, _), _)| *kind == "hc");
    let rows: Vec<_> = hostile.into_iter().chain(faults).map(row).collect();
    format!("{HEAD}\n{}", rows.join("\n"))
}

fn link(name: &str, Place { file, line }: &Place, results: &Results) -> String {
    let mark = results.of(name).map_or("", Verdict::mark);
    format!("{mark}[{}]({}#L{line}) ({})", words(name), sources::page_of(file), folder(file))
}

/// What a name says after its numbers.
fn words(name: &str) -> String {
    let is_number = |word: &&str| matches!(*word, "hc" | "fault" | "to" | "and") || word.parse::<u32>().is_ok();
    let said: Vec<_> = name.split('_').skip_while(is_number).collect();
    if said.is_empty() { name.to_owned() } else { said.join(" ") }
}

fn folder(file: &str) -> &str {
    file.trim_start_matches("tests/").split('/').next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_several_cases_stands_at_each() {
        let mut tests = Tests::default();
        tests.add("net/tests/a.rs", "#[test]\nfn hc_009_to_010_and_fault_02_it_is_told() {}\n#[test]\nfn other() {}\n");
        let table = table(&tests, &Results::default());
        let cell = "[it is told](file/net/tests/a.rs.html#L2) (net) |";
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(rows, ["`hc_009`", "`hc_010`", "`fault_02`"].map(|case| format!("| {case} | {cell}")));
    }
}
