//! Whether messages can go to and fro, and what ends and begins with that.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use xen_event_channel::{Channel, Events};

use super::super::error::Reason;
use super::super::ring::Ring;
use super::Core;
use crate::connection::CallId;
use crate::wire::Violation;

/// How long a broken connection stays so before it is made anew: a daemon that breaks it each time costs no more than that.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether messages can go to and fro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Link {
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

impl<P: Events> Core<P> {
    /// Why the connection is broken, if it is so for good.
    pub(in crate::store) fn is_dead(&self) -> Option<Violation> {
        match self.link {
            Link::Broken(violation, _) if !self.ring.can_reconnect() => Some(violation),
            _ => None,
        }
    }

    pub(in crate::store) const fn link(&self) -> Link {
        self.link
    }

    /// Whether the store may be brought to rest: by one at a time.
    pub(in crate::store) const fn claim_rest(&mut self) -> bool {
        !core::mem::replace(&mut self.claimed, true)
    }

    /// Lets no new requests in; those of open transactions excepted.
    pub(in crate::store) fn close(&mut self) {
        if self.link == Link::Up {
            self.before = self.link;
            self.link = Link::Closing;
        }
    }

    /// Whether nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        let idle = self.connection.in_flight() == 0
            && self.given_up.is_empty()
            && self.connection.outgoing().is_empty()
            && !self.connection.is_within_message();
        self.open_transactions == 0 && (idle || !matches!(self.link, Link::Up | Link::Closing))
    }

    /// Stops, if nothing is in flight.
    pub(in crate::store) fn come_to_rest(&mut self) -> bool {
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
    pub(in crate::store) fn reopen(&mut self) {
        self.claimed = false;
        if matches!(self.link, Link::Closing | Link::Suspended) {
            self.link = self.before;
        }
        self.sleepers.wake_all(&mut self.wakes);
    }

    /// Goes on with another ring and channel.
    pub(in crate::store) fn replace(&mut self, ring: Ring, channel: Channel<P>) {
        self.claimed = false;
        self.ring = ring;
        self.channel = Arc::new(channel);
        self.begin_anew(&Reason::Reset);
        self.link = if self.ring.is_connected() { Link::Up } else { Link::Connecting };
    }

    /// Whether messages may go to and fro; makes the connection anew where it is time for that.
    pub(super) fn is_usable(&mut self, now: Duration) -> bool {
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

    pub(super) fn break_off(&mut self, violation: Violation, now: Duration) {
        let retry = if self.epoch == 0 && self.statistics.broken == 0 { now } else { now + PAUSE };
        self.statistics.broken = self.statistics.broken.wrapping_add(1);
        self.link = Link::Broken(violation, retry);
        self.end_all(&violation.into());
        // There will be no events. Who looks at the nodes now is told why.
        if self.is_dead().is_some() {
            self.watches.fire_all(&mut self.wakes);
        }
    }

    pub(super) fn begin_anew(&mut self, reason: &Reason) {
        self.epoch = self.epoch.wrapping_add(1);
        self.end_all(reason);
        self.watches.begin_anew(&mut self.wakes);
        self.open_transactions = 0;
        self.given_up.clear();
    }

    /// Ends all requests in flight for this reason.
    pub(super) fn end_all(&mut self, reason: &Reason) {
        self.connection.reset();
        let calls: Vec<CallId> =
            self.mailboxes.iter().filter(|mailbox| mailbox.result.is_none()).map(|mailbox| mailbox.call).collect();
        calls.into_iter().for_each(|call| self.deliver(call, Err(reason.clone())));
        self.sleepers.wake_all(&mut self.wakes);
    }
}
