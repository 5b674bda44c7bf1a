//! What a sender leaves to others: checksums, segments. As in Linux, a front that cannot take such packets gets finished ones.

use xen_hypercall::abi::io::netif::GsoType;

use super::engine::Agreed;
use super::packet::{Checksum, ETH_HLEN, Gso, Packet};

/// Where the parts of a packet of TCP or UDP are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    version: u8,
    protocol: u8,
    /// Where the header of the transport begins.
    transport: usize,
}

/// Protocols over IP.
pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a frame says of what is in it.
pub(super) const ETH_IPV4: [u8; 2] = [0x08, 0x00];
pub(super) const ETH_IPV6: [u8; 2] = [0x86, 0xdd];

/// Makes of a packet what the front can take; `None` where it cannot be done.
pub(super) fn adapt(packet: Packet, agreed: &Agreed) -> Option<Vec<Packet>> {
    let packets = match packet.gso {
        Some(gso) if !agreed.takes(gso) => segments(&packet, gso)?,
        _ => vec![packet],
    };
    packets.into_iter().map(|packet| finish(packet, agreed)).collect()
}

/// Makes the checksum, where the front cannot.
fn finish(packet: Packet, agreed: &Agreed) -> Option<Packet> {
    // A front that takes all is not shown where the checksum is.
    if packet.checksum != Checksum::Blank || (agreed.csum && agreed.ipv6_csum) {
        return Some(packet);
    }
    let headers = Headers::of(&packet.data)?;
    let takes = if headers.version == 4 { agreed.csum } else { agreed.ipv6_csum };
    Some(if takes { packet } else { packet.finished() })
}

impl Agreed {
    const fn takes(&self, gso: Gso) -> bool {
        let kind = match gso.kind {
            GsoType::TCPV4 => self.gso_tcpv4 && self.csum,
            GsoType::TCPV6 => self.gso_tcpv6 && self.ipv6_csum,
            _ => false,
        };
        kind && self.sg
    }
}

