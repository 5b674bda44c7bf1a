//! Names of files, as they come in requests.

use alloc::string::String;
use alloc::vec::Vec;

/// Returns the path that a request's target names, without query, and decoded once. `None` if it is none that a file could have:
/// not absolute, with empty segments, `.`, `..`, backslashes, encoded slashes, control characters, or not UTF-8.
///
/// A client that climbs out of the folder would have to do so by one of these.
pub(crate) fn decode(target: &str) -> Option<String> {
    let path = String::from_utf8(unescape(raw(target)?)?).ok()?;
    let mut segments = path.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        // The last one is empty where the path is that of a folder.
        let is_last = segments.peek().is_none();
        if (segment.is_empty() && !is_last) || segment == "." || segment == ".." {
            return None;
        }
    }
    (!path.contains(|letter: char| letter == '\\' || letter.is_control())).then_some(path)
}

/// Returns the path of a target as it came. Targets that are meant for proxies name a server before it: RFC 9112, section 3.2.2.
pub(crate) fn raw(target: &str) -> Option<&str> {
    let is_http = target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let path = if is_http { target[7..].find(['/', '?']).map_or("", |end| &target[7 + end..]) } else { target };
    let path = path.split(['?', '#']).next()?;
    Some(if is_http && path.is_empty() { "/" } else { path })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' { escaped(&mut bytes)? } else { byte });
    }
    Some(plain)
}

/// A slash that is encoded is part of a name, and no file's name has one.
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    let byte = (digit()? << 4 | digit()?) as u8;
    (byte != b'/').then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_decoded() {
        let cases = [
            ("/", "/"),
            ("/index.html", "/index.html"),
            ("/a/b/", "/a/b/"),
            ("/a%20b?x=/../y", "/a b"),
            ("/%E2%82%AC.txt", "/€.txt"),
            ("/..a/b..", "/..a/b.."),
            ("http://host:80/a?b", "/a"),
            ("HTTP://host", "/"),
            ("http://host?q", "/"),
            ("/a#b", "/a"),
        ];
        for (target, path) in cases {
            assert_eq!(decode(target).as_deref(), Some(path), "{target}");
        }
    }

    #[test]
    fn nobody_climbs_out_of_the_folder() {
        let cases = [
            "",
            "*",
            "a",
            "/..",
            "/../x",
            "/a/../b",
            "/a/..",
            "/./a",
            "//",
            "//a",
            "/a//b",
            "/%2e%2e/x",
            "/%2E%2e",
            "/a%2fb",
            "/..%2fx",
            "/a%5c..%5cb",
            "/a\\b",
            "/a%00b",
            "/%0d%0aSet-Cookie:x",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/%c0%ae%c0%ae/x",
            "host:80",
            "https://host/",
            "http://host//a",
        ];
        for target in cases {
            assert_eq!(decode(target), None, "{target}");
        }
        // It is decoded once only.
        assert_eq!(decode("/%252e%252e/x").as_deref(), Some("/%2e%2e/x"));
    }
}
