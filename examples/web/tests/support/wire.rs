//! A cable.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// So many packets are on the way at most.
const MOST: usize = 256;
const FRAME: usize = 1514;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;
/// Packets and bytes.
type Seen = Rc<Cell<(u64, u64)>>;

/// One end of a cable.
pub(crate) struct Port {
    incoming: Queue,
    outgoing: Queue,
    received: Seen,
    sent: Seen,
}

/// Both ends.
pub(crate) fn pair() -> (Port, Port) {
    let (left, right, there, back) = (Queue::default(), Queue::default(), Seen::default(), Seen::default());
    let port = |incoming: &Queue, outgoing: &Queue| Port {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        received: Seen::default(),
        sent: Seen::default(),
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

    /// Loses what is on the way to this end.
    pub(crate) fn lose(&self) {
        self.incoming.borrow_mut().clear();
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
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

pub(crate) struct Frame(Vec<u8>);

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
        self.0.outgoing.borrow_mut().push_back(frame);
        result
    }
}
