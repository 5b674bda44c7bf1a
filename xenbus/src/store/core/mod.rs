//! What all handles of a store share: the connection, the ring under it, and who waits for what.

mod link;
mod pump;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use xen_event_channel::{Channel, Events};

pub(super) use link::Link;

use super::error::Reason;
use super::ring::Ring;
use super::wakers::{Sleepers, Wakes};
use super::watches::Watches;
use super::{Statistics, Transaction};
use crate::connection::{CallId, Connection, SendError, Token};
use crate::wire::MessageType;

/// More transactions than a daemon's quotas allow a domain.
const MOST_GIVEN_UP: usize = 64;

/// How long the store waits for answers that nobody else waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// The part of a store that is behind its lock.
pub(super) struct Core<P: Events> {
    connection: Connection,
    ring: Ring,
    pub(super) channel: Arc<Channel<P>>,
    link: Link,
    /// What it was before it was closed for a suspend.
    before: Link,
    /// Somebody has it come to rest, or has brought it to rest.
    claimed: bool,
    mailboxes: Vec<Mailbox>,
    sleepers: Sleepers,
    /// What is to be done when the lock is open again.
    pub(super) wakes: Wakes,
    pub(super) watches: Watches,
    pub(super) epoch: u32,
    /// Those of this epoch that the daemon has said it has begun, and that were not ended.
    open_transactions: usize,
    /// Transactions of this epoch that nobody has, and that the daemon is to end.
    given_up: Vec<u32>,
    /// Until when the channel's events are held back, as it was last settled.
    pub(super) held_until: Option<Duration>,
    pub(super) statistics: Statistics,
    /// The ring has changed, and the daemon was not told.
    untold: bool,
    /// The state of `chance`.
    random: u64,
}

/// What belongs to a request in flight.
struct Mailbox {
    call: CallId,
    kind: MessageType,
    result: Option<Answered>,
    waker: Option<Waker>,
}

/// The result of a request, and the epoch in which it came.
pub(super) type Answered = (Result<Vec<u8>, Reason>, u32);

/// Why a request did not start.
pub(super) enum NotStarted {
    /// Later there will be room.
    Full,
    Never(Reason),
}

impl<P: Events> Core<P> {
    pub(super) fn new(ring: Ring, channel: Channel<P>, random: u64) -> Self {
        let link = if ring.is_connected() { Link::Up } else { Link::Connecting };
        Self {
            connection: Connection::new(),
            ring,
            channel: Arc::new(channel),
            link,
            before: link,
            claimed: false,
            mailboxes: Vec::new(),
            sleepers: Sleepers::new(),
            wakes: Wakes::default(),
            watches: Watches::new(),
            epoch: 0,
            open_transactions: 0,
            given_up: Vec::new(),
            held_until: None,
            statistics: Statistics::default(),
            untold: false,
            random,
        }
    }

    /// Puts a request into the outbox.
    pub(super) fn start(
        &mut self,
        kind: MessageType,
        transaction: Transaction,
        payload: &[u8],
        deadline: Duration,
    ) -> Result<CallId, NotStarted> {
        let within = transaction != Transaction::NONE;
        if within && transaction.epoch != self.epoch {
            return Err(NotStarted::Never(Reason::Reset));
        }
        match self.link {
            Link::Up => {}
            // What is open may be ended.
            Link::Closing if within => {}
            Link::Closing | Link::Suspended => return Err(NotStarted::Never(Reason::Suspending)),
            Link::Connecting => return Err(NotStarted::Full),
            Link::Broken(..) => {
                return Err(self.is_dead().map_or(NotStarted::Full, |why| NotStarted::Never(why.into())));
            }
        }
        match self.connection.send(kind, transaction.id, &[payload], deadline) {
            Ok(call) => {
                self.statistics.requests = self.statistics.requests.wrapping_add(1);
                self.mailboxes.push(Mailbox { call, kind, result: None, waker: None });
                Ok(call)
            }
            Err(SendError::Full) => Err(NotStarted::Full),
            Err(SendError::TooLong { len }) => Err(NotStarted::Never(Reason::TooLong { len })),
        }
    }

