//! What all handles of a store share: the connection, the ring under it, and who waits for what.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use xen_event_channel::{Channel, Events, Found};

use super::error::Reason;
use super::ring::Ring;
use super::wakers::{Sleepers, Wakes};
use super::watches::Watches;
use super::{Statistics, Transaction};
use crate::connection::{CallId, Connection, Failure, Incoming, SendError, Token};
use crate::wire::{MessageType, RING_SIZE, Violation};

/// Bytes that are taken from the daemon before others have a turn: what it can send meanwhile must not hold anybody up.
const BUDGET: usize = 8 * RING_SIZE;

/// How long a broken connection stays so before it is made anew: a daemon that breaks it each time costs no more than that.
const PAUSE: Duration = Duration::from_secs(1);

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
    pub(super) open_transactions: usize,
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

/// Whether messages can go to and fro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// Closed for new requests, before a suspend.
    Closing,
    /// The domain is suspended, or about to be.
    Suspended,
    /// The daemon is to begin anew, and has not said that it has.
    Connecting,
    /// Broken, and to be made anew at that time if the daemon can do that.
    Broken(Violation, Duration),
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
            if let Some((Ok(payload), epoch)) = &mailbox.result
                && *epoch == self.epoch
            {
                self.give_up_if_started(mailbox.kind, payload);
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

    /// If this is the answer to the beginning of a transaction, nobody else would ever end it.
    fn give_up_if_started(&mut self, asked: MessageType, payload: &[u8]) {
        if asked == MessageType::TRANSACTION_START
            && let Some(id) = super::ask::transaction_id(payload)
        {
            self.give_up(id);
        }
    }

    fn end_transactions(&mut self, now: Duration) {
        while let Some(id) = self.given_up.last().copied() {
            let transaction = Transaction { id, epoch: self.epoch };
            let Ok(call) = self.start(MessageType::TRANSACTION_END, transaction, b"F\0", now + BACKGROUND) else {
                return;
            };
            self.given_up.pop();
            self.forget(call);
        }
    }

    /// Moves what can be moved, both ways, and sees to deadlines.
    pub(super) fn pump(&mut self, now: Duration) -> Found {
        if !self.is_usable(now) {
            self.expire(now);
            return Found::Nothing;
        }
        let moved = self.receive().and_then(|received| {
            self.end_transactions(now);
            self.ask_for_watches(now);
            Ok(received + self.send()?)
        });
        // The daemon says why it has stopped, maybe before it has taken what we sent.
        let moved = moved.and_then(|moved| self.ring.health().map(|()| moved));
        let found = match moved {
            Ok(0) => Found::Nothing,
            Ok(_) => Found::Work,
            Err(violation) => {
                self.break_off(violation, now);
                Found::Work
            }
        };
        self.expire(now);
        found
    }

    /// Tells the daemon that the ring has changed, if it has.
    pub(super) fn tell(&mut self) {
        if core::mem::take(&mut self.untold) {
            // A daemon whose end is closed is one that does not answer, and deadlines are for that.
            let _ = self.channel.notify();
        }
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

    /// Why the connection is broken, if it is so for good.
    pub(super) fn is_dead(&self) -> Option<Violation> {
        match self.link {
            Link::Broken(violation, _) if !self.ring.can_reconnect() => Some(violation),
            _ => None,
        }
    }

    pub(super) const fn link(&self) -> Link {
        self.link
    }

    /// Whether the store may be brought to rest: by one at a time.
    pub(super) const fn claim_rest(&mut self) -> bool {
        !core::mem::replace(&mut self.claimed, true)
    }

    /// Lets no new requests in; those of open transactions excepted.
    pub(super) fn close(&mut self) {
        if self.link == Link::Up {
            self.before = self.link;
            self.link = Link::Closing;
        }
    }

    /// Whether nothing is in flight.
    fn is_quiet(&self) -> bool {
        let idle = self.connection.in_flight() == 0
            && self.given_up.is_empty()
            && self.connection.outgoing().is_empty()
            && !self.connection.is_within_message();
        self.open_transactions == 0 && (idle || !matches!(self.link, Link::Up | Link::Closing))
    }

    /// Stops, if nothing is in flight.
    pub(super) fn come_to_rest(&mut self) -> bool {
        let quiet = self.is_quiet();
        if quiet {
            if self.link != Link::Closing {
                self.before = self.link;
            }
            self.link = Link::Suspended;
        }
        quiet
    }

    /// Goes on as before.
    pub(super) fn reopen(&mut self) {
        self.claimed = false;
        if matches!(self.link, Link::Closing | Link::Suspended) {
            self.link = self.before;
        }
        self.sleepers.wake_all(&mut self.wakes);
    }

    /// Goes on with another ring and channel.
    pub(super) fn replace(&mut self, ring: Ring, channel: Channel<P>) {
        self.claimed = false;
        self.ring = ring;
        self.channel = Arc::new(channel);
        self.begin_anew(&Reason::Reset);
        self.link = if self.ring.is_connected() { Link::Up } else { Link::Connecting };
    }

    /// Whether messages may go to and fro; makes the connection anew where it is time for that.
    fn is_usable(&mut self, now: Duration) -> bool {
        match self.link {
            Link::Up | Link::Closing => true,
            Link::Suspended => false,
            Link::Broken(_, retry) if self.ring.can_reconnect() && retry <= now => {
                self.ring.ask_to_reconnect();
                self.link = Link::Connecting;
                self.untold = true;
                false
            }
            Link::Broken(..) => false,
            Link::Connecting => {
                let connected = self.ring.is_connected();
                if connected {
                    self.ring.restart();
                    self.begin_anew(&Reason::Reset);
                    self.link = Link::Up;
                }
                connected
            }
        }
    }

    fn receive(&mut self) -> Result<usize, Violation> {
        let mut total = 0;
        while total < BUDGET {
            let count = self.ring.receive(self.connection.space())?;
            if count == 0 {
                break;
            }
            total += count;
            self.untold = true;
            self.take_in(count)?;
        }
        Ok(total)
    }

    /// Takes in bytes that the connection has room for, a message at most.
    fn take_in(&mut self, count: usize) -> Result<(), Violation> {
        let statistics = &mut self.statistics;
        match self.connection.received(count)? {
            Incoming::Partial => {}
            Incoming::Answer { call, result } => {
                statistics.answers = statistics.answers.wrapping_add(1);
                let result = result.map(Vec::from).map_err(|failure| match failure {
                    Failure::Refused(refusal) => refusal.into(),
                    Failure::BadReply(bad) => bad.into(),
                });
                self.deliver(call, result);
            }
            Incoming::Late { asked, payload, .. } => {
                statistics.late = statistics.late.wrapping_add(1);
                let started = payload.filter(|_| asked == MessageType::TRANSACTION_START);
                let id = started.and_then(super::ask::transaction_id);
                id.into_iter().for_each(|id| self.give_up(id));
            }
            Incoming::Watched { token, path } => {
                let counter = if self.watches.fire(token, path, &mut self.wakes) {
                    &mut statistics.events
                } else {
                    &mut statistics.dropped
                };
                *counter = counter.wrapping_add(1);
            }
            Incoming::Nobodys(_) => statistics.dropped = statistics.dropped.wrapping_add(1),
        }
        Ok(())
    }

    fn send(&mut self) -> Result<usize, Violation> {
        let mut total = 0;
        while !self.connection.outgoing().is_empty() {
            let count = self.ring.send(self.connection.outgoing())?;
            if count == 0 {
                break;
            }
            self.connection.sent(count);
            self.untold = true;
            total += count;
        }
        if total > 0 {
            self.sleepers.wake_all(&mut self.wakes);
        }
        Ok(total)
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

    /// Asks for the watches that the daemon does not know, and takes back those that nobody has any more.
    fn ask_for_watches(&mut self, now: Duration) {
        while let Some((index, kind, payload)) = self.watches.next_chore() {
            let Ok(call) = self.start(kind, Transaction::NONE, &payload, now + BACKGROUND) else { return };
            self.watches.asked(index, call);
        }
    }

    fn deliver(&mut self, call: CallId, result: Result<Vec<u8>, Reason>) {
        if let Some(mailbox) = self.mailboxes.iter_mut().find(|mailbox| mailbox.call == call) {
            mailbox.result = Some((result, self.epoch));
            self.wakes.wake(mailbox.waker.take());
        }
        if self.watches.expects(call)
            && let Some((result, _)) = self.collect(call)
        {
            self.watches.answered(call, &result, &mut self.wakes);
        }
        self.sleepers.wake_all(&mut self.wakes);
    }

    /// Ends requests whose deadline has come.
    fn expire(&mut self, now: Duration) {
        while let Some(call) = self.connection.expire(now) {
            self.statistics.timed_out = self.statistics.timed_out.wrapping_add(1);
            self.deliver(call, Err(Reason::TimedOut(Duration::ZERO)));
        }
        self.sleepers.wake(now, &mut self.wakes);
    }

    fn break_off(&mut self, violation: Violation, now: Duration) {
        let retry = if self.epoch == 0 && self.statistics.broken == 0 { now } else { now + PAUSE };
        self.statistics.broken = self.statistics.broken.wrapping_add(1);
        self.link = Link::Broken(violation, retry);
        self.end_all(&violation.into());
        // There will be no events. Who looks at the nodes now is told why.
        if self.is_dead().is_some() {
            self.watches.fire_all(&mut self.wakes);
        }
    }

    fn begin_anew(&mut self, reason: &Reason) {
        self.epoch = self.epoch.wrapping_add(1);
        self.end_all(reason);
        self.watches.begin_anew(&mut self.wakes);
        self.open_transactions = 0;
        self.given_up.clear();
    }

    /// Ends all requests in flight for this reason.
    fn end_all(&mut self, reason: &Reason) {
        self.connection.reset();
        let calls: Vec<CallId> =
            self.mailboxes.iter().filter(|mailbox| mailbox.result.is_none()).map(|mailbox| mailbox.call).collect();
        calls.into_iter().for_each(|call| self.deliver(call, Err(reason.clone())));
        self.sleepers.wake_all(&mut self.wakes);
    }
}
