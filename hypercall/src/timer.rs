//! The vCPU's one-shot timer.

use core::time::Duration;

use crate::abi::Number;
use crate::{Arg, Errno, Hypercall};

/// Has Xen raise `VIRQ_TIMER` on the calling vCPU at `deadline`, in system time (what
/// [`Pvclock`](crate::pvclock::Pvclock) tells). A deadline that has passed is raised at once, `None` stops the
/// timer, and so does a deadline beyond 2^63 nanoseconds (292 years). There is one timer: the last call counts.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `__HYPERVISOR_set_timer_op`, public/xen.h
pub fn set<H: Hypercall>(xen: &H, deadline: Option<Duration>) -> Result<(), Errno> {
    let nanoseconds = deadline.map_or(0, |deadline| match i64::try_from(deadline.as_nanos()) {
        // 0 is Xen's word for no timer.
        Ok(nanoseconds) => nanoseconds.max(1),
        Err(_) => 0,
    });
    // SAFETY: the call takes no pointer.
    Errno::check(unsafe { xen.call(Number::SET_TIMER_OP, [Arg::value(nanoseconds as usize)]) }).map(drop)
}
