//! A connection to a backend: queues, and what was agreed upon.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use xen_event_channel::OpenError;
use xen_grant_table::{Account, Limits, Refusal};
use xen_hypercall::abi::DomId;
use xen_shared_ring::PeerError;
use xen_xenbus::bus::{Attempt, Keys, Offer};

use crate::Platform;
use crate::control::Control;
use crate::link::{Layout, Link};
use crate::options::{Channels, Checksums, Options};
use crate::queue::Queue;
use crate::statistics::Statistics;

/// So many packets of one queue in a row; then the others have their turn.
const TURN: u32 = 32;

pub(crate) struct Connection<P: Platform> {
    pub(crate) attempt: Attempt,
    pub(crate) queues: Vec<Queue<P>>,
    /// Where the backend can have one.
    pub(crate) control: Option<Control<P>>,
    layout: Layout,
    /// The interface; nothing before the backend has agreed.
    pub(crate) link: Option<Link>,
    /// The first violation. Nothing is read or written any more then.
    pub(crate) broken: Option<PeerError>,
    /// The queue that is asked first for packets, and how many it may still give before it is another one's turn.
    turn: (usize, u32),
    /// The queue on which packets are sent.
    sending: usize,
    // Dropped last: what was granted is given back to it.
    _account: Arc<Account<P>>,
}

/// Keys of an earlier connection that stand in our directory, and that the next ones have to write, too: nobody removes them. They may
/// be another kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// `multi-queue-num-queues`
    queues: bool,
    /// `event-channel-tx` and `event-channel-rx`
    pub(crate) split: bool,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    Memory,
    Grants(Refusal),
    Channel(OpenError),
}

impl<P: Platform> Connection<P> {
    pub(crate) fn open(
        platform: &P,
        peer: DomId,
        attempt: Attempt,
        options: &Options,
        layout: Layout,
    ) -> Result<Self, String> {
        Self::try_open(platform, peer, attempt, options, layout).map_err(|lacking| lacking.to_string())
    }

    fn try_open(
        platform: &P,
        peer: DomId,
        attempt: Attempt,
        options: &Options,
        mut layout: Layout,
    ) -> Result<Self, Lacking> {
        let account = Arc::new(Account::open(platform.clone(), peer, limits(options, &layout))?);
        let rules = (layout.takes(), layout.agreed());
        let queue = |number| Queue::open(number, platform, &account, options, rules);
        let mut queues = (0..layout.queues).map(queue).collect::<Result<Vec<_>, _>>()?;
        if layout.channels == Channels::Split {
            // Each has one. Where there are not so many ports, that is enough.
            queues.iter_mut().for_each(|queue| queue.split(platform, peer));
            layout.channels = if queues.iter().any(Queue::is_split) { Channels::Split } else { Channels::One };
        }
        let control = layout.control.then(|| Control::open(platform, &account, options)).transpose()?;
        let turn = (0, TURN);
        Ok(Self { attempt, queues, control, layout, link: None, broken: None, turn, sending: 0, _account: account })
    }

    /// What the backend is told.
    pub(crate) fn offer(&self, options: &Options, written: Written) -> Offer {
        let offloads = options.checksums == Checksums::Offload;
        let flag = |yes: bool| u32::from(yes);
        let written = Written {
            queues: written.queues || self.queues.len() > 1,
            split: written.split || self.layout.channels == Channels::Split,
        };
        let offer = Offer::connected()
            .with("request-rx-copy", 1)
            .with("feature-rx-notify", 1)
            .with("request-multicast-control", flag(self.layout.filters))
            .with("feature-sg", flag(options.scatter_gather.is_made()))
            .with("feature-gso-tcpv4", flag(options.segmentation.is_made()))
            .with("feature-gso-tcpv6", flag(options.segmentation.is_made()))
            .with("feature-no-csum-offload", flag(!offloads))
            .with("feature-ipv6-csum-offload", flag(offloads));
        let offer = if written.queues { offer.with("multi-queue-num-queues", self.queues.len()) } else { offer };
        let offer = self.control.iter().fold(offer, |offer, control| control.describe(offer));
        match self.queues.as_slice() {
            [queue] => queue.describe(offer, "", written),
            queues => (0..).zip(queues).fold(offer, |offer, (index, queue): (u32, _)| {
                queue.describe(offer, &format!("queue-{index}/"), written)
            }),
        }
    }

