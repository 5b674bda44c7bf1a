//! A suspend of the domain.

use core::time::Duration;

use xen_xenbus::control::{Epoch, Ready, Resumable};

use crate::Platform;
use crate::device::Netfront;
use crate::life::{Life, Stop};

/// How long what was sent is waited for before a suspend.
const LONGEST: Duration = Duration::from_secs(1);

/// Whether the domain is to be suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspend {
    No,
    /// It is; what is under way is waited for until then.
    Draining(Duration),
    /// It is, as far as this interface is concerned.
    Ready,
}

/// Before a suspend nothing more is sent, and what was sent is waited for, so that it is not lost; no longer than a second.
///
/// After it, the device is another one: the enumerator finds it, and [`Netfront::reattach`] takes it.
impl<P: Platform> Resumable for Netfront<P> {
    fn prepare(&mut self, now: Duration) -> Ready {
        let until = match self.suspend {
            Suspend::No => now.saturating_add(LONGEST),
            Suspend::Draining(until) => until,
            Suspend::Ready => return Ready::Yes,
        };
        let is_ready = now >= until || self.is_at_rest();
        self.suspend = if is_ready { Suspend::Ready } else { Suspend::Draining(until) };
        if is_ready { Ready::Yes } else { Ready::NotYet }
    }

    fn cancelled(&mut self, now: Duration) {
        self.suspend = Suspend::No;
        if let Some(connection) = self.live() {
            connection.queues.iter_mut().for_each(|queue| queue.leaves_packet = false);
        }
        self.pilot.front_mut().rearm(now);
        self.begin_times_anew(now);
    }

    fn resumed(&mut self, _: Epoch, now: Duration) {
        (self.suspend, self.held) = (Suspend::No, None);
        self.pilot.resumed();
        self.begin_times_anew(now);
    }
}

impl Suspend {
    /// Until when there is time.
    pub(crate) const fn by(self) -> Option<Duration> {
        match self {
            Self::Draining(by) => Some(by),
            Self::No | Self::Ready => None,
        }
    }
}

impl<P: Platform> Netfront<P> {
    /// The clock may have gone on meanwhile: that is nobody's fault.
    fn begin_times_anew(&mut self, now: Duration) {
        self.sentry.begin_times_anew();
        self.progress.since = self.progress.since.map(|_| now);
        self.helm.begin_times_anew(now);
        if let Stop::Draining(_) = self.stop {
            self.stop = Stop::Draining(now.saturating_add(self.options.limits.stop));
        }
        if let Life::Detached(_, how) = self.life {
            let until = now.saturating_add(self.options.hold);
            (self.life, self.held) = (Life::Detached(until, how), Some(until));
        }
        if self.watchdog.deadline().is_some() {
            self.watchdog.disarm();
            self.watchdog.arm(now);
        }
    }
}
