//! Giving the processor away, waiting, and ending the domain.

use core::time::Duration;

use crate::abi::sched::{Command, PinOverride, Poll, RemoteShutdown, Shutdown, ShutdownReason, Watchdog};
use crate::abi::{DomId, Mfn, Number, Port};
use crate::call::command;
use crate::timer::nanoseconds;
use crate::{Arg, Errno, Hypercall};

/// Lets other vCPUs run.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `SCHEDOP_yield`, public/sched.h
pub fn yield_now<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the command takes no argument.
    unsafe { command::<_, ()>(xen, Number::SCHED_OP, Command::YIELD.0, core::ptr::null_mut()) }.map(drop)
}

/// Unmasks upcalls and waits until one is pending, both in one step: a guest that masks upcalls, finds nothing to
/// do, and blocks, cannot miss the event that comes in between.
///
/// Waits for ever if no event comes; set a [`timer`](crate::timer) for a wait with a deadline.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `SCHEDOP_block`, public/sched.h
pub fn block<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    // SAFETY: the command takes no argument.
    unsafe { command::<_, ()>(xen, Number::SCHED_OP, Command::BLOCK.0, core::ptr::null_mut()) }.map(drop)
}

/// Waits until one of `ports` is pending, or until `deadline` in system time. Upcalls must be masked, or each event
/// ends in the handler instead.
///
/// Returns at once if a port is pending already, and also for no reason: look at the ports afterwards.
///
/// # Errors
///
/// [`Errno::INVAL`] for more ports than Xen looks at (128 today) or a port that does not exist.
///
/// Source: `SCHEDOP_poll`, public/sched.h
pub fn poll<H: Hypercall>(xen: &H, ports: &[Port], deadline: Option<Duration>) -> Result<(), Errno> {
    let nr_ports = u32::try_from(ports.len()).map_err(|_| Errno::INVAL)?;
    // 0 is Xen's word for no deadline.
    let timeout = deadline.map_or(0, |deadline| nanoseconds(deadline).max(1));
    let mut poll = Poll { ports: ports.as_ptr(), nr_ports, _pad: 0, timeout };
    // SAFETY: Xen reads `nr_ports` ports, and nothing else.
    unsafe { command(xen, Number::SCHED_OP, Command::POLL.0, &raw mut poll) }.map(drop)
}

/// Ends the calling domain. Does not return from a real hypervisor.
///
/// The reason is for the toolstack, which decides what comes next: [`ShutdownReason::POWEROFF`],
/// [`ShutdownReason::REBOOT`], [`ShutdownReason::CRASH`], [`ShutdownReason::WATCHDOG`].
///
/// # Errors
///
/// [`Errno::INVAL`] for [`ShutdownReason::SUSPEND`] and [`ShutdownReason::SOFT_RESET`], without a call: the first
/// comes back, with other memory underneath, and the second gives the domain's shared pages away. See [`suspend`]
/// and [`soft_reset`]. The same for reasons beyond 255, of which Xen would look at the last byte only.
///
/// Source: `SCHEDOP_shutdown`, public/sched.h
pub fn shutdown<H: Hypercall>(xen: &H, reason: ShutdownReason) -> Result<(), Errno> {
    let mut shutdown = Shutdown { reason: final_reason(reason)? };
    // SAFETY: Xen reads the structure.
    unsafe { command(xen, Number::SCHED_OP, Command::SHUTDOWN.0, &raw mut shutdown) }.map(drop)
}

/// Lets the reasons pass after which the domain does not go on.
const fn final_reason(reason: ShutdownReason) -> Result<ShutdownReason, Errno> {
    match reason {
        ShutdownReason::SUSPEND | ShutdownReason::SOFT_RESET | ShutdownReason(256..) => Err(Errno::INVAL),
        reason => Ok(reason),
    }
}

/// How a suspend went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// The domain was restored from its image, maybe on another machine.
    Resumed,
    /// The suspend was cancelled: the domain goes on as if nothing had been.
    Cancelled,
}

/// Suspends the domain; returns when it runs again. A PV guest names the frame of its start info, others 0.
///
/// # Errors
///
/// Xen's, where it refuses.
///
/// # Safety
///
/// After [`Suspended::Resumed`] machine frames, event channels, grants and the contents of the shared pages are
/// other ones. The caller must not rely on the old ones.
///
/// Source: `SHUTDOWN_suspend`, public/sched.h
pub unsafe fn suspend<H: Hypercall>(xen: &H, start_info: Mfn) -> Result<Suspended, Errno> {
    let mut shutdown = Shutdown { reason: ShutdownReason::SUSPEND };
    let arguments =
        [Arg::value(Command::SHUTDOWN.0 as usize), Arg::pointer(&raw mut shutdown), Arg::value(start_info.0 as usize)];
    // SAFETY: Xen reads the structure; the caller answers for the rest.
    let answer = Errno::check(unsafe { xen.call(Number::SCHED_OP, arguments) })?;
    Ok(if answer == 0 { Suspended::Resumed } else { Suspended::Cancelled })
}

