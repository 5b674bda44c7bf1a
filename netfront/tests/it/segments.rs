//! TCP segments that follow each other go to the backend as one packet, to be cut again: what it gets is what was sent.

use std::time::Duration;

use xen_hypercall::abi::io::netif::GsoType;
use xen_netfront::{Checksums, Made, Options, Order, Transport};
use xen_sim::netback::{Gso, Options as Offer, Packet};

use crate::common::{Rig, SMALL};
use crate::perils::MS;

const OFFLOADS: Options = Options { checksums: Checksums::Offload, ..SMALL };
const LEFT: Order = Order { checksum: Made::No, gso: None };

/// A segment over IPv4 or IPv6.
#[derive(Clone, Copy)]
struct Seg {
    v6: bool,
    sequence: u32,
    len: usize,
    flags: u8,
    port: u16,
    ack: u32,
    window: u16,
}

const PLAIN: Seg = Seg { v6: false, sequence: 1, len: 1000, flags: 0x10, port: 80, ack: 7, window: 500 };

impl Seg {
    const fn header(self) -> usize {
        if self.v6 { 74 } else { 54 }
    }

    fn bytes(self) -> Vec<u8> {
        let mut packet = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
        let tcp = 20 + self.len as u16;
        if self.v6 {
            packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            packet.extend(tcp.to_be_bytes());
            packet.extend([6, 64]);
            packet.extend([0xfd; 32]);
        } else {
            packet.extend([0x08, 0x00, 0x45, 0]);
            packet.extend((20 + tcp).to_be_bytes());
            packet.extend((self.sequence as u16).to_be_bytes());
            packet.extend([0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let checksum = ones(&packet[14..34]);
            packet[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        packet.extend(self.port.to_be_bytes());
        packet.extend([0, 81]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.ack.to_be_bytes());
        packet.extend([0x50, self.flags]);
        packet.extend(self.window.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend((0..self.len as u32).map(|at| self.sequence.wrapping_add(at).wrapping_mul(31) as u8));
        packet
    }

    const fn after(self) -> Self {
        Self { sequence: self.sequence.wrapping_add(self.len as u32), ..self }
    }
}

/// The checksum of an IPv4 header.
fn ones(header: &[u8]) -> u16 {
    let mut sum: u32 = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Sends segments in one go, and returns what comes.
fn carried(rig: &mut Rig, segments: &[Seg]) -> Vec<Packet> {
    for segment in segments {
        let bytes = segment.bytes();
        let room = rig.front.transmit().expect("there is room");
        room.consume_as(bytes.len(), LEFT, |into| into.copy_from_slice(&bytes));
    }
    rig.front.flush_notifications();
    rig.pass(MS * 20);
    rig.sent()
}

/// Cuts a packet as hardware does, each with its checksum.
fn cut(packet: &Packet) -> Vec<Vec<u8>> {
    let finish = |mut bytes: Vec<u8>| {
        Transport::find(&bytes).expect("it is TCP").complete(&mut bytes);
        bytes
    };
    let Some(size) = packet.gso.map(|gso| usize::from(gso.size)) else { return vec![finish(packet.data.clone())] };
    let v6 = packet.data[12] == 0x86;
    let (header, mut at) = (if v6 { 74 } else { 54 }, 0);
    let pieces = packet.data[header..].chunks(size);
    let count = pieces.len();
    let segment = |(number, payload): (usize, &[u8])| {
        let mut bytes = packet.data[..header].to_vec();
        let sequence = u32::from_be_bytes(bytes[header - 16..header - 12].try_into().unwrap()).wrapping_add(at);
        bytes[header - 16..header - 12].copy_from_slice(&sequence.to_be_bytes());
        if number + 1 < count {
            bytes[header - 7] &= !0x08;
        }
        let length = (header - 14 + payload.len() - if v6 { 40 } else { 0 }) as u16;
        let place = if v6 { 18 } else { 16 };
        bytes[place..place + 2].copy_from_slice(&length.to_be_bytes());
        if !v6 {
            bytes[18..20].copy_from_slice(&(sequence as u16).to_be_bytes());
            bytes[24..26].copy_from_slice(&[0; 2]);
            let checksum = ones(&bytes[14..34]);
            bytes[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        bytes.extend(payload);
        at += payload.len() as u32;
        finish(bytes)
    };
    pieces.enumerate().map(segment).collect()
}

fn finished(segments: &[Seg]) -> Vec<Vec<u8>> {
    let one = |segment: &Seg| {
        let mut bytes = segment.bytes();
        Transport::find(&bytes).expect("it is TCP").complete(&mut bytes);
        bytes
    };
    segments.iter().map(one).collect()
}

/// So many that follow each other.
fn stream(first: Seg, count: usize) -> Vec<Seg> {
    std::iter::successors(Some(first), |segment| Some(segment.after())).take(count).collect()
}

#[test]
fn segments_that_follow_each_other_are_one_packet() {
    let mut rig = Rig::new(1, OFFLOADS, Offer::DEFAULT);
    for v6 in [false, true] {
        for sequence in [1, u32::MAX - 1500] {
            let mut segments = stream(Seg { v6, sequence, ..PLAIN }, 6);
            (segments[5].len, segments[5].flags) = (300, 0x18);
            let came = carried(&mut rig, &segments);
            let kind = if v6 { GsoType::TCPV6 } else { GsoType::TCPV4 };
            assert_eq!((came.len(), came[0].gso), (1, Some(Gso { kind, size: 1000 })));
            let header = segments[0].header();
            assert_eq!(came[0].data.len(), header + 5300);
            if !v6 {
                assert_eq!(ones(&came[0].data[14..34]), 0, "the checksum of the header is right");
            }
            assert_eq!(cut(&came[0]), finished(&segments));
        }
    }
    let sent = rig.front.statistics().sent;
    assert_eq!((sent.packets, sent.failed, sent.refused), (24, 0, 0));
    rig.close();
    rig.assert_given_back();
}

#[test]
fn what_is_not_alike_stays_by_itself_and_in_its_order() {
    let second = PLAIN.after();
    let others = [
        Seg { sequence: second.sequence + 1, ..second },
        Seg { port: 81, ..second },
        Seg { ack: 8, ..second },
        Seg { window: 501, ..second },
        Seg { flags: 0x11, ..second },
        Seg { flags: 0x14, ..second },
        Seg { flags: 0x30, ..second },
        Seg { flags: 0x12, ..second },
        Seg { len: 1001, ..second },
        Seg { v6: true, ..second },
        Seg { len: 0, ..second },
    ];
    let mut rig = Rig::new(2, OFFLOADS, Offer::DEFAULT);
    for other in others {
        let came = carried(&mut rig, &[PLAIN, other]);
        assert_eq!(came.iter().flat_map(cut).collect::<Vec<_>>(), finished(&[PLAIN, other]));
        assert!(came.len() == 2 && came.iter().all(|packet| packet.gso.is_none()), "{:x}", other.flags);
    }
    // Nothing follows what pushes, or is shorter.
    for last in [Seg { flags: 0x18, ..second }, Seg { len: 999, ..second }] {
        let segments = [PLAIN, last, Seg { flags: 0x10, ..last.after() }];
        let came = carried(&mut rig, &segments);
        assert_eq!(came.iter().map(|packet| packet.gso.is_some()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(came.iter().flat_map(cut).collect::<Vec<_>>(), finished(&segments));
    }
    // Another packet between two of them keeps its place.
    let (first, other) = (PLAIN.bytes(), crate::common::packet(60, 1));
    for (bytes, order) in [(&first, LEFT), (&other, Order::PLAIN), (&second.bytes(), LEFT)] {
        let room = rig.front.transmit().expect("there is room");
        room.consume_as(bytes.len(), order, |into| into.copy_from_slice(bytes));
    }
    rig.front.flush_notifications();
    rig.pass(MS * 20);
    let came = rig.sent();
    assert_eq!(came.iter().map(|packet| packet.data.len()).collect::<Vec<_>>(), [1054, 60, 1054]);
}

#[test]
fn a_backend_that_does_not_cut_gets_each() {
    for offer in [Offer { gso_tcpv4: false, ..Offer::DEFAULT }, Offer { csum: false, ..Offer::DEFAULT }, Offer::BARE] {
        let mut rig = Rig::new(3, OFFLOADS, offer);
        let came = carried(&mut rig, &stream(PLAIN, 5));
        assert_eq!(came.len(), 5);
        assert_eq!(came.iter().flat_map(cut).collect::<Vec<_>>(), finished(&stream(PLAIN, 5)));
    }
}

/// Two streams, of which one comes into the other: each goes on where it was.
#[test]
fn another_packet_of_the_same_length_goes_elsewhere() {
    let others = [
        Seg { port: 81, ..PLAIN },
        Seg { sequence: 77, ..PLAIN },
        Seg { flags: 0x11, ..PLAIN },
        Seg { len: 900, port: 82, ..PLAIN },
    ];
    let mut rig = Rig::new(5, OFFLOADS, Offer::DEFAULT);
    for (other, v6) in others.into_iter().flat_map(|other| [(other, false), (other, true)]) {
        for before in 2..8 {
            let mut segments = stream(Seg { v6, ..PLAIN }, before + 2);
            segments.insert(before, Seg { v6, ..other });
            let came = carried(&mut rig, &segments);
            assert_eq!(came.iter().flat_map(cut).collect::<Vec<_>>(), finished(&segments), "behind {before}");
            assert_eq!(came.len(), 3, "behind {before}");
        }
    }
    rig.close();
    rig.assert_given_back();
}

/// What is written behind a segment may be no TCP at all, and shorter than the headers that are expected.
#[test]
fn what_is_no_segment_goes_elsewhere() {
    let mut rig = Rig::new(6, OFFLOADS, Offer::DEFAULT);
    for len in [60, 300, 1054] {
        let (segments, other) = (stream(PLAIN, 3), crate::common::packet(len, 3));
        for bytes in segments.iter().map(|segment| segment.bytes()).chain([other.clone()]) {
            let room = rig.front.transmit().expect("there is room");
            room.consume_as(bytes.len(), LEFT, |into| into.copy_from_slice(&bytes));
        }
        rig.front.flush_notifications();
        rig.pass(MS * 20);
        let came = rig.sent();
        assert_eq!((came.len(), cut(&came[0])), (2, finished(&segments)));
        assert_eq!(came[1].data, other);
    }
}

#[test]
fn a_long_stream_comes_whole_whatever_room_there_is() {
    for (pages, len) in [18, 19, 37, 64, 256].into_iter().flat_map(|pages| [(pages, 100), (pages, 1000), (pages, 1446)])
    {
        let first = Seg { len, ..PLAIN };
        let options = Options { transmit_pages: pages, first_index: u32::MAX - 100, ..OFFLOADS };
        let mut rig = Rig::new(4, options, Offer { latency: Duration::ZERO..MS * 2, ..Offer::DEFAULT });
        let (mut segments, mut came) = (stream(first, 700).into_iter().peekable(), Vec::new());
        for round in 0.. {
            if segments.peek().is_none() {
                break;
            }
            assert!(round < 1000, "there is room again and again: {:?}", rig.front);
            while segments.peek().is_some()
                && let Some(room) = rig.front.transmit()
            {
                let bytes = segments.next().expect("it was there").bytes();
                room.consume_as(bytes.len(), LEFT, |into| into.copy_from_slice(&bytes));
            }
            rig.front.flush_notifications();
            rig.pass(MS);
            came.extend(rig.sent());
        }
        rig.pass(MS * 20);
        came.extend(rig.sent());
        // The first page has one segment, and each of 17 others as many as there is room for; up to 64 KiB.
        let most = (1 + 17 * ((4096 - 54) / len)).min((0xffff - 54) / len);
        let longest = came.iter().map(|packet| packet.data.len()).max().expect("something came");
        assert!(longest <= 54 + most * len && came.len() < 400, "{} packets, one of {longest}", came.len());
        assert!(pages < 64 || longest == 54 + most * len, "{longest} of {} bytes", 54 + most * len);
        assert_eq!(
            came.iter().flat_map(cut).collect::<Vec<_>>(),
            finished(&stream(first, 700)),
            "{pages} pages of {len}"
        );
        assert_eq!((rig.back().disabled(), rig.back().statistics().refused), (None, 0));
        rig.close();
        rig.assert_given_back();
    }
}
