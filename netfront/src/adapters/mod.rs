//! Traits of other crates.

#[cfg(feature = "embassy-net-driver")]
mod embassy_net_driver;
#[cfg(feature = "smoltcp")]
mod smoltcp;

#[cfg(feature = "embassy-net-driver")]
pub use embassy_net_driver::{Came, EmbassyDriver, Room};

#[cfg(any(feature = "smoltcp", feature = "embassy-net-driver"))]
pub(crate) use offload::{drop_wrong, order};

/// What stacks that leave checksums to others have in common.
#[cfg(any(feature = "smoltcp", feature = "embassy-net-driver"))]
mod offload {
    use crate::Platform;
    use crate::device::Netfront;
    use crate::headers::Transport;
    use crate::options::Checksums;
    use crate::packet::{Checksum, Made, Order};

    /// How packets are sent.
    pub(crate) const fn order(checksums: Checksums) -> Order {
        let checksum = match checksums {
            Checksums::Stack => Made::Yes,
            Checksums::Offload => Made::No,
        };
        Order { checksum, gso: None }
    }

    /// Drops packets until there is one whose checksum is right, or was never made.
    pub(crate) fn drop_wrong<P: Platform>(interface: &mut Netfront<P>) {
        // Bounded: each is one of those that were there.
        while let Some(packet) = interface.receive() {
            let bytes = packet.bytes();
            let is_wrong = |transport: Transport| !transport.is_right(bytes);
            if packet.meta().checksum == Checksum::Blank || !Transport::find(bytes).is_some_and(is_wrong) {
                return;
            }
            packet.discard_wrong();
        }
    }
}
