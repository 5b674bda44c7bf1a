//! What a package may be called.

use anyhow::{Result, bail};

/// What would be mistaken for something else: the language's words, its crates, cargo's folders, the runtime.
const TAKEN: &str = "\
    Self abstract alloc as async await become box break build const continue core crate deps do dyn else \
    enum examples extern false final fn for gen if impl in incremental let loop macro match mod move mut \
    override priv pub ref return self static std struct super test trait true type unsafe use";

/// What the names of the packages begin with that it depends on.
const OURS: &str = "xen-";

/// Checks that a package can have this name.
///
/// # Errors
///
/// Says what is wrong with it, and what would do.
pub(super) fn check(name: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if TAKEN.split_whitespace().any(|taken| taken == name) || name.starts_with(OURS) {
        bail!(
            "a package cannot be called `{name}`, which means something else to Rust, cargo or this SDK: `my-{name}` would do"
        );
    }
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(allowed) {
        return Ok(());
    }
    let plain: String = name.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    let plain = plain.trim_matches(['-', '_']);
    let better = match plain.chars().next() {
        None => "my-guest".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("guest-{plain}"),
        Some(_) => plain.to_owned(),
    };
    bail!(
        "`{name}` is no name for a package: it begins with a letter and has only ASCII letters, digits, `-` and `_`; `{better}` would do"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_crates_pass() {
        for name in ["mine", "my-guest", "my_guest2", "M", "selfish"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn others_are_refused_with_one_that_passes() {
        let cases = [
            ("", "my-guest"),
            ("..", "my-guest"),
            ("3rd", "guest-3rd"),
            ("my.guest", "my-guest"),
            ("my guest!", "my-guest"),
            ("gäste", "g-ste"),
            ("-x", "x"),
            ("_x", "x"),
            ("fn", "my-fn"),
            ("std", "my-std"),
            ("xen-rt", "my-xen-rt"),
            ("xen-netfront", "my-xen-netfront"),
        ];
        for (name, better) in cases {
            let answer = check(name).unwrap_err().to_string();
            assert!(answer.contains(&format!("`{better}` would do")), "{name}: {answer}");
            assert!(check(better).is_ok(), "{better}");
        }
    }
}
