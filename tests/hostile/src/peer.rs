//! The other domain: honest by default, and now and then not.

use crate::dice::Dice;
use crate::memory::Peer;
use crate::model::{Model, word};
use crate::subject::Finding;
use crate::tally::Tally;
use xen_shared_ring::PeerError;

/// How a peer behaves in one life of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    /// It lies once in so many steps; never when there is no number.
    pub lies: Option<u32>,
    /// It has lied, and what is in the memory may be anything.
    pub lied: bool,
}

impl Temper {
    /// A peer that lies never, rarely, or all the time.
    #[must_use]
    pub fn random(dice: &mut Dice) -> Self {
        Self { lies: dice.pick(&[None, None, Some(500), Some(100), Some(20), Some(4)]), lied: false }
    }

    /// Whether it lies now.
    pub fn lies_now(&mut self, dice: &mut Dice) -> bool {
        let now = self.lies.is_some_and(|lies| dice.one_in(lies));
        self.lied |= now;
        now
    }

    /// Leaves an index that no honest peer leaves, if it lies.
    pub fn spoil_start(&mut self, model: &Model, memory: &Peer, dice: &mut Dice) {
        if self.lies.is_some() && dice.one_in(8) {
            self.lied = true;
            memory.store(model.incoming().0, dice.wild_index(model.start, model.entries));
        }
    }

    /// Takes note that the ring refuses this peer, and did or did not do so before.
    ///
    /// # Errors
    ///
    /// A finding when the peer is honest.
    pub fn refused(&self, before: Option<PeerError>, now: PeerError, tally: &mut Tally) -> Result<(), Finding> {
        if before.is_none() {
            tally.violation(now);
        }
        let unjust = || Finding::new(format!("an honest peer was refused: {now}"));
        self.lied.then_some(()).ok_or_else(unjust)
    }
}

/// Writes what a peer may write without breaking the protocol, or what no end may depend upon: the event indices, the index of
/// the other end, the rest of the header.
pub fn meddle(model: &Model, memory: &Peer, dice: &mut Dice) {
    let (our_index, our_event) = model.out();
    let (place, near) = match dice.below(4) {
        0 => (our_index, model.index(model.published)),
        1 => (our_event, model.index(model.published)),
        2 => (model.incoming().1, model.index(model.popped)),
        _ => (word::RSP_EVENT + 1 + dice.below(12) as usize, 0),
    };
    memory.store(place, dice.wild_index(near, model.entries));
}

/// Writes what no honest peer writes.
pub fn lie(model: &Model, memory: &Peer, dice: &mut Dice) {
    let (index, _) = model.incoming();
    let slots = memory.words().min(word::SLOTS + 28 * model.entries as usize);
    match dice.below(64) {
        0 => (0..slots).for_each(|place| memory.store(place, 0)),
        1 => (0..slots).for_each(|place| memory.store(place, dice.word())),
        2..20 => memory.store(dice.below(slots as u32) as usize, dice.word()),
        20..30 => memory.store(index, dice.wild_index(model.index(model.popped), model.entries)),
        30..40 => memory.store(index, dice.wild_index(model.index(model.seen), model.entries)),
        _ => memory.store(index, dice.wild_index(model.index(model.published), model.entries)),
    }
}
