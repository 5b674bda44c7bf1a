//! The page that the guest shares with the daemon.

use core::mem::offset_of;

use xen_hypercall::abi::io::xs_wire::DomainInterface;
use xen_shared_ring::{ByteRing, Consumer, Producer, SharedMem, SharedWord};

use crate::wire::{ConnectionState, RING_SIZE, RingError, ServerFeatures, Violation};

const WORD: usize = 4;

/// The words after the two rings, in their order. (`struct xenstore_domain_interface`, public/io/xs_wire.h)
const _: () = {
    assert!(offset_of!(DomainInterface, req_cons) == 2 * RING_SIZE);
    assert!(offset_of!(DomainInterface, req_prod) == 2 * RING_SIZE + WORD);
    assert!(offset_of!(DomainInterface, rsp_cons) == 2 * RING_SIZE + 2 * WORD);
    assert!(offset_of!(DomainInterface, rsp_prod) == 2 * RING_SIZE + 3 * WORD);
    assert!(offset_of!(DomainInterface, server_features) == 2 * RING_SIZE + 4 * WORD);
    assert!(offset_of!(DomainInterface, connection) == 2 * RING_SIZE + 5 * WORD);
    assert!(offset_of!(DomainInterface, error) == 2 * RING_SIZE + 6 * WORD);
};

/// Both byte rings, and the daemon's words.
#[derive(Debug)]
pub(super) struct Ring {
    output: Producer,
    input: Consumer,
    features: SharedWord,
    connection: SharedWord,
    error: SharedWord,
}

impl Ring {
    /// The ring in `page`, at the indices that stand there. `None` if the page is too small or not aligned.
    pub(super) fn attach(page: SharedMem) -> Option<Self> {
        let (requests, rest) = page.split_at(RING_SIZE)?;
        let (answers, rest) = rest.split_at(RING_SIZE)?;
        let (req_cons, rest) = rest.split_at(WORD)?;
        let (req_prod, rest) = rest.split_at(WORD)?;
        let (rsp_cons, rest) = rest.split_at(WORD)?;
        let (rsp_prod, rest) = rest.split_at(WORD)?;
        let (features, rest) = rest.split_at(WORD)?;
        let (connection, rest) = rest.split_at(WORD)?;
        let (error, _) = rest.split_at(WORD)?;
        Some(Self {
            output: Producer::attach(ByteRing::new(requests, req_cons, req_prod)?),
            input: Consumer::attach(ByteRing::new(answers, rsp_cons, rsp_prod)?),
            features: features.into_word()?,
            connection: connection.into_word()?,
            error: error.into_word()?,
        })
    }

    /// Writes as much as there is room for.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        self.output.write(bytes).map_err(Violation::Ring)
    }

    /// Reads as much as there is.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Result<usize, Violation> {
        self.input.read(into).map_err(Violation::Ring)
    }

    /// What the daemon says of its end.
    pub(super) fn health(&self) -> Result<(), Violation> {
        match RingError(self.error.look()) {
            error if error != RingError::NONE && self.offers(ServerFeatures::ERROR) => Err(Violation::GivenUp(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn can_reconnect(&self) -> bool {
        self.offers(ServerFeatures::RECONNECTION)
    }

    /// Asks the daemon to begin anew. Nothing but [`is_connected`](Self::is_connected) means anything until it has.
    pub(super) fn ask_to_reconnect(&self) {
        self.connection.publish(ConnectionState::RECONNECT.0);
    }

    /// Whether the rings may be used.
    ///
    /// The word means something where the daemon has said that it can reconnect. But Xen, which makes the ring of a guest that it
    /// starts before there is a daemon, says so by that word alone. (docs/misc/xenstore-ring.txt of Xen)
    pub(super) fn is_connected(&self) -> bool {
        match ConnectionState(self.connection.look()) {
            ConnectionState::CONNECTED => true,
            ConnectionState::RECONNECT => false,
            _ => !self.can_reconnect(),
        }
    }

    /// Takes over the indices that the daemon has begun anew with.
    pub(super) fn restart(&mut self) {
        self.output.restart();
        self.input.restart();
    }

    fn offers(&self, feature: ServerFeatures) -> bool {
        ServerFeatures::from_bits_retain(self.features.look()).contains(feature)
    }
}
