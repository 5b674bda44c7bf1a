//! Virtual NUMA topology, and resources of other domains.

use crate::abi::{DomId, Gfn};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A range of guest memory and its virtual node.
///
/// `struct xen_vmemrange`, public/memory.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmemRange {
    /// Its first address, in bytes.
    pub start: u64,
    /// The address where it ends.
    pub end: u64,
    /// None are defined.
    pub flags: u32,
    /// The node.
    pub nid: u32,
}

/// Asks for the virtual NUMA topology.
///
/// The numbers say on the way in how much room the tables have, on the way out how much they need.
///
/// `struct xen_vnuma_topology_info`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VnumaTopologyInfo {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: u16,
    /// Number of nodes.
    pub nr_vnodes: u32,
    /// Number of vCPUs.
    pub nr_vcpus: u32,
    /// Number of ranges of memory.
    pub nr_vmemranges: u32,
    /// Out: the distance of each node from each, `nr_vnodes` squared numbers.
    ///
    /// C: `vdistance.h`
    pub vdistance: *mut u32,
    /// Out: the node of each vCPU.
    ///
    /// C: `vcpu_to_vnode.h`
    pub vcpu_to_vnode: *mut u32,
    /// Out: the ranges of memory.
    ///
    /// C: `vmemrange.h`
    pub vmemrange: *mut VmemRange,
}

constants! {
    /// Which of a domain's resources is mapped.
    ///
    /// `XENMEM_resource_*`, public/memory.h
    pub struct Resource: u16 {
        /// Pages of an emulator's request ring.
        ///
        /// `XENMEM_resource_ioreq_server`, public/memory.h
        IOREQ_SERVER = 0;
        /// Pages of the grant table.
        ///
        /// `XENMEM_resource_grant_table`, public/memory.h
        GRANT_TABLE = 1;
        /// Pages of a processor trace.
        ///
        /// `XENMEM_resource_vmtrace_buf`, public/memory.h
        VMTRACE_BUF = 2;
    }
}

/// Id of the grant table's entries in an [`AcquireResource`].
///
/// `XENMEM_resource_grant_table_id_shared`, public/memory.h
pub const RESOURCE_GRANT_TABLE_ID_SHARED: u32 = 0;

/// Id of the grant table's status words in an [`AcquireResource`].
///
/// `XENMEM_resource_grant_table_id_status`, public/memory.h
pub const RESOURCE_GRANT_TABLE_ID_STATUS: u32 = 1;

/// Maps pages of a domain's resource.
///
/// With no list and no frames it asks for the resource's size instead.
///
/// `struct xen_mem_acquire_resource`, public/memory.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AcquireResource {
    /// The domain that the resource belongs to.
    pub domid: DomId,
    /// The kind of resource.
    ///
    /// C: `type`
    pub kind: Resource,
    /// Which one of that kind.
    pub id: u32,
    /// In: how many frames are mapped. Out: the size, where that was the question.
    pub nr_frames: u32,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: u32,
    /// The first frame that is mapped.
    pub frame: u64,
    /// Where the frames are mapped; out for PV: the machine frames.
    pub frame_list: *mut Gfn,
}

const_assert_eq!(size_of::<VmemRange>(), 24);
const_assert_eq!(size_of::<VnumaTopologyInfo>(), 40);
const_assert_eq!(size_of::<AcquireResource>(), 32);
