//! The errors with which xenstore answers, by their names.

use core::fmt;

use super::text::Excerpt;

/// Why xenstore refused a request: the name of an errno value, as it goes over the wire.
///
/// Names that this crate does not know are kept as they came, cut at [`Excerpt::MOST`] bytes.
///
/// Source: `xsd_errors`, public/io/xs_wire.h
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refusal(Excerpt);

macro_rules! refusals {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $words:literal;)*) => {
        /// The names that xs_wire.h lists.
        impl Refusal {
            $($(#[$doc])* #[doc = ""] #[doc = concat!("`", $name, "`, `xsd_errors`, public/io/xs_wire.h")]
            pub const $constant: &'static str = $name;)*
        }

        /// What the names mean.
        const MEANINGS: &[(&str, &str)] = &[$(($name, $words)),*];
    };
}

refusals! {
    /// The path or the payload is not allowed.
    INVAL = "EINVAL", "xenstore does not take the path or the value";
    /// The caller may not do that.
    ACCES = "EACCES", "its permissions do not allow it to this domain";
    /// It exists already.
    EXIST = "EEXIST", "it exists already";
    /// It is a directory.
    ISDIR = "EISDIR", "it is a directory";
    /// There is no such node, watch, domain or transaction.
    NOENT = "ENOENT", "it does not exist";
    /// The daemon has no memory.
    NOMEM = "ENOMEM", "the daemon has no memory for it";
    /// The domain has as many nodes or transactions as it may have.
    NOSPC = "ENOSPC", "this domain has as many nodes or transactions as its quota allows";
    /// The daemon could not read or write its store.
    IO = "EIO", "the daemon could not reach its own store";
    /// It has children.
    NOTEMPTY = "ENOTEMPTY", "it has children";
    /// The daemon does not know such requests.
    NOSYS = "ENOSYS", "this daemon has no such request";
    /// It cannot be written.
    ROFS = "EROFS", "it cannot be written";
    /// There is a transaction, or something else in the way.
    BUSY = "EBUSY", "the daemon is busy with it";
    /// The transaction met another one.
    AGAIN = "EAGAIN", "the transaction conflicts with another one";
    /// The domain is connected already.
    ISCONN = "EISCONN", "the domain is connected already";
    /// The answer or the value does not fit, or the domain has as many watches as it may have.
    TOO_BIG = "E2BIG", "it is too big, or this domain has as many watches as its quota allows";
    /// The caller may not do that at all.
    PERM = "EPERM", "only the control domain may do it";
}

impl Refusal {
    /// What an `ERROR` message says. A name without its final NUL is taken as it is, as is none at all.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Self {
        let end = payload.iter().position(|byte| *byte == 0).unwrap_or(payload.len());
        Self(Excerpt::new(payload.get(..end).unwrap_or_default()))
    }

    /// Whether it has this name, such as [`Refusal::NOENT`].
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.0.as_bytes() == name.as_bytes()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MEANINGS.iter().find(|(name, _)| self.is(name)) {
            Some((name, words)) => write!(f, "{words} ({name})"),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn hc_135_errors_are_known_by_name_and_others_are_kept() {
        assert!(Refusal::parse(b"ENOENT\0").is(Refusal::NOENT));
        assert!(Refusal::parse(b"ENOENT").is(Refusal::NOENT), "without its NUL");
        assert!(!Refusal::parse(b"ENOENTRY\0").is(Refusal::NOENT));
        assert!(!Refusal::parse(b"ENO").is(Refusal::NOENT));
        assert_eq!(Refusal::parse(b"EWHAT\x1b\0").to_string(), r#"error "EWHAT\x1b""#);
        assert_eq!(Refusal::parse(b"").to_string(), "error \"\"");
        assert!(Refusal::parse(&[b'E'; 4096]).to_string().ends_with("and 4056 bytes more"));
    }
}
