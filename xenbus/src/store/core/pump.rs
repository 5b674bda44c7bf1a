//! What moves: bytes between the connection and the ring, answers to those who wait.

use alloc::vec::Vec;
use core::time::Duration;

use xen_event_channel::{Events, Found};

use super::super::Transaction;
use super::super::ask::transaction_id;
use super::super::error::Reason;
use super::{BACKGROUND, Core, started};
use crate::connection::{CallId, Failure, Incoming};
use crate::wire::{MessageType, RING_SIZE, Violation};

/// Bytes that are taken from the daemon before others have a turn: what it can send meanwhile must not hold anybody up.
const BUDGET: usize = 8 * RING_SIZE;

impl<P: Events> Core<P> {
    pub(super) fn end_transactions(&mut self, now: Duration) {
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
    pub(in crate::store) fn pump(&mut self, now: Duration) -> Found {
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
    pub(in crate::store) fn tell(&mut self) {
        if core::mem::take(&mut self.untold) {
            // A daemon whose end is closed is one that does not answer, and deadlines are for that.
            let _ = self.channel.notify();
        }
    }

    pub(super) fn receive(&mut self) -> Result<usize, Violation> {
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
    pub(super) fn take_in(&mut self, count: usize) -> Result<(), Violation> {
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
                let begun = payload.filter(|_| asked == MessageType::TRANSACTION_START);
                let id = begun.and_then(transaction_id);
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

    pub(super) fn send(&mut self) -> Result<usize, Violation> {
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

    /// Asks for the watches that the daemon does not know, and takes back those that nobody has any more.
    pub(super) fn ask_for_watches(&mut self, now: Duration) {
        while let Some((index, kind, payload)) = self.watches.next_chore() {
            let Ok(call) = self.start(kind, Transaction::NONE, &payload, now + BACKGROUND) else { return };
            self.watches.asked(index, call);
        }
    }

    pub(super) fn deliver(&mut self, call: CallId, result: Result<Vec<u8>, Reason>) {
        if let Some(mailbox) = self.mailboxes.iter_mut().find(|mailbox| mailbox.call == call) {
            // It is open from now on, whenever that is looked at.
            self.open_transactions += usize::from(started(mailbox.kind, &result).is_some());
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
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(call) = self.connection.expire(now) {
            self.statistics.timed_out = self.statistics.timed_out.wrapping_add(1);
            self.deliver(call, Err(Reason::TimedOut(Duration::ZERO)));
        }
        self.sleepers.wake(now, &mut self.wakes);
    }
}
