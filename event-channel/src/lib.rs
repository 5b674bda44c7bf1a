//! Xen's event channels as counters: ports, dispatch, waiting.
//!
//! An event says "look again", and nothing else: two that come close together are one. So a port here is a *counter*. Who
//! uses a channel notes [`Channel::count`], looks at the ring that the channel belongs to until nothing is left, and waits for
//! more than was noted. Whatever the order of event and look, nothing is lost.
//!
//! * [`EventChannels`]: the domain's ports, made once for each domain; a constant, so that it can be a static.
//! * [`Events`]: what a kernel supplies.
//! * [`start`]: chooses between Xen's two ABIs for events, before the first port is opened.
//! * [`Channel`]: one port that this domain has open; closed when dropped.
//! * [`Line`]: a channel with what the owner of a ring keeps about it.
//! * [`dispatch`]: what the kernel's upcall handler calls. Atomics and wakes only: no lock, no allocation, no hypercall.
//!
//! # What another domain can do
//!
//! It can signal a port that is connected to it at any rate, for no reason, or not at all, and close its end.
//!
//! * *Too often*: a port whose owner has not called [`Channel::settle`] for [`BURST`] events is masked until it does.
//! * *For no reason*: when [`Channel::settle`] hears that there was nothing to do some times in a row, it keeps the port
//!   masked for a time that doubles, up to a second. The last event is never lost: Xen keeps one pending behind the mask.
//! * *Not at all*: [`Watchdog`] tells when to look without an event.
//! * *Closed*: [`Channel::notify`] and [`Channel::peer`] answer with an error that says so.
//!
//! Other ports, the timer's above all, are served in each pass of the dispatch meanwhile.
//!
//! # An example
//!
//! ```
//! use core::time::Duration;
//! use xen_event_channel::{Channel, Events, Found, NotifyError, WaitError, Waited};
//!
//! /// Serves a ring for as long as its peer has something, and until `deadline` (system time).
//! fn serve<P: Events>(
//!     channel: &Channel<P>,
//!     mut take: impl FnMut() -> Found,
//!     now: impl Fn() -> Duration,
//!     deadline: Duration,
//! ) -> Result<(), WaitError> {
//!     loop {
//!         let seen = channel.count();
//!         let found = take();
//!         channel.settle(found, now())?;
//!         if found == Found::Nothing && channel.wait_block(seen, deadline, &now)? == Waited::TimedOut {
//!             return Ok(());
//!         }
//!     }
//! }
//! ```

#![no_std]
#![cfg_attr(
    loom,
    allow(
        clippy::absurd_extreme_comparisons,
        clippy::missing_const_for_fn,
        clippy::modulo_one,
        clippy::new_without_default,
        reason = "models have tables of one word, and loom's atomics are not made at compile time"
    )
)]

mod atomic;
mod channel;
mod dispatch;
mod error;
mod fifo;
mod hold;
mod line;
#[cfg(loom)]
pub mod model;
mod order;
mod platform;
mod slot;
mod start;
mod table;
mod two_level;
mod wait;
mod wait_any;
mod watchdog;
mod words;

pub use channel::{Channel, Kind, Peer, Statistics};
pub use dispatch::dispatch;
pub use error::{ChannelError, NotifyError, OpenError, Stale, StartError, WaitError};
pub use hold::{Found, LONGEST_HOLD, SHORTEST_HOLD, SPURIOUS_IN_A_ROW, Settled};
pub use line::Line;
pub use platform::{Events, Upcalls};
pub use slot::BURST;
pub use start::{Abi, Preference, reset, resume, start, start_vcpu};
pub use table::EventChannels;
pub use wait::Waited;
pub use wait_any::wait_any;
pub use watchdog::{Progress, Watchdog};
