//! Traits of other crates.

#[cfg(feature = "embassy-net-driver")]
mod embassy_net_driver;
#[cfg(feature = "smoltcp")]
mod smoltcp;

#[cfg(feature = "embassy-net-driver")]
pub use embassy_net_driver::{Came, EmbassyDriver, Room};

#[cfg(any(feature = "smoltcp", feature = "embassy-net-driver"))]
pub(crate) use offload::{order, receive};

/// What stacks that leave checksums to others have in common.
#[cfg(any(feature = "smoltcp", feature = "embassy-net-driver"))]
mod offload {
    use crate::Platform;
    use crate::device::Netfront;
    use crate::headers::Transport;
    use crate::options::{Checksums, RING_SLOTS};
    use crate::packet::{Checksum, Made, Order};
    use crate::rx_token::RxToken;
    use crate::tx_token::TxToken;

    /// How packets are sent.
    pub(crate) const fn order(checksums: Checksums) -> Order {
        let checksum = match checksums {
            Checksums::Stack => Made::Yes,
            Checksums::Offload => Made::No,
        };
        Order { checksum, gso: None }
    }

    /// A packet, with room for an answer. One whose checksum was left to others is right, or was never made: others are dropped, no more
    /// in a call than a ring holds. A backend may deliver them as fast as they are dropped.
    pub(crate) fn receive<P: Platform>(interface: &mut Netfront<P>) -> Option<(RxToken<'_, P>, TxToken<'_, P>)> {
        if interface.options.checksums == Checksums::Stack {
            return interface.receive_and_transmit();
        }
        for _ in 0..RING_SLOTS {
            let (packet, _room) = interface.receive_and_transmit()?;
            if !is_wrong(&packet) {
                return interface.receive_and_transmit();
            }
            packet.discard_wrong();
        }
        None
    }

    fn is_wrong<P: Platform>(packet: &RxToken<'_, P>) -> bool {
        let bytes = packet.bytes();
        let is_wrong = |transport: Transport| !transport.is_right(bytes);
        packet.meta().checksum != Checksum::Blank && Transport::find(bytes).is_some_and(is_wrong)
    }
}
