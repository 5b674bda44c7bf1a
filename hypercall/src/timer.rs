//! The vCPU's one-shot timer.

use core::time::Duration;

use crate::abi::Number;
use crate::{Arg, Errno, Hypercall};

/// Has Xen raise `VIRQ_TIMER` on the calling vCPU at `deadline`, in system time (what
/// [`Pvclock`](crate::pvclock::Pvclock) tells). A deadline that has passed is raised at once, `None` stops the
/// timer. There is one timer: the last call counts.
///
/// Xen takes a deadline more than 2^50 nanoseconds (13 days) ahead for a mistake, and raises the timer after 100 ms
/// instead: set it for earlier, and again.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `__HYPERVISOR_set_timer_op`, public/xen.h
pub fn set<H: Hypercall>(xen: &H, deadline: Option<Duration>) -> Result<(), Errno> {
    // 0 is Xen's word for no timer.
    let deadline = deadline.map_or(0, |deadline| nanoseconds(deadline).max(1));
    // SAFETY: the call takes no pointer.
    Errno::check(unsafe { xen.call(Number::SET_TIMER_OP, [Arg::value(deadline as usize)]) }).map(drop)
}

/// Xen's times are signed, so one beyond 292 years would be one long ago.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    const LAST: u64 = i64::MAX.cast_unsigned();
    u64::try_from(time.as_nanos()).unwrap_or(LAST).min(LAST)
}
