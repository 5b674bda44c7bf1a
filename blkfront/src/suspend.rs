//! A suspend of the domain.

use core::time::Duration;

use xen_xenbus::control::{Epoch, Ready, Resumable};

use crate::Platform;
use crate::device::Blkfront;
use crate::options::Vanishing;
use crate::phase::Life;

/// How long requests may take to finish before a suspend. What is under way then is sent again afterwards.
const LONGEST: Duration = Duration::from_secs(10);

/// Before a suspend the disk finishes what is under way, and flushes: what the old host's backend has acknowledged is then on the
/// disk, and nothing that it still does can meet what the new host's does. Where that takes too long it is suspended all the same, and
/// what was under way is sent again.
///
/// After it, the device is another one: the enumerator finds it, and [`Blkfront::reattach`] takes it.
impl<P: Platform> Resumable for Blkfront<P> {
    fn prepare(&mut self, now: Duration) -> Ready {
        let until = *self.pause.suspend.get_or_insert(now.saturating_add(LONGEST));
        self.reap(now);
        if now >= until || self.is_at_rest(now) { Ready::Yes } else { Ready::NotYet }
    }

    fn cancelled(&mut self, now: Duration) {
        (self.pause.suspend, self.pause.flushed) = (None, false);
        self.pilot.front_mut().rearm(now);
        self.begin_times_anew(now);
    }

    fn resumed(&mut self, _: Epoch, now: Duration) {
        (self.pause.suspend, self.pause.flushed, self.held) = (None, false, None);
        self.pilot.resumed();
        self.begin_times_anew(now);
    }
}

impl<P: Platform> Blkfront<P> {
    /// The clock may have gone on meanwhile: that is nobody's fault.
    fn begin_times_anew(&mut self, now: Duration) {
        self.jobs.for_each(|_, job| job.since = now);
        self.next_stall = (self.jobs.len() > 0).then(|| now.saturating_add(self.options.patience));
        if let (Life::Detached(_, how), Vanishing::Hold(time)) = (self.life, self.options.vanished) {
            let until = now.saturating_add(time);
            (self.life, self.held) = (Life::Detached(until, how), Some(until));
        }
        self.watchdog.disarm();
        if self.connection.as_ref().is_some_and(|connection| connection.outstanding() > 0) {
            self.watchdog.arm(now);
        }
    }
}
