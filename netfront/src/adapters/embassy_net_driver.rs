//! Interfaces for embassy-net.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::task::Context;

use embassy_net_driver::{
    Capabilities, Checksum as Who, ChecksumCapabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken,
};

use super::{order, receive};
use crate::Platform;
use crate::asynchronous::{Seat, Want};
use crate::device::Netfront;
use crate::link::{Carrier, Link};
use crate::options::Checksums;
use crate::packet::{ETHERNET_HEADER, Order};
use crate::shared::SharedInterfaces;

/// One of [all interfaces](SharedInterfaces), for embassy-net: the one with a number, whichever device that is. While it is not
/// there, it has no link.
///
/// What embassy-net sends goes to the backend as the interfaces are [polled](SharedInterfaces::poll) or
/// [waited for](SharedInterfaces::wait). A packet that comes is copied once, for embassy-net to write in. Checksums are as for smoltcp:
/// with [`Checksums::Offload`] the stack does not look at them, and a wrong one does not reach it.
pub struct EmbassyDriver<P: Platform> {
    interfaces: SharedInterfaces<P>,
    number: u32,
    seats: Seats,
    /// As the interface was when the driver was made: embassy-net asks once.
    link: Link,
    checksums: Checksums,
    /// A packet that has come, while embassy-net is at it.
    packet: Vec<u8>,
}

/// embassy-net waits for all of these at a time.
struct Seats {
    packet: Seat,
    room: Seat,
    link: Seat,
}

impl<P: Platform> EmbassyDriver<P> {
    /// A driver for the interface with this number; `None` where it is not connected.
    #[must_use]
    pub fn new(interfaces: &SharedInterfaces<P>, number: u32) -> Option<Self> {
        let (link, checksums) =
            interfaces.with_one(number, |one| Some((*one.link()?, one.options.checksums))).flatten()?;
        let bench = interfaces.bench(number);
        let seats = Seats { packet: bench.seat(), room: bench.seat(), link: bench.seat() };
        Some(Self { interfaces: interfaces.clone(), number, seats, link, checksums, packet: Vec::new() })
    }
}

impl<P: Platform> Driver for EmbassyDriver<P> {
    type RxToken<'a> = Came<'a>;
    type TxToken<'a> = Room<'a, P>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Came<'_>, Room<'_, P>)> {
        let (packet, order) = (&mut self.packet, order(self.checksums));
        self.interfaces.look(&self.seats.packet, Want::PacketAndRoom, context, |one| {
            let (came, _room) = receive(one)?;
            came.consume(|bytes| {
                packet.clear();
                packet.extend_from_slice(bytes);
            });
            Some(())
        })?;
        Some((Came { packet }, Room { interfaces: &self.interfaces, number: self.number, order }))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Room<'_, P>> {
        self.interfaces.look(&self.seats.room, Want::Room, context, |one| one.transmit().map(drop))?;
        Some(Room { interfaces: &self.interfaces, number: self.number, order: order(self.checksums) })
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        // Whatever it is now, the next event is waited for.
        let mut is_up = false;
        let _: Option<()> = self.interfaces.look(&self.seats.link, Want::Event, context, |one| {
            is_up = one.link().is_some_and(|link| link.carrier() == Carrier::Up);
            None
        });
        if is_up { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = usize::from(self.link.mtu()) + ETHERNET_HEADER;
        if self.checksums == Checksums::Offload {
            let mut checksum = ChecksumCapabilities::default();
            (checksum.tcp, checksum.udp) = (Who::None, Who::None);
            capabilities.checksum = checksum;
        }
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.link.mac())
    }
}

/// A packet that has come.
#[derive(Debug)]
pub struct Came<'a> {
    packet: &'a mut [u8],
}

impl RxToken for Came<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.packet)
    }
}

/// Room for a packet.
pub struct Room<'a, P: Platform> {
    interfaces: &'a SharedInterfaces<P>,
    number: u32,
    order: Order,
}

impl<P: Platform> TxToken for Room<'_, P> {
    /// Where the interface has gone since there was room, the packet is lost, as if it had been sent just before.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut interfaces = self.interfaces.lock();
        match interfaces.get_mut(self.number).and_then(Netfront::transmit) {
            Some(room) => room.consume_as(len, self.order, write),
            None => write(&mut vec![0; len]),
        }
    }
}

impl<P: Platform> fmt::Debug for EmbassyDriver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbassyDriver").field("number", &self.number).field("link", &self.link).finish_non_exhaustive()
    }
}

impl<P: Platform> fmt::Debug for Room<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("number", &self.number).finish_non_exhaustive()
    }
}
