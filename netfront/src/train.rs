//! Segments of a TCP connection that follow each other, which the backend gets as one packet, to be cut again where it has to be.
//!
//! A stack that makes no packets longer than the MTU sends many alike. None is copied: the packet is the headers of the first one, and the
//! payloads of all, of which several stand behind each other in a page. The backend does for all of them what it else does for each.

use alloc::vec::Vec;
use core::ops::Range;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::{MAX_TX_SIZE, NR_SLOTS_MIN};

use crate::headers::Transport;
use crate::packet::{ETHERNET_HEADER, Gso, GsoKind, Order};

/// Pages of a train at most: slots that every backend takes. (`XEN_NETIF_NR_SLOTS_MIN`, public/io/netif.h)
const LONGEST: usize = NR_SLOTS_MIN as usize;

/// Bytes of headers before the payload of a [`Segment`]: Ethernet, IPv6, TCP with all its options.
pub(crate) const MOST_HEADERS: usize = ETHERNET_HEADER + 40 + 60;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// A segment of TCP with payload, about which nothing is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    kind: GsoKind,
    /// Where the header of TCP begins.
    tcp: usize,
    /// Where the payload begins; it goes on to the packet's end.
    payload: usize,
    len: usize,
    sequence: u32,
    pushes: bool,
}

impl Segment {
    /// Looks for it in a packet of our own stack's, whose checksum is left to the backend.
    pub(crate) fn find(packet: &[u8]) -> Option<Self> {
        let transport = Transport::find(packet).filter(Transport::is_tcp)?;
        let (kind, usual) = if transport.is_v6() {
            (GsoKind::TcpV6, ETHERNET_HEADER + 40)
        } else {
            (GsoKind::TcpV4, ETHERNET_HEADER + 20)
        };
        let Range { start: tcp, end } = transport.body();
        let header = tcp..tcp + 20;
        let fields: &[u8; 20] = packet.get(header)?.first_chunk()?;
        let payload = tcp + usize::from(fields[12] >> 4) * 4;
        let is_plain = fields[13] & !PSH == ACK && tcp == usual && end == packet.len();
        if !is_plain || payload < tcp + 20 || payload >= end {
            return None;
        }
        let sequence = u32::from_be_bytes([fields[4], fields[5], fields[6], fields[7]]);
        Some(Self { kind, tcp, payload, len: end - payload, sequence, pushes: fields[13] & PSH != 0 })
    }

    pub(crate) const fn kind(&self) -> GsoKind {
        self.kind
    }

    /// Whether two packets have the same headers, but for lengths, checksums, sequence numbers, and where the payload is to be handed on.
    fn has_headers_of(&self, first: &[u8], packet: &[u8]) -> bool {
        let (ip, tcp) = (ETHERNET_HEADER, self.tcp);
        let same = |range: Range<usize>| first.get(range.clone()) == packet.get(range);
        let network = match self.kind {
            // All but length, identification and checksum.
            GsoKind::TcpV4 => same(0..ip + 2) && same(ip + 6..ip + 10) && same(ip + 12..tcp),
            // All but the length.
            GsoKind::TcpV6 => same(0..ip + 4) && same(ip + 6..tcp),
        };
        // Ports; acknowledgement and length of the header; window; urgent pointer and options.
        network
            && same(tcp..tcp + 4)
            && same(tcp + 8..tcp + 13)
            && same(tcp + 14..tcp + 16)
            && same(tcp + 18..self.payload)
    }
}

/// A page with payload: that of one segment, or of several behind each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Car {
    pub(crate) page: u16,
    /// Bytes of payload.
    pub(crate) len: u16,
}

/// Where a packet can be written so that its payload follows that of the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) page: u16,
    /// Where in the page the packet begins.
    pub(crate) at: usize,
    /// Bytes of its headers, which stand over the end of the last one.
    pub(crate) headers: usize,
}

/// Segments that wait for the next one, or to be shown to the backend.
#[derive(Debug, Default)]
pub(crate) struct Train {
    first: Option<Segment>,
    cars: Vec<Car>,
    /// Bytes of the packet.
    total: usize,
    /// The sequence number that comes next.
    next: u32,
    /// The last one is to be handed on at once.
    pushes: bool,
    /// Nothing can follow: the last one is shorter than the first, or pushes.
    is_complete: bool,
}

