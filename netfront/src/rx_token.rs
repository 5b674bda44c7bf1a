//! A packet that has come.

use crate::Platform;
use crate::packet::Meta;
use crate::receive::Receive;

/// A packet that has come, whole and checked.
///
/// Dropping it leaves the packet where it is: it is the next one again.
pub struct RxToken<'a, P: Platform> {
    receive: &'a mut Receive<P>,
}

impl<'a, P: Platform> RxToken<'a, P> {
    pub(crate) const fn new(receive: &'a mut Receive<P>) -> Self {
        Self { receive }
    }

    /// How many bytes it has, its Ethernet header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.receive.bytes().len()
    }

    /// Whether it has no bytes, which does not happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queue that it came on: 0 to [`Link::queues`](crate::Link::queues), exclusively.
    #[must_use]
    pub const fn queue(&self) -> u32 {
        self.receive.number()
    }

    /// What else is known of it.
    #[must_use]
    pub fn meta(&self) -> Meta {
        self.receive.meta()
    }

    /// The packet's bytes, to look at and leave. They are the domain's own: nobody changes them meanwhile.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.receive.bytes()
    }

    /// Hands the packet's bytes out, and is done with it.
    #[inline]
    pub fn consume<R>(self, read: impl FnOnce(&[u8]) -> R) -> R {
        self.receive.consume(read)
    }

    /// Copies the packet, as much of it as there is room for, and is done with it. Answers how many bytes it had.
    pub fn copy_to(self, into: &mut [u8]) -> usize {
        self.consume(|bytes| {
            into.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            bytes.len()
        })
    }

    /// Is done with the packet, whose checksum is wrong.
    #[cfg(any(feature = "smoltcp", feature = "embassy-net-driver"))]
    pub(crate) fn discard_wrong(self) {
        self.receive.received.wrong_checksum += 1;
        self.discard();
    }

    /// Is done with the packet.
    pub fn discard(self) {
        self.consume(|_| ());
    }
}

impl<P: Platform> core::fmt::Debug for RxToken<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RxToken").field("len", &self.len()).field("meta", &self.meta()).finish_non_exhaustive()
    }
}
