//! The messages of a block device's ring.
//!
//! All numbers of sectors count units of 512 bytes, whatever the `sector-size` of the disk: that is how backends and front-ends
//! have understood them at all times, and how later versions of the header put it again. (`feature-large-sector-size`, which
//! means something else, is never offered.)

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::grant_table::GrantRef;

constants! {
    /// What a request asks for.
    ///
    /// `BLKIF_OP_*`, public/io/blkif.h
    pub struct Operation: u8 {
        /// Read into the segments.
        ///
        /// `BLKIF_OP_READ`, public/io/blkif.h
        READ = 0;
        /// Write the segments.
        ///
        /// `BLKIF_OP_WRITE`, public/io/blkif.h
        WRITE = 1;
        /// Write the segments after all earlier writes and before all later ones.
        ///
        /// `BLKIF_OP_WRITE_BARRIER`, public/io/blkif.h
        WRITE_BARRIER = 2;
        /// Commit what the device has in a volatile cache.
        ///
        /// `BLKIF_OP_FLUSH_DISKCACHE`, public/io/blkif.h
        FLUSH_DISKCACHE = 3;
        /// A command packet; reserved.
        ///
        /// `BLKIF_OP_RESERVED_1`, public/io/blkif.h
        RESERVED_1 = 4;
        /// A range is of no more use.
        ///
        /// `BLKIF_OP_DISCARD`, public/io/blkif.h
        DISCARD = 5;
        /// Another operation, whose segments stand in pages of their own.
        ///
        /// `BLKIF_OP_INDIRECT`, public/io/blkif.h
        INDIRECT = 6;
    }
}

constants! {
    /// How a request ended.
    ///
    /// `BLKIF_RSP_*`, public/io/blkif.h
    pub struct Status: i16 {
        /// It is done.
        ///
        /// `BLKIF_RSP_OKAY`, public/io/blkif.h
        OKAY = 0;
        /// It failed.
        ///
        /// `BLKIF_RSP_ERROR`, public/io/blkif.h
        ERROR = -1;
        /// The backend does not do such a thing.
        ///
        /// `BLKIF_RSP_EOPNOTSUPP`, public/io/blkif.h
        EOPNOTSUPP = -2;
    }
}

flags! {
    /// What kind of disk it is: the key `info`.
    ///
    /// `VDISK_*`, public/io/blkif.h
    pub struct DiskInfo: u32 {
        /// It is a CD-ROM.
        ///
        /// `VDISK_CDROM`, public/io/blkif.h
        CDROM = 0x1;
        /// Its medium can be removed.
        ///
        /// `VDISK_REMOVABLE`, public/io/blkif.h
        REMOVABLE = 0x2;
        /// It cannot be written.
        ///
        /// `VDISK_READONLY`, public/io/blkif.h
        READONLY = 0x4;
    }
}

flags! {
    /// How a range is discarded.
    ///
    /// `BLKIF_DISCARD_*`, public/io/blkif.h
    pub struct DiscardFlags: u8 {
        /// All copies of it are made unrecoverable.
        ///
        /// `BLKIF_DISCARD_SECURE`, public/io/blkif.h
        SECURE = 1 << 0;
    }
}

/// Segments of a request that has them in itself, at most.
///
/// `BLKIF_MAX_SEGMENTS_PER_REQUEST`, public/io/blkif.h
pub const MAX_SEGMENTS_PER_REQUEST: usize = 11;

/// Pages of segments of an indirect request, at most.
///
/// `BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST`, public/io/blkif.h
pub const MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8;

/// Adjacent sectors of one granted page.
///
/// `struct blkif_request_segment`, public/io/blkif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Segment {
    /// The page.
    pub gref: GrantRef,
    /// The first sector of the page, from 0 on.
    pub first_sect: u8,
    /// The last one, which is part of it.
    pub last_sect: u8,
    #[doc(hidden)]
    pub _pad: u16,
}

/// A request to read, write or flush, with its segments.
///
/// `struct blkif_request`, public/io/blkif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// How many of the segments count.
    pub nr_segments: u8,
    /// The virtual device's number.
    pub handle: u16,
    #[doc(hidden)]
    pub _pad: u32,
    /// A number that the response repeats.
    pub id: u64,
    /// The first sector on the disk.
    pub sector_number: u64,
    /// Where the data is.
    pub seg: [Segment; MAX_SEGMENTS_PER_REQUEST],
}

/// A request to discard a range.
///
/// `struct blkif_request_discard`, public/io/blkif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestDiscard {
    /// [`Operation::DISCARD`].
    pub operation: Operation,
    /// How.
    pub flag: DiscardFlags,
    /// The virtual device's number.
    pub handle: u16,
    #[doc(hidden)]
    pub _pad: u32,
    /// A number that the response repeats.
    pub id: u64,
    /// The first sector on the disk.
    pub sector_number: u64,
    /// How many.
    pub nr_sectors: u64,
}

/// A request whose segments stand in other pages.
///
/// `struct blkif_request_indirect`, public/io/blkif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestIndirect {
    /// [`Operation::INDIRECT`].
    pub operation: Operation,
    /// What to do.
    pub indirect_op: Operation,
    /// How many segments there are in all.
    pub nr_segments: u16,
    #[doc(hidden)]
    pub _pad0: u32,
    /// A number that the response repeats.
    pub id: u64,
    /// The first sector on the disk.
    pub sector_number: u64,
    /// The virtual device's number.
    pub handle: u16,
    #[doc(hidden)]
    pub _pad1: u16,
    /// Pages that hold the segments, 512 in each.
    pub indirect_grefs: [GrantRef; MAX_INDIRECT_PAGES_PER_REQUEST],
    #[doc(hidden)]
    pub _pad2: u32,
}

/// What the backend answers.
///
/// `struct blkif_response`, public/io/blkif.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// The request's.
    pub id: u64,
    /// The request's.
    pub operation: Operation,
    #[doc(hidden)]
    pub _pad0: u8,
    /// How it ended.
    pub status: Status,
    #[doc(hidden)]
    pub _pad1: u32,
}

const_assert_eq!(size_of::<Segment>(), 8);
const_assert_eq!(size_of::<Request>(), 112);
const_assert_eq!(size_of::<RequestDiscard>(), 32);
const_assert_eq!(size_of::<RequestIndirect>(), 64);
const_assert_eq!(size_of::<Response>(), 16);
