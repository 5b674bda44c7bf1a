//! Xenstore, as a kernel uses it.
//!
//! A [`Store`] is a handle, cheap to clone, for any number of tasks. Every operation gives a [`Call`], which blocks
//! ([`wait`](Call::wait)), is awaited, or is looked at from time to time ([`try_wait`](Call::try_wait)).
//!
//! ```
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let machine = xen_sim::Machine::new(1);
//! # let guest = machine.domain();
//! # machine.xenstore().introduce(&guest);
//! # let (page, port) = guest.store().unwrap();
//! # let channel = xen_event_channel::Channel::adopt(&guest, port)?;
//! # let store = xen_xenbus::Store::attach(page, channel, guest)?;
//! let id = store.read_u32("domid").wait()?;
//! store.write("data/greeting", "hello").wait()?;
//!
//! // Two requests at a time.
//! let (first, second) = (store.read("data/greeting"), store.directory("data"));
//! assert_eq!(first.wait()?, b"hello");
//! assert_eq!(second.wait()?, ["greeting"]);
//!
//! // All or nothing.
//! store.transaction(|t| {
//!     let count = t.read_u32("data/count").wait().or_else(|error| if error.is_missing() { Ok(0) } else { Err(error) })?;
//!     t.write("data/count", (count + 1).to_string()).wait()
//! })?;
//!
//! let watch = store.watch("data").wait()?;
//! assert!(watch.take(), "a new watch has fired");
//! # let _ = id;
//! # Ok(())
//! # }
//! ```
//!
//! # What a hostile daemon can cause
//!
//! Wrong values, errors, and nothing at all: each call ends within its time, with an error that says what was to be done, where,
//! and what stood there. A connection that it breaks is made anew if it says that it can do that; requests in flight
//! end as [`Reason::Reset`] or [`Reason::Broken`], watches are registered again and fire. Watch events, however many, are one bit
//! for each watch. Memory grows by what the kernel has, not by what the daemon sends: for each [`Call`] there is at most one answer
//! of [`PAYLOAD_MAX`](crate::wire::PAYLOAD_MAX) bytes, and for a list of children in parts about a megabyte of names.
//!
//! Nothing here is for the upcall: the store's lock may be held by what it has interrupted.

mod ask;
mod call;
mod cell;
mod core;
mod error;
#[cfg(loom)]
#[doc(hidden)]
pub mod model;
mod operations;
mod path;
mod permissions;
#[cfg_attr(loom, path = "ring_loom.rs")]
mod ring;
mod suspend;
mod transaction;
pub(crate) mod value;
mod wakers;
mod watch;
mod watches;

use ::core::fmt;
use ::core::time::Duration;
use alloc::sync::Arc;

use xen_event_channel::{Channel, Events, Found, Settled, WaitError};
use xen_hypercall::Clock;
use xen_shared_ring::SharedMem;

pub use call::{Call, PATIENCE};
pub use error::{BadPath, Reason, StoreError};
pub use permissions::{Permission, Permissions, Rights};
pub use suspend::Quiet;
pub use transaction::ATTEMPTS;
pub use watch::Watch;

use self::core::Core;
use crate::sync::Mutex;
use ring::Ring;
use wakers::Locked;

/// What a kernel supplies for xenstore: its events and its clock.
pub trait Platform: Events + Clock + Clone + Send + Sync + 'static {}

impl<P: Events + Clock + Clone + Send + Sync + 'static> Platform for P {}

/// A handle of the domain's connection to xenstore; or of a [transaction](Self::transaction) on it.
pub struct Store<P: Platform> {
    shared: Arc<Shared<P>>,
    transaction: Transaction,
}

/// The transaction to which operations belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transaction {
    /// Its number; 0 is none.
    id: u32,
    /// The connection on which the number means it: on another one it may be that of somebody else's.
    epoch: u32,
}

impl Transaction {
    const NONE: Self = Self { id: 0, epoch: 0 };
}

struct Shared<P: Platform> {
    platform: P,
    /// Held for the time of a look at the ring, never for a wait.
    core: Mutex<Core<P>>,
}

