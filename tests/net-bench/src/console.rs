//! Lines that are typed at the console.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::error::Error;

use xen_rt::{Guest, Terminal};

pub(crate) struct Console {
    terminal: Terminal,
    typed: Vec<u8>,
}

impl Console {
    pub(crate) const fn new(guest: &Guest) -> Self {
        Self { terminal: guest.console(), typed: Vec::new() }
    }

    /// The next line, if it is there.
    pub(crate) fn line(&mut self) -> Result<Option<String>, Box<dyn Error>> {
        let mut buffer = [0; 64];
        let count = self.terminal.try_read(&mut buffer)?;
        self.typed.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let Some(end) = self.typed.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else { return Ok(None) };
        let line = String::from_utf8_lossy(self.typed.get(..end).unwrap_or_default()).trim().to_string();
        self.typed.drain(..=end);
        Ok(Some(line))
    }
}