/// Has the toolstack reset what Xen keeps for the domain, memory excepted.
///
/// # Errors
///
/// Xen's, where it refuses.
///
/// # Safety
///
/// Shared pages, event channels and grants are gone afterwards.
///
/// Source: `SHUTDOWN_soft_reset`, public/sched.h
pub unsafe fn soft_reset<H: Hypercall>(xen: &H) -> Result<(), Errno> {
    let mut shutdown = Shutdown { reason: ShutdownReason::SOFT_RESET };
    // SAFETY: Xen reads the structure; the caller answers for the rest.
    unsafe { command(xen, Number::SCHED_OP, Command::SHUTDOWN.0, &raw mut shutdown) }.map(drop)
}

/// Tells the reason of a shutdown that another means (an ACPI write for instance) will bring about.
///
/// # Errors
///
/// [`Errno::INVAL`] as for [`shutdown`]: a reason told here counts for the shutdown that follows, whatever its own.
///
/// Source: `SCHEDOP_shutdown_code`, public/sched.h
pub fn shutdown_code<H: Hypercall>(xen: &H, reason: ShutdownReason) -> Result<(), Errno> {
    let mut shutdown = Shutdown { reason: final_reason(reason)? };
    // SAFETY: Xen reads the structure.
    unsafe { command(xen, Number::SCHED_OP, Command::SHUTDOWN_CODE.0, &raw mut shutdown) }.map(drop)
}

/// Ends another domain that this one may control, a device model's for instance.
///
/// # Errors
///
/// [`Errno::PERM`] for a domain that is not this one's to end, [`Errno::SRCH`] for one that does not exist.
///
/// Source: `SCHEDOP_remote_shutdown`, public/sched.h
pub fn remote_shutdown<H: Hypercall>(xen: &H, domain: DomId, reason: ShutdownReason) -> Result<(), Errno> {
    let mut shutdown = RemoteShutdown { domain_id: domain, _pad: 0, reason };
    // SAFETY: Xen reads the structure.
    unsafe { command(xen, Number::SCHED_OP, Command::REMOTE_SHUTDOWN.0, &raw mut shutdown) }.map(drop)
}

/// A timer that ends the domain (`SHUTDOWN_watchdog`) unless it is set again in time. A domain has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogId(u32);

impl WatchdogId {
    /// Xen's number for it, 1 or more.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Starts a watchdog that barks after `timeout`, in whole seconds, rounded up.
///
/// # Errors
///
/// [`Errno::NOSPC`] when both are in use.
///
/// Source: `SCHEDOP_watchdog`, public/sched.h
pub fn start_watchdog<H: Hypercall>(xen: &H, timeout: Duration) -> Result<WatchdogId, Errno> {
    // A time of 0 would mean to stop it.
    watchdog(xen, 0, seconds(timeout).max(1)).map(|id| WatchdogId(id as u32))
}

/// Gives a watchdog its full time again.
///
/// # Errors
///
/// [`Errno::INVAL`] for a watchdog that was stopped.
///
/// Source: `SCHEDOP_watchdog`, public/sched.h
pub fn feed_watchdog<H: Hypercall>(xen: &H, id: WatchdogId, timeout: Duration) -> Result<(), Errno> {
    watchdog(xen, id.0, seconds(timeout).max(1)).map(drop)
}

/// Stops a watchdog.
///
/// # Errors
///
/// [`Errno::INVAL`] for a watchdog that was stopped before.
///
/// Source: `SCHEDOP_watchdog`, public/sched.h
pub fn stop_watchdog<H: Hypercall>(xen: &H, id: WatchdogId) -> Result<(), Errno> {
    watchdog(xen, id.0, 0).map(drop)
}

fn watchdog<H: Hypercall>(xen: &H, id: u32, timeout: u32) -> Result<usize, Errno> {
    let mut watchdog = Watchdog { id, timeout };
    // SAFETY: Xen reads the structure.
    unsafe { command(xen, Number::SCHED_OP, Command::WATCHDOG.0, &raw mut watchdog) }
}

fn seconds(time: Duration) -> u32 {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Binds the calling vCPU to a processor for a while, as the control domain may. A negative number ends it.
///
/// # Errors
///
/// [`Errno::PERM`] for other domains, [`Errno::INVAL`] for a processor that does not exist.
///
/// Source: `SCHEDOP_pin_override`, public/sched.h
pub fn pin_override<H: Hypercall>(xen: &H, pcpu: i32) -> Result<(), Errno> {
    let mut pin = PinOverride { pcpu };
    // SAFETY: Xen reads the structure.
    unsafe { command(xen, Number::SCHED_OP, Command::PIN_OVERRIDE.0, &raw mut pin) }.map(drop)
}
