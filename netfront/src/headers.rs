//! Where a packet has its checksum of TCP or UDP, and what that should be.
//!
//! Packets come from a peer: every length in them is checked against what is there.

use core::ops::Range;

use crate::packet::ETHERNET_HEADER;

const VLAN: u16 = 0x8100;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The largest number of extension headers of IPv6 that are looked through.
const MOST_EXTENSIONS: usize = 8;

/// The TCP or UDP of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    protocol: u8,
    /// Both addresses.
    addresses: Range<usize>,
    /// Its header and its payload.
    body: Range<usize>,
}

impl Transport {
    /// Finds it, if there is one whose header is within the packet, not cut into fragments.
    #[must_use]
    pub fn find(packet: &[u8]) -> Option<Self> {
        let (mut kind, mut at) = (be16(packet, 12)?, ETHERNET_HEADER);
        if kind == VLAN {
            (kind, at) = (be16(packet, at + 2)?, at + 4);
        }
        let found = match kind {
            IPV4 => ipv4(packet, at),
            IPV6 => ipv6(packet, at),
            _ => None,
        }?;
        let header = if found.protocol == TCP { 20 } else { 8 };
        (found.body.len() >= header).then_some(found)
    }

    /// Whether it is over IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.addresses.end - self.addresses.start == 32
    }

    /// Whether it is TCP.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }

    /// Where the checksum stands.
    const fn checksum_at(&self) -> usize {
        self.body.start + if self.protocol == TCP { 16 } else { 6 }
    }

    /// Where it is: its header and its payload.
    pub(crate) const fn body(&self) -> Range<usize> {
        self.body.start..self.body.end
    }

    /// Has the headers say that the packet is so long, of which these are the first bytes. The checksum is left to others.
    pub(crate) fn lengthen(mut self, packet: &mut [u8], total: usize) {
        let (ip, longer) = (self.addresses.start, total - self.body.end);
        let (length_at, header) = if self.is_v6() { (ip - 4, None) } else { (ip - 10, Some(ip - 12..self.body.start)) };
        let length = usize::from(be16(packet, length_at).unwrap_or(0)) + longer;
        put(packet, length_at, length as u16);
        if let Some(header) = header {
            put(packet, ip - 2, 0);
            let checksum = !fold(sum(packet.get(header).unwrap_or_default()));
            put(packet, ip - 2, checksum);
        }
        self.body.end = total;
        self.leave_blank(packet);
    }

    /// The sum of the pseudo-header.
    fn pseudo(&self, packet: &[u8]) -> u16 {
        let length = self.body.len() as u32;
        let rest = u32::from(self.protocol) + (length >> 16) + (length & 0xffff);
        fold(sum(packet.get(self.addresses.clone()).unwrap_or_default()) + u64::from(rest))
    }

    /// Whether the checksum is right, or there is none, as UDP over IPv4 may have it.
    #[must_use]
    pub fn is_right(&self, packet: &[u8]) -> bool {
        let none = self.protocol == UDP && !self.is_v6() && be16(packet, self.checksum_at()) == Some(0);
        let body = packet.get(self.body.clone()).unwrap_or_default();
        none || fold(sum(body) + u64::from(self.pseudo(packet))) == 0xffff
    }

    /// Leaves the checksum to others: puts the sum of the pseudo-header in its place.
    pub fn leave_blank(&self, packet: &mut [u8]) {
        self.put(packet, self.pseudo(packet));
    }

    /// Makes the checksum, whatever stands in its place.
    pub fn complete(&self, packet: &mut [u8]) {
        self.put(packet, 0);
        let body = packet.get(self.body.clone()).unwrap_or_default();
        let checksum = !fold(sum(body) + u64::from(self.pseudo(packet)));
        // Zero would say that there is none. (RFC 768)
        self.put(packet, if checksum == 0 && self.protocol == UDP { 0xffff } else { checksum });
    }

    fn put(&self, packet: &mut [u8], value: u16) {
        put(packet, self.checksum_at(), value);
    }
}

