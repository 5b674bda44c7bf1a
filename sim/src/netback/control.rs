//! A test's hold on a network backend.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::netif::Status;

use super::misdeed::Misdeed;
use super::options::{Carrier, Options};
use super::receive::RxSlot;
use crate::backend::{self, Kind, Wish};

/// A hold on a backend, also while it [serves](super::Netback::serve) in a run.
pub type Control = backend::Control<Vif>;

/// What is a network backend's own.
#[derive(Debug)]
pub enum Vif {}

/// Which work a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Packets that the front transmits.
    Transmit,
    /// Packets that it receives.
    Receive,
    /// Requests on the control ring.
    Control,
}

/// What becomes of a packet, or of a request on the control ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It goes nowhere, and is answered so; a request on the control ring is not supported.
    Refuse(Status),
    /// It goes nowhere, and nobody is told.
    Lose,
    /// It stays where it is, with its pages mapped where the front transmits it, until `Control::go_on`.
    Hang,
    /// It comes, or is answered, so much later; a request on the control ring is not.
    Late(Duration),
    /// It is answered, or comes, as from no honest backend.
    Misdeed(Misdeed),
}

impl Kind for Vif {
    type Options = Options;
    type Work = Which;
    type Which = Which;
    type Fault = Fault;
    type Wish = Own;

    fn is_for(which: &Which, work: Which) -> bool {
        *which == Which::All || *which == work
    }

    fn misdeed(work: Which, rng: &mut ChaCha8Rng) -> Fault {
        match work {
            Which::Transmit => Fault::Misdeed(Misdeed::any_transmitted(rng)),
            Which::Receive => Fault::Misdeed(Misdeed::any_received(rng)),
            Which::Control | Which::All => Fault::Misdeed(Misdeed::any_control(rng)),
        }
    }
}

/// What only a network backend can do.
#[derive(Debug)]
pub enum Own {
    /// The link goes up or down.
    Carrier(Carrier),
    /// A key of the front's is written, as a toolstack does.
    FrontKey(String, Vec<u8>),
    /// Slots are put into the receive ring of a queue.
    Slots(usize, Vec<RxSlot>),
}

impl Control {
    /// The link goes up or down, and the key says so.
    pub fn set_carrier(&self, carrier: Carrier) {
        self.wish(Wish::Own(Own::Carrier(carrier)));
    }

    /// Writes a key among the front's, as a toolstack in the same domain can: `mac`, `mtu`.
    pub fn set_front_key(&self, key: &str, value: impl AsRef<[u8]>) {
        self.wish(Wish::Own(Own::FrontKey(key.to_owned(), value.as_ref().to_vec())));
    }

    /// Puts slots into the receive ring of a queue as they are, once there are buffers for all of them, and shows them at once. No
    /// rule of the protocol is kept but that answers have the places of buffers.
    pub fn put_slots(&self, queue: usize, slots: impl Into<Vec<RxSlot>>) {
        self.wish(Wish::Own(Own::Slots(queue, slots.into())));
    }
}
