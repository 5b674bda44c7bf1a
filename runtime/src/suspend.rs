//! Suspend and resume: what every platform does, and in which order.
//!
//! A suspended guest is an image of its memory. When it runs again, maybe on another machine, all that it had of Xen is gone:
//! event channels, grants, the timer, and what it shared with the daemons of the control domain has new channels. The runtime
//! makes its own anew before [`Xen::suspend`](crate::Xen::suspend) returns; handles from before tell that they are stale.

use core::fmt;

use xen_event_channel::{Events as _, Upcalls};
use xen_grant_table::GrantTable;
use xen_hypercall::Errno;
pub use xen_hypercall::sched::Suspended;
use xen_xenbus::store::StoreError;

use crate::xen::XEN;
use crate::{clock, console, events, guest, platform};

/// Why the guest was not suspended. Everything is as it was.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuspendError {
    /// The caller: upcalls are held back, so that this may be the upcall itself, or a waker that it has called.
    UpcallsHeld,
    /// The guest is the control domain, which nobody could resume.
    ControlDomain,
    /// The caller: so many pages of other domains are mapped. They cannot be saved.
    Mapped(usize),
    /// Xenstore does not come to rest: a transaction stays open, or the daemon does not answer.
    Xenstore(StoreError),
    /// Xen refused.
    Refused(Errno),
}

impl fmt::Display for SuspendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpcallsHeld => f.write_str("a guest cannot be suspended from an upcall"),
            Self::ControlDomain => f.write_str("the control domain cannot be suspended"),
            Self::Mapped(pages) => write!(f, "{pages} pages of other domains are mapped, which have to be unmapped first"),
            Self::Xenstore(error) => error.fmt(f),
            Self::Refused(errno) => write!(f, "the guest was not suspended: {errno}"),
        }
    }
}

impl core::error::Error for SuspendError {}

/// What [`Xen::suspend`](crate::Xen::suspend) does.
pub(crate) fn suspend() -> Result<Suspended, SuspendError> {
    check()?;
    XEN.hold_upcalls();
    let result = suspend_held_back();
    XEN.release_upcalls();
    result
}

/// Whether the caller may suspend the guest.
pub(crate) fn check() -> Result<(), SuspendError> {
    if guest::boot_info().control_domain {
        return Err(SuspendError::ControlDomain);
    }
    match XEN.hold_upcalls() {
        Upcalls::Held => Err(SuspendError::UpcallsHeld),
        Upcalls::Open => {
            XEN.release_upcalls();
            Ok(())
        }
    }
}

/// Nothing prints between the first step and the last: the console has no channel.
fn suspend_held_back() -> Result<Suspended, SuspendError> {
    let Some(memory) = platform::memory() else { return Err(SuspendError::Refused(Errno::NOENT)) };
    let stopped = clock::stop();
    // SAFETY: upcalls are held back, the guest has one vCPU, and `resume` starts channels and grants.
    let result = unsafe { platform::suspend(memory) };
    if result == Ok(Suspended::Resumed) {
        clock::go_on(stopped);
        resume(memory);
    }
    result
}

/// Makes anew what the runtime has of Xen.
fn resume(memory: &platform::Memory) {
    let info = memory.boot_info();
    guest::set_boot_info(info);
    events::resume(info.command_line);
    // SAFETY: the domain was resumed, and the platform suspends no guest with mappings.
    unsafe { GrantTable::resume(&XEN) };
    console::reconnect(&info);
    if let Err(refused) = clock::start() {
        panic!("no timer: {refused}");
    }
}
