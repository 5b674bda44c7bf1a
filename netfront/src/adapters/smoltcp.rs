//! Interfaces for smoltcp.

use smoltcp::phy::{self, Checksum as Who, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::{order, receive};
use crate::Platform;
use crate::device::Netfront;
use crate::options::Checksums;
use crate::packet::{ETHERNET_HEADER, Order};
use crate::rx_token::RxToken;
use crate::tx_token::TxToken;

/// smoltcp hands out packets as it is polled; they go to the backend with
/// [`flush_notifications`](Netfront::flush_notifications), or when the interface is [polled](Netfront::poll) or
/// [waits](Netfront::wait).
///
/// With [`Checksums::Offload`] smoltcp neither makes nor verifies the checksums of TCP and UDP. They are left to the backend, or made
/// here where it does not take that; and those that come are verified here, whatever the backend says, but for those that are
/// [blank](crate::Checksum::Blank). One that is wrong is dropped.
impl<P: Platform> Device for Netfront<P> {
    type RxToken<'a> = RxToken<'a, P>;
    type TxToken<'a> = Filled<'a, P>;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_, P>, Filled<'_, P>)> {
        let order = order(self.options.checksums);
        let (packet, room) = receive(self)?;
        Some((packet, Filled { room, order }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Filled<'_, P>> {
        let order = order(self.options.checksums);
        Some(Filled { room: Self::transmit(self)?, order })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // Of one that was never connected it is the usual one.
        let mtu = self.last_known().map_or(1500, |link| usize::from(link.mtu()));
        capabilities.max_transmission_unit = mtu + ETHERNET_HEADER;
        if self.options.checksums == Checksums::Offload {
            capabilities.checksum = offloaded();
        }
        capabilities
    }
}

fn offloaded() -> ChecksumCapabilities {
    let mut checksum = ChecksumCapabilities::default();
    (checksum.tcp, checksum.udp) = (Who::None, Who::None);
    checksum
}

impl<P: Platform> phy::RxToken for RxToken<'_, P> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        RxToken::consume(self, read)
    }
}

/// Room for a packet, and what is left to the backend.
#[derive(Debug)]
pub struct Filled<'a, P: Platform> {
    room: TxToken<'a, P>,
    order: Order,
}

impl<P: Platform> phy::TxToken for Filled<'_, P> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.room.consume_as(len, self.order, write)
    }
}
