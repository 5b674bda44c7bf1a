//! Where the output goes.

use core::fmt::{self, Arguments, Write};

use xen_console::{CrLf, EmergencyConsole, Output};

use super::Doorbell;
use crate::platform::Xen;

/// Where the output goes. It is told in whole lines where they come as such: each piece costs a hypercall, and the
/// console daemon reads only so many pieces a second.
pub(super) enum Stdout {
    Emergency(EmergencyConsole<Xen>),
    Ring(Output<Doorbell>),
}

impl Stdout {
    /// Prints text. The terminal on the ring is in raw mode; Xen does its own line ends.
    pub(super) fn print(&mut self, text: Arguments<'_>) {
        // Buffers never fail.
        let _ = match self {
            Self::Emergency(_) => Buffered::new(self).write_fmt(text),
            Self::Ring(_) => CrLf(Buffered::new(self)).write_fmt(text),
        };
    }

    /// Writes bytes as they are.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match self {
            // A hypervisor that does not let this domain print cannot be helped.
            Self::Emergency(console) => drop(console.write(bytes)),
            Self::Ring(output) => drop(output.write_or_drop(bytes)),
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

/// Collects the pieces of formatted text.
struct Buffered<'a> {
    stdout: &'a mut Stdout,
    bytes: [u8; 256],
    len: usize,
}

impl<'a> Buffered<'a> {
    const fn new(stdout: &'a mut Stdout) -> Self {
        Self { stdout, bytes: [0; 256], len: 0 }
    }

    fn flush(&mut self) {
        if self.len > 0 {
            self.stdout.write(&self.bytes[..self.len]);
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

impl Drop for Buffered<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
