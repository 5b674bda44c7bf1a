//! `embedded_io`'s traits for the PV console.
//!
//! That crate's calls block; these block for as long as the [`Patience`](crate::Patience) lasts and answer
//! [`ConsoleError::TimedOut`] then. They never answer zero for a buffer that is not empty, which
//! `embedded_io::Write::write_all` would take for a reason to panic. The emergency console has no such
//! traits: it cannot wait for input, and where it cannot write, waiting does not help.

use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};

use crate::input::Input;
use crate::output::Output;
use crate::wait::{ConsoleError, Notify};

impl Error for ConsoleError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Peer(_) => ErrorKind::BrokenPipe,
            Self::TimedOut => ErrorKind::TimedOut,
        }
    }
}

impl<N> ErrorType for Output<N> {
    type Error = ConsoleError;
}

impl<N: Notify> Write for Output<N> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ConsoleError> {
        Self::write(self, bytes)
    }

    fn flush(&mut self) -> Result<(), ConsoleError> {
        Self::flush(self)
    }
}

impl<N: Notify> WriteReady for Output<N> {
    fn write_ready(&mut self) -> Result<bool, ConsoleError> {
        Ok(self.is_ready()?)
    }
}

impl<N> ErrorType for Input<N> {
    type Error = ConsoleError;
}

impl<N: Notify> Read for Input<N> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ConsoleError> {
        Self::read(self, into)
    }
}

impl<N: Notify> ReadReady for Input<N> {
    fn read_ready(&mut self) -> Result<bool, ConsoleError> {
        Ok(self.available()? > 0)
    }
}
