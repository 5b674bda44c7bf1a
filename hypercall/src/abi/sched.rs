//! Scheduling, shutdown and the watchdog.

use super::{DomId, Port};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `sched_op` does.
    ///
    /// `SCHEDOP_*`, public/sched.h
    pub struct Command: u32 {
        /// Lets others run. No argument.
        ///
        /// `SCHEDOP_yield`, public/sched.h
        YIELD = 0;
        /// Sleeps until an event is pending, with upcalls unmasked in the same step. No argument.
        ///
        /// `SCHEDOP_block`, public/sched.h
        BLOCK = 1;
        /// Stops the domain, see [`Shutdown`].
        ///
        /// A suspending x86 PV guest passes the frame of its start info as a third argument. The call then
        /// returns 1 where the suspend was cancelled and 0 in the resumed domain.
        ///
        /// `SCHEDOP_shutdown`, public/sched.h
        SHUTDOWN = 2;
        /// Sleeps until one of some ports is pending or a time has come, see [`Poll`].
        ///
        /// `SCHEDOP_poll`, public/sched.h
        POLL = 3;
        /// Declares another domain shut down, see [`RemoteShutdown`].
        ///
        /// `SCHEDOP_remote_shutdown`, public/sched.h
        REMOTE_SHUTDOWN = 4;
        /// Fixes the reason that a later shutdown will report, see [`Shutdown`].
        ///
        /// `SCHEDOP_shutdown_code`, public/sched.h
        SHUTDOWN_CODE = 5;
        /// Sets, feeds or removes a watchdog, see [`Watchdog`].
        ///
        /// `SCHEDOP_watchdog`, public/sched.h
        WATCHDOG = 6;
        /// Pins the vCPU to a processor, see [`PinOverride`]. Hardware domain only.
        ///
        /// `SCHEDOP_pin_override`, public/sched.h
        PIN_OVERRIDE = 7;
    }
}

constants! {
    /// Why a domain stops; what becomes of it is for the tools to decide.
    ///
    /// `SHUTDOWN_*`, public/sched.h
    pub struct ShutdownReason: u32 {
        /// The domain is done.
        ///
        /// `SHUTDOWN_poweroff`, public/sched.h
        POWEROFF = 0;
        /// The domain shall be started afresh.
        ///
        /// `SHUTDOWN_reboot`, public/sched.h
        REBOOT = 1;
        /// The domain's state shall be saved.
        ///
        /// `SHUTDOWN_suspend`, public/sched.h
        SUSPEND = 2;
        /// The domain has failed.
        ///
        /// `SHUTDOWN_crash`, public/sched.h
        CRASH = 3;
        /// A watchdog has expired.
        ///
        /// `SHUTDOWN_watchdog`, public/sched.h
        WATCHDOG = 4;
        /// Xen's state of the domain shall be reset, its memory and vCPUs kept.
        ///
        /// `SHUTDOWN_soft_reset`, public/sched.h
        SOFT_RESET = 5;
        /// The greatest reason that is valid.
        ///
        /// `SHUTDOWN_MAX`, public/sched.h
        MAX = 5;
    }
}

/// Argument of [`Command::SHUTDOWN`] and [`Command::SHUTDOWN_CODE`].
///
/// `struct sched_shutdown`, public/sched.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Shutdown {
    /// Why the domain stops.
    pub reason: ShutdownReason,
}

/// Argument of [`Command::POLL`].
///
/// `struct sched_poll`, public/sched.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Poll {
    /// The ports to wait for; Xen only reads them. They should be masked.
    pub ports: *const Port,
    /// How many ports there are.
    pub nr_ports: u32,
    /// Padding before the 64-bit time.
    pub _pad: u32,
    /// System time at which to give up, in nanoseconds; zero never does.
    pub timeout: u64,
}

/// Argument of [`Command::REMOTE_SHUTDOWN`].
///
/// `struct sched_remote_shutdown`, public/sched.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoteShutdown {
    /// The domain that is shut down.
    pub domain_id: DomId,
    /// Padding before the 32-bit reason.
    pub _pad: u16,
    /// Why it is.
    pub reason: ShutdownReason,
}

/// Argument of [`Command::WATCHDOG`].
///
/// `struct sched_watchdog`, public/sched.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Watchdog {
    /// Zero makes a new watchdog, whose id the call returns; otherwise the one that is meant.
    pub id: u32,
    /// Seconds until it bites; zero removes it.
    pub timeout: u32,
}

/// Argument of [`Command::PIN_OVERRIDE`].
///
/// `struct sched_pin_override`, public/sched.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PinOverride {
    /// The processor, or a negative number to undo the pinning.
    pub pcpu: i32,
}

const_assert_eq!(size_of::<Shutdown>(), 4);
const_assert_eq!(size_of::<Poll>(), 24);
const_assert_eq!(size_of::<RemoteShutdown>(), 8);
const_assert_eq!(size_of::<Watchdog>(), 8);
const_assert_eq!(size_of::<PinOverride>(), 4);