    /// The backend has agreed. It may have put packets there already, and may wait for pages.
    pub(crate) fn agree(&mut self, link: Link) {
        self.link = Some(link);
        self.queues.iter_mut().for_each(Queue::post);
    }

    /// Whether the backend has agreed, and is believed.
    #[inline]
    pub(crate) const fn is_live(&self) -> bool {
        self.link.is_some() && self.broken.is_none()
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A queue that has a packet, and suits: each has its turn. A packet that was looked at and left is the next one again.
    #[inline]
    pub(crate) fn queue_with_packet(&mut self, suits: impl Fn(&mut Queue<P>) -> bool) -> Option<&mut Queue<P>> {
        let count = self.queues.len();
        // The one whose turn ends may be the only one that has some.
        for _ in 0..=count {
            let (index, left) = self.turn;
            let queue = self.queues.get_mut(index)?;
            let known = queue.receive.is_ready();
            if (known || left > 0) && queue.has_packet() && suits(queue) {
                self.turn.1 = left.saturating_sub(u32::from(!known));
                return self.queues.get_mut(index);
            }
            self.turn = (if index + 1 < count { index + 1 } else { 0 }, TURN);
        }
        None
    }

    /// The queue on which the next packet is sent. It changes only when the one before has nothing under way: packets stay in order.
    #[inline]
    pub(crate) fn queue_to_send(&mut self) -> Option<&mut Queue<P>> {
        let count = self.queues.len();
        if count > 1 && self.queues.get(self.sending).is_some_and(|queue| queue.transmit.is_idle()) {
            self.sending = if self.sending + 1 < count { self.sending + 1 } else { 0 };
        }
        self.queues.get_mut(self.sending)
    }

    /// Requests to send that were not answered.
    pub(crate) fn outstanding(&self) -> u32 {
        self.queues.iter().map(|queue| queue.transmit.outstanding()).sum()
    }

    /// Whether the backend owes something of what it was given to send.
    pub(crate) fn is_owed(&self) -> bool {
        self.queues.iter().any(|queue| queue.transmit.is_owed())
    }

    /// Answers that were taken, for what was sent and for what was received.
    pub(crate) fn answers(&self) -> (u32, u32) {
        self.queues
            .iter()
            .map(Queue::answers)
            .fold((0, 0), |(sent, received), (more, others)| (sent.wrapping_add(more), received.wrapping_add(others)))
    }

    /// Adds what went through it.
    pub(crate) fn count(&self, statistics: &mut Statistics) {
        for queue in &self.queues {
            statistics.add(&queue.transmit.sent, &queue.receive.received);
            statistics.notifications += queue.notifications;
        }
        statistics.notifications += self.control.as_ref().map_or(0, |control| control.notifications);
    }

    /// What the backend did that it must not.
    pub(crate) fn violation(&self) -> Option<PeerError> {
        let of_control = self.control.as_ref().and_then(|control| control.broken);
        self.queues.iter().find_map(Queue::violation).or(of_control)
    }

    /// Has nothing more read or written.
    pub(crate) fn set_broken(&mut self, violation: PeerError) {
        self.broken = self.broken.or(Some(violation));
        self.queues.iter_mut().for_each(|queue| queue.set_broken(violation));
        self.control.iter_mut().for_each(|control| control.set_broken(violation));
    }
}

impl Written {
    pub(crate) fn read(front: &Keys) -> Self {
        let stands = |name: &str| front.u32(name) != Ok(None);
        Self {
            queues: stands("multi-queue-num-queues"),
            split: stands("event-channel-tx") || stands("queue-0/event-channel-tx"),
        }
    }
}

/// All rings and all pages can always be granted: neither direction takes anything from the other, and no queue from another one.
fn limits(options: &Options, layout: &Layout) -> Limits {
    let rings = 2 * (layout.queues + u32::from(layout.control));
    let all = rings + layout.queues * (options.transmit_pages + options.receive_pages);
    Limits { guaranteed: all, most: all, quarantine: options.quarantine.clamp(rings, all) }
}

impl From<Refusal> for Lacking {
    fn from(refusal: Refusal) -> Self {
        Self::Grants(refusal)
    }
}

impl From<OpenError> for Lacking {
    fn from(error: OpenError) -> Self {
        Self::Channel(error)
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("no memory for rings and packets"),
            Self::Grants(refusal) => write!(f, "rings and packets were not granted: {refusal}"),
            Self::Channel(error) => write!(f, "no event channel for a ring: {error}"),
        }
    }
}
