//! A connection to a backend: rings, grants, and what was agreed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xen_grant_table::{Account, Limits};
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::blkif::MAX_SEGMENTS_PER_REQUEST;
use xen_shared_ring::PeerError;
use xen_xenbus::bus::{Attempt, Offer};

use crate::Platform;
use crate::disk::{Disk, Layout};
use crate::lending::Lending;
use crate::options::{Options, Persistent};
use crate::queue::Queue;
use crate::wire::PROTOCOL;

/// More grants than this one device never needs at a time.
const MOST_GRANTS: u32 = 60_000;

pub(crate) struct Connection<P: Platform> {
    pub(crate) attempt: Attempt,
    pub(crate) queues: Vec<Queue<P>>,
    pub(crate) layout: Layout,
    /// What the backend says; nothing before it has agreed.
    pub(crate) disk: Option<Disk>,
    /// The first violation. Nothing is read or written any more then.
    pub(crate) broken: Option<PeerError>,
    /// The queue that is asked first.
    turn: usize,
    // Dropped last: what was granted is given back to its account.
    pub(crate) lending: Lending<P>,
}

/// Keys that an earlier connection has written, and that the next ones have to write, too: nobody removes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// `ring-page-order`
    pub(crate) order: bool,
    /// `multi-queue-num-queues`
    pub(crate) queues: bool,
}

impl<P: Platform> Connection<P> {
    pub(crate) fn open(
        platform: &P,
        peer: DomId,
        attempt: Attempt,
        options: &Options,
        layout: Layout,
    ) -> Result<Self, String> {
        let account = Account::open(platform.clone(), peer, limits(options, layout))
            .map_err(|refusal| format!("no account for grants: {refusal}"))?;
        let queues = (0..layout.queues).map(|_| Queue::open(platform, &account, layout.ring_order));
        let queues = queues.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let lending = Lending::new(platform.clone(), options.trust, account);
        Ok(Self { attempt, queues, layout, disk: None, broken: None, turn: 0, lending })
    }

    /// What the backend is told.
    pub(crate) fn offer(&self, options: &Options, written: &mut Written) -> Offer {
        let persistent = u32::from(options.persistent == Persistent::IfOffered);
        let offer = Offer::initialised().with("protocol", PROTOCOL).with("feature-persistent", persistent);
        written.order |= self.layout.ring_order > 0;
        written.queues |= self.queues.len() > 1;
        let offer = match self.layout.ring_order {
            0 if !written.order => offer,
            order => offer.with("ring-page-order", order).with("num-ring-pages", 1_u32 << order),
        };
        let offer = if written.queues { offer.with("multi-queue-num-queues", self.queues.len()) } else { offer };
        match self.queues.as_slice() {
            [queue] => queue.describe(offer, "", *written),
            queues => (0..).zip(queues).fold(offer, |offer, (index, queue): (u32, _)| {
                queue.describe(offer, &format!("queue-{index}/"), *written)
            }),
        }
    }

    /// The backend has agreed.
    pub(crate) fn agree(&mut self, disk: Disk) {
        if disk.is_persistent() {
            self.lending.make_persistent();
        }
        self.disk = Some(disk);
    }

    pub(crate) fn ring_slots(&self) -> u32 {
        self.queues.first().map_or(0, |queue| queue.ring.size())
    }

    pub(crate) fn outstanding(&self) -> u32 {
        self.queues.iter().map(Queue::outstanding).sum()
    }

    /// A queue with room: each has its turn.
    #[inline]
    pub(crate) fn queue_with_room(&mut self) -> Option<usize> {
        let count = self.queues.len();
        for _ in 0..count {
            let index = self.turn;
            self.turn = if index + 1 < count { index + 1 } else { 0 };
            if self.queues.get(index).is_some_and(|queue| queue.ring.room() > 0) {
                return Some(index);
            }
        }
        None
    }

    /// Has nothing more read or written.
    pub(crate) fn set_broken(&mut self, violation: PeerError) {
        self.broken = self.broken.or(Some(violation));
        self.queues.iter_mut().for_each(|queue| queue.ring.set_broken(violation));
    }
}

/// Rings and one request without a page of segments can always be granted; beyond that the device takes what is there.
fn limits(options: &Options, layout: Layout) -> Limits {
    let rings = layout.queues << layout.ring_order;
    let slots = rings.saturating_mul(32);
    let guaranteed = rings + 1 + options.segments.min(MAX_SEGMENTS_PER_REQUEST as u32);
    let most = slots.saturating_mul(options.segments + 1).saturating_add(rings).clamp(guaranteed, MOST_GRANTS);
    Limits { guaranteed, most, quarantine: options.quarantine.max(2 * rings).min(most) }
}
