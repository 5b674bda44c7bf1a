//! Which paths there can be.

use super::error::BadPath;
use crate::wire::{ABS_PATH_MAX, REL_PATH_MAX};

/// Whether xenstore can have a node of this path. (docs/misc/xenstore.txt of Xen)
pub(super) fn check(path: &str) -> Result<(), BadPath> {
    let limit = if path.starts_with('/') { ABS_PATH_MAX } else { REL_PATH_MAX };
    if path.is_empty() {
        return Err(BadPath::Empty);
    }
    if path.len() > limit {
        return Err(BadPath::TooLong);
    }
    if let Some(byte) = path.bytes().find(|byte| !is_allowed(*byte)) {
        return Err(BadPath::Character(byte));
    }
    if path.contains("//") || path.ends_with('/') && path.len() > 1 {
        return Err(BadPath::Slash);
    }
    Ok(())
}

/// Whether something that is watched as `watched` is told of as `event`: itself, or what is below it.
pub(super) fn is_within(event: &[u8], watched: &str) -> bool {
    match event.strip_prefix(watched.as_bytes()) {
        Some([] | [b'/', ..]) => true,
        Some(_) => watched == "/",
        None => false,
    }
}

const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'_' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn paths_are_what_xenstore_takes() {
        for path in ["/", "/a", "a", "device/vbd/51712", "/local/domain/0", "@releaseDomain", "a-b_c@1"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert_eq!(check(""), Err(BadPath::Empty));
        assert_eq!(check("a b"), Err(BadPath::Character(b' ')));
        assert_eq!(check("a\0b"), Err(BadPath::Character(0)));
        assert_eq!(check("/a//b"), Err(BadPath::Slash));
        assert_eq!(check("a/"), Err(BadPath::Slash));
        let long = |len: usize| -> String { core::iter::repeat_n('a', len).collect() };
        assert_eq!(check(&long(REL_PATH_MAX)), Ok(()));
        assert_eq!(check(&long(REL_PATH_MAX + 1)), Err(BadPath::TooLong));
        assert_eq!(check(&["/", &long(ABS_PATH_MAX - 1)].concat()), Ok(()));
        assert_eq!(check(&["/", &long(ABS_PATH_MAX)].concat()), Err(BadPath::TooLong));
    }

    #[test]
    fn what_is_below_is_within_and_what_only_begins_alike_is_not() {
        assert!(is_within(b"device", "device"));
        assert!(is_within(b"device/vbd", "device"));
        assert!(!is_within(b"devices", "device"));
        assert!(!is_within(b"devic", "device"));
        assert!(is_within(b"/local", "/"));
        assert!(is_within(b"/", "/"));
    }
}
