//! Virtual NUMA topology, and resources of other domains.

use core::fmt;

use super::{Pages, operation};
use crate::abi::memory::{AcquireResource, Command, Resource, VmemRange, VnumaTopologyInfo};
use crate::abi::{DomId, Gfn};
use crate::{Errno, Hypercall};

/// Room for the virtual NUMA topology.
#[derive(Debug)]
pub struct VnumaTables<'a> {
    /// The distance of each node from each, row by row: as many numbers as nodes, squared.
    pub distances: &'a mut [u32],
    /// The node of each vCPU.
    pub vcpu_to_vnode: &'a mut [u32],
    /// The ranges of memory, and the node of each.
    pub ranges: &'a mut [VmemRange],
}

/// How large the virtual NUMA topology is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VnumaSize {
    /// Number of nodes.
    pub nodes: u32,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Number of ranges of memory.
    pub ranges: u32,
}

/// Why there is no virtual NUMA topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VnumaError {
    /// The tables have too little room; it takes this much.
    TooSmall(VnumaSize),
    /// Xen refused the call.
    Call(Errno),
}

impl fmt::Display for VnumaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall(VnumaSize { nodes, vcpus, ranges }) => {
                write!(f, "the topology has {nodes} nodes, {vcpus} vCPUs and {ranges} ranges of memory")
            }
            Self::Call(errno) => errno.fmt(f),
        }
    }
}

impl core::error::Error for VnumaError {}

/// The domain's virtual NUMA topology, written into the tables. Answers with how much of them is filled.
///
/// # Errors
///
/// [`VnumaError::TooSmall`], so empty tables are a way to ask for the size; [`Errno::OPNOTSUPP`] for a domain
/// without such a topology.
///
/// Source: `XENMEM_get_vnumainfo`, public/memory.h
pub fn get_vnumainfo<H: Hypercall>(xen: &H, tables: VnumaTables<'_>) -> Result<VnumaSize, VnumaError> {
    let room = |elements: usize| u32::try_from(elements).unwrap_or(u32::MAX);
    let mut info = VnumaTopologyInfo {
        domid: DomId::SELF,
        _pad: 0,
        nr_vnodes: room(tables.distances.len().isqrt()),
        nr_vcpus: room(tables.vcpu_to_vnode.len()),
        nr_vmemranges: room(tables.ranges.len()),
        vdistance: tables.distances.as_mut_ptr(),
        vcpu_to_vnode: tables.vcpu_to_vnode.as_mut_ptr(),
        vmemrange: tables.ranges.as_mut_ptr(),
    };
    // SAFETY: Xen writes the structure, and no more elements than the structure says there is room for.
    let answer = unsafe { operation(xen, Command::GET_VNUMAINFO, &raw mut info) };
    let size = VnumaSize { nodes: info.nr_vnodes, vcpus: info.nr_vcpus, ranges: info.nr_vmemranges };
    match answer {
        Ok(_) => Ok(size),
        Err(Errno::NOBUFS) => Err(VnumaError::TooSmall(size)),
        Err(errno) => Err(VnumaError::Call(errno)),
    }
}

/// The size of a resource of another domain.
///
/// # Errors
///
/// [`Errno::PERM`] for a domain that is not this one's to control, [`Errno::SRCH`] for one that does not exist,
/// [`Errno::OPNOTSUPP`] or [`Errno::INVAL`] for a resource that there is not.
///
/// Source: `XENMEM_acquire_resource`, public/memory.h
pub fn resource_size<H: Hypercall>(xen: &H, dom: DomId, kind: Resource, id: u32) -> Result<Pages, Errno> {
    let mut acquire = resource(dom, kind, id);
    // SAFETY: without room for frames Xen writes the structure only.
    unsafe { operation(xen, Command::ACQUIRE_RESOURCE, &raw mut acquire) }?;
    Ok(Pages(acquire.nr_frames as usize))
}

/// Places pages of another domain's resource, from its page `first` on: at the frames that `frames` names, or, for a
/// PV guest, at none, and `frames` tells the machine frames to map.
///
/// # Errors
///
/// As for [`resource_size`]; [`Errno::IO`] where some pages are placed and others not: which ones Xen does not tell,
/// so the caller removes all.
///
/// # Safety
///
/// What was at the frames is gone: nothing may refer to it. What is there now may change at any time.
///
/// Source: `XENMEM_acquire_resource`, public/memory.h
pub unsafe fn acquire_resource<H: Hypercall>(
    xen: &H,
    dom: DomId,
    kind: Resource,
    id: u32,
    first: u64,
    frames: &mut [Gfn],
) -> Result<(), Errno> {
    let mut acquire = AcquireResource {
        nr_frames: u32::try_from(frames.len()).map_err(|_| Errno::INVAL)?,
        frame: first,
        frame_list: frames.as_mut_ptr(),
        ..resource(dom, kind, id)
    };
    // SAFETY: Xen reads and writes at most `nr_frames` frames; the caller answers for the pages.
    unsafe { operation(xen, Command::ACQUIRE_RESOURCE, &raw mut acquire) }.map(drop)
}

const fn resource(domid: DomId, kind: Resource, id: u32) -> AcquireResource {
    AcquireResource { domid, kind, id, nr_frames: 0, _pad: 0, frame: 0, frame_list: core::ptr::null_mut() }
}
