//! What a hostile or faulty peer does, and what must come of it.
//!
//! The program `ring-storm` runs [`storm`]s: random steps on a front or back end of `xen-shared-ring` whose peer is honest for some
//! time, or writes whatever it likes. Every answer of the ring is compared with a [`model`] that works out the one right answer,
//! and every request is followed in a [`ledger`] to its one completion.
//!
//! * The ring never panics and never gives more messages than were outstanding.
//! * A violation is reported as what it was, with its numbers; from then on the ring reports it for ever, and does nothing else.
//! * An honest peer is never refused, and nothing of an honest peer is lost, whatever it writes to the words that are ours.
//! * Our index and our slots are written as they must be, whatever the peer made of them before.
//!
//! All memory is reached through atomics, as the other domain's accesses would have to be seen. The storm is one thread, so that a
//! seed repeats it: what two CPUs may do at once is the subject of the loom models of `xen-shared-ring`.

#![expect(clippy::cast_possible_truncation, reason = "random words are cut to size; counts of a storm are small")]

pub mod back;
pub mod dice;
pub mod front;
pub mod ledger;
pub mod memory;
pub mod model;
pub mod peer;
pub mod protocol;
pub mod storm;
pub mod subject;
pub mod tally;

pub use dice::Dice;
pub use subject::Finding;
pub use tally::Tally;