/// What went over a connection. Each number counts modulo 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Requests that were sent.
    pub requests: u32,
    /// Answers to them.
    pub answers: u32,
    /// Requests that had no answer in time.
    pub timed_out: u32,
    /// Answers that came when nobody waited for them any more.
    pub late: u32,
    /// Watch events.
    pub events: u32,
    /// Messages that belonged to nothing: unknown numbers, unknown watches, paths that nobody watches.
    pub dropped: u32,
    /// How often the connection broke.
    pub broken: u32,
}

/// The page that was to hold the ring is too small for it, or not aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRing;

impl fmt::Display for NoRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memory for xenstore's ring is no aligned page")
    }
}

impl ::core::error::Error for NoRing {}

impl<P: Platform> Store<P> {
    /// Takes over the ring in `page`, at the indices that stand there, and the channel that goes with it. Nothing is sent.
    ///
    /// A kernel that was started by another one, and not by the toolstack, should [reset](Self::reset_watches) what that one left
    /// behind.
    ///
    /// # Errors
    ///
    /// [`NoRing`] when the page cannot hold a ring. Impossible indices are told by the first call.
    ///
    /// Source: `struct xenstore_domain_interface`, public/io/xs_wire.h
    pub fn attach(page: SharedMem, channel: Channel<P>, platform: P) -> Result<Self, NoRing> {
        let seed = platform.now().as_nanos() as u64;
        let core = Core::new(Ring::attach(page).ok_or(NoRing)?, channel, seed);
        Ok(Self { shared: Arc::new(Shared { platform, core: Mutex::new(core) }), transaction: Transaction::NONE })
    }

    /// Takes in what has come, sends what waits, ends what is overdue, wakes who waits for it. Never waits itself.
    pub fn poll(&self) {
        let (channel, now) = (self.channel(), self.now());
        let found = {
            let mut core = self.core();
            let found = core.pump(now);
            core.tell();
            found
        };
        self.settle(&channel, found, now);
    }

    /// When [`poll`](Self::poll) has something to do even without an event, by the kernel's clock. An executor sets its timer by that.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let core = self.core();
        [core.next_deadline(), core.held_until].into_iter().flatten().min()
    }

    /// Polls the store at each of its events, for those who await calls and watches. To be run as a task of its own; deadlines are
    /// the executor's business, by [`next_deadline`](Self::next_deadline) and [`poll`](Self::poll).
    ///
    /// # Errors
    ///
    /// When the channel is of no use any more and there is no other one.
    pub async fn serve(&self) -> WaitError {
        loop {
            let channel = self.channel();
            let seen = channel.count();
            self.poll();
            if let Err(error) = channel.event(seen).await
                && ::core::ptr::eq(&raw const *channel, &raw const *self.channel())
            {
                return error;
            }
        }
    }

    /// How often the connection was made anew, or the domain resumed.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.core().epoch
    }

    /// What went over the connection.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.core().statistics
    }

    /// How many watches there are, those included that were dropped and that the daemon still knows.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.core().watches.len()
    }

    /// The kernel that the store runs in.
    #[must_use]
    pub fn platform(&self) -> &P {
        &self.shared.platform
    }

    /// The kernel's clock, in which all deadlines are given: see [`Clock`].
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.platform.now()
    }

    fn core(&self) -> Locked<'_, P> {
        Locked::new(self.shared.core.lock())
    }

    fn channel(&self) -> Arc<Channel<P>> {
        Arc::clone(&self.core().channel)
    }

    /// The same store, outside of any transaction.
    fn outside(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), transaction: Transaction::NONE }
    }

    /// Has needless events held back. A channel for which that fails is told by the next wait.
    fn settle(&self, channel: &Channel<P>, found: Found, now: Duration) {
        // What a task waits for is heard again when somebody has looked after that time. Waits see to it themselves.
        self.core().held_until = match channel.settle(found, now) {
            Ok(Settled::Held(end)) => Some(end),
            _ => None,
        };
    }
}

impl<P: Platform> Clone for Store<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), transaction: self.transaction }
    }
}

impl<P: Platform> fmt::Debug for Store<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        let mut debug = f.debug_struct("Store");
        debug.field("link", &core.link()).field("epoch", &core.epoch).field("calls", &core.calls());
        debug.field("statistics", &core.statistics);
        debug.finish_non_exhaustive()
    }
}
