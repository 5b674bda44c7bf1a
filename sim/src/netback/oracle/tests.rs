use xen_hypercall::abi::{DomId, Gfn};

use super::*;
use crate::Access;

const GUEST: Mac = [2, 0, 0, 0, 0, 1];
const PEER: Mac = [2, 0, 0, 0, 0, 2];

fn oracle() -> NetOracle {
    NetOracle::new(GUEST, PEER)
}

fn what(oracle: &mut NetOracle, way: Way, bytes: &[u8]) -> Option<Wrong> {
    oracle.arrived(way, bytes).err().map(|finding| finding.what)
}

#[test]
fn what_was_sent_arrives_once_in_any_order() {
    let mut oracle = oracle();
    for form in [Form::Plain, Form::Ipv4(80), Form::Ipv6(80)] {
        let packets: Vec<Packet> = [100, 1514, 65535].map(|len| oracle.packet(Way::Out, form, len)).into();
        assert!(packets.iter().all(|packet| packet.source() == GUEST && packet.destination() == PEER));
        for packet in packets.iter().rev() {
            assert_eq!(oracle.arrived(Way::Out, &packet.data), Ok(()));
        }
    }
    let lost = oracle.packet(Way::In, Form::Plain, 60);
    assert_eq!(lost.destination(), GUEST);
    assert_eq!(oracle.counts(Way::Out), Counts { sent: 9, arrived: 9, missing: 0, reordered: 6 });
    assert_eq!(oracle.counts(Way::In), Counts { sent: 1, arrived: 0, missing: 1, reordered: 0 });
}

#[test]
fn what_was_changed_is_found() {
    for form in [Form::Plain, Form::Ipv4(1), Form::Ipv6(1)] {
        let mut oracle = oracle();
        let packet = oracle.packet(Way::Out, form, 200).data;
        let checksum = form.header() - 4;
        for at in 0..200 {
            let mut packet = packet.clone();
            packet[at] ^= 0x80;
            let found = what(&mut oracle, Way::Out, &packet);
            if form != Form::Plain && (checksum..checksum + 2).contains(&at) {
                assert_eq!(found, None, "others may make a checksum");
                oracle.ways[0].packets[0].state = State::Sent;
            } else {
                assert_eq!(found, Some(Wrong::Changed { sequence: 0, at }), "byte {at}");
            }
        }
    }
}

#[test]
fn what_was_cut_or_mixed_is_found() {
    let mut oracle = oracle();
    let [one, other] = [(); 2].map(|()| oracle.packet(Way::Out, Form::Plain, 200).data);
    let length = |arrived| Some(Wrong::Length { sequence: 0, sent: 200, arrived });
    assert_eq!(what(&mut oracle, Way::Out, &one[..100]), length(100));
    assert_eq!(what(&mut oracle, Way::Out, &[one.clone(), vec![0]].concat()), length(201));
    let mixed = Some(Wrong::Mixed { sequence: 0, other: 1 });
    assert_eq!(what(&mut oracle, Way::Out, &[&one[..100], &other[100..]].concat()), mixed);
    assert_eq!(what(&mut oracle, Way::Out, &[one.clone(), other.clone()].concat()), mixed);
    // Less than a cell of the other one is a change.
    let tail = [&one[..190], &other[190..]].concat();
    assert_eq!(what(&mut oracle, Way::Out, &tail), Some(Wrong::Changed { sequence: 0, at: 194 }));
    assert_eq!(what(&mut oracle, Way::Out, &one), None);
}

#[test]
fn what_comes_twice_or_from_elsewhere_is_found() {
    let mut oracle = oracle();
    let (out, back) = (oracle.packet(Way::Out, Form::Plain, 60).data, oracle.packet(Way::In, Form::Plain, 60).data);
    assert_eq!(what(&mut oracle, Way::In, &out), Some(Wrong::WrongWay(0)));
    assert_eq!(what(&mut oracle, Way::In, &back), None);
    assert_eq!(what(&mut oracle, Way::In, &back), Some(Wrong::Twice(0)));
    assert_eq!(what(&mut oracle, Way::Out, &[7; 60]), Some(Wrong::Garbage));
    assert_eq!(what(&mut oracle, Way::Out, &out[..20]), Some(Wrong::Garbage));
    let mut other = NetOracle::new(GUEST, PEER);
    let strange = [(); 2].map(|()| other.packet(Way::Out, Form::Plain, 60).data);
    assert_eq!(what(&mut oracle, Way::Out, &strange[1]), Some(Wrong::NeverSent(1)));
    let withdrawn = oracle.packet(Way::Out, Form::Plain, 60);
    oracle.withdraw(&withdrawn);
    assert_eq!(what(&mut oracle, Way::Out, &withdrawn.data), Some(Wrong::NeverSent(1)));
    assert_eq!(oracle.counts(Way::Out).sent, 1);
}

