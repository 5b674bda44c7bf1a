//! The names that the ABI leaves out, each with its reason.

use anyhow::{Context, Result};
use std::fmt;

/// One line of `excluded.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// A name, or a pattern with `*`; `header NAME` for a whole header.
    pub pattern: String,
    /// Why it is left out.
    pub reason: String,
}

impl Exclusion {
    /// Whether a name is left out by this line.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        matches(&self.pattern, name)
    }

    /// Whether only some versions of Xen define what the line leaves out.
    #[must_use]
    pub fn is_dated(&self) -> bool {
        self.reason.contains("(from Xen 4.") || self.reason.contains("(until Xen 4.")
    }

    /// Whether the line leaves out whole headers.
    #[must_use]
    pub fn is_header(&self) -> bool {
        self.pattern.starts_with("header ")
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pattern, self.reason)
    }
}

/// The lines of `excluded.txt`.
///
/// # Errors
///
/// When a line has no reason.
pub fn list() -> Result<Vec<Exclusion>> {
    parse(include_str!("../excluded.txt"))
}

/// Reads lines of the form `PATTERN | REASON`; empty lines and those with `#` are comments.
///
/// # Errors
///
/// When a line has no reason.
pub fn parse(text: &str) -> Result<Vec<Exclusion>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| exclusion(line).with_context(|| format!("excluded.txt gives no reason: {line}"))).collect()
}

fn exclusion(line: &str) -> Option<Exclusion> {
    let (pattern, reason) = line.split_once('|')?;
    let (pattern, reason) = (pattern.trim().to_owned(), reason.trim().to_owned());
    (!reason.is_empty()).then_some(Exclusion { pattern, reason })
}

/// Whether a pattern, in which `*` stands for any text, matches the whole of a name.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|tail| (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        assert!(matches("A_*", "A_B") && matches("*_t", "x_t") && matches("a*c*e", "abcde"));
        assert!(!matches("A", "AB") && !matches("A_*", "BA_B") && !matches("*_t", "x_tt"));
    }

    #[test]
    fn a_line_without_a_reason_is_an_error() {
        assert!(parse("# only a comment\n\nA | because").is_ok());
        assert!(parse("A").is_err() && parse("A |").is_err());
    }
}
