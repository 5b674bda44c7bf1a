//! Every sequence of four slots, against a parser that is written another way.

extern crate std;
use std::vec;
use std::vec::Vec;

use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraGso, ExtraHash, ExtraInfo, ExtraType, GsoType, RxFlags, RxResponse, Status,
};

use super::*;

const HASHES: HashTypes = HashTypes::IPV4.union(HashTypes::IPV6_TCP);
const ALL: Agreed =
    Agreed { mtu: 1500, scatter_gather: true, checksums: true, gso_v4: true, gso_v6: false, hashes: HASHES };
const NONE: Agreed = Agreed {
    mtu: 1500,
    scatter_gather: false,
    checksums: false,
    gso_v4: false,
    gso_v6: false,
    hashes: HashTypes::empty(),
};

fn response(offset: u16, status: i16, flags: &[RxFlags]) -> RxResponse {
    let flags = flags.iter().fold(RxFlags::default(), |all, flag| all | *flag);
    RxResponse { id: 0, offset, flags, status: Status(status) }
}

fn gso(size: u16, gso_type: GsoType, flags: ExtraFlags) -> RxResponse {
    zerocopy::transmute!(ExtraGso { kind: ExtraType::GSO, flags, size, gso_type, _pad: 0, features: 0 })
}

fn hash(hash_type: u8, algorithm: u8, flags: ExtraFlags) -> RxResponse {
    zerocopy::transmute!(ExtraHash { kind: ExtraType::HASH, flags, hash_type, algorithm, value: [4, 3, 2, 1] })
}

fn extra(kind: u8, flags: ExtraFlags) -> RxResponse {
    zerocopy::transmute!(ExtraInfo { kind: ExtraType(kind), flags, data: [0; 6] })
}

/// What may stand in a slot. As what it is taken depends on what was before.
fn alphabet() -> Vec<RxResponse> {
    const BLANK: RxFlags = RxFlags::CSUM_BLANK;
    const MORE: RxFlags = RxFlags::MORE_DATA;
    const EXTRA: RxFlags = RxFlags::EXTRA_INFO;
    let (last, again) = (ExtraFlags::default(), ExtraFlags::MORE);
    vec![
        response(0, 60, &[]),
        response(100, 1000, &[MORE]),
        response(0, 700, &[EXTRA, BLANK]),
        response(0, 4096, &[EXTRA, MORE, BLANK]),
        response(4000, 97, &[]),
        response(0xffff, 1, &[MORE]),
        response(0, 0, &[]),
        response(0, 0, &[MORE]),
        response(0, 13, &[]),
        response(0, -1, &[]),
        response(0, i16::MIN, &[MORE, EXTRA]),
        response(0, 60, &[RxFlags::GSO_PREFIX]),
        response(0, 60, &[RxFlags::DATA_VALIDATED]),
        response(0, 1000, &[EXTRA, RxFlags::DATA_VALIDATED]),
        gso(536, GsoType::TCPV4, last),
        gso(536, GsoType::TCPV4, again),
        gso(0, GsoType::TCPV4, last),
        gso(1448, GsoType::TCPV6, last),
        extra(0, last),
        extra(ExtraType::HASH.0, again),
        hash(3, 1, last),
        hash(0, 1, again),
        hash(1, 1, last),
        extra(200, again),
    ]
}

/// What comes of a packet: what is known of it, and its pieces.
type Whole = (Meta, Vec<(u16, u16)>);

/// What a packet should be, by a look at all of its slots at once. `None` where there are not enough.
fn reference(slots: &[RxResponse], agreed: &Agreed) -> Option<(usize, Result<Whole, ()>)> {
    let first = slots.first()?;
    let mut used = 1;
    let mut extras = Vec::new();
    if first.flags.contains(RxFlags::EXTRA_INFO) {
        loop {
            let extra: ExtraInfo = zerocopy::transmute!(*slots.get(used)?);
            used += 1;
            extras.push(extra);
            if !extra.flags.contains(ExtraFlags::MORE) {
                break;
            }
        }
    }
    let mut data = vec![*first];
    while data.last()?.flags.contains(RxFlags::MORE_DATA) {
        data.push(*slots.get(used)?);
        used += 1;
    }
    Some((used, judge(first, &extras, &data, agreed).ok_or(())))
}

