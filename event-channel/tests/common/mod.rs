//! Two domains with a channel between them, in either ABI.

#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use xen_event_channel::{Abi, Channel, Found, Preference, Settled, start};
use xen_sim::{Domain, Machine};

/// Both ABIs, for tests that hold in each.
pub(crate) const ABIS: [Preference; 2] = [Preference::TwoLevel, Preference::Fifo];

/// A domain under test and its peer, connected.
pub(crate) struct Pair {
    pub(crate) machine: Machine,
    pub(crate) guest: Domain,
    pub(crate) peer: Domain,
    pub(crate) ours: Channel<Domain>,
    pub(crate) theirs: Channel<Domain>,
}

impl Pair {
    pub(crate) fn new(preference: Preference) -> Self {
        Self::with_seed(preference, 1)
    }

    /// The seed decides who runs when.
    pub(crate) fn with_seed(preference: Preference, seed: u64) -> Self {
        let machine = Machine::new(seed);
        let (guest, peer) = (machine.domain(), machine.domain());
        started(&guest, preference);
        let (ours, theirs) = connect(&guest, &peer);
        Self { machine, guest, peer, ours, theirs }
    }

    pub(crate) fn settle(&self, found: Found) -> Settled {
        self.ours.settle(found, self.machine.now()).expect("an open channel")
    }

    /// Signals `n` times, with an upcall after each.
    pub(crate) fn signal(&self, n: u32) {
        (0..n).for_each(|_| self.theirs.notify().expect("a connected channel"));
    }
}

/// Has the ABI chosen, and makes sure that it is the one that was asked for.
pub(crate) fn started(guest: &Domain, preference: Preference) {
    assert_eq!(start(guest, preference), Ok(chosen(preference)));
}

/// What a preference leads to where nothing is missing.
pub(crate) const fn chosen(preference: Preference) -> Abi {
    match preference {
        Preference::TwoLevel => Abi::TwoLevel,
        Preference::Fifo => Abi::Fifo,
    }
}

/// Connects two domains; the event that a new connection starts with has been settled.
pub(crate) fn connect(guest: &Domain, peer: &Domain) -> (Channel<Domain>, Channel<Domain>) {
    let ours = Channel::unbound(guest, peer.id()).expect("a port");
    let theirs = Channel::interdomain(peer, guest.id(), ours.port()).expect("the other end");
    for channel in [&ours, &theirs] {
        channel.settle(Found::Work, Duration::ZERO).expect("an open channel");
    }
    (ours, theirs)
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
