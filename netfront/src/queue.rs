//! A pair of rings, and their event channels.

use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;

use xen_event_channel::{Channel, Line};
use xen_grant_table::Account;
use xen_hypercall::abi::DomId;
use xen_shared_ring::PeerError;
use xen_xenbus::bus::Offer;

use crate::Platform;
use crate::chain::Agreed;
use crate::connection::{Lacking, Written};
use crate::options::Options;
use crate::receive::{Look, Receive};
use crate::takes::Takes;
use crate::transmit::Transmit;

/// A queue of a connection.
pub(crate) struct Queue<P: Platform> {
    pub(crate) transmit: Transmit<P>,
    pub(crate) receive: Receive<P>,
    /// Of both directions, or of what is sent.
    line: Line<P>,
    /// Of what is received.
    receive_line: Option<Line<P>>,
    /// Answers that had been taken at the last look, in both directions.
    seen: (u32, u32),
    /// Nobody wants its packet for now: not without room for an answer, which there was none for, or not at all.
    pub(crate) leaves_packet: bool,
    pub(crate) notifications: u64,
}

impl<P: Platform> Queue<P> {
    pub(crate) fn open(
        number: u32,
        platform: &P,
        account: &Arc<Account<P>>,
        options: &Options,
        (takes, agreed): (Takes, Agreed),
    ) -> Result<Self, Lacking> {
        let transmit = Transmit::open(platform, account, options, takes)?;
        let receive = Receive::open(number, platform, account, options, agreed)?;
        let line = Line::unbound(platform, account.peer())?;
        let seen = (transmit.answers(), receive.answers());
        Ok(Self { transmit, receive, line, receive_line: None, seen, leaves_packet: false, notifications: 0 })
    }

    /// Gives each direction a channel of its own, if there is another port.
    pub(crate) fn split(&mut self, platform: &P, peer: DomId) {
        self.receive_line = Line::unbound(platform, peer).ok();
    }

    /// Whether each direction has a channel of its own.
    pub(crate) const fn is_split(&self) -> bool {
        self.receive_line.is_some()
    }

    /// Adds the queue's keys, all below `prefix`.
    pub(crate) fn describe(&self, offer: Offer, prefix: &str, written: Written) -> Offer {
        let key = |name: &str| format!("{prefix}{name}");
        let offer =
            offer.with(&key("tx-ring-ref"), self.transmit.gref().0).with(&key("rx-ring-ref"), self.receive.gref().0);
        let port = self.line.port().0;
        // This backend may know the one key or the others, whatever the one before it knew.
        let offer = if self.is_split() { offer } else { offer.with(&key("event-channel"), port) };
        if !written.split {
            return offer;
        }
        let receive = self.receive_line.as_ref().unwrap_or(&self.line).port().0;
        offer.with(&key("event-channel-tx"), port).with(&key("event-channel-rx"), receive)
    }

    /// Whether a packet has come. Pages for more are given to the backend meanwhile.
    #[inline]
    pub(crate) fn has_packet(&mut self) -> bool {
        if self.receive.should_post() {
            self.post();
        }
        self.receive.look(Look::Now)
    }

    /// Whether a packet of so many bytes can be sent now. Where it cannot, the backend is shown what takes the room.
    #[inline]
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        let has_room = self.transmit.has_room(bytes);
        if !has_room {
            self.publish();
        }
        has_room
    }

    /// Gives the backend pages to receive into.
    pub(crate) fn post(&mut self) {
        if self.receive.post() {
            let line = self.receive_line.as_ref().unwrap_or(&self.line);
            self.notifications += u64::from(line.notify());
        }
    }

    /// Shows the backend what was sent.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.transmit.publish() {
            self.notifications += u64::from(self.line.notify());
        }
    }

    /// Takes what has come, and has the backend signal what comes later. Answers whether there was nothing that its owner waits for.
    pub(crate) fn arm(&mut self, now: Duration) -> bool {
        self.line.look();
        if let Some(line) = &mut self.receive_line {
            line.look();
        }
        let has_room = self.transmit.has_wanted_room();
        let has_packet = self.receive.look(Look::AndArm) && !self.leaves_packet;
        self.settle(now);
        !has_room && !has_packet && self.violation().is_none()
    }

    /// Answers that were taken, in both directions.
    pub(crate) const fn answers(&self) -> (u32, u32) {
        (self.transmit.answers(), self.receive.answers())
    }

    /// Tells the channels whether there was something since the last time, so that a storm of events is held off. A channel that
    /// cannot be settled is looked at by the watchdog.
    fn settle(&mut self, now: Duration) {
        let answers = self.answers();
        let (has_sent, has_received) = (answers.0 != self.seen.0, answers.1 != self.seen.1);
        self.seen = answers;
        if has_sent || has_received && self.receive_line.is_none() {
            self.line.found();
        }
        let _ = self.line.settle(now);
        if let Some(line) = &mut self.receive_line {
            if has_received {
                line.found();
            }
            let _ = line.settle(now);
        }
    }

    /// Signals the backend whether it wants to be or not.
    pub(crate) fn remind(&mut self) {
        let lines = [Some(&self.line), self.receive_line.as_ref()];
        self.notifications += lines.into_iter().flatten().filter(|line| line.notify()).count() as u64;
    }

    /// When to look because events are held off, or pages are missing.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let held = self.receive_line.as_ref().and_then(Line::held);
        [self.line.held(), held, self.receive.retry_at()].into_iter().flatten().min()
    }

    /// What to wait for.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (&Channel<P>, u32)> + Clone {
        core::iter::once(&self.line).chain(&self.receive_line).map(Line::waits)
    }

    /// What the backend did that it must not.
    pub(crate) fn violation(&self) -> Option<PeerError> {
        self.transmit.broken.or(self.receive.broken)
    }

    /// Has nothing more read or written.
    pub(crate) fn set_broken(&mut self, violation: PeerError) {
        self.transmit.set_broken(violation);
        self.receive.set_broken(violation);
    }
}
