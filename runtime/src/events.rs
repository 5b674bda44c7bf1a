//! The guest's event channels: how the runtime starts and serves those of [`xen_event_channel`].

use core::time::Duration;

use xen_event_channel::{Abi, Channel, Events as _, Preference, Upcalls, WaitError, Waited, dispatch};
use xen_hypercall::Errno;
use xen_hypercall::abi::VcpuId;

use crate::boot::CommandLine;
use crate::clock::Clock;
use crate::usage::UPCALLS;
use crate::xen::{XEN, Xen};

/// The guest's event channels. They are opened as [`Channel`]s of [`Guest::xen`](crate::Guest::xen).
///
/// Events come by Xen's 2-level ABI, or by the FIFO ABI if the command line has the word `events=fifo`.
#[derive(Clone, Copy, Debug)]
pub struct Events(());

impl Events {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Which of Xen's ABIs is in use.
    #[must_use]
    pub fn abi(&self) -> Abi {
        XEN.event_channels().abi()
    }

    /// Does something while upcalls are held back. What comes meanwhile is counted right afterwards.
    ///
    /// A wait or a sleep in `work` lets upcalls through while it lasts.
    pub fn held_back<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = XEN.hold_upcalls();
        let result = work();
        if before == Upcalls::Open {
            XEN.release_upcalls();
        }
        result
    }

    /// Sleeps until `is_over`, or until `deadline` (system time, as [`Clock::now`] tells it). For executors, whose tasks are woken by
    /// upcalls: `is_over` is asked with upcalls held back, and again after each of them, so that what wakes a task ends the sleep.
    ///
    /// # Errors
    ///
    /// Xen's, where it refuses to bind the timer's interrupt or to set the timer.
    pub fn sleep_until(&self, deadline: Duration, is_over: impl Fn() -> bool) -> Result<(), WaitError> {
        let before = XEN.hold_upcalls();
        let result = sleep_held_back(deadline, is_over);
        if before == Upcalls::Open {
            XEN.release_upcalls();
        }
        result.map_err(WaitError::Refused)
    }

    /// Sleeps until `channel` has another count than `seen`, or until `deadline` (system time, as [`Clock::now`] tells it).
    ///
    /// # Errors
    ///
    /// Those of [`Channel::wait_block`].
    pub fn wait(&self, channel: &Channel<Xen>, seen: u32, deadline: Duration) -> Result<Waited, WaitError> {
        let clock = Clock::new();
        channel.wait_block(seen, deadline, || clock.now())
    }
}

/// Upcalls are held back from each look to the sleep that follows, so that what comes between the two ends it.
fn sleep_held_back(deadline: Duration, is_over: impl Fn() -> bool) -> Result<(), Errno> {
    while !is_over() && Clock::new().now() < deadline {
        XEN.wake_at(deadline)?;
        XEN.block()?;
        // A block lets upcalls through.
        XEN.hold_upcalls();
    }
    Ok(())
}

/// Chooses the ABI, before the first channel is opened.
pub(crate) fn start(line: CommandLine) {
    if preference(line) == Preference::Fifo {
        // It can only come too late, and then the choice is made.
        let _ = xen_event_channel::start(&XEN, Preference::Fifo);
    }
}

/// Starts anew after the guest was resumed, with the same choice.
pub(crate) fn resume(line: CommandLine) {
    // There is no error but that a channel was opened meanwhile, which nobody could.
    let _ = xen_event_channel::resume(&XEN, preference(line));
}

fn preference(line: CommandLine) -> Preference {
    if line.value("events") == Some("fifo") { Preference::Fifo } else { Preference::TwoLevel }
}

/// What the upcall calls, again for as long as Xen has set the pending flag.
pub(crate) extern "C" fn upcall() {
    UPCALLS.add_one();
    dispatch(&XEN, VcpuId(0));
}
