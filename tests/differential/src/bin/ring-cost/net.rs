//! A network transmit ring.

use crate::{MOST, Notified, Outcome, Table, table};
use differential_tests::protocol::{NetifTx, NetifTxRequest, NetifTxResponse};
use hostile_tests::memory::Buffer;
use xen_shared_ring::{Notify, OnePage, PeerError};

type FrontRing = xen_shared_ring::FrontRing<NetifTx, Buffer>;
type BackRing = xen_shared_ring::BackRing<NetifTx, Buffer>;

/// `NETIF_RSP_OKAY` and `NETIF_RSP_DROPPED`, `public/io/netif.h`
const OKAY: i16 = 0;
const DROPPED: i16 = -2;

/// What a network stack hands to its driver.
#[repr(C)]
struct Packet {
    id: u64,
    length: u32,
    gref: u32,
    offset: u32,
    flags: u32,
}

pub(crate) fn bare(batch: usize, rounds: u32) -> Result<(Notified, Outcome), PeerError> {
    let (mut notified, (mut front, mut back)) = (Notified(0), rings());
    let (packets, mut outcome) = (packets(), Outcome::default());
    for _ in 0..rounds {
        let notify = counted_send_net(&mut front, &packets[..batch]);
        notified.count(notify.expect("a ring that was reaped has room"));
        answer(&mut back)?;
        counted_reap_net(&mut front, &mut outcome).expect("the back is honest");
    }
    Ok((notified, outcome))
}

/// One at a time, by the calls that are for one.
pub(crate) fn single(rounds: u32) -> Result<(Notified, Outcome), PeerError> {
    let (mut notified, (mut front, mut back)) = (Notified(0), rings());
    let (packets, mut outcome) = (packets(), Outcome::default());
    for _ in 0..rounds {
        let notify = counted_send_one_net(&mut front, &packets[0]);
        notified.count(notify.expect("a ring that was reaped has room"));
        answer(&mut back)?;
        counted_reap_one_net(&mut front, &mut outcome).expect("the back is honest");
    }
    Ok((notified, outcome))
}

pub(crate) fn with_ids(batch: usize, rounds: u32) -> Result<(Notified, Outcome), PeerError> {
    let (mut notified, (mut front, mut back)) = (Notified(0), rings());
    let (packets, mut outcome) = (packets(), Outcome::default());
    let mut table = table();
    for _ in 0..rounds {
        let notify = counted_send_net_ids(&mut front, &packets[..batch], &mut table);
        notified.count(notify.expect("a table that was reaped has room"));
        answer(&mut back)?;
        counted_reap_net_ids(&mut front, &mut outcome, &mut table).expect("the back is honest");
    }
    Ok((notified, outcome))
}

#[inline(never)]
fn counted_send_net(ring: &mut FrontRing, packets: &[Packet]) -> Option<Notify> {
    let pushed = ring.push_all(packets.iter().map(|packet| request(packet, packet.id as u16)));
    (pushed as usize == packets.len()).then(|| ring.publish())
}

#[inline(never)]
fn counted_reap_net(ring: &mut FrontRing, outcome: &mut Outcome) -> Option<()> {
    let mut sum = *outcome;
    while let Some(responses) = ring.drain_or_arm().ok()? {
        for response in responses {
            let response = response.into_unverified();
            sum.add(response.status, response.id.into());
        }
    }
    *outcome = sum;
    Some(())
}

#[inline(never)]
fn counted_send_one_net(ring: &mut FrontRing, packet: &Packet) -> Option<Notify> {
    ring.push(request(packet, packet.id as u16)).ok()?;
    Some(ring.publish())
}

#[inline(never)]
fn counted_reap_one_net(ring: &mut FrontRing, outcome: &mut Outcome) -> Option<()> {
    let mut sum = *outcome;
    while let Some(response) = ring.pop_or_arm().ok()? {
        let response = response.into_unverified();
        sum.add(response.status, response.id.into());
    }
    *outcome = sum;
    Some(())
}

#[inline(never)]
fn counted_send_net_ids(ring: &mut FrontRing, packets: &[Packet], table: &mut Table<u16>) -> Option<Notify> {
    for packet in packets {
        let id = table.insert(packet.id).ok()?;
        ring.push(request(packet, id)).ok()?;
    }
    let notify = ring.publish();
    table.mark_published();
    Some(notify)
}

#[inline(never)]
fn counted_reap_net_ids(ring: &mut FrontRing, outcome: &mut Outcome, table: &mut Table<u16>) -> Option<()> {
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
const fn request(packet: &Packet, id: u16) -> NetifTxRequest {
    let Packet { length, gref, offset, flags, .. } = *packet;
    NetifTxRequest { gref, offset: offset as u16, flags: flags as u16, id, size: length as u16 }
}

/// Answers what is there; every sixteenth packet or so is dropped.
#[inline(never)]
fn answer(ring: &mut BackRing) -> Result<(), PeerError> {
    while let Some(request) = ring.pop_or_arm()? {
        let NetifTxRequest { id, size, .. } = request.into_unverified();
        let status = if size % 16 == 5 { DROPPED } else { OKAY };
        ring.push(NetifTxResponse { id, status }).expect("a request leaves room for its response");
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

fn packets() -> Vec<Packet> {
    let packet = |i| Packet { id: u64::from(i), length: 60 + i, gref: 8 + i, offset: i % 64, flags: i & 1 };
    (0..MOST as u32).map(packet).collect()
}
