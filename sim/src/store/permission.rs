//! Who may use a node.

use std::fmt;

use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    Both,
}

/// An entry of a node's list: a domain and its right. In the first entry the domain is the node's owner, who may do everything,
/// and the right is that of everybody who is not in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The domain.
    pub domain: DomId,
    /// What it may do.
    pub right: Right,
}

impl Permission {
    /// An entry.
    #[must_use]
    pub const fn new(domain: DomId, right: Right) -> Self {
        Self { domain, right }
    }

    /// Reads the form of the wire: a letter and a number.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Errno> {
        let text = std::str::from_utf8(text).map_err(|_| Errno::INVAL)?;
        let (letter, number) = text.split_at_checked(1).ok_or(Errno::INVAL)?;
        let right = match letter {
            "n" => Right::None,
            "r" => Right::Read,
            "w" => Right::Write,
            "b" => Right::Both,
            _ => return Err(Errno::INVAL),
        };
        let domain = number.parse().map(DomId).map_err(|_| Errno::INVAL)?;
        Ok(Self { domain, right })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.right {
            Right::None => 'n',
            Right::Read => 'r',
            Right::Write => 'w',
            Right::Both => 'b',
        };
        write!(f, "{letter}{}", self.domain.0)
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Write,
    Own,
}

/// A node's list, which is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permissions(Vec<Permission>);

impl Permissions {
    pub(super) fn new(list: Vec<Permission>) -> Result<Self, Errno> {
        if list.is_empty() { Err(Errno::INVAL) } else { Ok(Self(list)) }
    }

    pub(super) const fn list(&self) -> &[Permission] {
        self.0.as_slice()
    }

    pub(super) fn owner(&self) -> DomId {
        self.0[0].domain
    }

    /// The list that a new node below gets: the same, but a guest owns what it makes.
    pub(super) fn inherited(&self, maker: DomId) -> Self {
        let mut list = self.clone();
        if !is_privileged(maker) {
            list.0[0].domain = maker;
        }
        list
    }

    pub(super) fn allow(&self, who: DomId, need: Need) -> bool {
        if is_privileged(who) || self.owner() == who {
            return true;
        }
        let entry = self.0[1..].iter().find(|entry| entry.domain == who).unwrap_or(&self.0[0]);
        match need {
            Need::Read => matches!(entry.right, Right::Read | Right::Both),
            Need::Write => matches!(entry.right, Right::Write | Right::Both),
            Need::Own => false,
        }
    }
}

/// Whether a domain may do everything.
pub(super) const fn is_privileged(domain: DomId) -> bool {
    domain.0 == 0
}
