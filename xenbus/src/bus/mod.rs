//! Devices: what the tools have given this domain, and how a front half and its backend agree.
//!
//! Nothing here does I/O. What was read from xenstore goes in, what is to be written or told to a driver comes out, and time is
//! an argument. [`Nodes`] is all that is asked of a store.
//!
//! * [`Enumerator`] finds devices below `device`, and notices those that came, went or were replaced.
//! * [`Frontend`] lives the life of one front half, from [`INITIALISING`](State::INITIALISING) to its end. It talks to a driver
//!   in [`Event`]s and knows nothing of blocks or packets.
//! * [`Pilot`] takes a front half through its store, and [`Drivers`] keep all devices of one kind with their drivers: what the drivers
//!   of all kinds have in common.
//! * [`Keys`] is what the backend says about itself, read at once and checked; [`Offer`] is what we say, written at once.
//!
//! # Promises
//!
//! Whatever stands in xenstore, no call panics, and a device costs a bounded amount of memory and of work per unit of time. A
//! backend can refuse to connect, and it can end the connection; it cannot make us wait for longer than the [`Limits`] say. What
//! belongs to a device that was replaced never writes to the one that replaced it. (Tests `hc_100` to `hc_111`, `hc_126`,
//! `hc_159`.)

mod allowance;
mod backoff;
mod device;
mod drivers;
mod enumerate;
mod frontend;
mod keys;
mod lookout;
mod nodes;
mod pilot;
mod state;
mod store;
mod switch;

pub use allowance::Allowance;
pub use backoff::{Backoff, LONGEST_PAUSE, SHORTEST_PAUSE};
pub(crate) use device::domain_id;
pub use device::{Backend, Device, Generation, Name};
pub use drivers::{Driver, Drivers, News};
pub use enumerate::{Change, Enumerator, LeftOut, Listing, MOST_DEVICES};
pub use frontend::{Attempt, DeviceError, End, Event, Frontend, Limits, Manner, Problem, Step, TooLate, Why, Written};
pub use keys::{KEY_LENGTH, KeyError, Keys};
pub use lookout::Lookout;
pub use nodes::Nodes;
pub use pilot::{Answer, Chore, Outcome, Pilot, Question, Turn};
pub use state::{Reaction, parse_state, reaction};
pub use store::{Brought, Errand};
pub use switch::{Offer, Sight, Switch, Switched, Vanished};
pub use xen_hypercall::abi::io::xenbus::State;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tree;
