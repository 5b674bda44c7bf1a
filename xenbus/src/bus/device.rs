//! Which device it is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use xen_hypercall::abi::domain::DomId;

use super::{KeyError, Nodes, State, parse_state};
use crate::store::value;
use crate::wire::Excerpt;

/// The longest kind of device, and the longest path of a backend, in bytes.
const KIND_LENGTH: usize = 32;
const PATH_LENGTH: usize = 256;

/// A device's name within this domain: `vbd/51712`, `vif/0`.
///
/// `~/device/$TYPE/$DEVID`, docs/misc/xenstore-paths.pandoc
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// What kind of device it is: `vbd`, `vif`.
    pub kind: String,
    /// Which of them.
    pub id: u32,
}

/// Tells devices of the same name apart, of which one replaced the other. Counts up from 1 and never comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Who serves a device, from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The domain of the backend, to which pages are granted.
    pub domain: DomId,
    /// The backend's directory, an absolute path.
    pub path: String,
}

/// A device: its name, who serves it, and which of those that had this name it is.
///
/// A device that is taken away and comes back is another device, also where its name and its backend are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    name: Name,
    path: String,
    backend: Backend,
    generation: Generation,
}

/// What two looks at a device compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is no such device, or the tools have not finished it.
    Missing,
    /// It has no backend that makes sense.
    Malformed(KeyError),
    /// It is served by this backend, and our half is in this state.
    Found(Backend, State),
}

impl Name {
    /// A name, if `kind` can be one: letters, digits, `-` and `_`, 32 of them at most.
    #[must_use]
    pub fn new(kind: &str, id: u32) -> Option<Self> {
        let fits = (1..=KIND_LENGTH).contains(&kind.len());
        let plain = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (fits && plain).then(|| Self { kind: kind.into(), id })
    }

    /// The name of a directory's entry. Entries that are no number are no devices.
    pub(crate) fn of_entry(kind: &str, entry: &str) -> Option<Self> {
        Self::new(kind, value::u32(entry.as_bytes()).ok()?)
    }

    /// The directory of the device's front half, relative to the domain's home: `device/vbd/51712`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("device/{self}")
    }
}

impl Device {
    /// A device as somebody else found it. An [`Enumerator`](super::Enumerator) gives each its own generation.
    #[must_use]
    pub fn new(name: Name, backend: Backend, generation: Generation) -> Self {
        Self { path: name.path(), name, backend, generation }
    }

    /// The device's name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The directory of our half, relative to the domain's home.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The backend.
    #[must_use]
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Which of the devices of this name it is.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The path of one of our half's keys.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// The path of one of the backend's keys. `state` is the one to watch, for each device on its own.
    #[must_use]
    pub fn backend_key(&self, name: &str) -> String {
        format!("{}/{name}", self.backend.path)
    }
}

impl Look {
    /// Looks at the front half at `path`.
    pub(crate) fn take<N: Nodes>(nodes: &N, path: &str) -> Result<Self, N::Error> {
        let paths = Self::paths(path);
        Ok(Self::of_values(&paths, nodes.read_all(&paths)?))
    }

    /// What to read of the front half at `path`.
    pub(crate) fn paths(path: &str) -> [String; 3] {
        ["backend", "backend-id", "state"].map(|name| format!("{path}/{name}"))
    }

    /// What was read there.
    pub(crate) fn of_values(paths: &[String], values: impl IntoIterator<Item = Option<Vec<u8>>>) -> Self {
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        match (next(), next(), next()) {
            (Some(backend), Some(domain), state) => Self::of(paths, backend, &domain, state),
            _ => Self::Missing,
        }
    }

    fn of(paths: &[String], backend: Vec<u8>, domain: &[u8], state: Option<Vec<u8>>) -> Self {
        let error = |index: usize, value: &[u8], expected| {
            let path = paths.get(index).cloned().unwrap_or_default();
            Self::Malformed(KeyError { path, found: Some(Excerpt::new(value)), expected })
        };
        let Some(domain) = domain_id(domain) else { return error(1, domain, "the number of a domain") };
        match String::from_utf8(backend) {
            Ok(path) if is_backend_path(&path) => {
                Self::Found(Backend { domain, path }, parse_state(&state.unwrap_or_default()))
            }
            Ok(other) => error(0, other.as_bytes(), "an absolute path"),
            Err(other) => error(0, other.as_bytes(), "an absolute path"),
        }
    }
}

/// The number of an ordinary domain.
pub(crate) fn domain_id(value: &[u8]) -> Option<DomId> {
    let id = DomId(u16::try_from(value::u32(value).ok()?).ok()?);
    id.is_ordinary().then_some(id)
}

/// The characters that paths may have, and no empty parts: docs/misc/xenstore.txt.
fn is_backend_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_@".contains(&byte);
    path.len() <= PATH_LENGTH
        && path.strip_prefix('/').is_some_and(|parts| parts.split('/').all(|part| !part.is_empty()))
        && path.bytes().all(plain)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of domain {}", self.name, self.backend.domain)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::super::tree::Tree;
    use super::*;

    const BACKEND: &str = "/local/domain/3/backend/vif/7/0";

    fn look(nodes: &[(&str, &str)]) -> Look {
        Look::take(&Tree::of(nodes), "device/vif/0").unwrap()
    }

    #[test]
    fn a_device_has_two_halves() {
        let backend = Backend { domain: DomId(3), path: BACKEND.into() };
        let found =
            look(&[("device/vif/0/backend", BACKEND), ("device/vif/0/backend-id", "3"), ("device/vif/0/state", "1")]);
        assert_eq!(found, Look::Found(backend.clone(), State::INITIALISING));
        let device = Device::new(Name::new("vif", 0).unwrap(), backend, Generation(1));
        assert_eq!(device.key("state"), "device/vif/0/state");
        assert_eq!(device.backend_key("state"), "/local/domain/3/backend/vif/7/0/state");
        assert_eq!(device.to_string(), "vif/0 of domain 3");
    }

    #[test]
    fn hc_110_a_device_without_a_backend_that_makes_sense_is_none() {
        assert_eq!(look(&[]), Look::Missing);
        assert_eq!(look(&[("device/vif/0/backend", BACKEND)]), Look::Missing);
        for id in ["", "-1", "03", "32752", "65539", "4294967299", "three"] {
            let found = look(&[("device/vif/0/backend", BACKEND), ("device/vif/0/backend-id", id)]);
            assert!(matches!(found, Look::Malformed(_)), "{id:?}: {found:?}");
        }
        let long = "/a".repeat(200);
        for path in
            ["", "/", "backend/vif", "/local//domain", "/local/", "/lo cal", "/local\0", "/löcal", long.as_str()]
        {
            let found = look(&[("device/vif/0/backend", path), ("device/vif/0/backend-id", "3")]);
            assert!(matches!(found, Look::Malformed(_)), "{path:?}: {found:?}");
        }
    }

    #[test]
    fn entries_that_are_no_devices_are_told_apart() {
        assert_eq!(Name::of_entry("vbd", "51712"), Name::new("vbd", 51712));
        for (kind, entry) in
            [("suspend", "event-channel"), ("", "0"), ("vbd", "00"), ("vbd", "-1"), ("a/b", "0"), ("v d", "0")]
        {
            assert_eq!(Name::of_entry(kind, entry), None, "{kind}/{entry}");
        }
        assert_eq!(Name::new(&"v".repeat(33), 0), None);
    }
}
