//! Messages as they go into the ring, no longer than what matters.

use xen_hypercall::abi::io::blkif::{MAX_SEGMENTS_PER_REQUEST, Operation, Request, RequestDiscard, RequestIndirect};
use xen_hypercall::abi::io::blkif::{Response, Segment};
use xen_shared_ring::{Prefix, Protocol};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The ring of a block device. (`DEFINE_RING_TYPES(blkif, ...)`, public/io/blkif.h)
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blkif {}

impl Protocol for Blkif {
    type Request = Request;
    type Response = Response;
}

/// How the messages are laid out, as it stands in xenstore. (`XEN_IO_PROTO_ABI_NATIVE`, public/io/protocols.h)
pub(crate) const PROTOCOL: &str = if cfg!(target_arch = "x86_64") {
    "x86_64-abi"
} else if cfg!(target_arch = "x86") {
    "x86_32-abi"
} else {
    "arm-abi"
};

/// What all requests have.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Head {
    pub(crate) operation: Operation,
    pub(crate) nr_segments: u8,
    pub(crate) handle: u16,
    pub(crate) pad: u32,
    pub(crate) id: u64,
    pub(crate) sector_number: u64,
}

impl Prefix<Request> for Head {}

/// A request with one segment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct One {
    pub(crate) head: Head,
    pub(crate) segment: Segment,
}

impl Prefix<Request> for One {}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct Indirect(pub(crate) RequestIndirect);

impl Prefix<Request> for Indirect {}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct Discarding(pub(crate) RequestDiscard);

impl Prefix<Request> for Discarding {}

/// A request with up to eleven segments.
pub(crate) fn direct(head: Head, segments: &[Segment]) -> Request {
    let mut seg = [Segment::default(); MAX_SEGMENTS_PER_REQUEST];
    seg.iter_mut().zip(segments).for_each(|(place, segment)| *place = *segment);
    let Head { operation, nr_segments, handle, id, sector_number, .. } = head;
    Request { operation, nr_segments, handle, id, sector_number, seg, ..Request::default() }
}
