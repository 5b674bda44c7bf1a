//! An interface, as its owner has hold of it.

use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

use xen_event_channel::Watchdog;
use xen_xenbus::Store;
use xen_xenbus::bus::{Device, End, Pilot};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::connection::Connection;
use crate::event::Event;
use crate::life::{Life, Question, Stop};
use crate::link::Link;
use crate::multicast::Groups;
use crate::options::Options;
use crate::rx_token::RxToken;
use crate::sentry::Sentry;
use crate::statistics::Statistics;
use crate::steering::Helm;
use crate::suspend::Suspend;
use crate::transmit::Transmit;
use crate::tx_token::TxToken;

/// How soon, and how late at the latest, the rings are looked at although no event came.
const WATCHDOG: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// So many events are kept; the oldest ones go first.
const MOST_NOTES: usize = 64;

/// A network interface, for its whole life: it connects, and is connected again when its backend restarts.
///
/// Nothing here blocks but what its documentation says so of. [`poll`](Self::poll) is to be called until it finds nothing,
/// [`receive`](Self::receive) until there is no packet: after [`wait`](Self::wait), and at [`next_deadline`](Self::next_deadline).
/// What was sent goes out with [`flush_notifications`](Self::flush_notifications).
pub struct Netfront<P: Platform> {
    pub(crate) store: Store<P>,
    pub(crate) options: Options,
    pub(crate) pilot: Pilot<P, Question>,
    /// Looks after the backend's link.
    pub(crate) sentry: Sentry<P>,
    pub(crate) life: Life,
    pub(crate) stop: Stop,
    pub(crate) suspend: Suspend,
    pub(crate) connection: Option<Connection<P>>,
    /// The interface as it was last known.
    pub(crate) known: Option<Link>,
    pub(crate) groups: Groups,
    pub(crate) helm: Helm,
    pub(crate) notes: VecDeque<Event>,
    pub(crate) watchdog: Watchdog,
    pub(crate) progress: Seen,
    /// Until when a device that has vanished, and came back without a backend, is waited for.
    pub(crate) held: Option<Duration>,
    /// Of connections that have ended.
    pub(crate) statistics: Statistics,
}

/// How far the backend was at the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Answers that had been taken, for what was sent and for what was received.
    pub(crate) answers: (u32, u32),
    /// Since when it has taken nothing of what it was given.
    pub(crate) since: Option<Duration>,
    /// Its owner was told.
    pub(crate) told: bool,
}