fn put(packet: &mut [u8], at: usize, value: u16) {
    if let Some(place) = packet.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// RFC 791.
fn ipv4(packet: &[u8], at: usize) -> Option<Transport> {
    let first = *packet.get(at)?;
    let (header, total) = (usize::from(first & 0xf) * 4, usize::from(be16(packet, at + 2)?));
    let is_fragment = be16(packet, at + 6)? & 0x3fff != 0;
    let end = at + total;
    if first >> 4 != 4 || header < 20 || total < header || end > packet.len() || is_fragment {
        return None;
    }
    transport(*packet.get(at + 9)?, at + 12..at + 20, at + header..end)
}

/// RFC 8200.
fn ipv6(packet: &[u8], at: usize) -> Option<Transport> {
    let end = at + 40 + usize::from(be16(packet, at + 4)?);
    if packet.get(at)? >> 4 != 6 || end > packet.len() {
        return None;
    }
    let (mut next, mut body) = (*packet.get(at + 6)?, at + 40);
    for _ in 0..MOST_EXTENSIONS {
        match next {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => {
                let length = 8 + usize::from(*packet.get(body + 1)?) * 8;
                (next, body) = (*packet.get(body)?, body + length);
            }
            _ => break,
        }
    }
    if body > end {
        return None;
    }
    transport(next, at + 8..at + 40, body..end)
}

fn transport(protocol: u8, addresses: Range<usize>, body: Range<usize>) -> Option<Transport> {
    matches!(protocol, TCP | UDP).then_some(Transport { protocol, addresses, body })
}

fn be16(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

/// The sum of 16-bit words, the last one filled with a zero. (RFC 1071)
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let words: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words + u64::from(u32::from_be_bytes(last))
}

const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// UDP over IPv4, without a checksum.
    fn udp(payload: &[u8]) -> Vec<u8> {
        let total = 28 + payload.len() as u16;
        let mut packet = vec![0; 12];
        packet.extend([0x08, 0x00, 0x45, 0]);
        packet.extend(total.to_be_bytes());
        packet.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 53]);
        packet.extend((total - 20).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        packet
    }

    fn tcp_v6(payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 12];
        packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        packet.extend((20 + 8 + payload.len() as u16).to_be_bytes());
        packet.extend([60, 64]);
        packet.extend([0xfe; 32]);
        // Destination options of eight bytes, then TCP.
        packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        packet.extend(payload);
        packet
    }

    /// The sum over words of 16 bits, as RFC 1071 puts it, one by one.
    fn reference(transport: &Transport, packet: &[u8]) -> u16 {
        let mut bytes = packet[transport.addresses.clone()].to_vec();
        bytes.extend([0, transport.protocol]);
        bytes.extend((transport.body.len() as u16).to_be_bytes());
        bytes.extend(&packet[transport.body.clone()]);
        if bytes.len() % 2 == 1 {
            bytes.push(0);
        }
        let mut sum = 0_u32;
        for word in bytes.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(word[1]);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn a_checksum_is_made_and_verified_as_the_rfc_has_it() {
        for len in [0, 1, 2, 3, 40, 1459, 1460] {
            let payload: Vec<u8> = (0..len).map(|byte: u32| (byte * 37 + 11) as u8).collect();
            for mut packet in [udp(&payload), tcp_v6(&payload)] {
                let transport = Transport::find(&packet).expect("a transport");
                transport.complete(&mut packet);
                assert!(transport.is_right(&packet));
                assert_eq!(reference(&transport, &packet), 0xffff, "{len} bytes");
                packet[transport.body.start] ^= 1;
                assert!(!transport.is_right(&packet));
            }
        }
    }

    #[test]
    fn a_blank_one_is_the_sum_of_the_pseudo_header() {
        let mut packet = udp(b"payload");
        let transport = Transport::find(&packet).unwrap();
        transport.leave_blank(&mut packet);
        // 10.0.0.1, 10.0.0.2, 17, and a length of 15.
        assert_eq!(be16(&packet, 40), Some(0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 15));
        assert!(!transport.is_right(&packet));
    }

    #[test]
    fn udp_over_ipv4_may_have_none() {
        let packet = udp(b"payload");
        assert!(Transport::find(&packet).unwrap().is_right(&packet));
    }

    #[test]
    fn a_vlan_tag_is_looked_through() {
        let mut packet = udp(b"x");
        packet.splice(12..12, [0x81, 0, 0, 7]);
        assert!(Transport::find(&packet).is_some());
    }

    #[test]
    fn a_packet_cut_anywhere_has_no_transport_or_one_within_it() {
        for packet in [udp(b"payload"), tcp_v6(b"payload")] {
            for len in 0..packet.len() {
                assert_eq!(Transport::find(&packet[..len]), None, "the lengths in it say more");
            }
        }
    }

    #[test]
    fn any_byte_may_be_anything() {
        for packet in [udp(b"payload"), tcp_v6(b"payload")] {
            for at in 0..packet.len() {
                for value in 0..=255 {
                    let mut packet = packet.clone();
                    packet[at] = value;
                    if let Some(transport) = Transport::find(&packet) {
                        assert!(transport.body.end <= packet.len() && transport.checksum_at() + 2 <= packet.len());
                        transport.complete(&mut packet);
                    }
                }
            }
        }
    }
}
