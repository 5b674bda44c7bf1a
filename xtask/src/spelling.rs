//! What someone may have meant.

use strsim::damerau_levenshtein as distance;

/// Returns the most similar of some names, if one differs by a few letters only; two that are swapped count once.
#[must_use]
pub fn similar<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = names.into_iter().filter(|name| distance(word, name) <= 1 + word.len() / 3);
    close.min_by_key(|name| distance(word, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_found_and_a_different_one_is_not() {
        assert_eq!(similar("rnu", ["test", "ruin", "run"]), Some("run"));
        assert_eq!(similar("zzz", ["test", "run"]), None);
    }
}
