//! Who we are.

use alloc::string::String;
use core::fmt;

use xen_hypercall::abi::DomId;

use crate::bus::{KeyError, Nodes, domain_id};
use crate::store::value;
use crate::wire::Excerpt;

/// What the tools call this domain. It changes when the domain is renamed or moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its number on this machine: `domid`.
    pub id: DomId,
    /// Its name: `name`. None where it has none, or one that is not printable text.
    pub name: Option<String>,
    /// Its identity, which it keeps for its whole life: the end of `vm`. None where that makes no sense.
    pub uuid: Option<Uuid>,
}

/// An identity: 128 bits, by which no two domains are the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Domain {
    /// Reads it. Within a transaction all of it is of one moment.
    ///
    /// # Errors
    ///
    /// The store's; then, within, that the domain's number is missing or is none.
    ///
    /// `~/domid`, `~/name`, `~/vm`, docs/misc/xenstore-paths.pandoc
    pub fn read<N: Nodes>(nodes: &N) -> Result<Result<Self, KeyError>, N::Error> {
        let mut values = nodes.read_all(&["domid", "name", "vm"].map(String::from))?.into_iter();
        let mut next = || values.next().flatten();
        let (id, name, vm) = (next(), next(), next());
        let Some(number) = id.as_deref().and_then(domain_id) else {
            let found = id.map(|value| Excerpt::new(&value));
            return Ok(Err(KeyError { path: "domid".into(), found, expected: "the number of a domain" }));
        };
        let name = name.and_then(|name| value::text(&name).ok());
        Ok(Ok(Self { id: number, name, uuid: vm.and_then(|vm| Uuid::parse(vm.strip_prefix(b"/vm/")?)) }))
    }
}

impl Uuid {
    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let mut groups = value.split(|byte| *byte == b'-');
        let (mut bits, mut lengths) = (0, GROUPS.into_iter());
        for group in groups.by_ref() {
            if lengths.next() != Some(group.len()) {
                return None;
            }
            for byte in group {
                bits = bits << 4 | u128::from(char::from(*byte).to_digit(16)?);
            }
        }
        lengths.next().is_none().then(|| Self(u128::to_be_bytes(bits)))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::bus::tree::Tree;

    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn a_domain_has_a_number_a_name_and_an_identity() {
        let tree = Tree::of(&[("domid", "7"), ("name", "web 1"), ("vm", &format!("/vm/{UUID}"))]);
        let domain = Domain::read(&tree).unwrap().unwrap();
        assert_eq!((domain.id, domain.name.as_deref()), (DomId(7), Some("web 1")));
        assert_eq!(domain.uuid.unwrap().to_string(), UUID);
    }

    #[test]
    fn hc_110_only_the_number_must_make_sense() {
        let tree = Tree::of(&[("domid", "7"), ("name", "a\x1b[2J"), ("vm", "/vm/none")]);
        let domain = Domain::read(&tree).unwrap().unwrap();
        assert_eq!((domain.name, domain.uuid), (None, None));
        for id in ["", "-1", "007", "32752", "seven"] {
            tree.set("domid", id);
            assert!(Domain::read(&tree).unwrap().is_err(), "{id:?}");
        }
        assert_eq!(Domain::read(&Tree::default()).unwrap().unwrap_err().found, None);
    }

    #[test]
    fn an_identity_is_strict() {
        for value in ["", "0", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdeg"] {
            assert_eq!(Uuid::parse(value.as_bytes()), None, "{value}");
        }
        for value in [format!("{UUID}-"), format!("{UUID}0"), format!("-{UUID}"), UUID[..35].to_string()] {
            assert_eq!(Uuid::parse(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn an_identity_is_read_back(bytes: [u8; 16]) {
            prop_assert_eq!(Uuid::parse(Uuid(bytes).to_string().as_bytes()), Some(Uuid(bytes)));
        }
    }
}