fn page(pieces: &[(usize, &[u8])]) -> Readable {
    let mut bytes = Box::new([0; 4096]);
    pieces.iter().for_each(|(at, piece)| bytes[*at..at + piece.len()].copy_from_slice(piece));
    Readable { owner: DomId(1), gref: GrantRef(9), page: Gfn(3), access: Access::ReadOnly, bytes }
}

/// Where bytes are readable that were not sent.
fn exposed(oracle: &NetOracle, page: &Readable) -> Option<(usize, usize)> {
    let findings = oracle.check_pages([page]).err()?;
    match findings[..] {
        [Finding { what: Wrong::Exposed { gref: GrantRef(9), at, len }, .. }] => Some((at, len)),
        _ => panic!("{findings:?}"),
    }
}

#[test]
fn payload_and_zeros_may_be_read() {
    let mut oracle = oracle();
    let one = oracle.packet(Way::Out, Form::Ipv4(9), 3000).data;
    let other = oracle.packet(Way::In, Form::Plain, 1514).data;
    assert_eq!(oracle.check_pages([&page(&[])]), Ok(1));
    for page in [
        page(&[(0, &one)]),
        page(&[(7, &one[33..2044])]),
        page(&[(0, &one[..14])]),
        page(&[(4000, &one[2990..])]),
        page(&[(0, &one[2999..])]),
        page(&[(0, &one[100..200]), (100, &other[..300]), (3000, &other[5..29])]),
    ] {
        assert_eq!(exposed(&oracle, &page), None);
    }
}

#[test]
fn other_bytes_are_found() {
    let mut oracle = oracle();
    let one = oracle.packet(Way::Out, Form::Plain, 1514).data;
    assert_eq!(exposed(&oracle, &page(&[(0, &one), (2000, b"secret")])), Some((2000, 6)));
    assert_eq!(exposed(&oracle, &page(&[(0, b"secret"), (6, &one)])), Some((0, 6)));
    assert_eq!(exposed(&oracle, &page(&[(0, &one), (1514, &[1])])), Some((1514, 1)));
    assert_eq!(exposed(&oracle, &page(&[(0, &[0xaa; 4096])])), Some((0, 4096)));
    // The end of a longer packet behind a shorter one was sent; what only looks like it was not, nor was it in another place.
    let (longer, shorter) = (one.clone(), oracle.packet(Way::Out, Form::Plain, 1508).data);
    assert_eq!(exposed(&oracle, &page(&[(0, &longer), (0, &shorter)])), None);
    assert_eq!(exposed(&oracle, &page(&[(0, &shorter), (1508, b"secret")])), Some((1508, 6)));
    assert!(exposed(&oracle, &page(&[(0, &shorter), (1509, &longer[1508..])])).is_some());
    let mut changed = one.clone();
    changed[700] ^= 1;
    assert_eq!(exposed(&oracle, &page(&[(0, &changed)])).map(|(at, _)| at), Some(700));
    let unsent = oracle.packet(Way::Out, Form::Plain, 100);
    assert_eq!(exposed(&oracle, &page(&[(0, &unsent.data)])), None);
    oracle.withdraw(&unsent);
    assert!(exposed(&oracle, &page(&[(0, &unsent.data)])).is_some());
    let beacon = *b"a stack's own packet";
    assert_eq!(exposed(&oracle, &page(&[(0, &beacon)])), Some((0, 20)));
    oracle.allow(&beacon);
    assert_eq!(exposed(&oracle, &page(&[(0, &beacon[3..])])), None);
}

#[test]
#[should_panic(expected = "has changed at byte 30")]
fn a_test_fails() {
    let mut oracle = oracle();
    let mut packet = oracle.packet(Way::In, Form::Plain, 100).data;
    packet[30] ^= 1;
    oracle.assert_arrived(Way::In, &packet);
}
