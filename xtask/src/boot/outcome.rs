//! How a guest ended.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::timeline::Timeline;

/// What came of a guest.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The guest's name.
    pub name: String,
    /// What the guest wrote to its console, without the final status line.
    pub console: String,
    /// How it ended.
    pub ending: Ending,
    /// The time from its start to its end.
    pub elapsed: Duration,
    /// What Xen (and, in full mode, domain 0) logged.
    pub xen_log: String,
    /// The folder with the complete logs.
    pub logs: PathBuf,
    /// What came of the scenario, if the guest had one and started.
    pub scenario: Option<Scenario>,
    /// When its boot's steps began, up to its end.
    pub timeline: Timeline,
}

impl Outcome {
    /// Returns the exit status for a command line: the ending's, or 103 when the scenario failed or came to no end.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match (&self.ending, &self.scenario) {
            (Ending::TimedOut(_), _) | (_, None) => self.ending.exit_status(),
            (_, Some(scenario)) if scenario.succeeded() => self.ending.exit_status(),
            _ => 103,
        }
    }
}

/// What came of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The lines of its standard output.
    pub said: Vec<String>,
    /// The commands that it ran, each after a `+`, and what they wrote to standard error.
    pub trace: Vec<String>,
    /// Its exit status; none if it came to no end.
    pub status: Option<i32>,
}

impl Scenario {
    /// Returns whether it ran to its end without a failure.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// Returns what to add to the news that the guest has not ended in time.
    pub(super) fn hint(&self) -> &'static str {
        if !self.succeeded() {
            return "";
        }
        "; its scenario had ended well and left it running: does `xl shutdown \"$name\"` belong at the scenario's end?"
    }

    /// Returns what follows `key` and a space in the first line that was said and begins so.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.said.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(0) => f.write_str("the scenario succeeded"),
            Some(status) => write!(f, "the scenario failed with status {status}"),
            None => f.write_str("the scenario came to no end"),
        }
    }
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It powered off with this exit status; 0 when it told none.
    Exited(u8),
    /// It crashed on purpose after a panic message on its console.
    Panicked,
    /// It crashed without a panic message; `report` is what Xen logged about it.
    Crashed {
        /// The lines of Xen's log that tell what happened, registers included; empty if Xen said nothing.
        report: String,
    },
    /// It shut down for another reason.
    ShutDown(Reason),
    /// It did not end within its limit; the text tells when its last sign of life was.
    TimedOut(String),
    /// Someone destroyed it.
    Killed,
    /// It never started: Xen, domain 0 or xl refused; the text is what they said.
    NotStarted(String),
}

impl Ending {
    /// Returns the exit status for a command line.
    ///
    /// The guest's own, 101 after a panic, 102 after a crash or an unexpected shutdown, 124 when the time limit passed, 2 when
    /// the guest never started.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Exited(status) => *status,
            Self::Panicked => 101,
            Self::Crashed { .. } | Self::ShutDown(_) | Self::Killed => 102,
            Self::TimedOut(_) => 124,
            Self::NotStarted(_) => 2,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "status {status}"),
            Self::Panicked => f.write_str("the guest panicked"),
            Self::Crashed { .. } => f.write_str("the guest crashed"),
            Self::ShutDown(reason) => write!(f, "the guest asked for {reason}"),
            Self::TimedOut(_) => f.write_str("the time limit passed"),
            Self::Killed => f.write_str("the guest was destroyed"),
            Self::NotStarted(text) => f.write_str(text.lines().next().unwrap_or("the guest did not start")),
        }
    }
}

/// Why a domain shut down (`SHUTDOWN_*`, public/sched.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is done.
    Poweroff,
    /// It wants to start anew.
    Reboot,
    /// It wants to be saved.
    Suspend,
    /// It, or Xen on its behalf, gave up.
    Crash,
    /// Its watchdog ran out.
    Watchdog,
    /// It wants a new start with its memory kept.
    SoftReset,
    /// A number without a name.
    Other(u32),
}

impl Reason {
    /// Returns the reason with this number.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Poweroff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            5 => Self::SoftReset,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poweroff => f.write_str("power off"),
            Self::Reboot => f.write_str("a reboot"),
            Self::Suspend => f.write_str("suspend"),
            Self::Crash => f.write_str("a crash"),
            Self::Watchdog => f.write_str("a reset by its watchdog"),
            Self::SoftReset => f.write_str("a soft reset"),
            Self::Other(code) => write!(f, "shutdown reason {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_its_scenario_left_running_is_not_blamed() {
        let with = |status| Scenario { status, ..Scenario::default() };
        assert!(with(Some(0)).hint().contains("xl shutdown"));
        assert_eq!((with(Some(1)).hint(), with(None).hint()), ("", ""));
    }
}
