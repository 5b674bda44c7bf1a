//! A cable.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Address, Ipv4Packet, TcpPacket};

use super::SERVER;

/// So many packets are on the way at most.
const MOST: usize = 256;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;
/// Packets and bytes.
type Seen = Rc<Cell<(u64, u64)>>;

/// One end of a cable.
pub(crate) struct Port {
    incoming: Queue,
    outgoing: Queue,
    received: Seen,
    sent: Seen,
    /// Of so many packets that are sent, one is lost; 0: none.
    loss: u64,
    pub(crate) mtu: usize,
}

/// Both ends.
pub(crate) fn pair() -> (Port, Port) {
    let (left, right, there, back) = (Queue::default(), Queue::default(), Seen::default(), Seen::default());
    let port = |incoming: &Queue, outgoing: &Queue| Port {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        received: Seen::default(),
        sent: Seen::default(),
        loss: 0,
        mtu: 1500,
    };
    let (one, other) = (port(&left, &right), port(&right, &left));
    (Port { received: Rc::clone(&back), sent: Rc::clone(&there), ..one }, Port { received: there, sent: back, ..other })
}

impl Port {
    /// Packets and bytes: received, sent.
    pub(crate) fn seen(&self) -> ((u64, u64), (u64, u64)) {
        (self.received.get(), self.sent.get())
    }

    /// Whether something is on the way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.incoming.borrow().is_empty() || !self.outgoing.borrow().is_empty()
    }

    /// Puts a packet on the cable.
    pub(crate) fn inject(&self, frame: Vec<u8>) {
        self.outgoing.borrow_mut().push_back(frame);
    }

    /// From now on one of so many packets that are sent is lost.
    pub(crate) const fn lose_every(&mut self, loss: u64) {
        self.loss = loss;
    }

    /// Lets the cable be full.
    pub(crate) fn fill(&self) {
        self.outgoing.borrow_mut().resize(MOST, Vec::new());
    }
}

impl Device for Port {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Frame, Room<'_>)> {
        let frame = self.incoming.borrow_mut().pop_front()?;
        Some((Frame(frame), Room(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        (self.outgoing.borrow().len() < MOST).then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

pub(crate) struct Frame(pub(crate) Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub(crate) struct Room<'a>(&'a Port);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let (packets, bytes) = self.0.sent.get();
        self.0.sent.set((packets + 1, bytes + len as u64));
        if self.0.loss == 0 || packets % self.0.loss != self.0.loss - 1 {
            self.0.outgoing.borrow_mut().push_back(frame);
        }
        result
    }
}

/// The packet that begins a connection, from an address that does not answer.
pub(crate) fn handshake(from: [u8; 4], port: u16) -> Vec<u8> {
    let (source, target) = (IpAddress::from(Ipv4Address::from(from)), IpAddress::from(Ipv4Address::from(SERVER)));
    let mut frame = vec![0; 14 + 20 + 20];
    frame[..14].copy_from_slice(b"\x02\0\0\0\0\x02\x02\0\0\0\0\x4d\x08\0");
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.set_version(4);
    ip.set_header_len(20);
    ip.set_total_len(40);
    ip.set_hop_limit(64);
    ip.set_next_header(IpProtocol::Tcp);
    ip.set_src_addr(from.into());
    ip.set_dst_addr(SERVER.into());
    ip.fill_checksum();
    let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
    tcp.set_src_port(port + 1024);
    tcp.set_dst_port(80);
    tcp.set_header_len(20);
    tcp.set_window_len(1000);
    tcp.set_syn(true);
    tcp.fill_checksum(&source, &target);
    frame
}
