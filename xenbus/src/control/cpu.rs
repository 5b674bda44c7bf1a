//! Which vCPUs are to be on.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use xen_hypercall::abi::VcpuId;

use crate::bus::Nodes;
use crate::store::value;

/// How many vCPUs are looked at.
pub const MOST_VCPUS: u32 = 128;

/// Which vCPUs the tools want on and off, as far as they say so. Bringing one up or down is the kernel's business, and it may refuse
/// to: the first one stays on in most kernels.
///
/// A watch on `cpu` says "look again"; what changed is found by looking.
///
/// `~/cpu/[0-9]+/availability`, docs/misc/xenstore-paths.pandoc
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    online: BTreeMap<u32, bool>,
}

/// What the tools want changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuChange {
    /// The vCPU is to be on.
    Online(VcpuId),
    /// The vCPU is to be off.
    Offline(VcpuId),
}

impl Availability {
    /// The node to watch.
    pub const PATH: &'static str = "cpu";

    /// Knows of no vCPU: after the first look, each is a change.
    #[must_use]
    pub const fn new() -> Self {
        Self { online: BTreeMap::new() }
    }

    /// Reads what the tools say, within a transaction. Values that are neither `online` nor `offline`, and vCPUs from
    /// [`MOST_VCPUS`] on, count as not mentioned.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn read<N: Nodes>(nodes: &N) -> Result<Self, N::Error> {
        let names = nodes.list(Self::PATH)?.unwrap_or_default();
        let known = names.iter().filter_map(|name| value::u32(name.as_bytes()).ok());
        let mut ids: Vec<_> = known.filter(|id| *id < MOST_VCPUS).collect();
        ids.sort_unstable();
        ids.dedup();
        let paths: Vec<_> = ids.iter().map(|id| format!("cpu/{id}/availability")).collect();
        let values = nodes.read_all(&paths)?;
        let online = |(id, value): (u32, Option<Vec<u8>>)| match value?.as_slice() {
            b"online" => Some((id, true)),
            b"offline" => Some((id, false)),
            _ => None,
        };
        Ok(Self { online: ids.into_iter().zip(values).filter_map(online).collect() })
    }

    /// Takes note of what was read, and tells what changed since the last time. A vCPU that is not mentioned any more stays as it
    /// was.
    pub fn update(&mut self, read: Self) -> Vec<CpuChange> {
        let mut changes = Vec::new();
        for (id, online) in read.online {
            if self.online.insert(id, online) != Some(online) {
                changes.push(if online { CpuChange::Online(VcpuId(id)) } else { CpuChange::Offline(VcpuId(id)) });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::bus::tree::Tree;

    fn look(tree: &Tree, availability: &mut Availability) -> Vec<CpuChange> {
        availability.update(Availability::read(tree).unwrap())
    }

    #[test]
    fn changes_are_told_once() {
        let tree = Tree::of(&[("cpu/0/availability", "online"), ("cpu/1/availability", "offline")]);
        let mut availability = Availability::new();
        let first = vec![CpuChange::Online(VcpuId(0)), CpuChange::Offline(VcpuId(1))];
        assert_eq!(look(&tree, &mut availability), first);
        assert_eq!(look(&tree, &mut availability), []);
        tree.set("cpu/1/availability", "online");
        assert_eq!(look(&tree, &mut availability), [CpuChange::Online(VcpuId(1))]);
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let tree = Tree::of(&[("cpu/0/availability", "online")]);
        let mut availability = Availability::new();
        look(&tree, &mut availability);
        tree.set("cpu/0/availability", "on");
        for name in ["-1", "01", "one", "128", "4294967296"] {
            tree.set(&format!("cpu/{name}/availability"), "offline");
        }
        assert_eq!(look(&tree, &mut availability), []);
        tree.remove("cpu");
        assert_eq!(look(&tree, &mut availability), []);
    }

    #[test]
    fn a_flood_of_vcpus_costs_a_bounded_number_of_requests() {
        let (tree, mut availability) = (Tree::default(), Availability::new());
        (0..10_000).for_each(|id| tree.set(&format!("cpu/{id}/availability"), "online"));
        assert_eq!(look(&tree, &mut availability).len(), MOST_VCPUS as usize);
        assert_eq!(tree.reads.get(), 1 + MOST_VCPUS as usize);
    }
}
