//! Names of nodes, as docs/misc/xenstore.txt has them.

use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::{ABS_PATH_MAX, REL_PATH_MAX};

/// The absolute path that a domain means: a relative one is below its home.
pub(super) fn resolve(path: &[u8], who: DomId) -> Result<String, Errno> {
    let text = std::str::from_utf8(path).map_err(|_| Errno::INVAL)?;
    if text.starts_with('/') {
        return check(text).map(|()| text.to_owned());
    }
    if text.len() > REL_PATH_MAX {
        return Err(Errno::INVAL);
    }
    let absolute = format!("{}/{text}", home(who));
    check(&absolute).map(|()| absolute)
}

/// Where a domain's own nodes are.
pub(super) fn home(domain: DomId) -> String {
    format!("/local/domain/{}", domain.0)
}

fn check(path: &str) -> Result<(), Errno> {
    let length = path.len() <= ABS_PATH_MAX;
    let characters = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/_@".contains(&byte));
    let slashes = path == "/" || !(path.ends_with('/') || path.contains("//"));
    if length && characters && slashes { Ok(()) } else { Err(Errno::INVAL) }
}

/// The node above, which the root does not have.
pub(super) fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        _ if path == "/" => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
        None => None,
    }
}

/// The last part of a path.
pub(super) fn leaf(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, leaf)| leaf)
}

pub(super) fn child(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// Whether a path is another one or below it.
pub(super) fn is_within(path: &str, above: &str) -> bool {
    above == "/" && path.starts_with('/')
        || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_and_put_together() {
        assert_eq!([parent("/"), parent("/a"), parent("/a/b")], [None, Some("/"), Some("/a")]);
        assert_eq!((leaf("/a/b"), child("/", "a"), child("/a", "b")), ("b", "/a".into(), "/a/b".into()));
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a") && !is_within("@introduceDomain", "/"));
    }
}
