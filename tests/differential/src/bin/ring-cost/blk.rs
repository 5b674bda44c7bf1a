//! A block ring, with requests of one segment.

use crate::{MOST, Notified, Outcome, Table, table};
use differential_tests::protocol::{Blkif, BlkifRequest, BlkifRequest1, BlkifResponse, BlkifSegment};
use hostile_tests::memory::Buffer;
use xen_shared_ring::{Notify, OnePage, PeerError};

type FrontRing = xen_shared_ring::FrontRing<Blkif, Buffer>;
type BackRing = xen_shared_ring::BackRing<Blkif, Buffer>;

/// `BLKIF_RSP_OKAY` and `BLKIF_RSP_ERROR`, `public/io/blkif.h`
const OKAY: i16 = 0;
const ERROR: i16 = -1;

/// The device's handle, in all requests.
const HANDLE: u16 = 51712;

/// What a file system hands to its driver: one segment. Both orders of the first two fields are counted, as in C.
#[repr(C)]
struct Transfer {
    #[cfg(feature = "id-first")]
    id: u64,
    sector: u64,
    #[cfg(not(feature = "id-first"))]
    id: u64,
    gref: u32,
    first: u8,
    operation: u8,
    last: u8,
}

pub(crate) fn bare(batch: usize, rounds: u32) -> Result<(Notified, Outcome), PeerError> {
    let (mut notified, (mut front, mut back)) = (Notified(0), rings());
    let (transfers, mut outcome) = (transfers(), Outcome::default());
    for _ in 0..rounds {
        let notify = counted_send_blk(&mut front, &transfers[..batch], HANDLE);
        notified.count(notify.expect("a ring that was reaped has room"));
        answer(&mut back)?;
        counted_reap_blk(&mut front, &mut outcome).expect("the back is honest");
    }
    Ok((notified, outcome))
}

/// One at a time, by the calls that are for one.
pub(crate) fn single(rounds: u32) -> Result<(Notified, Outcome), PeerError> {
    let (mut notified, (mut front, mut back)) = (Notified(0), rings());
    let (transfers, mut outcome) = (transfers(), Outcome::default());
    for _ in 0..rounds {
        let notify = counted_send_one_blk(&mut front, &transfers[0], HANDLE);
        notified.count(notify.expect("a ring that was reaped has room"));
        answer(&mut back)?;
        counted_reap_one_blk(&mut front, &mut outcome).expect("the back is honest");
    }
    Ok((notified, outcome))
}

pub(crate) fn with_ids(batch: usize, rounds: u32) -> Result<(Notified, Outcome), PeerError> {
    let (mut notified, (mut front, mut back)) = (Notified(0), rings());
    let (transfers, mut outcome) = (transfers(), Outcome::default());
    let mut table = table();
    for _ in 0..rounds {
        let notify = counted_send_blk_ids(&mut front, &transfers[..batch], HANDLE, &mut table);
        notified.count(notify.expect("a table that was reaped has room"));
        answer(&mut back)?;
        counted_reap_blk_ids(&mut front, &mut outcome, &mut table).expect("the back is honest");
    }
    Ok((notified, outcome))
}

#[inline(never)]
fn counted_send_blk(ring: &mut FrontRing, transfers: &[Transfer], handle: u16) -> Option<Notify> {
    let pushed = ring.push_all(transfers.iter().map(|transfer| request(transfer, handle, transfer.id)));
    (pushed as usize == transfers.len()).then(|| ring.publish())
}

#[inline(never)]
fn counted_reap_blk(ring: &mut FrontRing, outcome: &mut Outcome) -> Option<()> {
    let mut sum = *outcome;
    while let Some(responses) = ring.drain_or_arm().ok()? {
        for response in responses {
            let response = response.into_unverified();
            sum.add(response.status, response.id);
        }
    }
    *outcome = sum;
    Some(())
}

#[inline(never)]
fn counted_send_one_blk(ring: &mut FrontRing, transfer: &Transfer, handle: u16) -> Option<Notify> {
    ring.push(request(transfer, handle, transfer.id)).ok()?;
    Some(ring.publish())
}

#[inline(never)]
fn counted_reap_one_blk(ring: &mut FrontRing, outcome: &mut Outcome) -> Option<()> {
    let mut sum = *outcome;
    while let Some(response) = ring.pop_or_arm().ok()? {
        let response = response.into_unverified();
        sum.add(response.status, response.id);
    }
    *outcome = sum;
    Some(())
}

#[inline(never)]
fn counted_send_blk_ids(
    ring: &mut FrontRing,
    transfers: &[Transfer],
    handle: u16,
    table: &mut Table<u64>,
) -> Option<Notify> {
    for transfer in transfers {
        let id = table.insert(transfer.id).ok()?;
        ring.push(request(transfer, handle, id)).ok()?;
    }
    let notify = ring.publish();
    table.mark_published();
    Some(notify)
}

#[inline(never)]
fn counted_reap_blk_ids(ring: &mut FrontRing, outcome: &mut Outcome, table: &mut Table<u64>) -> Option<()> {
    let mut sum = *outcome;
    while let Some(response) = ring.pop_or_arm().ok()? {
        let response = response.into_unverified();
        if let Some(id) = table.complete(response.id).ok()? {
            sum.add(response.status, id);
        }
    }
    *outcome = sum;
    Some(())
}

#[inline]
const fn request(transfer: &Transfer, handle: u16, id: u64) -> BlkifRequest1 {
    let Transfer { sector, gref, operation, first, last, .. } = *transfer;
    let seg = [BlkifSegment { gref, first_sect: first, last_sect: last, pad: 0 }];
    BlkifRequest1 { operation, nr_segments: 1, handle, pad: 0, id, sector_number: sector, seg }
}

/// Answers what is there; every sixteenth request or so fails.
#[inline(never)]
fn answer(ring: &mut BackRing) -> Result<(), PeerError> {
    while let Some(request) = ring.pop_or_arm()? {
        let BlkifRequest { id, operation, sector_number, .. } = request.into_unverified();
        let status = if sector_number % 16 == 5 { ERROR } else { OKAY };
        let response = BlkifResponse { id, operation, pad: 0, status, pad_end: 0 };
        ring.push(response).expect("a request leaves room for its response");
    }
    let _awake = ring.publish();
    Ok(())
}

fn rings() -> (FrontRing, BackRing) {
    let buffer = Buffer::new(1);
    let other = buffer.clone();
    let front = FrontRing::init(buffer, OnePage).expect("a page holds a ring");
    (front, BackRing::attach(other, OnePage).expect("a page holds a ring"))
}

fn transfers() -> Vec<Transfer> {
    let transfer = |i: u32| Transfer {
        id: i.into(),
        sector: (8 * i + i % 7).into(),
        gref: 8 + i,
        operation: (i & 1) as u8,
        first: (i % 4) as u8,
        last: 7,
    };
    (0..MOST as u32).map(transfer).collect()
}
