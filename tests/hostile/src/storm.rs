//! Many lives of rings, each with a peer of its own temper.

use crate::back::BackLife;
use crate::dice::Dice;
use crate::front::FrontLife;
use crate::memory::Peer;
use crate::model::word;
use crate::protocol::{Disk, Net};
use crate::subject::Finding;
use crate::tally::Tally;
use xen_shared_ring::PeerError;
use zerocopy::{Immutable, IntoBytes};

/// Runs so many steps, and counts what they met.
///
/// # Errors
///
/// The first finding.
pub fn run(seed: u64, steps: u64, tally: &mut Tally) -> Result<(), Finding> {
    let mut dice = Dice::new(seed);
    let mut left = steps;
    while left > 0 {
        let longest = dice.pick(&[50, 300, 2000]);
        let most = u64::from(dice.below(longest) + 1).min(left);
        tally.lives += 1;
        left -= match dice.below(4) {
            0 => live(FrontLife::<Net>::new(&mut dice, tally), most, &mut dice, tally),
            1 => live(FrontLife::<Disk>::new(&mut dice, tally), most, &mut dice, tally),
            2 => live(BackLife::<Net>::new(&mut dice, tally), most, &mut dice, tally),
            _ => live(BackLife::<Disk>::new(&mut dice, tally), most, &mut dice, tally),
        }?;
    }
    Ok(())
}

/// One end with its peer.
pub trait Life {
    /// One step of either end.
    ///
    /// # Errors
    ///
    /// A finding.
    fn step(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding>;

    /// Why the ring is broken.
    fn broken(&self) -> Option<PeerError>;

    /// Checks what must hold at the end.
    ///
    /// # Errors
    ///
    /// A finding.
    fn finish(self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding>;
}

/// Steps that a broken ring is to stay broken for.
const AFTERLIFE: u32 = 64;

/// Runs a life of at most so many steps; answers how many it was.
fn live(mut life: impl Life, most: u64, dice: &mut Dice, tally: &mut Tally) -> Result<u64, Finding> {
    let (mut steps, mut broken) = (0, 0);
    while steps < most && broken < AFTERLIFE {
        life.step(dice, tally)?;
        steps += 1;
        broken += u32::from(life.broken().is_some());
    }
    life.finish(dice, tally)?;
    Ok(steps)
}

/// Leaves a ring in which nothing is outstanding, and answers with the index at which it stands: often one that soon wraps.
pub(crate) fn prepare(memory: &Peer, entries: u32, dice: &mut Dice) -> u32 {
    let wrap = dice.pick(&[0, 1 << 31]);
    let index = if dice.one_in(4) { dice.word() } else { dice.below(4 * entries).wrapping_neg().wrapping_add(wrap) };
    for place in [word::REQ_PROD, word::RSP_PROD] {
        memory.store(place, index);
        memory.store(place + 1, index.wrapping_add(1));
    }
    index
}

/// Writes a message to a slot, as the other domain does.
pub(crate) fn write<T: IntoBytes + Immutable>(memory: &Peer, start: usize, message: &T) {
    for (place, word) in (start..).zip(message.as_bytes().as_chunks().0) {
        memory.store(place, u32::from_ne_bytes(*word));
    }
}
