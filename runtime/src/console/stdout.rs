//! Where the output goes.

use core::fmt::{self, Arguments, Write};

use spin::Mutex;
use xen_console::{CrLf, EmergencyConsole, Output};

use super::Doorbell;
use crate::xen::Xen;

/// Where the output goes.
pub(super) enum Stdout {
    Emergency(EmergencyConsole<Xen>),
    Ring(Output<Doorbell>),
}

impl Stdout {
    /// Writes bytes as they are.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match self {
            // A hypervisor that does not let this domain print cannot be helped.
            Self::Emergency(console) => drop(console.write(bytes)),
            Self::Ring(output) => drop(output.write_or_drop(bytes)),
        }
    }

    /// How many bytes were dropped.
    pub(super) const fn dropped(&self) -> u64 {
        match self {
            Self::Emergency(_) => 0,
            Self::Ring(output) => output.dropped(),
        }
    }

    /// Waits, for a bounded time, until the console daemon has taken everything.
    pub(super) fn flush(&mut self) {
        if let Self::Ring(output) = self {
            // A daemon that takes nothing cannot be helped.
            let _ = output.flush();
        }
    }
}

/// Prints text, in whole lines where it comes as such: each piece costs a hypercall, and the console daemon reads only
/// so many pieces a second.
///
/// The text is formatted without the lock, since what is formatted may print, or panic, itself.
pub(super) fn print(stdout: &Mutex<Stdout>, text: Arguments<'_>) {
    // The terminal on the ring is in raw mode; Xen does its own line ends.
    let raw = matches!(*stdout.lock(), Stdout::Ring(_));
    let mut buffered = Buffered { stdout, bytes: [0; 256], len: 0 };
    // Buffers never fail.
    let _ = if raw { CrLf(&mut buffered).write_fmt(text) } else { buffered.write_fmt(text) };
    buffered.flush();
}

/// Collects the pieces of formatted text.
struct Buffered<'a> {
    stdout: &'a Mutex<Stdout>,
    bytes: [u8; 256],
    len: usize,
}

impl Buffered<'_> {
    fn flush(&mut self) {
        if self.len > 0 {
            self.stdout.lock().write(&self.bytes[..self.len]);
            self.len = 0;
        }
    }
}

impl Write for Buffered<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.as_bytes().chunks(self.bytes.len()) {
            if self.len + piece.len() > self.bytes.len() {
                self.flush();
            }
            self.bytes[self.len..self.len + piece.len()].copy_from_slice(piece);
            self.len += piece.len();
        }
        Ok(())
    }
}
