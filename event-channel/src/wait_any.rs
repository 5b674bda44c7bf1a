//! Waiting for any of several channels.

use core::time::Duration;

use xen_hypercall::abi::Port;
use xen_hypercall::sched;

use crate::wait::Look;
use crate::{Channel, Events, Upcalls, WaitError, dispatch};

/// To as many channels a wait listens. Xen takes 128 (`SCHEDOP_poll`, common/sched/core.c); a device has few.
const MOST: usize = 32;

/// Waits until one of several channels has another count than was seen, and answers whether that was so before the deadline.
///
/// Upcalls are held back meanwhile, as with [`Channel::wait_poll`]. Each channel comes with the count that was seen before the last
/// look at what it belongs to. Of more than 32 channels the rest is looked at, and not listened to.
///
/// ```
/// # use core::time::Duration;
/// # use xen_event_channel::{Channel, Events, WaitError, wait_any};
/// fn either<P: Events>(kernel: &P, a: &Channel<P>, b: &Channel<P>, now: impl Fn() -> Duration) -> Result<bool, WaitError> {
///     let seen = [(a, a.count()), (b, b.count())];
///     // Look at what the two belong to, and then:
///     wait_any(kernel, seen.into_iter(), now() + Duration::from_secs(1), now)
/// }
/// ```
///
/// # Errors
///
/// Those of [`WaitError`]; [`WaitError::Stale`] as soon as one of the channels is so.
///
/// Source: `SCHEDOP_poll`, public/sched.h
pub fn wait_any<'c, P: Events + 'c>(
    platform: &P,
    channels: impl Iterator<Item = (&'c Channel<P>, u32)> + Clone,
    deadline: Duration,
    now: impl Fn() -> Duration,
) -> Result<bool, WaitError> {
    let before = platform.hold_upcalls();
    let result = loop {
        let mut listen = Listen { ports: [Port(0); MOST], count: 0, until: deadline };
        match listen.look(channels.clone(), now()) {
            Ok(None) => {}
            Ok(Some(found)) => break Ok(found),
            Err(error) => break Err(error),
        }
        let until = Some(platform.system_time(listen.until));
        if let Err(errno) = sched::poll(platform, listen.ports(), until) {
            break Err(WaitError::Refused(errno));
        }
        dispatch(platform, platform.vcpu());
    };
    if before == Upcalls::Open {
        platform.release_upcalls();
    }
    result
}

/// To what a wait listens, and until when.
struct Listen {
    ports: [Port; MOST],
    count: usize,
    until: Duration,
}

impl Listen {
    /// Looks at each channel: there is something, or the deadline has come, or it is listened to.
    fn look<'c, P: Events + 'c>(
        &mut self,
        channels: impl Iterator<Item = (&'c Channel<P>, u32)>,
        now: Duration,
    ) -> Result<Option<bool>, WaitError> {
        let deadline = self.until;
        let mut timed_out = now >= deadline;
        for (channel, seen) in channels {
            match channel.look(seen, deadline, now)? {
                Look::End(crate::Waited::Counted(_)) => return Ok(Some(true)),
                Look::End(crate::Waited::TimedOut) => timed_out = true,
                Look::Sleep(ports, until) => self.add(ports, until),
            }
        }
        Ok(timed_out.then_some(false))
    }

    fn add(&mut self, ports: &[Port], until: Duration) {
        for (place, port) in self.ports.iter_mut().skip(self.count).zip(ports) {
            *place = *port;
            self.count += 1;
        }
        self.until = self.until.min(until);
    }

    fn ports(&self) -> &[Port] {
        self.ports.get(..self.count).unwrap_or_default()
    }
}
