//! Requests that are not answered in time.

use core::time::Duration;

use crate::Platform;
use crate::device::Blkfront;
use crate::jobs::{Origin, Standing};
use crate::request::RequestId;

/// Whether a request has waited for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    No,
    /// It has, and its owner does not know.
    Untold,
    Told,
}

impl<P: Platform> Blkfront<P> {
    /// Finds those that have waited for too long.
    pub(crate) fn notice_stalls(&mut self, now: Duration) {
        if self.next_stall.is_none_or(|next| now < next) {
            return;
        }
        let (patience, mut next, mut found) = (self.options.patience, None::<Duration>, false);
        self.jobs.for_each(|_, job| {
            if job.standing != Standing::Live || job.origin != Origin::Owner || job.stall != Stall::No {
                return;
            }
            let due = job.since.saturating_add(patience);
            if due <= now {
                (job.stall, found) = (Stall::Untold, true);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        });
        self.next_stall = next;
        self.untold_stalls |= found;
    }

    /// The next one that its owner is to be told of. There are as many of them as requests, which is why they are not kept as events.
    pub(crate) fn next_stalled(&mut self) -> Option<RequestId> {
        if !self.untold_stalls {
            return None;
        }
        let mut place = self.jobs.first();
        while let Some(job) = self.jobs.get_mut(place) {
            if job.standing == Standing::Live && job.stall == Stall::Untold {
                job.stall = Stall::Told;
                return Some(RequestId { place, serial: job.serial });
            }
            place = job.next();
        }
        self.untold_stalls = false;
        None
    }
}