    /// The result of a request, once it has one. After that the request is forgotten.
    pub(super) fn collect(&mut self, call: CallId) -> Option<Answered> {
        let place = self.mailboxes.iter().position(|mailbox| mailbox.call == call)?;
        self.mailboxes.get(place)?.result.as_ref()?;
        self.mailboxes.swap_remove(place).result
    }

    /// Whether a request has a result that nobody has taken.
    pub(super) fn has_results(&self) -> bool {
        self.mailboxes.iter().any(|mailbox| mailbox.result.is_some())
    }

    /// Has a task woken when the request has a result. `false` if it has one: it may have come since the last look.
    pub(super) fn wake_with(&mut self, call: CallId, waker: &Waker) -> bool {
        let waiting = self.mailboxes.iter_mut().find(|mailbox| mailbox.call == call && mailbox.result.is_none());
        let Some(mailbox) = waiting else { return false };
        self.wakes.spend(mailbox.waker.replace(waker.clone()));
        true
    }

    pub(super) fn set_deadline(&mut self, call: CallId, deadline: Duration) {
        self.connection.set_deadline(call, deadline);
    }

    /// A time up to `longest`, by chance as far as others can tell.
    pub(super) fn chance(&mut self, longest: Duration) -> Duration {
        // The step and the first multiplier of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        longest * (mixed >> 48) as u32 / (1 << 16)
    }

    /// How many requests there are whose result nobody has taken.
    pub(super) const fn calls(&self) -> usize {
        self.mailboxes.len()
    }

    /// How often there may have been room for a request.
    pub(super) const fn rooms(&self) -> u32 {
        self.sleepers.rooms()
    }

    /// Has a task woken when there may be room, or at a time. `false` if there was since it was seen to be `rooms` times.
    pub(super) fn wake_at(&mut self, rooms: u32, number: &mut Option<u64>, time: Duration, waker: &Waker) -> bool {
        let none = rooms == self.sleepers.rooms();
        if none {
            self.sleepers.add(number, time, waker, &mut self.wakes);
        }
        none
    }

    /// Nobody waits for room any more.
    pub(super) fn wake_no_more(&mut self, number: u64) {
        self.sleepers.remove(number, &mut self.wakes);
    }

    /// Nobody waits for the request any more.
    pub(super) fn forget(&mut self, call: CallId) {
        if let Some(place) = self.mailboxes.iter().position(|mailbox| mailbox.call == call) {
            let mailbox = self.mailboxes.swap_remove(place);
            self.wakes.spend(mailbox.waker);
            if let Some((result, epoch)) = &mailbox.result
                && *epoch == self.epoch
                && let Some(id) = started(mailbox.kind, result)
            {
                self.give_up(id);
                self.transaction_is_over();
            }
        }
        self.connection.abandon(call);
    }

    /// Has the daemon end a transaction of this epoch that nobody has any more, as soon as there is room to ask for that.
    pub(super) fn give_up(&mut self, id: u32) {
        // A daemon that says that it has begun more is none that needs to be asked.
        if self.given_up.len() < MOST_GIVEN_UP && !self.given_up.contains(&id) {
            self.given_up.push(id);
        }
    }

    /// A transaction of this epoch is open no more.
    pub(super) const fn transaction_is_over(&mut self) {
        self.open_transactions = self.open_transactions.saturating_sub(1);
    }

    /// The next time at which something is to be done without an event.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let retry = match self.link {
            Link::Broken(_, retry) if self.ring.can_reconnect() => Some(retry),
            _ => None,
        };
        let deadlines = [self.sleepers.next_deadline(), self.connection.next_deadline(), retry];
        deadlines.into_iter().flatten().min()
    }

    /// Nobody wants the watch any more.
    pub(super) fn unwatch(&mut self, token: Token) {
        if let Some(call) = self.watches.remove(token) {
            self.forget(call);
        }
    }

    /// The daemon was asked to forget all watches.
    pub(super) fn register_watches_again(&mut self) {
        self.watches.register_again(&mut self.wakes);
    }
}

/// The number of the transaction that this answer says has begun.
fn started(asked: MessageType, result: &Result<Vec<u8>, Reason>) -> Option<u32> {
    let payload = result.as_ref().ok().filter(|_| asked == MessageType::TRANSACTION_START)?;
    super::ask::transaction_id(payload)
}
