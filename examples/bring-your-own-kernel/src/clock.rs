//! 6. Clock: Xen's system time, and waiting for it.

use core::time::Duration;

use xen_event_channel::{Channel, OpenError, WaitError, Waited};
use xen_hypercall::abi::{VcpuId, Virq};
use xen_hypercall::pvclock::{self, Pvclock};
use xen_hypercall::{Clock, vcpu};

use crate::events;
use crate::hypercall::{XEN, Xen};

// SAFETY: mapped for good from `events::start` on, and zeros before; of its time, only Xen writes.
static PVCLOCK: Pvclock = unsafe { Pvclock::of_vcpu(events::vcpu_info()) };

/// A kernel with a clock of its own answers by that one, and `Events::system_time` converts.
impl Clock for Xen {
    fn now(&self) -> Duration {
        Duration::from_nanos(PVCLOCK.now(pvclock::tsc))
    }
}

/// The timer's event channel.
pub(crate) struct Timer(Channel<Xen>);

impl Timer {
    /// Opens the channel. Without it every wait of a driver that blocks would still end: those poll Xen.
    pub(crate) fn start() -> Result<Self, OpenError> {
        // Xen lets a new vCPU's timer tick.
        vcpu::stop_periodic_timer(&XEN, VcpuId(0)).map_err(OpenError::Refused)?;
        Ok(Self(Channel::virq(&XEN, Virq::TIMER, VcpuId(0))?))
    }

    /// Sleeps, with upcalls let through.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), WaitError> {
        let end = XEN.now() + time;
        while self.0.wait_block(self.0.count(), end, || XEN.now())? != Waited::TimedOut {}
        Ok(())
    }
}