impl Train {
    pub(crate) fn new() -> Self {
        Self { cars: Vec::with_capacity(LONGEST), ..Self::default() }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Slots that it takes, with the one that says how it is cut.
    #[inline]
    pub(crate) fn slots(&self) -> usize {
        self.cars.len() + usize::from(self.cars.len() > 1)
    }

    /// The page with the headers.
    pub(crate) fn first_page(&self) -> Option<u16> {
        Some(self.cars.first()?.page)
    }

    /// Where a packet of so many bytes is to be written in the hope that it is the next segment, for which there is room in the last page.
    ///
    /// The first page has none but the first segment, and those of two connections that take turns never have a second page.
    #[inline]
    pub(crate) fn place_behind(&self, len: usize, order: Order) -> Option<Place> {
        let [_, .., last] = self.cars.as_slice() else { return None };
        let head = self.first.as_ref()?;
        let (end, payload) = (head.payload + usize::from(last.len), len.checked_sub(head.payload)?);
        let fits = (1..=head.len).contains(&payload) && end + payload <= PAGE_SIZE && self.has_room(payload);
        let place = Place { page: last.page, at: end - head.payload, headers: head.payload };
        (fits && order == Order::LEFT && !self.is_complete).then_some(place)
    }

    /// Whether a segment, in this packet, can be the next one behind those whose first is that packet, in a page of its own.
    pub(crate) fn fits(&self, segment: &Segment, first: &[u8], packet: &[u8]) -> bool {
        self.cars.len() < LONGEST && self.has_room(segment.len) && self.follows(segment, first, packet)
    }

    /// Whether a segment, in this packet, is the next one behind those whose first is that packet.
    pub(crate) fn follows(&self, segment: &Segment, first: &[u8], packet: &[u8]) -> bool {
        let Some(head) = &self.first else { return false };
        let is_next = segment.sequence == self.next && segment.len <= head.len && !self.is_complete;
        let is_alike = (segment.kind, segment.payload) == (head.kind, head.payload);
        is_next && is_alike && segment.has_headers_of(first, packet)
    }

    /// Whether the packet may be longer by so much.
    const fn has_room(&self, payload: usize) -> bool {
        self.total + payload <= MAX_TX_SIZE as usize
    }

    /// Puts a segment at its end, in a page of its own.
    pub(crate) fn add(&mut self, page: u16, segment: Segment) {
        self.cars.push(Car { page, len: 0 });
        if self.first.is_none() {
            self.total = segment.payload;
            self.first = Some(segment.clone());
        }
        self.couple(segment);
    }

    /// Puts a segment at its end, in the last page.
    pub(crate) fn couple(&mut self, segment: Segment) {
        let (Some(head), Some(last)) = (&self.first, self.cars.last_mut()) else { return };
        last.len += segment.len as u16;
        self.total += segment.len;
        self.next = segment.sequence.wrapping_add(segment.len as u32);
        self.pushes = segment.pushes;
        self.is_complete = segment.pushes || segment.len < head.len;
    }

    /// Where each page's payload begins, and how the packet is to be cut; `None` where there is nothing.
    pub(crate) fn cut(&self) -> Option<(usize, Gso)> {
        let head = self.first.as_ref()?;
        Some((head.payload, Gso { kind: head.kind, size: head.len as u16 }))
    }

    pub(crate) fn cars(&self) -> &[Car] {
        &self.cars
    }

    /// Makes the headers of the first segment those of all, and returns how many bytes that is.
    pub(crate) fn write_headers(&self, packet: &mut [u8]) -> usize {
        let Some(head) = &self.first else { return 0 };
        let own = packet.get(..head.payload + head.len).and_then(Transport::find);
        if self.pushes
            && let Some(flags) = packet.get_mut(head.tcp + 13)
        {
            *flags |= PSH;
        }
        if let Some(transport) = own {
            transport.lengthen(packet, self.total);
        }
        self.total
    }

    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.cars.clear();
        (self.pushes, self.is_complete) = (false, false);
    }
}
