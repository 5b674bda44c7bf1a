//! Which devices there are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::device::Look;
use super::{Backend, Device, Generation, Name, Nodes};

/// How many devices are followed, unless the caller says otherwise.
pub const MOST_DEVICES: usize = 64;

/// How many kinds of devices are looked at.
const MOST_KINDS: usize = 32;

/// The devices that this domain has been given.
///
/// One watch on `device` says "look again", and nothing else: what changed is found by looking, so a thousand changes between two
/// looks cost as much as one. A look is a [`Listing`], read within a transaction.
#[derive(Debug)]
pub struct Enumerator {
    /// The only kind that is followed.
    kind: Option<&'static str>,
    known: BTreeMap<Name, Device>,
    most: usize,
    last: Generation,
    resumed: bool,
    left_out: LeftOut,
}

/// What stood below `device` at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    found: BTreeMap<Name, Backend>,
    left_out: LeftOut,
}

/// What changed between two looks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A device came.
    Added(Device),
    /// A device went: its nodes are gone. Have its front half [look again](super::Frontend::look_again), for it to end.
    Removed(Device),
    /// A device went, and another of the same name came. The old one's front half is to end as for [`Removed`](Self::Removed), or
    /// is told that the domain has [resumed](super::Frontend::resumed); then the new one's begins.
    Replaced {
        /// The one that went.
        old: Device,
        /// The one that came.
        new: Device,
    },
}

/// How much of what stands below `device` is not followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Devices beyond the most that are followed. They are looked at when others go.
    pub too_many: usize,
    /// Devices whose `backend` or `backend-id` makes no sense.
    pub malformed: usize,
}

impl Enumerator {
    /// Knows no device yet, and follows [`MOST_DEVICES`] at most.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_most(MOST_DEVICES)
    }

    /// Knows no device yet, and follows `most` at most.
    #[must_use]
    pub const fn with_most(most: usize) -> Self {
        let left_out = LeftOut { too_many: 0, malformed: 0 };
        Self { kind: None, known: BTreeMap::new(), most, last: Generation(0), resumed: false, left_out }
    }

    /// Knows no device yet, and follows [`MOST_DEVICES`] of this kind at most. A watch on `device/KIND` is enough for it, and a look takes
    /// nothing but what stands there.
    #[must_use]
    pub const fn of_kind(kind: &'static str) -> Self {
        let mut enumerator = Self::new();
        enumerator.kind = Some(kind);
        enumerator
    }

    /// Takes note of what was found, and tells what changed since the last time.
    pub fn update(&mut self, listing: Listing) -> Vec<Change> {
        let Listing { mut found, left_out } = listing;
        self.left_out = left_out;
        let resumed = core::mem::take(&mut self.resumed);
        let mut changes = Vec::new();
        for old in core::mem::take(&mut self.known).into_values() {
            match found.remove(old.name()) {
                None => changes.push(Change::Removed(old)),
                Some(backend) if backend == *old.backend() && !resumed => self.keep(old),
                Some(backend) => {
                    let new = self.add(old.name().clone(), backend);
                    changes.push(Change::Replaced { old, new });
                }
            }
        }
        changes.extend(found.into_iter().map(|(name, backend)| Change::Added(self.add(name, backend))));
        changes
    }

    /// The device's front half noticed that the device was replaced, or gave up on it. Unless another one of its name is known
    /// already, the next look finds it anew, if it is there.
    pub fn forget(&mut self, device: &Device) {
        if self.known.get(device.name()) == Some(device) {
            self.known.remove(device.name());
        }
    }

    /// The domain was suspended and has resumed: every device that is still there is another one.
    pub const fn resumed(&mut self) {
        self.resumed = true;
    }

    /// The devices that were there at the last look, by name.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.known.values()
    }

    /// What was left out at the last look.
    #[must_use]
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    pub(crate) const fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    fn add(&mut self, name: Name, backend: Backend) -> Device {
        self.last = Generation(self.last.0.saturating_add(1));
        let device = Device::new(name, backend, self.last);
        self.keep(device.clone());
        device
    }

    fn keep(&mut self, device: Device) {
        self.known.insert(device.name().clone(), device);
    }
}

impl Default for Enumerator {
    fn default() -> Self {
        Self::new()
    }
}

impl Listing {
    /// Looks at what stands below `device`, at no more than `enumerator` will follow. Those it knows come first, so that one more
    /// device does not push out another.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn read<N: Nodes>(nodes: &N, enumerator: &Enumerator) -> Result<Self, N::Error> {
        let mut plan = match enumerator.kind {
            Some(kind) => Plan::of_kind(kind),
            None => Plan::new(nodes.list("device")?),
        };
        for kind in plan.kinds() {
            plan.add(&kind, nodes.list(&kind_path(&kind))?);
        }
        let (names, too_many) = plan.choose(enumerator);
        let mut listing = Self::empty(too_many);
        for name in names {
            let look = Look::take(nodes, &name.path())?;
            listing.add(name, look);
        }
        Ok(listing)
    }

    pub(crate) const fn empty(too_many: usize) -> Self {
        Self { found: BTreeMap::new(), left_out: LeftOut { too_many, malformed: 0 } }
    }

    pub(crate) fn add(&mut self, name: Name, look: Look) {
        match look {
            Look::Found(backend, _) => {
                self.found.insert(name, backend);
            }
            Look::Malformed(_) => self.left_out.malformed += 1,
            Look::Missing => {}
        }
    }
}

/// What is to be looked at.
pub(crate) struct Plan {
    kinds: BTreeSet<String>,
    names: BTreeSet<Name>,
}

impl Plan {
    /// The children of `device`.
    pub(crate) fn new(kinds: Option<Vec<String>>) -> Self {
        let plausible = |kind: &String| Name::new(kind, 0).is_some();
        let kinds: BTreeSet<_> = kinds.unwrap_or_default().into_iter().filter(plausible).collect();
        Self { kinds, names: BTreeSet::new() }
    }

    pub(crate) fn of_kind(kind: &str) -> Self {
        Self { kinds: BTreeSet::from([kind.into()]), names: BTreeSet::new() }
    }

    /// The kinds of devices to look at.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.kinds.iter().take(MOST_KINDS).cloned().collect()
    }

    /// The children of a kind.
    pub(crate) fn add(&mut self, kind: &str, entries: Option<Vec<String>>) {
        self.names.extend(entries.unwrap_or_default().iter().filter_map(|entry| Name::of_entry(kind, entry)));
    }

    /// The devices to look at, those that are known first, and how many are left out.
    pub(crate) fn choose(self, enumerator: &Enumerator) -> (Vec<Name>, usize) {
        let (known, new): (Vec<_>, Vec<_>) =
            self.names.into_iter().partition(|name| enumerator.known.contains_key(name));
        let too_many = known.len().saturating_add(new.len()).saturating_sub(enumerator.most);
        (known.into_iter().chain(new).take(enumerator.most).collect(), too_many)
    }
}

pub(crate) fn kind_path(kind: &str) -> String {
    format!("device/{kind}")
}

#[cfg(test)]
mod tests;
