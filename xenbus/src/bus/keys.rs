//! What a half of a device says about itself.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Nodes;
use crate::store::value;
use crate::wire::Excerpt;

/// The longest value that a key may have, in bytes. No key of block or network devices needs more; what is longer is malformed.
pub const KEY_LENGTH: usize = 64;

/// Some keys of one directory, read at one moment and copied: what is checked is what is used.
///
/// The keys are named when they are read. A getter gives `None` where the key is missing, which for most keys means something: the
/// documentation of the device says what, and `..._or` takes it. Values are strict: a number is decimal digits without leading
/// zeros, a flag is `0` or `1`. What is neither there nor well-formed is never guessed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    directory: String,
    values: Vec<(&'static str, Value)>,
}

/// A value as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Missing,
    Short(Vec<u8>),
    Long(Excerpt),
}

/// A key that does not hold what it should. The culprit is whoever writes the directory: the backend, or the tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// Where the key stands.
    pub path: String,
    /// What stood there; `None` where nothing did, and something must.
    pub found: Option<Excerpt>,
    /// What should stand there.
    pub expected: &'static str,
}

impl Keys {
    /// Reads the keys `names` of `directory`.
    ///
    /// Within a transaction this gives values that were there together. Whoever needs them to be still the same when the
    /// connection is made reads them again, and asks for the [`difference`](Self::difference).
    ///
    /// # Errors
    ///
    /// The store's. A key that is missing is none.
    pub fn read<N: Nodes>(nodes: &N, directory: &str, names: &[&'static str]) -> Result<Self, N::Error> {
        Ok(Self::of(directory, names, nodes.read_all(&Self::paths(directory, names))?))
    }

    /// What to read.
    pub(crate) fn paths(directory: &str, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("{directory}/{name}")).collect()
    }

    /// What was read there.
    pub(crate) fn of(directory: &str, names: &[&'static str], values: Vec<Option<Vec<u8>>>) -> Self {
        let found = values.into_iter().map(Value::of);
        Self { directory: directory.into(), values: names.iter().copied().zip(found).collect() }
    }

    /// The directory that the keys are in.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// A number below 2^32.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn u32(&self, name: &str) -> Result<Option<u32>, KeyError> {
        self.get(name, "a decimal number below 2^32", |value| value::u32(value).ok())
    }

    /// A number below 2^64.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn u64(&self, name: &str) -> Result<Option<u64>, KeyError> {
        self.get(name, "a decimal number below 2^64", |value| value::u64(value).ok())
    }

    /// Whether something is so: `1` or `0`.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, KeyError> {
        self.get(name, "0 or 1", |value| value::flag(value).ok())
    }

    /// The Ethernet address of one station: neither multicast nor all zero.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn mac(&self, name: &str) -> Result<Option<[u8; 6]>, KeyError> {
        self.get(name, "the MAC address of one station, such as 00:16:3e:12:34:56", |value| value::mac(value).ok())
    }

    /// Printable text, of [`KEY_LENGTH`] bytes at most. It is a peer's: all else can be in it.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn text(&self, name: &str) -> Result<Option<String>, KeyError> {
        self.get(name, "printable text of 64 bytes at most", |value| value::text(value).ok())
    }

    /// [`u32`](Self::u32), or `default` where the key is missing.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn u32_or(&self, name: &str, default: u32) -> Result<u32, KeyError> {
        Ok(self.u32(name)?.unwrap_or(default))
    }

    /// [`u64`](Self::u64), or `default` where the key is missing.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn u64_or(&self, name: &str, default: u64) -> Result<u64, KeyError> {
        Ok(self.u64(name)?.unwrap_or(default))
    }

    /// [`flag`](Self::flag), or no where the key is missing: a feature that nobody mentions is not there.
    ///
    /// # Errors
    ///
    /// Something else stands there.
    pub fn is_set(&self, name: &str) -> Result<bool, KeyError> {
        Ok(self.flag(name)?.unwrap_or(false))
    }

    /// The error of a key that must be there: `keys.u64("sectors")?.ok_or_else(|| keys.missing("sectors", "the size"))`.
    #[must_use]
    pub fn missing(&self, name: &str, expected: &'static str) -> KeyError {
        self.error(name, None, expected)
    }

    /// The error of a key whose value is well-formed and yet not what it should be: a sector size of 7.
    #[must_use]
    pub fn unfit(&self, name: &str, expected: &'static str) -> KeyError {
        let found = match self.value(name) {
            Value::Missing => None,
            Value::Short(value) => Some(Excerpt::new(value)),
            Value::Long(excerpt) => Some(*excerpt),
        };
        self.error(name, found, expected)
    }

    /// The first key that does not stand in `later` as it stands here.
    #[must_use]
    pub fn difference(&self, later: &Self) -> Option<&'static str> {
        self.values.iter().find(|(name, value)| later.value(name) != value).map(|(name, _)| *name)
    }

    fn get<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, KeyError> {
        match self.value(name) {
            Value::Missing => Ok(None),
            Value::Short(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.error(name, Some(Excerpt::new(value)), expected)),
            },
            Value::Long(excerpt) => Err(self.error(name, Some(*excerpt), expected)),
        }
    }

    /// A key that was not read is not there.
    fn value(&self, name: &str) -> &Value {
        self.values.iter().find(|(known, _)| *known == name).map_or(&Value::Missing, |(_, value)| value)
    }

    fn error(&self, name: &str, found: Option<Excerpt>, expected: &'static str) -> KeyError {
        KeyError { path: format!("{}/{name}", self.directory), found, expected }
    }
}

