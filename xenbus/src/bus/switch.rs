//! Our half's keys and state, written so that only its owner can.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::device::Look;
use super::{Device, Nodes, State, parse_state};

/// Both halves of a device, as they stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Both are there.
    Pair {
        /// Our state, as it stands in the store.
        ours: State,
        /// The backend's.
        theirs: State,
        /// Whether the tools want the device to be there: the backend's key `online`, yes where it is missing or malformed.
        online: bool,
    },
    /// It is not there any more.
    Vanished(Vanished),
}

/// Why a device is not there any more.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vanished {
    /// Our half's directory is gone: the device was taken away.
    Unplugged,
    /// The backend's directory is gone: its domain, most likely.
    NoBackend,
    /// Another device stands in its place: the directory names another backend, or somebody else has set our state.
    Replaced,
}

/// What a driver says to its backend: keys, and the state that goes with them.
///
/// ```
/// use xen_xenbus::bus::Offer;
/// let offer = Offer::initialised().with("ring-ref", 8).with("event-channel", 5).with("protocol", "x86_64-abi");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    keys: Vec<(String, String)>,
    state: State,
}

/// A change of our state, and the keys that go with it, to be made within one transaction.
///
/// It names the state that it replaces: where another stands, somebody else owns the directory by now, and nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    device: Device,
    from: States,
    offer: Offer,
}

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct States(u16);

/// What became of a [`Switch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switched {
    /// It was written, or stood there already.
    Done,
    /// The device is not there any more. Nothing was written.
    Vanished(Vanished),
}

impl Sight {
    /// Looks at both halves of `device`. A transaction is not needed: what follows from a look is checked again within the one that
    /// [writes](Switch::apply).
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn take<N: Nodes>(nodes: &N, device: &Device) -> Result<Self, N::Error> {
        Ok(Self::of(device, nodes.read_all(&Self::paths(device))?))
    }

    /// What to read, all at once.
    pub(crate) fn paths(device: &Device) -> [String; 5] {
        let [backend, domain, ours] = Look::paths(device.path());
        [backend, domain, ours, device.backend_key("state"), device.backend_key("online")]
    }

    /// What was read there.
    pub(crate) fn of(device: &Device, values: Vec<Option<Vec<u8>>>) -> Self {
        let mut values = values.into_iter();
        let ours = match Look::of_values(&Look::paths(device.path()), values.by_ref().take(3)) {
            Look::Found(backend, ours) if backend == *device.backend() => ours,
            Look::Missing => return Self::Vanished(Vanished::Unplugged),
            Look::Found(..) | Look::Malformed(_) => return Self::Vanished(Vanished::Replaced),
        };
        let (state, online) = (values.next().flatten(), values.next().flatten());
        match state {
            Some(state) => Self::Pair { ours, theirs: parse_state(&state), online: online.as_deref() != Some(b"0") },
            None => Self::Vanished(Vanished::NoBackend),
        }
    }
}

impl Offer {
    /// An offer that leaves the last step to us: [`INITIALISED`](State::INITIALISED), as disks do.
    #[must_use]
    pub const fn initialised() -> Self {
        Self { keys: Vec::new(), state: State::INITIALISED }
    }

    /// An offer that leaves the last step to the backend: [`CONNECTED`](State::CONNECTED), as network interfaces do.
    #[must_use]
    pub const fn connected() -> Self {
        Self { keys: Vec::new(), state: State::CONNECTED }
    }

    /// Nothing but a state.
    pub(crate) const fn bare(state: State) -> Self {
        Self { keys: Vec::new(), state }
    }

    /// Adds a key of our half's directory, or of one below: `queue-0/tx-ring-ref`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.keys.push((key.into(), value.to_string()));
        self
    }

    /// The state that goes with the keys.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }
}

impl Switch {
    pub(crate) const fn new(device: Device, from: States, offer: Offer) -> Self {
        Self { device, from, offer }
    }

    /// The state to come.
    #[must_use]
    pub const fn to(&self) -> State {
        self.offer.state
    }

    /// Writes it within a transaction: reads first whose directory this is, and writes nothing if it is another's.
    ///
    /// # Errors
    ///
    /// The store's. Where it did not answer, the state may or may not stand there.
    pub fn apply<N: Nodes>(&self, nodes: &N) -> Result<Switched, N::Error> {
        if let Err(how) = self.check(nodes.read_all(&self.paths())?) {
            return Ok(Switched::Vanished(how));
        }
        nodes.write_all(&self.values())?;
        Ok(Switched::Done)
    }

    /// What to read first. Whether the tools want the device makes no difference to what was decided.
    pub(crate) fn paths(&self) -> [String; 4] {
        let [backend, domain, ours, theirs, _] = Sight::paths(&self.device);
        [backend, domain, ours, theirs]
    }

    /// Whether the directory is still the one that is meant, by what was read.
    pub(crate) fn check(&self, values: Vec<Option<Vec<u8>>>) -> Result<(), Vanished> {
        match Sight::of(&self.device, values) {
            Sight::Vanished(how) => Err(how),
            Sight::Pair { ours, .. } if ours == self.to() || self.from.has(ours) => Ok(()),
            Sight::Pair { .. } => Err(Vanished::Replaced),
        }
    }

