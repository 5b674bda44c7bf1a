//! Two protocols for storms: small messages with 16-bit ids, and large ones with 64-bit ids.

use crate::dice::Dice;
use std::fmt::Debug;
use xen_shared_ring::Protocol;
use xen_shared_ring::in_flight::Id;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A protocol with ids.
pub trait Kind: Protocol<Request: Message, Response: Message> + Debug {
    /// The ids that responses name requests by.
    type Id: Id + Debug + PartialEq;

    /// Ring sizes to try; all fit into a page.
    const ENTRIES: &'static [u32];

    /// The id that a response names.
    fn id(response: &Self::Response) -> Self::Id;
}

/// A message of a storm.
pub trait Message: Copy + Debug + PartialEq + IntoBytes + FromBytes + Immutable {
    /// A message with an id, and with anything else.
    fn random(id: u64, dice: &mut Dice) -> Self;
}

/// As the transmit ring of a network interface.
#[derive(Debug)]
pub struct Net;

/// A request of [`Net`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct NetRequest {
    gref: u32,
    offset_and_flags: u32,
    id: u16,
    size: u16,
}

/// A response of [`Net`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct NetResponse {
    id: u16,
    status: i16,
}

/// As the ring of a block device.
#[derive(Debug)]
pub struct Disk;

/// A request of [`Disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct DiskRequest {
    operation: u64,
    id: u64,
    sector: u64,
    segments: [u64; 11],
}

/// A response of [`Disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct DiskResponse {
    id: u64,
    status: u64,
}

impl Protocol for Net {
    type Request = NetRequest;
    type Response = NetResponse;
}

impl Protocol for Disk {
    type Request = DiskRequest;
    type Response = DiskResponse;
}

impl Kind for Net {
    type Id = u16;
    const ENTRIES: &'static [u32] = &[1, 2, 8, 32];

    fn id(response: &NetResponse) -> u16 {
        response.id
    }
}

impl Kind for Disk {
    type Id = u64;
    const ENTRIES: &'static [u32] = &[1, 4, 32];

    fn id(response: &DiskResponse) -> u64 {
        response.id
    }
}

impl Message for NetRequest {
    fn random(id: u64, dice: &mut Dice) -> Self {
        Self { gref: dice.word(), offset_and_flags: 7, id: id as u16, size: 60 }
    }
}

impl Message for NetResponse {
    fn random(id: u64, dice: &mut Dice) -> Self {
        Self { id: id as u16, status: dice.word() as i16 }
    }
}

impl Message for DiskRequest {
    fn random(id: u64, dice: &mut Dice) -> Self {
        let sector = dice.long();
        Self { operation: 1, id, sector, segments: [sector ^ id; 11] }
    }
}

impl Message for DiskResponse {
    fn random(id: u64, dice: &mut Dice) -> Self {
        Self { id, status: dice.long() }
    }
}
