//! Calls that wait, and copy.

use core::time::Duration;

use xen_hypercall::abi::frame::PAGE_SIZE;

use crate::Platform;
use crate::buffer::Buffer;
use crate::device::Blkfront;
use crate::error::{IoError, Rejection};
use crate::request::{Completion, Discard, Done, Flushed, Request, RequestId};
use crate::sector::{SECTOR, Sector512};
use crate::stall::Stall;

/// Longer transfers are made in pieces of so many bytes.
const PIECE: usize = 256 * PAGE_SIZE;

/// How long a call sleeps at a time, at most.
const NAP: Duration = Duration::from_secs(1);

/// Each call sends its request, and waits until it has come to its end, or has had no answer for
/// [`Options::patience`](crate::Options::patience): it is given up then, with [`IoError::Abandoned`]. What happens to the disk meanwhile
/// is kept for [`poll`](Blkfront::poll).
impl<P: Platform> Blkfront<P> {
    /// Reads from `at` on until `into` is full. What was read before an error is there; all else is as it was.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub fn read(&mut self, at: Sector512, into: &mut [u8]) -> Result<(), IoError> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty() || done == 0) {
            let (at, buffer) = (advanced(at, done)?, self.take_buffer(rest.len())?);
            let Completion { result, buffer, .. } = self.run(Request::read(at, buffer))?;
            let copied = if result.is_ok() { buffer.copy_out(0, rest) } else { 0 };
            self.spare = Some(buffer);
            done += result.map(|_| copied)?;
            if copied == 0 {
                return Err(IoError::NoMemory);
            }
        }
        Ok(())
    }

    /// Reads bytes from anywhere: they need not begin or end with a sector.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub fn read_bytes(&mut self, offset: u64, into: &mut [u8]) -> Result<(), IoError> {
        let unit = u64::from(self.last_known().ok_or(Rejection::NotConnected)?.sector_size());
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (first, skipped) = aligned(offset, done, unit)?;
            let wanted = (skipped + rest.len()).next_multiple_of(unit as usize);
            let buffer = self.take_buffer(wanted)?;
            let Completion { result, buffer, .. } = self.run(Request::read(first, buffer))?;
            let copied = if result.is_ok() { buffer.copy_out(skipped, rest) } else { 0 };
            self.spare = Some(buffer);
            done += result.map(|_| copied)?;
            if copied == 0 {
                return Err(IoError::NoMemory);
            }
        }
        Ok(())
    }

    /// Writes `from` at `at`. Its success says that the backend has it: see [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// Those of [`IoError`]. Pieces before the one that failed are written.
    pub fn write(&mut self, at: Sector512, from: &[u8]) -> Result<(), IoError> {
        self.write_as(at, from, Request::write)
    }

    /// As [`write`](Self::write), after all earlier writes and before all later ones.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub fn write_barrier(&mut self, at: Sector512, from: &[u8]) -> Result<(), IoError> {
        self.write_as(at, from, Request::write_barrier)
    }

    /// Has the backend make durable what was written, and says whether it did.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`]: nothing is known then.
    pub fn flush(&mut self) -> Result<Flushed, IoError> {
        match self.run(Request::flush())?.result? {
            Done::Flushed(flushed) => Ok(flushed),
            _ => Err(IoError::OutcomeUnknown),
        }
    }

    /// Says that a range is of no use any more.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub fn discard(&mut self, at: Sector512, sectors: u64, how: Discard) -> Result<(), IoError> {
        self.run(Request::discard(at, sectors, how))?.result.map(drop)
    }

    /// Submits a request and waits for its end.
    pub(crate) fn run(&mut self, request: Request<P>) -> Result<Completion<P>, IoError> {
        let id = match self.submit(request, self.store.now()) {
            Ok(id) => id,
            Err(rejected) => {
                self.spare = Some(rejected.request.into_buffer());
                return Err(rejected.reason.into());
            }
        };
        self.flush_notifications(self.store.now());
        loop {
            if let Some(completion) = self.take_done(id) {
                return Ok(completion);
            }
            if self.jobs.get(id.place).is_none_or(|job| job.serial != id.serial || job.stall != Stall::No) {
                return Ok(self.given_up(id));
            }
            if self.sleep(self.store.now().saturating_add(NAP)).is_err() {
                return Ok(self.given_up(id));
            }
            self.go_on(self.store.now());
        }
    }

    fn given_up(&mut self, id: RequestId) -> Completion<P> {
        let gone = || Completion { id, result: Err(IoError::Abandoned), buffer: Buffer::empty() };
        self.abandon(id).unwrap_or_else(gone)
    }

    fn write_as(
        &mut self,
        at: Sector512,
        from: &[u8],
        request: fn(Sector512, Buffer<P>) -> Request<P>,
    ) -> Result<(), IoError> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty() || done == 0) {
            let (at, mut buffer) = (advanced(at, done)?, self.take_buffer(rest.len())?);
            let copied = buffer.copy_in(0, rest);
            let Completion { result, buffer, .. } = self.run(request(at, buffer))?;
            self.spare = Some(buffer);
            done += result.map(|_| copied)?;
        }
        Ok(())
    }

    pub(crate) fn take_buffer(&mut self, bytes: usize) -> Result<Buffer<P>, IoError> {
        memory_for(self.store.platform(), &mut self.spare, bytes)
    }
}

/// Memory for so many bytes, or as many of them as there is memory for: that of the last piece, if it is enough.
pub(crate) fn memory_for<P: Platform>(
    platform: &P,
    spare: &mut Option<Buffer<P>>,
    bytes: usize,
) -> Result<Buffer<P>, IoError> {
    let mut most = bytes.min(PIECE);
    let mut buffer = match spare.take().filter(|buffer| buffer.capacity() >= most) {
        Some(buffer) => buffer,
        None => loop {
            match Buffer::alloc(platform, most) {
                Some(buffer) => break buffer,
                None if most <= PAGE_SIZE => return Err(IoError::NoMemory),
                // Whole pages are whole sectors of any disk.
                None => most = (most / 2).next_multiple_of(PAGE_SIZE),
            }
        },
    };
    buffer.set_len(most);
    Ok(buffer)
}

/// Where the byte that many bytes further on stands.
pub(crate) fn advanced(at: Sector512, bytes: usize) -> Result<Sector512, IoError> {
    let sectors = (bytes / SECTOR) as u64;
    at.0.checked_add(sectors).map(Sector512).ok_or(IoError::Rejected(nowhere(at.0)))
}

/// The beginning of the unit in which a byte lies, and how many bytes of it lie before that.
fn aligned(offset: u64, done: usize, unit: u64) -> Result<(Sector512, usize), IoError> {
    let byte = offset.checked_add(done as u64).ok_or(IoError::Rejected(nowhere(offset)))?;
    let skipped = byte % unit;
    Ok((Sector512((byte - skipped) / SECTOR as u64), skipped as usize))
}

/// Where a block stands, of so many bytes.
#[cfg(any(feature = "block-device-driver", feature = "embedded-sdmmc"))]
pub(crate) fn block(number: u64, size: usize) -> Result<Sector512, IoError> {
    let sector = number.checked_mul((size / SECTOR) as u64);
    sector.map(Sector512).ok_or(IoError::Rejected(nowhere(number)))
}

/// A place that is on no disk.
const fn nowhere(at: u64) -> Rejection {
    Rejection::BeyondEnd { at, sectors: 0, capacity: 0 }
}
