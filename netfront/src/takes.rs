//! What a backend takes, and what it is told of a packet.

use xen_hypercall::abi::io::netif::TxFlags;

use crate::headers::Transport;
use crate::packet::{GsoKind, Made, Order};

/// What the backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takes {
    /// Bytes of a packet that is not to be cut.
    pub(crate) most: usize,
    pub(crate) scatter_gather: bool,
    pub(crate) checksum_v4: bool,
    pub(crate) checksum_v6: bool,
    pub(crate) gso_v4: bool,
    pub(crate) gso_v6: bool,
}

impl Takes {
    /// What the backend is told of a packet; `None` where it is not to be sent.
    #[inline]
    pub(crate) fn flags(&self, order: Order, packet: &mut [u8]) -> Option<TxFlags> {
        if order == Order::PLAIN {
            return Some(TxFlags::default());
        }
        let Some(transport) = Transport::find(packet) else {
            // There is no checksum to leave to anybody.
            return order.gso.is_none().then(TxFlags::default);
        };
        let takes_blank = if transport.is_v6() { self.checksum_v6 } else { self.checksum_v4 };
        if let Some(gso) = order.gso {
            let takes_gso = match gso.kind {
                GsoKind::TcpV4 => self.gso_v4 && !transport.is_v6(),
                GsoKind::TcpV6 => self.gso_v6 && transport.is_v6(),
            };
            // Each segment has a checksum of its own.
            let fits = gso.size > 0 && usize::from(gso.size) < packet.len();
            if !takes_gso || !fits || !takes_blank || !transport.is_tcp() {
                return None;
            }
            transport.leave_blank(packet);
            return Some(TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED);
        }
        match order.checksum {
            Made::No if takes_blank => {
                transport.leave_blank(packet);
                Some(TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED)
            }
            Made::No => {
                transport.complete(packet);
                Some(TxFlags::default())
            }
            Made::Yes => Some(TxFlags::default()),
        }
    }
}
