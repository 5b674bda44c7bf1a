//! As much of HTML as links need: the values of attributes in tags.

/// Returns what the pages that mdBook and rustdoc make have as values of an attribute, such as `href`.
pub(super) fn values(html: &str, attribute: &str) -> Vec<String> {
    let mark = format!(" {attribute}=");
    html.split(&mark).skip(1).filter_map(value).map(plain).collect()
}

/// The value at the beginning of a text: in quotes of either kind, or up to the end of the word.
fn value(rest: &str) -> Option<&str> {
    match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split(quote).next(),
        _ => rest.split([' ', '>']).next(),
    }
}

/// Without references to characters and without percent signs.
fn plain(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        let coded = (*first == b'%').then(|| others.get(..2)).flatten();
        let byte = coded.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_quotes_of_either_kind_and_without() {
        let html =
            r#"<a href="a.html#x">a</a> <a class=b href='b%20c.html'>b</a> <a href=d.html>d</a> <a href="e&amp;f">"#;
        assert_eq!(values(html, "href"), ["a.html#x", "b c.html", "d.html", "e&f"]);
    }

    #[test]
    fn a_percent_sign_that_codes_nothing_stays() {
        assert_eq!(plain("100%"), "100%");
        assert_eq!(plain("%zz%c3%a9"), "%zzé");
    }
}
