//! One ring, its event channel, and what is under way on it.

use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::time::Duration;

use xen_event_channel::{Channel, ChannelError, Line, OpenError};
use xen_grant_table::{Access, Account, GrantRun, Memory, PageRun, Refusal};
use xen_hypercall::abi::io::blkif::{Operation, Response};
use xen_shared_ring::in_flight::Entry;
use xen_shared_ring::{FrontRing, InFlight, PeerError, Slots};
use xen_xenbus::bus::Offer;

use crate::connection::Written;
use crate::jobs::NONE;
use crate::wire::Blkif;
use crate::{Platform, error};

/// A request of the ring: whose it is, and which part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// What the response must repeat.
    pub(crate) operation: Operation,
    /// The job, or the first of several that were merged.
    pub(crate) job: u32,
    /// How many jobs.
    pub(crate) jobs: u32,
    /// Which pages of the one job.
    pub(crate) page: u32,
    pub(crate) pages: u32,
    /// The page of segments that it uses, or [`NONE`].
    pub(crate) indirect: u32,
}

/// A queue of a connection.
pub(crate) struct Queue<P: Memory + xen_event_channel::Events> {
    pub(crate) ring: FrontRing<Blkif, GrantRun<P>, Slots>,
    pub(crate) parts: InFlight<Part, u64, Vec<Entry<Part>>>,
    line: Line<P>,
}

/// Why a queue could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoQueue {
    Memory,
    Grants(Refusal),
    Channel(OpenError),
}

impl<P: Platform> Queue<P> {
    pub(crate) fn open(platform: &P, account: &Account<P>, order: u32, first: u32) -> Result<Self, NoQueue> {
        let pages = NonZeroUsize::new(1 << order).unwrap_or(NonZeroUsize::MIN);
        let size = Slots::in_pages::<Blkif>(order).ok_or(NoQueue::Memory)?;
        let run = PageRun::alloc(platform.clone(), pages).ok_or(NoQueue::Memory)?;
        let run = run.grant(account, Access::ReadWrite).map_err(|error| NoQueue::Grants(error.reason))?;
        let ring = FrontRing::init_at(run, size, first).map_err(|_| NoQueue::Memory)?;
        let line = Line::unbound(platform, account.peer()).map_err(NoQueue::Channel)?;
        let parts = InFlight::new((0..size.count()).map(|_| Entry::VACANT).collect());
        Ok(Self { ring, parts, line })
    }

    /// Adds the queue's keys, all below `prefix`.
    pub(crate) fn describe(&self, offer: Offer, prefix: &str, written: Written) -> Offer {
        let key = |name: &str| alloc::format!("{prefix}{name}");
        let grefs = self.ring.region().grefs();
        let offer = offer.with(&key("event-channel"), self.line.port().0);
        match grefs {
            // With an order of 0 some backends read the one, and some the other.
            [gref] if written.order => offer.with(&key("ring-ref"), gref.0).with(&key("ring-ref0"), gref.0),
            [gref] => offer.with(&key("ring-ref"), gref.0),
            grefs => (0..).zip(grefs).fold(offer, |offer, (index, gref): (u32, _)| {
                offer.with(&key(&alloc::format!("ring-ref{index}")), gref.0)
            }),
        }
    }

    /// The next response; `None` when there is none. Events from before this call are accounted for.
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<Option<Response>, PeerError> {
        match self.ring.pop()? {
            Some(response) => {
                self.line.found();
                Ok(Some(response.into_unverified()))
            }
            None => Ok(None),
        }
    }

    /// As [`pop`](Self::pop); when there is none, the backend is asked for an event at the next one.
    pub(crate) fn pop_or_arm(&mut self) -> Result<Option<Response>, PeerError> {
        self.line.look();
        match self.ring.pop_or_arm()? {
            Some(response) => {
                self.line.found();
                Ok(Some(response.into_unverified()))
            }
            None => Ok(None),
        }
    }

    /// The request that a response belongs to, once it is checked. `None` for one that was given up.
    #[inline]
    pub(crate) fn complete(&mut self, response: &Response) -> Result<Option<Part>, PeerError> {
        let Some(part) = self.parts.complete(response.id)? else { return Ok(None) };
        if response.operation != part.operation {
            return Err(PeerError::Message { rule: "operation", value: response.operation.0.into() });
        }
        Ok(Some(part))
    }

    /// Shows the backend what was pushed, and signals it where it wants to be. Answers whether it was signalled.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        if self.ring.unpublished() == 0 {
            return false;
        }
        let notify = self.ring.publish();
        self.parts.mark_published();
        // A backend that cannot be signalled is looked after by the watchdog.
        notify.is_needed() && self.line.notify()
    }

    /// Signals the backend whether it wants to be or not. Answers whether it was signalled.
    pub(crate) fn remind(&self) -> bool {
        self.line.notify()
    }

    /// Tells the channel what was found since the last time, so that a storm of events is held off.
    pub(crate) fn settle(&mut self, now: Duration) -> Result<(), ChannelError> {
        self.line.settle(now)
    }

    /// When the channel is to be looked at because its events are held off.
    pub(crate) const fn held(&self) -> Option<Duration> {
        self.line.held()
    }

    /// What to wait for: the channel, and the count that was seen before the last look.
    pub(crate) const fn waits(&self) -> (&Channel<P>, u32) {
        self.line.waits()
    }

    pub(crate) const fn outstanding(&self) -> u32 {
        self.ring.outstanding()
    }
}

impl Part {
    pub(crate) const fn uses_indirect(&self) -> bool {
        self.indirect != NONE
    }
}

impl core::fmt::Display for NoQueue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Memory => f.write_str("no memory for a ring"),
            Self::Grants(refusal) => write!(f, "a ring was not granted: {refusal}"),
            Self::Channel(error) => write!(f, "no event channel for a ring: {error}"),
        }
    }
}

impl From<PeerError> for error::IoError {
    fn from(error: PeerError) -> Self {
        Self::Misbehaved(error)
    }
}
