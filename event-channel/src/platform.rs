//! What a kernel supplies so that its events can be dispatched.

use core::ptr::NonNull;
use core::time::Duration;

use xen_hypercall::abi::VcpuId;
use xen_hypercall::abi::arch::{SharedInfo, VcpuInfo};
use xen_hypercall::{Errno, Pages, sched, timer, version};

use crate::EventChannels;
use crate::words;

/// Whether the calling vCPU takes upcalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcalls {
    /// An event calls the handler at once.
    Open,
    /// Events wait until [`Events::release_upcalls`] or [`Events::block`].
    Held,
}

/// A kernel's event channels.
///
/// The methods with a default are right for a PV guest on x86-64, where upcalls are held back by a byte in the vCPU's info.
/// Elsewhere it is the processor's interrupt flag that holds them back, and a kernel overrides
/// [`hold_upcalls`](Self::hold_upcalls), [`release_upcalls`](Self::release_upcalls) and [`block`](Self::block).
///
/// The upcall handler calls [`dispatch`](crate::dispatch), and again for as long as `evtchn_upcall_pending` is set before it
/// returns.
///
/// # Implementation safety
///
/// * [`event_channels`](Self::event_channels) is always the same table, and that of the domain that [`Hypercall`] calls for.
/// * [`shared_info`](Self::shared_info) and [`vcpu_info`](Self::vcpu_info) are the structures that Xen and this domain share, mapped
///   readable and writable for as long as the platform's handle lives; this domain reaches their event words through atomics only.
/// * Pages that this crate allocates for the table are never given back: they must stay mapped for as long as the table lives.
///
/// [`Hypercall`]: xen_hypercall::Hypercall
pub unsafe trait Events: Pages + Sized {
    /// The domain's event channels.
    fn event_channels(&self) -> &EventChannels;

    /// The vCPU that asks.
    fn vcpu(&self) -> VcpuId;

    /// The page that Xen and the domain share: pending and mask bits of the 2-level ABI.
    fn shared_info(&self) -> NonNull<SharedInfo>;

    /// What Xen and one vCPU share: its pending flag, its mask, its selector. `None` for a vCPU that does not exist.
    fn vcpu_info(&self, vcpu: VcpuId) -> Option<NonNull<VcpuInfo>>;

    /// Holds upcalls back on the calling vCPU, and answers with what was before.
    fn hold_upcalls(&self) -> Upcalls {
        words::own_vcpu(self).map_or(Upcalls::Open, words::Vcpu::hold_upcalls)
    }

    /// Lets upcalls through again on the calling vCPU, and takes at once what came meanwhile.
    fn release_upcalls(&self) {
        if words::own_vcpu(self).is_some_and(words::Vcpu::release_upcalls) {
            // Any hypercall delivers an upcall that is pending and not held back; this one cannot fail.
            let _ = version::version(self);
        }
    }

    /// Lets upcalls through and sleeps until one is pending, in one step.
    ///
    /// # Errors
    ///
    /// Xen's, where it refuses.
    fn block(&self) -> Result<(), Errno> {
        sched::block(self)
    }

    /// Sees to it that an upcall ends a [`block`](Self::block) at `deadline` (system time) or before: by this vCPU's timer, whose
    /// virtual interrupt the kernel has bound. A kernel with other timers on top of that one merges the deadlines here.
    ///
    /// # Errors
    ///
    /// Xen's, where it refuses.
    fn wake_at(&self, deadline: Duration) -> Result<(), Errno> {
        timer::set(self, Some(deadline))
    }

    /// Xen's system time at a time of the kernel's clock, by which deadlines are given. A kernel whose clock is another one, since
    /// it does not count the time of a suspend for instance, converts here; that includes what it is asked to
    /// [`wake_at`](Self::wake_at).
    fn system_time(&self, time: Duration) -> Duration {
        time
    }
}