impl Headers {
    /// Finds the headers; `None` where they are not whole, or others.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        let packet = data.get(ETH_HLEN..)?;
        let (version, protocol, header) = match *data.get(12..)?.first_chunk()? {
            ETH_IPV4 => ipv4(packet)?,
            ETH_IPV6 => ipv6(packet)?,
            _ => return None,
        };
        let headers = Self { version, protocol, transport: ETH_HLEN + header };
        let is_whole = data.len() >= headers.transport + headers.length(data)?;
        is_whole.then_some(headers)
    }

    /// Bytes of the transport's header.
    fn length(&self, data: &[u8]) -> Option<usize> {
        match self.protocol {
            TCP => Some(usize::from(*data.get(self.transport + 12)? >> 4) * 4).filter(|length| *length >= 20),
            UDP => Some(8),
            _ => None,
        }
    }

    /// Where the checksum is.
    const fn checksum(&self) -> usize {
        self.transport + if self.protocol == TCP { 16 } else { 6 }
    }

    /// Makes the checksum of what is there, the sum over the pseudo header included.
    pub(super) fn fill(&self, data: &mut [u8]) {
        let sum = !fold(sum(&data[self.transport..]));
        // Over UDP, zero would say that there is none.
        let sum = if sum == 0 && self.protocol == UDP { 0xffff } else { sum };
        data[self.checksum()..][..2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Writes the sum over the pseudo header in the checksum's place.
    pub(super) fn blank(&self, data: &mut [u8]) {
        let addresses = if self.version == 4 { ETH_HLEN + 12..ETH_HLEN + 20 } else { ETH_HLEN + 8..ETH_HLEN + 40 };
        let length = (data.len() - self.transport) as u64;
        let sum = fold(sum(&data[addresses]) + length + u64::from(self.protocol));
        data[self.checksum()..][..2].copy_from_slice(&sum.to_be_bytes());
    }
}

fn ipv4(packet: &[u8]) -> Option<(u8, u8, usize)> {
    let (first, fragment, protocol) = (*packet.first()?, packet.get(6..8)?, *packet.get(9)?);
    let header = usize::from(first & 0xf) * 4;
    let is_whole = fragment[0] & 0x3f == 0 && fragment[1] == 0 && header >= 20;
    is_whole.then_some((4, protocol, header))
}

fn ipv6(packet: &[u8]) -> Option<(u8, u8, usize)> {
    let (mut protocol, mut header) = (*packet.get(6)?, 40);
    // Options for each hop, for the destination, a route.
    while matches!(protocol, 0 | 43 | 60) {
        let next = packet.get(header..header + 2)?;
        (protocol, header) = (next[0], header + usize::from(next[1]) * 8 + 8);
    }
    Some((6, protocol, header))
}

fn sum(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    bytes.chunks(2).map(word).sum()
}

const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Cuts a packet into segments, whose checksums are blank.
fn segments(packet: &Packet, gso: Gso) -> Option<Vec<Packet>> {
    let headers = Headers::of(&packet.data).filter(|headers| headers.protocol == TCP && gso.size > 0)?;
    let (start, size) = (headers.transport + headers.length(&packet.data)?, usize::from(gso.size));
    let (before, payload) = packet.data.split_at(start);
    let count = payload.len().div_ceil(size).max(1);
    let segment = |number: usize| {
        let from = number * size;
        let mut data = [before, &payload[from..payload.len().min(from + size)]].concat();
        patch_network(&mut data, headers, number as u16);
        patch_tcp(&mut data, headers, from as u32, segment_flags(number, count));
        headers.blank(&mut data);
        Packet { data, checksum: Checksum::Blank, gso: None, hash: packet.hash }
    };
    Some((0..count).map(segment).collect())
}

fn patch_network(data: &mut [u8], headers: Headers, number: u16) {
    let length = (data.len() - ETH_HLEN) as u16;
    let packet = &mut data[ETH_HLEN..];
    if headers.version == 6 {
        packet[4..6].copy_from_slice(&(length - 40).to_be_bytes());
        return;
    }
    let id = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(number);
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[10..12].fill(0);
    let sum = !fold(sum(&packet[..headers.transport - ETH_HLEN]));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Which flags of TCP a segment may have: the end is said at the end, and that the window is reduced at the start.
const fn segment_flags(number: usize, count: usize) -> u8 {
    const FIN_PSH: u8 = 0x09;
    const CWR: u8 = 0x80;
    let end = if number + 1 == count { 0 } else { FIN_PSH };
    let start = if number == 0 { 0 } else { CWR };
    !(end | start)
}

fn patch_tcp(data: &mut [u8], headers: Headers, from: u32, flags: u8) {
    let tcp = &mut data[headers.transport..];
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(from);
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[13] &= flags;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of TCP over one version of IP with a blank checksum.
    fn tcp(version: u8, payload: usize) -> Packet {
        let mut data = vec![2; 12];
        let length = (20 + payload) as u16;
        if version == 4 {
            data.extend([0x08, 0x00, 0x45, 0]);
            data.extend((20 + length).to_be_bytes());
            data.extend([0, 7, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        } else {
            data.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            data.extend(length.to_be_bytes());
            data.extend([TCP, 64]);
            data.extend([1; 32]);
        }
        data.extend([0, 80, 0, 81, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0x50, 0x99, 1, 0, 0, 0, 0, 0]);
        data.extend((0..payload).map(|index| index as u8));
        let headers = Headers::of(&data).unwrap();
        patch_network(&mut data, headers, 0);
        headers.blank(&mut data);
        Packet { checksum: Checksum::Blank, ..Packet::new(data) }
    }

    /// Whether the checksums of IP and TCP are right.
    fn is_right(data: &[u8]) -> bool {
        let headers = Headers::of(data).unwrap();
        let mut copy = data.to_vec();
        headers.blank(&mut copy);
        let pseudo = u64::from(u16::from_be_bytes([copy[headers.checksum()], copy[headers.checksum() + 1]]));
        let network = headers.version == 6 || fold(sum(&data[ETH_HLEN..headers.transport])) == 0xffff;
        network && fold(sum(&data[headers.transport..]) + pseudo) == 0xffff
    }

    const ALL: Agreed = Agreed {
        sg: true,
        gso_tcpv4: true,
        gso_tcpv6: true,
        csum: true,
        ipv6_csum: true,
        rx_notify: true,
        multicast: false,
        headroom: 0,
    };

    #[test]
    fn what_the_front_takes_is_left_as_it_is() {
        let packet = Packet { gso: Some(Gso { kind: GsoType::TCPV4, size: 100 }), ..tcp(4, 1000) };
        assert_eq!(adapt(packet.clone(), &ALL), Some(vec![packet]));
        let junk = Packet { checksum: Checksum::Blank, ..Packet::new([7; 60]) };
        assert_eq!(adapt(junk.clone(), &ALL), Some(vec![junk.clone()]));
        assert_eq!(adapt(junk, &Agreed::default()), None);
    }

    #[test]
    fn checksums_are_made() {
        for (version, agreed) in [(4, Agreed { csum: false, ..ALL }), (6, Agreed { ipv6_csum: false, ..ALL })] {
            for payload in [0, 1, 100, 101] {
                let packet = tcp(version, payload);
                assert!(!is_right(&packet.data));
                let made = adapt(packet, &agreed).unwrap().remove(0);
                assert_eq!(made.checksum, Checksum::Unknown);
                assert!(is_right(&made.data), "{payload} bytes over version {version}");
                let other = tcp(10 - version, payload);
                assert_eq!(adapt(other.clone(), &agreed), Some(vec![other]), "the other version's are left");
            }
        }
    }

    #[test]
    fn segments_are_made() {
        for (version, kind) in [(4, GsoType::TCPV4), (6, GsoType::TCPV6)] {
            let whole = Packet { gso: Some(Gso { kind, size: 300 }), ..tcp(version, 1000) };
            let made = adapt(whole.clone(), &Agreed { csum: false, ipv6_csum: false, ..ALL }).unwrap();
            let headers = Headers::of(&whole.data).unwrap();
            let start = headers.transport + 20;
            assert_eq!(made.iter().map(|packet| packet.data.len() - start).collect::<Vec<_>>(), [300, 300, 300, 100]);
            assert_eq!(
                made.iter().flat_map(|packet| &packet.data[start..]).copied().collect::<Vec<_>>(),
                whole.data[start..]
            );
            assert!(made.iter().all(|packet| is_right(&packet.data) && packet.gso.is_none()));
            let flags: Vec<u8> = made.iter().map(|packet| packet.data[headers.transport + 13]).collect();
            assert_eq!(flags, [0x90, 0x10, 0x10, 0x19]);
            let sequences: Vec<u8> = made.iter().map(|packet| packet.data[headers.transport + 7]).collect();
            assert_eq!(sequences, [0xf0, 0x1c, 0x48, 0x74]);
        }
    }

    #[test]
    fn headers_that_are_not_whole_are_none() {
        let packet = tcp(4, 0).data;
        assert!(Headers::of(&packet).is_some());
        assert!((0..packet.len()).all(|len| Headers::of(&packet[..len]).is_none()));
        for (at, byte) in [(14, 0x44), (20, 0x20), (21, 1), (23, 1), (46, 0x40)] {
            let mut packet = packet.clone();
            packet[at] = byte;
            assert_eq!(Headers::of(&packet), None, "byte {at}");
        }
    }
}
