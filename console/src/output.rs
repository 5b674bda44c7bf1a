//! The direction from the guest.

use core::fmt::{self, Write};

use xen_shared_ring::{PeerError, Producer, SharedMem};

use crate::wait::{ConsoleError, Notify, Patience};

/// Room that ends a gap, in bytes: with less, a slow backend would get more notes about gaps than output.
const ROOM_AFTER_GAP: usize = 512;

/// The backend's word that it does not serve the page: `XENCONSOLE_DISCONNECTED`, public/io/console.h (4.21).
const DISCONNECTED: u8 = 1;

/// The output of the PV console.
///
/// Bytes go to the backend as they are: no line ends are translated (see [`CrLf`](crate::CrLf)) and nothing is
/// buffered outside the ring.
///
/// What is dropped leaves a gap: from then on all output is dropped, without waiting, until the backend has made
/// room again; then the output goes on with the line `[N bytes dropped]`. A dead backend therefore costs one
/// [`Patience`] in all, not one per write.
#[derive(Debug)]
pub struct Output<N> {
    ring: Producer,
    connection: SharedMem,
    notify: N,
    patience: Patience,
    /// Bytes dropped since the backend last made room.
    gap: u64,
    dropped: u64,
}

impl<N: Notify> Output<N> {
    pub(crate) const fn new(ring: Producer, connection: SharedMem, notify: N) -> Self {
        Self { ring, connection, notify, patience: Patience::DEFAULT, gap: 0, dropped: 0 }
    }

    /// Sets how long each later call waits for the backend.
    pub const fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Writes as much as there is room for, without waiting, and returns how many bytes that was.
    ///
    /// # Errors
    ///
    /// The backend's first violation of the protocol, for good.
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        self.close_gap()?;
        if self.gap > 0 { Ok(0) } else { self.put(bytes) }
    }

    /// Writes what the backend takes in the time that it is given, drops the rest, and returns how many bytes
    /// were written.
    ///
    /// It never fails: the bytes dropped are counted, and a violation by the backend (which drops everything
    /// from then on) is kept in [`violation`](Self::violation). There is no wait while the backend says that it
    /// is not connected; what fits in the ring is kept for it.
    pub fn write_or_drop(&mut self, bytes: &[u8]) -> usize {
        let (mut rest, mut patience) = (bytes, self.patience);
        while let Ok(count) = self.try_write(rest) {
            rest = rest.get(count..).unwrap_or_default();
            if rest.is_empty() || !self.is_served() || !patience.wait(&self.notify) {
                break;
            }
        }
        self.drop_newest(rest.len());
        bytes.len() - rest.len()
    }

    /// Writes at least one byte, waiting for room if need be, and returns how many were written. Drops nothing.
    ///
    /// No bytes to write are written at once.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::TimedOut`] when there was no room, [`ConsoleError::Peer`] from a violation on.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, ConsoleError> {
        let mut patience = self.patience;
        loop {
            let count = self.try_write(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            self.wait(&mut patience)?;
        }
    }

    /// Waits until the backend has consumed everything, for example before the domain ends.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::TimedOut`] when it has not, [`ConsoleError::Peer`] from a violation on.
    pub fn flush(&mut self) -> Result<(), ConsoleError> {
        let mut patience = self.patience;
        loop {
            self.close_gap()?;
            if self.gap == 0 && self.unread()? == 0 {
                return Ok(());
            }
            self.wait(&mut patience)?;
        }
    }

    /// Whether a byte can be written now.
    ///
    /// # Errors
    ///
    /// The backend's first violation of the protocol, for good.
    pub fn is_ready(&mut self) -> Result<bool, PeerError> {
        self.close_gap()?;
        Ok(self.gap == 0 && self.ring.room()? > 0)
    }

    /// How many bytes the backend has not consumed.
    ///
    /// # Errors
    ///
    /// The backend's first violation of the protocol, for good.
    pub fn unread(&mut self) -> Result<usize, PeerError> {
        self.ring.unread()
    }

    /// How many bytes [`write_or_drop`](Self::write_or_drop) has dropped in all.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The violation that broke the output, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<PeerError> {
        self.ring.violation()
    }

    /// Whether it makes sense to wait: the backend is there, and was not found hanging before.
    fn is_served(&self) -> bool {
        let mut connection = [0];
        let _one = self.connection.read(0, &mut connection);
        self.gap == 0 && connection != [DISCONNECTED]
    }

    fn wait(&self, patience: &mut Patience) -> Result<(), ConsoleError> {
        if patience.wait(&self.notify) { Ok(()) } else { Err(ConsoleError::TimedOut) }
    }

    const fn drop_newest(&mut self, count: usize) {
        self.gap = self.gap.saturating_add(count as u64);
        self.dropped = self.dropped.saturating_add(count as u64);
    }

    /// Marks the gap where there is one and room for what follows it.
    fn close_gap(&mut self) -> Result<(), PeerError> {
        if self.gap > 0 && self.ring.room()? >= ROOM_AFTER_GAP {
            let note = Note::new(self.gap);
            self.put(note.as_bytes())?;
            self.gap = 0;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        let count = self.ring.write(bytes)?;
        if count > 0 {
            self.notify.notify();
        }
        Ok(count)
    }
}

/// Text for the console, as by [`write_or_drop`](Output::write_or_drop): it never fails, so that a backend cannot
/// make an `unwrap` of it panic.
impl<N: Notify> Write for Output<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_or_drop(text.as_bytes());
        Ok(())
    }
}

/// The line that marks a gap, on a line of its own.
struct Note {
    text: [u8; 48],
    len: usize,
}

impl Note {
    fn new(gap: u64) -> Self {
        let mut note = Self { text: [0; 48], len: 0 };
        // The longest number leaves the buffer with room to spare.
        let _fits = write!(note, "\n[{gap} bytes dropped]\n");
        note
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

impl Write for Note {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let rest = self.text.get_mut(self.len..).unwrap_or_default();
        rest.get_mut(..text.len()).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
