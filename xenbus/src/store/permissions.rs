//! Who may read and write a node.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xen_hypercall::abi::DomId;

use super::error::Reason;
use super::value;
use crate::wire::{BadReply, Excerpt, MessageType, strings};

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    Both,
}

impl Rights {
    const LETTERS: [(Self, u8); 4] = [(Self::None, b'n'), (Self::Read, b'r'), (Self::Write, b'w'), (Self::Both, b'b')];

    fn letter(self) -> char {
        Self::LETTERS.iter().find(|(rights, _)| *rights == self).map_or('n', |(_, letter)| char::from(*letter))
    }

    fn of(letter: u8) -> Option<Self> {
        Self::LETTERS.iter().find(|(_, known)| *known == letter).map(|(rights, _)| *rights)
    }
}

/// What one domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Who.
    pub domain: DomId,
    /// What.
    pub rights: Rights,
}

/// Who may do what with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The owner, which may do anything, and what those may do who are not listed.
    pub owner: Permission,
    /// What others may do.
    pub others: Vec<Permission>,
}

impl Permissions {
    /// A node of `owner`, with which all others may do what `rights` says.
    #[must_use]
    pub const fn new(owner: DomId, rights: Rights) -> Self {
        Self { owner: Permission { domain: owner, rights }, others: Vec::new() }
    }

    /// The same, and `domain` may do what `rights` says.
    #[must_use]
    pub fn and(mut self, domain: DomId, rights: Rights) -> Self {
        self.others.push(Permission { domain, rights });
        self
    }

    /// As `SET_PERMS` has them.
    pub(super) fn payload(&self) -> Vec<u8> {
        let all = core::iter::once(&self.owner).chain(&self.others);
        let text: String = all.map(|one| format!("{}{}\0", one.rights.letter(), one.domain.0)).collect();
        text.into_bytes()
    }

    /// As `GET_PERMS` has them: the owner first.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Reason> {
        let bad = || Reason::from(BadReply::Payload(MessageType::GET_PERMS));
        let mut all = strings(payload).ok_or_else(bad)?.map(one);
        let owner = all.next().ok_or_else(bad)??;
        Ok(Self { owner, others: all.collect::<Result<_, _>>()? })
    }
}

fn one(text: &[u8]) -> Result<Permission, Reason> {
    let malformed = || Reason::Malformed { found: Excerpt::new(text), expected: "a permission such as r5" };
    let (letter, domain) = text.split_first().ok_or_else(malformed)?;
    let domain = value::u32(domain).ok().and_then(|id| u16::try_from(id).ok()).ok_or_else(malformed)?;
    Ok(Permission { domain: DomId(domain), rights: Rights::of(*letter).ok_or_else(malformed)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_go_and_come_back() {
        let permissions =
            Permissions::new(DomId(5), Rights::None).and(DomId(0), Rights::Read).and(DomId(7), Rights::Both);
        assert_eq!(permissions.payload(), b"n5\0r0\0b7\0");
        assert_eq!(Permissions::parse(b"n5\0r0\0b7\0"), Ok(permissions));
        for odd in [&b""[..], b"n5", b"x5\0", b"n\0", b"n70000\0", b"n-1\0", b"\0"] {
            assert!(Permissions::parse(odd).is_err(), "{odd:?}");
        }
    }
}
