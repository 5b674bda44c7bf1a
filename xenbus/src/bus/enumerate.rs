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
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;
    use xen_hypercall::abi::domain::DomId;

    use super::super::tree::Tree;
    use super::*;

    fn plug(tree: &Tree, name: &str, domain: u16) {
        tree.set(&format!("device/{name}/backend"), format!("/local/domain/{domain}/backend/{name}"));
        tree.set(&format!("device/{name}/backend-id"), domain.to_string());
        tree.set(&format!("device/{name}/state"), "1");
    }

    fn unplug(tree: &Tree, name: &str) {
        tree.remove(&format!("device/{name}"));
    }

    fn look(tree: &Tree, enumerator: &mut Enumerator) -> Vec<String> {
        let listing = Listing::read(tree, enumerator).unwrap();
        let tell = |change| match change {
            Change::Added(device) => format!("+{}#{}", device.name(), device.generation().0),
            Change::Removed(device) => format!("-{}#{}", device.name(), device.generation().0),
            Change::Replaced { old, new } => format!("{}#{}>{}", old.name(), old.generation().0, new.generation().0),
        };
        enumerator.update(listing).into_iter().map(tell).collect()
    }

    #[test]
    fn fault_06_devices_come_and_go() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        assert!(look(&tree, &mut enumerator).is_empty(), "no directory, no device");
        plug(&tree, "vif/0", 0);
        plug(&tree, "vbd/51712", 3);
        tree.set("device/suspend/event-channel", "");
        tree.set("device/vbd/51728/state", "1");
        assert_eq!(look(&tree, &mut enumerator), ["+vbd/51712#1", "+vif/0#2"]);
        assert!(look(&tree, &mut enumerator).is_empty(), "a look for nothing");
        unplug(&tree, "vif/0");
        plug(&tree, "vbd/51728", 0);
        assert_eq!(look(&tree, &mut enumerator), ["-vif/0#2", "+vbd/51728#3"]);
    }

    #[test]
    fn fault_06_a_hundred_cycles_leave_nothing_behind() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        for cycle in 1..=100 {
            plug(&tree, "vif/0", 0);
            assert_eq!(look(&tree, &mut enumerator), [format!("+vif/0#{cycle}")]);
            unplug(&tree, "vif/0");
            assert_eq!(look(&tree, &mut enumerator), [format!("-vif/0#{cycle}")]);
        }
        assert_eq!(enumerator.devices().count(), 0);
    }

    #[test]
    fn hc_107_a_device_that_was_replaced_between_two_looks_is_another_one() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        plug(&tree, "vif/0", 3);
        look(&tree, &mut enumerator);
        unplug(&tree, "vif/0");
        plug(&tree, "vif/0", 4);
        assert_eq!(look(&tree, &mut enumerator), ["vif/0#1>2"]);
    }

    #[test]
    fn hc_108_another_backend_under_the_same_name_is_another_device() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        plug(&tree, "vif/0", 3);
        look(&tree, &mut enumerator);
        tree.set("device/vif/0/backend-id", "4");
        assert_eq!(look(&tree, &mut enumerator), ["vif/0#1>2"]);
        assert_eq!(enumerator.devices().next().unwrap().backend().domain, DomId(4));
        tree.set("device/vif/0/backend", "/elsewhere");
        assert_eq!(look(&tree, &mut enumerator), ["vif/0#2>3"]);
    }

    #[test]
    fn hc_108_what_was_forgotten_is_found_anew_unless_it_is_known_by_then() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        plug(&tree, "vif/0", 3);
        look(&tree, &mut enumerator);
        let first = enumerator.devices().next().unwrap().clone();
        enumerator.forget(&first);
        assert_eq!(look(&tree, &mut enumerator), ["+vif/0#2"]);
        enumerator.forget(&first);
        assert!(look(&tree, &mut enumerator).is_empty(), "that was another generation");
    }

    #[test]
    fn fault_25_after_a_resume_every_device_is_another_one_and_some_are_gone() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        plug(&tree, "vif/0", 0);
        plug(&tree, "vif/1", 0);
        look(&tree, &mut enumerator);
        enumerator.resumed();
        unplug(&tree, "vif/0");
        plug(&tree, "vif/2", 0);
        assert_eq!(look(&tree, &mut enumerator), ["-vif/0#1", "vif/1#2>3", "+vif/2#4"]);
        assert!(look(&tree, &mut enumerator).is_empty());
    }

    #[test]
    fn a_flood_of_devices_is_counted_and_pushes_none_out() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::with_most(2));
        plug(&tree, "vif/7", 0);
        plug(&tree, "vif/8", 0);
        look(&tree, &mut enumerator);
        (0..7).for_each(|id| plug(&tree, &format!("vif/{id}"), 0));
        tree.reads.set(0);
        assert!(look(&tree, &mut enumerator).is_empty());
        assert_eq!(enumerator.left_out().too_many, 7);
        assert_eq!(tree.reads.get(), 2 + 2 * 3, "nothing is read of those left out");
        unplug(&tree, "vif/7");
        assert_eq!(look(&tree, &mut enumerator), ["-vif/7#1", "+vif/0#3"]);
    }

    #[test]
    fn a_flood_of_kinds_costs_a_bounded_number_of_requests() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        (0..1000).for_each(|kind| tree.set(&format!("device/kind{kind}/0/state"), "1"));
        look(&tree, &mut enumerator);
        assert!(tree.reads.get() <= 1 + MOST_KINDS + 3 * MOST_DEVICES);
    }

    #[test]
    fn devices_of_one_kind_cost_nothing_for_others() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::of_kind("vif"));
        assert!(look(&tree, &mut enumerator).is_empty());
        assert_eq!(tree.reads.get(), 1);
        plug(&tree, "vif/0", 0);
        plug(&tree, "vbd/51712", 3);
        tree.reads.set(0);
        assert_eq!(look(&tree, &mut enumerator), ["+vif/0#1"]);
        assert_eq!(tree.reads.get(), 1 + 3);
        unplug(&tree, "vif/0");
        assert_eq!(look(&tree, &mut enumerator), ["-vif/0#1"]);
    }

    #[test]
    fn a_malformed_device_is_counted_and_the_others_live() {
        let (tree, mut enumerator) = (Tree::default(), Enumerator::new());
        plug(&tree, "vif/0", 0);
        plug(&tree, "vif/1", 0);
        tree.set("device/vif/0/backend-id", "-1");
        assert_eq!(look(&tree, &mut enumerator), ["+vif/1#1"]);
        assert_eq!(enumerator.left_out().malformed, 1);
    }

    proptest! {
        /// Whatever comes and goes, what is known is what was there, and no generation comes twice.
        #[test]
        fn fault_06_what_is_known_is_what_is_there(steps in proptest::collection::vec((0_u8..4, 0_u32..6, 0_u16..3), 0..60)) {
            let (tree, mut enumerator, mut last) = (Tree::default(), Enumerator::new(), Generation(0));
            for (step, id, domain) in steps {
                match step {
                    0 => plug(&tree, &format!("vif/{id}"), domain),
                    1 => unplug(&tree, &format!("vif/{id}")),
                    2 => enumerator.resumed(),
                    _ => {
                        let listing = Listing::read(&tree, &enumerator).unwrap();
                        for change in enumerator.update(listing) {
                            if let Change::Added(new) | Change::Replaced { new, .. } = change {
                                prop_assert!(new.generation() > last);
                                last = new.generation();
                            }
                        }
                        let known: Vec<_> = enumerator.devices().map(Device::name).cloned().collect();
                        let there = tree.list("device/vif").unwrap().unwrap_or_default();
                        let there: Vec<_> = there.iter().filter_map(|id| Name::of_entry("vif", id)).collect();
                        prop_assert_eq!(known, there);
                    }
                }
            }
        }
    }
}
