//! The book quotes messages: they are in the sources that it names.

use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const CHAPTER: &str = include_str!("../../../docs/book/src/troubleshooting.md");
/// Besides those that the chapter names.
const OTHERS: [&str; 9] = [
    "xtask/src/process.rs",
    "xtask/src/packages/apt.rs",
    "xtask/src/guests.rs",
    "xtask/src/doc/preprocess.rs",
    "examples/src/network.rs",
    "sim/src/violation.rs",
    "sim/src/run/mod.rs",
    "sim/src/machine.rs",
    "sim/src/trace.rs",
];

#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn the_messages_of_the_book_are_those_of_the_code() {
    let named = CHAPTER.split("](../../../").skip(1).filter_map(|rest| rest.split(')').next());
    let sources: String = named.chain(OTHERS).map(source).collect();
    let rows = CHAPTER.lines().filter_map(|line| line.strip_prefix("| `"));
    let messages: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    assert!(messages.len() > 15, "the chapter quotes messages");
    let parts = |message: &'static str| message.split("...").map(move |part| (part.trim(), message));
    let missing = messages.into_iter().flat_map(parts).filter(|(part, _)| part.len() > 3 && !sources.contains(part));
    assert_eq!(missing.collect::<Vec<_>>(), []);
}

/// A source as one line, without the line ends of long texts.
fn source(path: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_default();
    let joined: Vec<&str> = text.lines().map(|line| line.trim().trim_end_matches('\\')).collect();
    joined.concat()
}
