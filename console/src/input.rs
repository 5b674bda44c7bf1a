//! The direction to the guest.

use xen_shared_ring::{Consumer, PeerError};

use crate::wait::{ConsoleError, Notify, Patience};

/// How many bytes [`Input::drain`] hands over at a time.
const CHUNK: usize = 64;

/// The input of the PV console.
///
/// The bytes are the backend's: anything can be in them.
#[derive(Debug)]
pub struct Input<N> {
    ring: Consumer,
    notify: N,
    patience: Patience,
}

/// What a call of [`Input::drain`] did.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many bytes were handed over.
    pub bytes: usize,
    /// Whether more had been there than the budget allowed: come back before sleeping.
    pub more: bool,
}

impl<N: Notify> Input<N> {
    pub(crate) const fn new(ring: Consumer, notify: N) -> Self {
        Self { ring, notify, patience: Patience::DEFAULT }
    }

    /// Sets how long each later call of [`read`](Self::read) waits for the backend.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Reads what is there, without waiting, and returns how many bytes that was.
    ///
    /// # Errors
    ///
    /// The backend's first violation of the protocol, for good.
    pub fn try_read(&mut self, into: &mut [u8]) -> Result<usize, PeerError> {
        let count = self.ring.read(into)?;
        if count > 0 {
            self.notify.notify();
        }
        Ok(count)
    }

    /// Reads at least one byte, waiting for it if need be, and returns how many were read.
    ///
    /// Nothing is waited for when `into` is empty.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::TimedOut`] when there was no input, [`ConsoleError::Peer`] from a violation on.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, ConsoleError> {
        let mut patience = self.patience;
        loop {
            let count = self.try_read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            if !patience.wait(&self.notify) {
                return Err(ConsoleError::TimedOut);
            }
        }
    }

    /// Hands what is there over to `sink`, in pieces and at most `budget` bytes, without waiting.
    ///
    /// What arrives during the call is left for the next one: a backend that never stops typing cannot keep
    /// the guest in here.
    ///
    /// # Errors
    ///
    /// The backend's first violation of the protocol, for good.
    pub fn drain(&mut self, budget: usize, mut sink: impl FnMut(&[u8])) -> Result<Drained, PeerError> {
        let available = self.available()?;
        let bytes = available.min(budget);
        let mut chunk = [0; CHUNK];
        for start in (0..bytes).step_by(CHUNK) {
            let chunk = &mut chunk[..CHUNK.min(bytes - start)];
            let count = self.ring.read(chunk)?;
            sink(chunk.get(..count).unwrap_or_default());
        }
        if bytes > 0 {
            self.notify.notify();
        }
        Ok(Drained { bytes, more: available > bytes })
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    ///
    /// The backend's first violation of the protocol, for good.
    pub fn available(&mut self) -> Result<usize, PeerError> {
        self.ring.available()
    }

    /// The violation that broke the input, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<PeerError> {
        self.ring.violation()
    }
}