    /// What to write, the state last.
    pub(crate) fn values(&self) -> Vec<(String, &[u8])> {
        let keys = self.offer.keys.iter().map(|(key, value)| (self.device.key(key), value.as_bytes()));
        keys.chain([(self.device.key("state"), digit(self.to()))]).collect()
    }
}

/// A state as it is written.
const fn digit(state: State) -> &'static [u8] {
    match state {
        State::INITIALISING => b"1",
        State::INIT_WAIT => b"2",
        State::INITIALISED => b"3",
        State::CONNECTED => b"4",
        State::CLOSING => b"5",
        State::CLOSED => b"6",
        State::RECONFIGURING => b"7",
        State::RECONFIGURED => b"8",
        _ => b"0",
    }
}

impl States {
    pub(crate) const NONE: Self = Self(0);

    /// The set with `state` in it.
    pub(crate) fn with(self, state: Option<State>) -> Self {
        Self(self.0 | state.map_or(0, Self::bit))
    }

    pub(crate) fn has(self, state: State) -> bool {
        self.0 & Self::bit(state) != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// There are nine states. No other number is written, or comes out of [`parse_state`].
    fn bit(state: State) -> u16 {
        1_u16.checked_shl(state.0).unwrap_or(0)
    }
}

impl fmt::Display for Vanished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unplugged => "the device was taken away",
            Self::NoBackend => "its backend is gone",
            Self::Replaced => "another device stands in its place",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DEVICE, device, plugged};
    use super::super::tree::Silence;
    use super::*;

    fn switch(from: State, to: State) -> Switch {
        Switch::new(device(), States::NONE.with(Some(from)), Offer::bare(to))
    }

    #[test]
    fn both_halves_are_seen_at_once() {
        let tree = plugged(State::INITIALISING, State::INIT_WAIT);
        let online = Sight::Pair { ours: State::INITIALISING, theirs: State::INIT_WAIT, online: true };
        assert_eq!(Sight::take(&tree, &device()), Ok(online));
        tree.set(&device().backend_key("online"), "0");
        assert!(matches!(Sight::take(&tree, &device()), Ok(Sight::Pair { online: false, .. })));
    }

    #[test]
    fn hc_107_what_vanished_is_told_apart() {
        for (path, how) in [
            (DEVICE, Vanished::Unplugged),
            ("device/vif/0/backend", Vanished::Unplugged),
            ("/local/domain/3/backend/vif/7/0", Vanished::NoBackend),
        ] {
            let tree = plugged(State::CONNECTED, State::CONNECTED);
            tree.remove(path);
            assert_eq!(Sight::take(&tree, &device()), Ok(Sight::Vanished(how)), "{path}");
        }
    }

    #[test]
    fn hc_107_nothing_is_written_for_a_device_that_vanished() {
        for path in [DEVICE, "/local/domain/3/backend/vif/7/0"] {
            let tree = plugged(State::CONNECTED, State::CONNECTED);
            tree.remove(path);
            let before = tree.all();
            let switched = switch(State::CONNECTED, State::CLOSED).apply(&tree);
            assert!(matches!(switched, Ok(Switched::Vanished(_))));
            assert_eq!(tree.all(), before);
        }
    }

    #[test]
    fn m14_an_old_generation_does_not_write_the_state_of_a_new_one() {
        let old = switch(State::CONNECTED, State::CLOSED);
        // The same backend, and the state of a device that was just made.
        let tree = plugged(State::INITIALISING, State::INIT_WAIT);
        let before = tree.all();
        assert_eq!(old.apply(&tree), Ok(Switched::Vanished(Vanished::Replaced)));
        // Another backend, and by chance the same state.
        let other = plugged(State::CONNECTED, State::INIT_WAIT);
        other.set("device/vif/0/backend-id", "4");
        assert_eq!(old.apply(&other), Ok(Switched::Vanished(Vanished::Replaced)));
        assert_eq!((tree.all(), tree.writes.get(), other.writes.get()), (before, 0, 0));
    }

    #[test]
    fn a_switch_may_be_made_again_where_its_answer_was_lost() {
        let tree = plugged(State::CONNECTED, State::CONNECTED);
        let switch = switch(State::CONNECTED, State::CLOSING);
        assert_eq!((switch.apply(&tree), switch.apply(&tree)), (Ok(Switched::Done), Ok(Switched::Done)));
        assert_eq!(tree.get("device/vif/0/state").unwrap(), "5");
    }

    #[test]
    fn an_offer_is_written_with_its_state() {
        let tree = plugged(State::INITIALISING, State::INIT_WAIT);
        let offer = Offer::connected().with("queue-0/tx-ring-ref", 8).with("request-rx-copy", 1);
        assert_eq!(
            Switch::new(device(), States::NONE.with(Some(State::INITIALISING)), offer).apply(&tree),
            Ok(Switched::Done)
        );
        let values =
            ["queue-0/tx-ring-ref", "request-rx-copy", "state"].map(|key| tree.get(&device().key(key)).unwrap());
        assert_eq!(values, ["8", "1", "4"]);
        tree.silent.set(true);
        assert_eq!(switch(State::CONNECTED, State::CLOSED).apply(&tree), Err(Silence));
    }
}