fn judge(first: &RxResponse, extras: &[ExtraInfo], data: &[RxResponse], agreed: &Agreed) -> Option<Whole> {
    let blank = first.flags.contains(RxFlags::CSUM_BLANK);
    if first.flags.contains(RxFlags::GSO_PREFIX) || blank && !agreed.checksums {
        return None;
    }
    if data.len() > 1 && !agreed.scatter_gather || data.iter().any(|slot| slot.status.0 < 0) {
        return None;
    }
    if data.iter().any(|slot| u32::from(slot.offset) + slot.status.0 as u32 > 4096) {
        return None;
    }
    let total: u32 = data.iter().map(|slot| slot.status.0 as u32).sum();
    let (mut gso, mut hash) = (None, None);
    for extra in extras {
        let is_new = match extra.kind {
            ExtraType::GSO => {
                gso.replace(segments(*extra, agreed).filter(|gso| u32::from(gso.size) < total)?).is_none()
            }
            ExtraType::HASH => hash.replace(known_hash(*extra, agreed)?).is_none(),
            _ => false,
        };
        if !is_new {
            return None;
        }
    }
    let most = if gso.is_some() { 65535 } else { u32::from(agreed.mtu) + 18 };
    if !(14..=most).contains(&total) {
        return None;
    }
    let checksum = match (blank, first.flags.contains(RxFlags::DATA_VALIDATED)) {
        (true, _) => Checksum::Blank,
        (false, true) if gso.is_none() => Checksum::Claimed,
        _ => Checksum::Unverified,
    };
    let pieces = data.iter().filter(|slot| slot.status.0 > 0).map(|slot| (slot.offset, slot.status.0 as u16));
    Some((Meta { checksum, gso, hash }, pieces.collect()))
}

fn segments(extra: ExtraInfo, agreed: &Agreed) -> Option<Gso> {
    let gso: ExtraGso = zerocopy::transmute!(extra);
    let kind = match gso.gso_type {
        GsoType::TCPV4 if agreed.gso_v4 => GsoKind::TcpV4,
        GsoType::TCPV6 if agreed.gso_v6 => GsoKind::TcpV6,
        _ => return None,
    };
    (gso.size >= 48).then_some(Gso { kind, size: gso.size })
}

/// All that are agreed upon in these tests.
fn known_hash(extra: ExtraInfo, agreed: &Agreed) -> Option<Hash> {
    let hash: ExtraHash = zerocopy::transmute!(extra);
    let kind = match (hash.hash_type, hash.algorithm) {
        (0, 1) => HashTypes::IPV4,
        (3, 1) => HashTypes::IPV6_TCP,
        _ => return None,
    };
    (agreed == &ALL).then_some(Hash { value: 0x0102_0304, kind })
}

fn check(slots: &[RxResponse], agreed: &Agreed) {
    let (mut chain, mut at) = (Chain::START, 0);
    while let Some((used, expected)) = reference(&slots[at..], agreed) {
        let mut pieces = Vec::new();
        for (place, slot) in slots[at..at + used].iter().enumerate() {
            assert_eq!(chain != Chain::START, place > 0, "{slots:?}");
            let taken = chain.take(*slot, agreed);
            pieces.extend(taken.piece.map(|piece| (piece.offset, piece.len)));
            match (taken.packet, place + 1 == used) {
                (Packet::GoesOn, false) => {}
                (Packet::Whole(meta, bytes), true) => {
                    assert_eq!(bytes, pieces.iter().map(|piece| u32::from(piece.1)).sum::<u32>(), "{slots:?}");
                    assert_eq!(expected, Ok((meta, pieces.clone())), "{slots:?}");
                }
                (Packet::Dropped(reason), true) => assert!(expected.is_err(), "{reason:?}: {slots:?}"),
                (packet, _) => panic!("{packet:?} at {place} of {used}: {slots:?}"),
            }
        }
        at += used;
    }
    // What is left is a packet that goes on.
    for slot in &slots[at..] {
        assert_eq!(chain.take(*slot, agreed).packet, Packet::GoesOn, "{slots:?}");
    }
}

#[test]
fn every_sequence_of_four_slots_is_what_it_should_be() {
    let alphabet = alphabet();
    for number in 0..alphabet.len().pow(4) {
        let digit = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
        let slots = [digit(0), digit(1), digit(2), digit(3)];
        check(&slots, &ALL);
        check(&slots, &NONE);
    }
}

fn reason(slots: &[RxResponse], agreed: &Agreed) -> Option<Dropped> {
    let mut chain = Chain::START;
    slots.iter().find_map(|slot| match chain.take(*slot, agreed).packet {
        Packet::Dropped(reason) => Some(reason),
        _ => None,
    })
}

