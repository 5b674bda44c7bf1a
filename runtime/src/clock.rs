//! The guest's clock and its timer.

use core::time::Duration;

use xen_event_channel::{Channel, OpenError, WaitError};
use xen_hypercall::abi::{VcpuId, Virq};
use xen_hypercall::pvclock::{self, Pvclock};
use xen_hypercall::{Errno, timer, vcpu};

use crate::events::Events;
use crate::lock::Mutex;
use crate::platform;
use crate::ahead::Ahead;
use crate::xen::{XEN, Xen};

// SAFETY: shared info is mapped for good, and only Xen writes its time fields.
static PVCLOCK: Pvclock = unsafe { Pvclock::of_vcpu(platform::shared_info().vcpu()) };

/// By how much Xen's system time is ahead of the guest's clock.
static AHEAD: Ahead = Ahead::new();

/// The timer's event channel. It is there for its upcall, which ends a sleep; nobody looks at its count.
static TIMER: Mutex<Option<Channel<Xen>>> = Mutex::new(None);

/// How far ahead the timer is set at most: half of what Xen takes.
const FARTHEST: Duration = Duration::from_nanos(1 << 49);

/// Opens the timer's event channel, unless it is open: after a resume or a reset it has to be opened again.
///
/// Not for the upcall: it calls Xen, and may take memory.
pub(crate) fn start() -> Result<(), OpenError> {
    let mut timer = TIMER.lock();
    if timer.as_ref().is_some_and(is_open) {
        return Ok(());
    }
    // Xen gives a fresh PV vCPU a tick, which a guest that sleeps until its next deadline has no use for.
    vcpu::stop_periodic_timer(&XEN, VcpuId(0)).map_err(OpenError::Refused)?;
    *timer = Some(Channel::virq(&XEN, Virq::TIMER, VcpuId(0))?);
    Ok(())
}

/// Tells when the clock stands still, for a suspend.
pub(crate) fn stop() -> Duration {
    Clock::new().now()
}

/// Lets the clock go on from where it stood still, by the time of the machine that the guest was resumed on.
pub(crate) fn go_on(stopped: Duration) {
    PVCLOCK.restart();
    AHEAD.go_on(stopped.as_nanos() as u64, PVCLOCK.now(pvclock::tsc));
}

/// Xen's system time at a time of the guest's clock.
pub(crate) fn system_time(time: Duration) -> Duration {
    AHEAD.system_time(time)
}

/// Asks for the end of a hold, which the timer never has: what there is to learn is whether the channel is stale.
fn is_open(timer: &Channel<Xen>) -> bool {
    timer.lift(Duration::ZERO).is_ok()
}

/// Has Xen wake the guest at `deadline`, system time.
pub(crate) fn wake_at(deadline: Duration) -> Result<(), Errno> {
    start().map_err(errno)?;
    // Xen takes a deadline too far ahead for a mistake; who waits, sets the timer again when it wakes up.
    timer::set(&XEN, Some(system_time(deadline.min(Clock::new().now() + FARTHEST))))
}

/// Why there is no timer, as Xen would say it.
const fn errno(error: OpenError) -> Errno {
    match error {
        OpenError::Refused(errno) | OpenError::Denied(errno) | OpenError::NoRoom(_, errno) => errno,
        OpenError::InUse => Errno::EXIST,
        OpenError::NoPorts => Errno::NOSPC,
        OpenError::NoMemory => Errno::NOMEM,
        OpenError::Busy => Errno::BUSY,
        _ => Errno::INVAL,
    }
}

/// What time it is, and how to wait.
#[derive(Clone, Copy, Debug)]
pub struct Clock(());

impl Clock {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// A time that never goes back, and stands still while the guest is suspended.
    ///
    /// Before the first suspend it is Xen's system time: since Xen was started for a PV guest, since the guest was started for
    /// others. Afterwards [`Events::system_time`](xen_event_channel::Events::system_time) tells what Xen calls a time.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(AHEAD.guest_time(PVCLOCK.now(pvclock::tsc)))
    }

    /// Time since 1970-01-01 00:00 UTC. `None` if the hypervisor does not tell.
    #[must_use]
    pub fn wall(&self) -> Option<Duration> {
        // SAFETY: shared info is mapped for good, and only Xen writes its time fields.
        let boot = unsafe { pvclock::wall_clock(platform::shared_info().as_abi()) }?;
        boot.checked_add(system_time(self.now()))
    }

    /// Sleeps for a time; the processor is free for others meanwhile.
    ///
    /// # Errors
    ///
    /// Xen's, where it refuses to bind the timer's interrupt or to set the timer.
    pub fn sleep(&self, time: Duration) -> Result<(), WaitError> {
        Events::new().sleep_until(self.now().saturating_add(time), || false)
    }
}
