//! What a request asks for, with the checks of Linux's backend.

use std::time::Duration;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::blkif::{
    DiscardFlags, DiskInfo, MAX_INDIRECT_PAGES_PER_REQUEST, MAX_SEGMENTS_PER_REQUEST, Operation, Request,
    RequestDiscard, RequestIndirect, Segment, Status,
};
use zerocopy::{FromBytes, IntoBytes};

use super::disk::Piece;
use super::hostile::Misdeed;
use super::options::Options;
use super::{Discard, SECTOR, SimDisk};
use crate::backend::{Due, Mapped};

/// Segments of one indirect page.
pub(super) const SEGMENTS_PER_PAGE: usize = PAGE_SIZE / size_of::<Segment>();

/// A request that the backend is at.
#[derive(Default)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) id: u64,
    /// What the answer repeats: of an indirect request what it stands for.
    pub(super) operation: Operation,
    pub(super) is_indirect: bool,
    pub(super) status: Status,
    /// What it is answered with in the end, whatever it was.
    pub(super) forced: Option<Status>,
    pub(super) misdeed: Option<Misdeed>,
    pub(super) sector: u64,
    pub(super) sectors: u64,
    pub(super) discard: DiscardFlags,
    pub(super) segments: Vec<Segment>,
    pub(super) grefs: Vec<GrantRef>,
    pub(super) pieces: Vec<Piece>,
    /// The pages that held the segments.
    pub(super) indirect: Vec<GrantRef>,
    /// What is unmapped before the answer.
    pub(super) mapped: Vec<Mapped>,
    pub(super) due: Duration,
}

impl Due for Job {
    fn due(&self) -> Duration {
        self.due
    }
}

impl Job {
    /// Makes an old job a new one, whose lists keep their memory.
    pub(super) fn begin(&mut self, number: u64, request: &Request) {
        (self.number, self.id, self.operation) = (number, request.id, request.operation);
        (self.is_indirect, self.forced, self.misdeed) = (false, None, None);
        (self.status, self.sector, self.sectors) = (Status::OKAY, request.sector_number, 0);
        self.segments.clear();
        self.grefs.clear();
        self.pieces.clear();
        self.indirect.clear();
    }

    /// Whether the front's pages are written by it.
    pub(super) fn fills_pages(&self) -> bool {
        self.operation == Operation::READ
    }

    /// Takes the segments that stand in the request itself.
    pub(super) fn take_direct(&mut self, request: &Request) -> Result<(), Status> {
        let count = usize::from(request.nr_segments);
        if (count == 0 && !is_flush(self.operation)) || count > MAX_SEGMENTS_PER_REQUEST {
            return Err(Status::ERROR);
        }
        self.segments.extend_from_slice(&request.seg[..count]);
        Ok(())
    }

    /// Checks segments, adds their sectors up, and lists their pages.
    pub(super) fn check_segments(&mut self) -> Result<(), Status> {
        for Segment { gref, first_sect, last_sect, .. } in &self.segments {
            if usize::from(*last_sect) >= PAGE_SIZE / SECTOR || last_sect < first_sect {
                return Err(Status::ERROR);
            }
            self.sectors += u64::from(last_sect - first_sect) + 1;
            self.grefs.push(*gref);
        }
        Ok(())
    }

    /// Checks that what is asked for is on the disk, allowed, and aligned.
    pub(super) fn check_place(&self, disk: &SimDisk, options: &Options) -> Result<(), Status> {
        if self.operation != Operation::READ && options.info.contains(DiskInfo::READONLY) {
            return Err(Status::ERROR);
        }
        let end = self.sector.checked_add(self.sectors);
        if self.sectors > 0 && end.is_none_or(|end| end > disk.sectors()) {
            return Err(Status::ERROR);
        }
        let mask = u64::from(options.sector_size).div_ceil(SECTOR as u64) - 1;
        let lengths = self.segments.iter().map(|segment| u64::from(segment.last_sect - segment.first_sect) + 1);
        let misaligned = lengths.into_iter().any(|length| (self.sector | length) & mask != 0);
        if misaligned { Err(Status::ERROR) } else { Ok(()) }
    }

    /// Does it.
    pub(super) fn carry_out(&self, disk: &SimDisk, options: &Options) {
        match self.operation {
            Operation::READ => disk.read_into(self.sector, &self.pieces),
            Operation::WRITE => disk.write_from(self.sector, &self.pieces),
            Operation::DISCARD => disk.discard(self.sector, self.sectors, self.manner(options)),
            operation => {
                disk.flush();
                if !self.pieces.is_empty() {
                    disk.write_from(self.sector, &self.pieces);
                }
                if operation == Operation::WRITE_BARRIER {
                    disk.flush();
                }
            }
        }
    }

    fn manner(&self, options: &Options) -> Discard {
        let secure = options.discard.is_some_and(|offer| offer.secure);
        if secure && self.discard.contains(DiscardFlags::SECURE) { Discard::Secure } else { Discard::Plain }
    }
}

/// The request as one to discard.
pub(super) fn discard(request: &Request) -> RequestDiscard {
    RequestDiscard::read_from_prefix(request.as_bytes()).map(|(discard, _)| discard).unwrap_or_default()
}

/// The request as an indirect one.
pub(super) fn indirect(request: &Request) -> RequestIndirect {
    RequestIndirect::read_from_prefix(request.as_bytes()).map(|(indirect, _)| indirect).unwrap_or_default()
}

/// The pages that hold an indirect request's segments.
pub(super) fn indirect_pages(request: &RequestIndirect, options: &Options) -> Result<usize, Status> {
    let count = usize::from(request.nr_segments);
    let known = matches!(request.indirect_op, Operation::READ | Operation::WRITE);
    let pages = count.div_ceil(SEGMENTS_PER_PAGE);
    let fits = count > 0 && count <= options.indirect_segments as usize && pages <= MAX_INDIRECT_PAGES_PER_REQUEST;
    if known && fits { Ok(pages) } else { Err(Status::ERROR) }
}

/// Requests that may have no segment.
pub(super) const fn is_flush(operation: Operation) -> bool {
    matches!(operation, Operation::FLUSH_DISKCACHE | Operation::WRITE_BARRIER)
}
