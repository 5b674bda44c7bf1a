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
/// Only a program calls this; under a test harness the default action (to end the process) remains, and
/// the children end with it (see [`crate::process`]).
pub fn install() {
    INSTALLED.call_once(|| {
        // A handler that exists already belongs to the program that called us, and keeps its job.
        let _ = ctrlc::try_set_handler(|| REQUESTED.store(true, Ordering::Relaxed));
    });
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