impl Value {
    fn of(found: Option<Vec<u8>>) -> Self {
        match found {
            None => Self::Missing,
            Some(value) if value.len() > KEY_LENGTH => Self::Long(Excerpt::new(&value)),
            Some(value) => Self::Short(value),
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{} holds {found}, and not {}", self.path, self.expected),
            None => write!(f, "{} is missing, which should hold {}", self.path, self.expected),
        }
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::super::tree::{Silence, Tree};
    use super::*;

    const NAMES: &[&str] = &["sectors", "info", "feature-barrier", "mac", "mode"];

    fn keys(nodes: &[(&str, &str)]) -> Keys {
        Keys::read(&Tree::of(nodes), "b", NAMES).unwrap()
    }

    #[test]
    fn hc_109_a_missing_key_has_its_default() {
        let keys = keys(&[]);
        assert_eq!((keys.u64("sectors"), keys.u64_or("sectors", 7)), (Ok(None), Ok(7)));
        assert_eq!((keys.u32("info"), keys.u32_or("info", 8)), (Ok(None), Ok(8)));
        assert_eq!((keys.flag("feature-barrier"), keys.is_set("feature-barrier")), (Ok(None), Ok(false)));
        assert_eq!((keys.mac("mac"), keys.text("mode")), (Ok(None), Ok(None)));
        let error = keys.missing("sectors", "the size in sectors").to_string();
        assert_eq!(error, "b/sectors is missing, which should hold the size in sectors");
    }

    #[test]
    fn hc_110_what_is_malformed_is_told_with_its_place() {
        let keys = keys(&[("b/sectors", "12x"), ("b/info", "4294967296"), ("b/feature-barrier", "2"), ("b/mac", "zz")]);
        let error = keys.u64_or("sectors", 7).unwrap_err();
        assert_eq!(error.to_string(), "b/sectors holds \"12x\", and not a decimal number below 2^64");
        assert_eq!(keys.u32("info").unwrap_err().found, Some(Excerpt::new(b"4294967296")));
        assert_eq!(keys.is_set("feature-barrier").unwrap_err().expected, "0 or 1");
        assert_eq!(keys.mac("mac").unwrap_err().path, "b/mac");
    }

    #[test]
    fn hc_111_what_is_too_long_or_no_text_is_refused() {
        let tree = Tree::of(&[("b/mode", &"w".repeat(4096)), ("b/sectors", ""), ("b/info", &"0".repeat(65))]);
        let keys = Keys::read(&tree, "b", NAMES).unwrap();
        let error = keys.text("mode").unwrap_err().found.unwrap();
        assert_eq!(error.as_bytes().len(), Excerpt::MOST, "an error keeps little of it");
        assert!(keys.u64("sectors").is_err() && keys.u32("info").is_err());
        tree.set("b/mode", b"\xff\xfe");
        assert!(Keys::read(&tree, "b", NAMES).unwrap().text("mode").is_err());
        tree.set("b/mode", b"w\0");
        assert!(Keys::read(&tree, "b", NAMES).unwrap().text("mode").is_err());
        tree.set("b/mode", "w".repeat(KEY_LENGTH));
        assert_eq!(Keys::read(&tree, "b", NAMES).unwrap().text("mode").unwrap().unwrap().len(), KEY_LENGTH);
    }

    #[test]
    fn hc_126_a_key_that_changed_after_it_was_read_does_not_matter_and_is_noticed() {
        let tree = Tree::of(&[("b/sectors", "100")]);
        let keys = Keys::read(&tree, "b", NAMES).unwrap();
        tree.set("b/sectors", "1");
        assert_eq!(keys.u64("sectors"), Ok(Some(100)));
        assert_eq!(keys.difference(&Keys::read(&tree, "b", NAMES).unwrap()), Some("sectors"));
        tree.set("b/sectors", "100");
        assert_eq!(keys.difference(&Keys::read(&tree, "b", NAMES).unwrap()), None);
    }

    #[test]
    fn a_store_that_fails_is_no_missing_key() {
        let tree = Tree::default();
        tree.silent.set(true);
        assert_eq!(Keys::read(&tree, "b", NAMES), Err(Silence));
    }

    proptest! {
        #[test]
        fn hc_110_no_value_panics_and_what_is_kept_is_little(value in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let tree = Tree::default();
            tree.set("b/mode", &value);
            let keys = Keys::read(&tree, "b", NAMES).unwrap();
            let results = [keys.u32("mode").err(), keys.u64("mode").err(), keys.mac("mode").err(), keys.text("mode").err()];
            for error in results.into_iter().flatten() {
                prop_assert!(error.to_string().len() < 400);
                prop_assert!(error.to_string().is_ascii());
            }
        }
    }
}