#[test]
fn hc_041_more_than_18_pieces_are_dropped_and_all_are_taken() {
    let one = response(0, 20, &[RxFlags::MORE_DATA]);
    let chain = |pieces: usize| {
        let mut slots = vec![one; pieces - 1];
        slots.push(response(0, 20, &[]));
        slots
    };
    assert_eq!(reason(&chain(18), &ALL), None);
    assert_eq!(reason(&chain(19), &ALL), Some(Dropped::TooManySlots));
    assert_eq!(reason(&vec![one; 1000], &ALL), None, "it never ends, and is never a packet");
}

#[test]
fn hc_045_extra_information_without_end_is_dropped() {
    let mut slots = vec![response(0, 60, &[RxFlags::EXTRA_INFO]), gso(536, GsoType::TCPV4, ExtraFlags::MORE)];
    slots.extend([extra(9, ExtraFlags::MORE); 100]);
    assert_eq!(reason(&slots, &ALL), None, "it has not ended");
    slots.push(extra(9, ExtraFlags::default()));
    assert_eq!(reason(&slots, &ALL), Some(Dropped::ExtraUnknown));
}

#[test]
fn each_reason_is_told() {
    const EXTRA: RxFlags = RxFlags::EXTRA_INFO;
    let last = ExtraFlags::default();
    let with = |extra: RxResponse| vec![response(0, 1000, &[EXTRA]), extra];
    let twice =
        vec![response(0, 1000, &[EXTRA]), gso(500, GsoType::TCPV4, ExtraFlags::MORE), gso(500, GsoType::TCPV4, last)];
    let known: [(Vec<RxResponse>, &Agreed, Dropped); 20] = [
        (vec![response(0, -2, &[])], &ALL, Dropped::Status),
        (vec![response(0, 0, &[])], &ALL, Dropped::Empty),
        (vec![response(0, 13, &[])], &ALL, Dropped::Runt),
        (vec![response(0, 1519, &[])], &ALL, Dropped::Oversize),
        (vec![response(4090, 7, &[])], &ALL, Dropped::OutOfPage),
        (vec![response(0, 14, &[RxFlags::MORE_DATA]), response(0, 14, &[])], &NONE, Dropped::Scattered),
        (with(extra(5, last)), &ALL, Dropped::ExtraUnknown),
        (with(extra(2, last)), &ALL, Dropped::ExtraUnnegotiated),
        (twice, &ALL, Dropped::ExtraDuplicate),
        (with(hash(0, 1, last)), &NONE, Dropped::ExtraUnnegotiated),
        (with(hash(1, 1, last)), &ALL, Dropped::ExtraUnnegotiated),
        (with(hash(32, 1, last)), &ALL, Dropped::ExtraUnnegotiated),
        (with(hash(255, 1, last)), &ALL, Dropped::ExtraUnnegotiated),
        (with(hash(0, 2, last)), &ALL, Dropped::ExtraUnnegotiated),
        (with(gso(0, GsoType::TCPV4, last)), &ALL, Dropped::Segments),
        (with(gso(47, GsoType::TCPV4, last)), &ALL, Dropped::Segments),
        (with(gso(1000, GsoType::TCPV4, last)), &ALL, Dropped::Segments),
        (with(gso(500, GsoType::TCPV4, last)), &NONE, Dropped::Segments),
        (vec![response(0, 60, &[RxFlags::GSO_PREFIX])], &ALL, Dropped::GsoPrefix),
        (vec![response(0, 60, &[RxFlags::CSUM_BLANK])], &NONE, Dropped::Blank),
    ];
    for (slots, agreed, expected) in known {
        assert_eq!(reason(&slots, agreed), Some(expected), "{slots:?}");
    }
}

#[test]
fn each_reason_has_words_of_its_own() {
    use std::string::ToString;
    let reasons = [
        Dropped::Status,
        Dropped::Empty,
        Dropped::Runt,
        Dropped::Oversize,
        Dropped::OutOfPage,
        Dropped::Scattered,
        Dropped::TooManySlots,
        Dropped::TooManyExtras,
        Dropped::ExtraUnknown,
        Dropped::ExtraDuplicate,
        Dropped::ExtraUnnegotiated,
        Dropped::Segments,
        Dropped::GsoPrefix,
        Dropped::Blank,
    ];
    let words: std::collections::BTreeSet<_> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!((reasons.len(), words.len()), (REASONS, REASONS), "{words:?}");
}
