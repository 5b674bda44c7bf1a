//! How much memory the domain has.

use crate::abi::{DomId, Gfn};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A list of extents that are added to, or taken from, a domain.
///
/// The call returns how many extents it has dealt with.
///
/// `struct xen_memory_reservation`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Reservation {
    /// The first frame of each extent: read by a decrease, written by an increase, both by a populate.
    pub extent_start: *mut Gfn,
    /// How many extents there are.
    pub nr_extents: u64,
    /// Base-2 logarithm of an extent's size in pages; extents are aligned to their size.
    pub extent_order: u32,
    /// What kind of memory is wanted.
    pub mem_flags: MemFlags,
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Padding to the structure's alignment.
    pub _pad: [u16; 3],
}

flags! {
    /// What kind of memory a [`Reservation`] wants.
    ///
    /// The lowest eight bits hold the greatest address width in bits, the next eight a node's number plus
    /// one; zero is any. See [`address_bits`](Self::address_bits) and [`node`](Self::node).
    ///
    /// `XENMEMF_*`, public/memory.h
    pub struct MemFlags: u32 {
        /// The pages get their memory when they are first touched.
        ///
        /// `XENMEMF_populate_on_demand`, public/memory.h
        POPULATE_ON_DEMAND = 1 << 16;
        /// The memory must come from the node that is named.
        ///
        /// `XENMEMF_exact_node_request`, public/memory.h
        EXACT_NODE_REQUEST = 1 << 17;
        /// The node that is named is a virtual one.
        ///
        /// `XENMEMF_vnode`, public/memory.h
        VNODE = 1 << 18;
    }
}

impl MemFlags {
    /// Memory whose addresses have at most `bits` bits.
    #[must_use]
    pub const fn address_bits(bits: u8) -> Self {
        Self::from_bits_retain(bits as u32)
    }

    /// Memory from a NUMA node, of which there are at most 255.
    #[must_use]
    pub const fn node(node: u8) -> Self {
        Self::from_bits_retain((node as u32 + 1) << 8)
    }
}

/// Swaps extents of memory for others, whose number and size may differ but not their sum.
///
/// `struct xen_memory_exchange`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Exchange {
    /// The extents that are given.
    ///
    /// C: `in`
    pub input: Reservation,
    /// The extents that are taken: guest frames on the way in, machine frames on the way out.
    ///
    /// C: `out`
    pub output: Reservation,
    /// Out: how many of the given extents were swapped. Must be zero on the way in.
    pub nr_exchanged: u64,
}

/// The domain that a question is about.
///
/// `struct xen_memory_domain`, public/memory.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Domain {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
}

/// The state of memory that is populated on demand, in pages.
///
/// `struct xen_pod_target`, public/memory.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PodTarget {
    /// The target to set.
    pub target_pages: u64,
    /// Out: pages that the domain has.
    pub tot_pages: u64,
    /// Out: pages set aside for it.
    pub pod_cache_pages: u64,
    /// Out: pages that it may still touch for the first time.
    pub pod_entries: u64,
    /// The domain.
    pub domid: DomId,
    /// Padding to the structure's alignment.
    pub _pad: [u16; 3],
}

const_assert_eq!(size_of::<Reservation>(), 32);
const_assert_eq!(size_of::<Exchange>(), 72);
const_assert_eq!(size_of::<Domain>(), 2);
const_assert_eq!(size_of::<PodTarget>(), 40);