impl<P: Platform> Netfront<P> {
    /// An interface for a device that an [`Enumerator`](xen_xenbus::bus::Enumerator) has found. It begins to connect as it is polled.
    ///
    /// Blocks for as long as xenstore takes to register two watches.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn open(store: &Store<P>, device: Device, options: Options) -> Result<Self, StoreError> {
        let options = options.bounded();
        let sentry = Sentry::new(store, &device)?;
        Ok(Self {
            store: store.clone(),
            options,
            pilot: Pilot::new(store, device, options.limits)?,
            sentry,
            life: Life::New,
            stop: Stop::No,
            suspend: Suspend::No,
            connection: None,
            known: None,
            groups: Groups::default(),
            helm: Helm::default(),
            notes: VecDeque::new(),
            watchdog: Watchdog::new(WATCHDOG.0, WATCHDOG.1),
            progress: Seen::default(),
            held: None,
            statistics: Statistics::default(),
        })
    }

    /// The interface as it was agreed upon, while it is connected.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        self.connection.as_ref().filter(|connection| connection.broken.is_none())?.link.as_ref()
    }

    /// The interface as it was last connected.
    #[must_use]
    pub const fn last_known(&self) -> Option<&Link> {
        self.known.as_ref()
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        self.pilot.front().device()
    }

    /// Goes on with everything, and answers with what happened, one thing at a time. Does not wait, but for xenstore's answers where
    /// something is to be read or written there.
    pub fn poll(&mut self, now: Duration) -> Option<Event> {
        self.tend(now);
        self.notes.pop_front()
    }

    /// The next packet that has come, if there is one.
    ///
    /// A hostile backend can have any bytes come, in any number, and none: a packet is no longer than what was agreed upon, and is
    /// nobody else's memory.
    #[inline]
    pub fn receive(&mut self) -> Option<RxToken<'_, P>> {
        let queue = self.live()?.queue_with_packet(|queue| {
            queue.leaves_packet = false;
            true
        })?;
        Some(RxToken::new(&mut queue.receive))
    }

    /// Room for a packet of the MTU; `None` while there is none, or no connection. [`wait`](Self::wait) ends when there is some.
    #[inline]
    pub fn transmit(&mut self) -> Option<TxToken<'_, P>> {
        self.transmit_up_to(Transmit::most)
    }

    /// Room for a TCP packet that is to be cut into segments, or one of the MTU where the backend does not cut.
    #[inline]
    pub fn transmit_to_cut(&mut self) -> Option<TxToken<'_, P>> {
        self.transmit_up_to(Transmit::most_to_cut)
    }

    /// Room for a packet, with one that has come: for stacks that answer at once. Both or none; the packet stays where there is no
    /// room.
    #[inline]
    pub fn receive_and_transmit(&mut self) -> Option<(RxToken<'_, P>, TxToken<'_, P>)> {
        let may_send = self.may_send();
        let queue = self.live()?.queue_with_packet(|queue| {
            queue.leaves_packet = !may_send || !queue.has_room(queue.transmit.most());
            !queue.leaves_packet
        })?;
        let most = queue.transmit.most();
        Some((RxToken::new(&mut queue.receive), TxToken::new(&mut queue.transmit, most)))
    }

    /// Shows the backend what was sent: one signal for all of it, or none where it is at work already. Gives it pages, too, where it
    /// runs out of them.
    pub fn flush_notifications(&mut self) {
        if self.groups.is_untold() {
            self.send_groups();
        }
        let Some(connection) = self.live() else { return };
        connection.queues.iter_mut().for_each(|queue| {
            queue.publish();
            if queue.receive.should_post() {
                queue.post();
            }
        });
    }

    /// Closes the interface: what was sent is waited for as far as the [`limits`](Options::limits) allow. [`Event::Ended`] comes last.
    pub fn close(&mut self) {
        self.pilot.front_mut().close();
        match self.life {
            Life::Detached(..) => self.end(End::Closed),
            Life::Ended => {}
            _ => self.life = Life::Closing,
        }
    }

    /// Whether it is of no use any more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.life == Life::Ended
    }

    /// Whether its device has vanished, and is waited for: see [`Event::Detached`].
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        matches!(self.life, Life::Detached(..))
    }

    /// How many packets, or pieces of packets, are with the backend.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.connection.as_ref().map_or(0, Connection::outstanding)
    }

    /// What went through the interface.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut all = self.statistics;
        if let Some(connection) = &self.connection {
            connection.count(&mut all);
        }
        all
    }

    /// Whether the backend may be given something new.
    pub(crate) fn may_send(&self) -> bool {
        self.stop == Stop::No && self.suspend == Suspend::No
    }

    #[inline]
    fn transmit_up_to(&mut self, most: impl Fn(&Transmit<P>) -> usize) -> Option<TxToken<'_, P>> {
        if !self.may_send() {
            return None;
        }
        let queue = self.live()?.queue_to_send()?;
        let most = most(&queue.transmit);
        queue.has_room(most).then(|| TxToken::new(&mut queue.transmit, most))
    }

    /// The connection, if the backend has agreed and is believed.
    #[inline]
    pub(crate) fn live(&mut self) -> Option<&mut Connection<P>> {
        self.connection.as_mut().filter(|connection| connection.is_live())
    }

    /// Keeps an event.
    pub(crate) fn note(&mut self, event: Event) {
        if self.notes.len() >= MOST_NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(event);
    }
}

impl<P: Platform> fmt::Debug for Netfront<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netfront")
            .field("device", self.device())
            .field("life", &self.life)
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}
