//! A ring under test: each call is made on the ring and on the model, and the two must agree.

use crate::dice::Dice;
use crate::memory::{Buffer, Peer};
use crate::model::{Model, word};
use std::fmt::{self, Debug};
use xen_shared_ring::{Entries, Notify, PeerError, Protocol, Region, Ring, Role, Slots, Untrusted};
use zerocopy::IntoBytes;

/// What a ring did that it must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(String);

impl Finding {
    /// A finding.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Finding {}

/// Compares what is with what must be.
///
/// # Errors
///
/// A finding when they differ.
#[inline]
pub fn demand<T: PartialEq + Debug>(what: &str, is: T, must: T) -> Result<(), Finding> {
    if is == must { Ok(()) } else { Err(differs(what, &is, &must)) }
}

#[cold]
fn differs(what: &str, is: &dyn Debug, must: &dyn Debug) -> Finding {
    Finding(format!("{what} is {is:x?}, not {must:x?}"))
}

/// How a take ends when nobody is at fault: with a message, with nothing, or with the peer's violation.
pub type Taken<T> = Result<Option<T>, PeerError>;

/// A ring and its model.
#[derive(Debug)]
pub struct Subject<R: Role, P: Protocol> {
    ring: Ring<R, P, Buffer, Slots>,
    /// What it must do.
    pub model: Model,
    /// The memory, which the peer writes.
    pub memory: Peer,
    stride: usize,
}

impl<R: Role, P: Protocol> Subject<R, P>
where
    Buffer: Region,
    Slots: Entries<P>,
{
    /// Puts a ring, just made or attached, under test.
    #[must_use]
    pub fn new(ring: Ring<R, P, Buffer, Slots>, model: Model, memory: Peer) -> Self {
        let stride = size_of::<P::Request>().max(size_of::<P::Response>()) / 4;
        Self { ring, model, memory, stride }
    }

    /// Puts a message.
    ///
    /// # Errors
    ///
    /// A finding.
    pub fn push(&mut self, message: R::Out<P>, dice: &mut Dice) -> Result<bool, Finding> {
        let room = self.model.room() > 0;
        let pushed = if dice.one_in(2) { self.ring.push(message).is_ok() } else { self.ring.push_all([message]) == 1 };
        demand("room to push", pushed, room)?;
        if room {
            self.slot_holds(self.model.pushed, message.as_bytes())?;
            self.model.pushed += 1;
        }
        Ok(room)
    }

    /// Shows the peer what was put.
    ///
    /// # Errors
    ///
    /// A finding.
    pub fn publish(&mut self) -> Result<(), Finding> {
        let (index, _) = self.model.out();
        let must = if self.model.must_notify(&self.memory) { Notify::Needed } else { Notify::NotNeeded };
        let before = self.memory.load(index);
        demand("the notify decision", self.ring.publish(), must)?;
        let new = self.model.pushed != self.model.published;
        let shown = if new { self.model.index(self.model.pushed) } else { before };
        self.model.published = self.model.pushed;
        demand("our producer index", self.memory.load(index), shown)
    }

    /// Takes a message by any of the calls for that.
    ///
    /// # Errors
    ///
    /// A finding.
    pub fn take(&mut self, dice: &mut Dice) -> Result<Taken<R::In<P>>, Finding> {
        let must = self.model.look(&self.memory);
        let (arms, ring) = (dice.one_in(2), &mut self.ring);
        let is = match (arms, dice.one_in(2)) {
            (false, false) => ring.pop(),
            (false, true) => ring.drain().map(|mut messages| messages.next()),
            (true, false) => ring.pop_or_arm(),
            (true, true) => ring.drain_or_arm().map(|messages| messages.and_then(|mut messages| messages.next())),
        };
        if arms && matches!(is, Ok(None)) {
            let armed = self.memory.load(self.model.incoming().1);
            demand("the index of our next event", armed, self.model.index(self.model.popped + 1))?;
        }
        self.check(must, is)
    }

    /// Breaks the ring for something that a message said.
    pub fn set_broken(&mut self, violation: PeerError) {
        self.ring.set_broken(violation);
        self.model.broken.get_or_insert(violation);
        self.model.pushed = self.model.published;
    }

    /// Compares what else the ring tells of itself.
    ///
    /// # Errors
    ///
    /// A finding.
    pub fn check_state(&self) -> Result<(), Finding> {
        demand("the violation", self.ring.violation(), self.model.broken)?;
        demand("the room", u64::from(self.ring.room()), self.model.room())?;
        let unpublished = self.model.pushed - self.model.published;
        demand("the unpublished messages", u64::from(self.ring.unpublished()), unpublished)
    }

    /// Where the words of a slot begin.
    #[must_use]
    pub const fn slot(&self, count: u64) -> usize {
        let place = self.model.index(count) & (self.model.entries - 1);
        word::SLOTS + place as usize * self.stride
    }

    fn check(
        &mut self,
        must: Result<(), PeerError>,
        is: Result<Option<Untrusted<R::In<P>>>, PeerError>,
    ) -> Result<Taken<R::In<P>>, Finding> {
        match (is, must) {
            (Ok(Some(message)), Ok(())) if self.model.popped < self.model.seen => {
                let message = message.into_unverified();
                self.slot_holds(self.model.popped, message.as_bytes())?;
                self.model.popped += 1;
                Ok(Ok(Some(message)))
            }
            (Ok(None), Ok(())) if self.model.popped == self.model.seen => Ok(Ok(None)),
            (Err(is), Err(must)) => {
                self.model.pushed = self.model.published;
                demand("the violation", is, must).map(|()| Err(is))
            }
            (is, must) => {
                let is = is.map(|message| message.is_some());
                Err(Finding::new(format!("a take came to {is:?}, not {must:?}, of {:?}", self.model)))
            }
        }
    }

    /// Compares the slot of a message with what it must hold.
    ///
    /// # Errors
    ///
    /// A finding.
    pub fn slot_holds(&self, count: u64, bytes: &[u8]) -> Result<(), Finding> {
        let start = self.slot(count);
        for (place, word) in (start..).zip(bytes.as_chunks().0) {
            demand("a word of a slot", self.memory.load(place), u32::from_ne_bytes(*word))?;
        }
        Ok(())
    }
}
