//! Xen's own console.

use core::fmt::{self, Write};

use xen_hypercall::{Errno, Hypercall, console_io};

/// Xen's own console: one hypercall per write, no memory shared, no set-up, no state.
///
/// It is for what a kernel says before its console ring works and after it no longer does, in a panic above
/// all. Whether a domain is heard there is Xen's decision: see [`console_io`].
///
/// ```no_run
/// # fn example<H: xen_hypercall::Hypercall>(xen: H) {
/// use core::fmt::Write;
/// use xen_console::EmergencyConsole;
///
/// let mut console = EmergencyConsole::new(xen);
/// let _ = writeln!(console, "panic: out of coffee");
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EmergencyConsole<H> {
    xen: H,
}

impl<H: Hypercall> EmergencyConsole<H> {
    /// Names Xen's console; nothing is called yet.
    pub const fn new(xen: H) -> Self {
        Self { xen }
    }

    /// Prints all of `bytes`.
    ///
    /// # Errors
    ///
    /// What Xen answered, [`Errno::PERM`] where it does not let this domain print.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Errno> {
        console_io::write(&self.xen, bytes)
    }

    /// Reads what was typed into Xen's console, without waiting, and returns how many bytes that was.
    ///
    /// # Errors
    ///
    /// What Xen answered, [`Errno::PERM`] where it does not let this domain read.
    pub fn try_read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        console_io::read(&self.xen, into)
    }
}

/// Fails where [`write`](EmergencyConsole::write) does, without the reason. Let a panic handler ignore it.
impl<H: Hypercall> Write for EmergencyConsole<H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
