//! Room for a packet to be sent.

use crate::Platform;
use crate::packet::Order;
use crate::transmit::Transmit;

/// Room for one packet: its slots and its pages are set aside for it.
///
/// [`consume`](Self::consume) cannot fail. Dropping it gives all back.
pub struct TxToken<'a, P: Platform> {
    transmit: &'a mut Transmit<P>,
    most: usize,
}

impl<'a, P: Platform> TxToken<'a, P> {
    pub(crate) const fn new(transmit: &'a mut Transmit<P>, most: usize) -> Self {
        Self { transmit, most }
    }

    /// Bytes that the packet can have, its Ethernet header included.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.most
    }

    /// Has `write` make a packet of `len` bytes, and sends it. The backend sees it after
    /// [`flush_notifications`](crate::Netfront::flush_notifications).
    ///
    /// `write` finds bytes of earlier packets to the same backend, and is to write all of them. A packet that is shorter than an
    /// Ethernet header, or longer than the [capacity](Self::capacity), is counted as
    /// [refused](crate::Sent::refused), and not sent: backends are known to choke on such.
    #[inline]
    pub fn consume<R>(self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.transmit.send(self.most, len, Order::PLAIN, write)
    }

    /// The same, with something left to the backend. A checksum that it does not take is made here; a packet that is to be cut, and
    /// cannot be, is refused.
    #[inline]
    pub fn consume_as<R>(self, len: usize, order: Order, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.transmit.send(self.most, len, order, write)
    }
}

impl<P: Platform> core::fmt::Debug for TxToken<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TxToken").field("capacity", &self.most).finish_non_exhaustive()
    }
}
