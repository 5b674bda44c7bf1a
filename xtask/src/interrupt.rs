//! Ctrl-C and SIGTERM: noted here, looked at by every wait.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: Once = Once::new();

/// The user asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Turns Ctrl-C, SIGTERM and SIGHUP into a flag, so that every child process is ended in order.
///
/// Only a program calls this. Under a test harness the default action remains, which ends the process and with it
/// the children (see [`crate::process`]).
pub fn install() {
    INSTALLED.call_once(|| {
        if ctrlc::set_handler(|| REQUESTED.store(true, Ordering::Relaxed)).is_err() {
            eprintln!("warning: cannot catch signals; the children end with this process all the same");
        }
    });
}

/// Returns whether the user asked to stop, and forgets it: who calls this does something about it.
#[must_use]
pub fn take() -> bool {
    REQUESTED.swap(false, Ordering::Relaxed)
}

/// Fails with [`Interrupted`] once the user asked to stop.
///
/// # Errors
///
/// [`Interrupted`].
pub fn check() -> Result<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        bail!(Interrupted);
    }
    Ok(())
}
