//! The guest's clock and its timer.

use core::time::Duration;

use spin::Once;
use xen_event_channel::{Channel, OpenError, WaitError};
use xen_hypercall::abi::{VcpuId, Virq};
use xen_hypercall::pvclock::{self, Pvclock};
use xen_hypercall::{Errno, timer, vcpu};

use crate::events::Events;
use crate::platform;
use crate::xen::{XEN, Xen};

// SAFETY: shared info is mapped for good, and only Xen writes its time fields.
static PVCLOCK: Pvclock = unsafe { Pvclock::new(platform::shared_info().time()) };
static TIMER: Once<Channel<Xen>> = Once::new();

/// How far ahead the timer is set at most: half of what Xen takes.
const FARTHEST: Duration = Duration::from_nanos(1 << 49);

/// Opens the timer's event channel.
pub(crate) fn start() -> Result<(), OpenError> {
    // Xen gives a fresh PV vCPU a tick, which a guest that sleeps until its next deadline has no use for.
    vcpu::stop_periodic_timer(&XEN, VcpuId(0)).map_err(OpenError::Refused)?;
    let channel = Channel::virq(&XEN, Virq::TIMER, VcpuId(0))?;
    TIMER.call_once(|| channel);
    Ok(())
}

/// Has Xen wake the guest at `deadline`, system time.
pub(crate) fn wake_at(deadline: Duration) -> Result<(), Errno> {
    // Xen takes a deadline too far ahead for a mistake; who waits, sets the timer again when it wakes up.
    timer::set(&XEN, Some(deadline.min(Clock::new().now() + FARTHEST)))
}

/// What time it is, and how to wait.
#[derive(Clone, Copy, Debug)]
pub struct Clock(());

impl Clock {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Xen's system time, which never goes back: since Xen was started for a PV guest, since the guest was started for
    /// others.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(PVCLOCK.now(pvclock::tsc))
    }

    /// Time since 1970-01-01 00:00 UTC. `None` if the hypervisor does not tell.
    #[must_use]
    pub fn wall(&self) -> Option<Duration> {
        // SAFETY: shared info is mapped for good, and only Xen writes its time fields.
        let boot = unsafe { pvclock::wall_clock(platform::shared_info().as_abi()) }?;
        boot.checked_add(self.now())
    }

    /// Sleeps for a time; the processor is free for others meanwhile.
    ///
    /// # Errors
    ///
    /// Xen's, where it refuses to set the timer.
    pub fn sleep(&self, time: Duration) -> Result<(), WaitError> {
        let events = Events::new();
        let deadline = self.now().saturating_add(time);
        let Some(timer) = TIMER.get() else { return Ok(()) };
        while self.now() < deadline {
            // It has counted when another deadline came, earlier than this one.
            let _ = events.wait(timer, timer.count(), deadline)?;
        }
        Ok(())
    }
}
