//! What tasks ask of a disk.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll};

use super::{AsyncDisk, Seat, Ticket};
use crate::Platform;
use crate::blocking::{advanced, memory_for};
use crate::buffer::Buffer;
use crate::error::{IoError, Rejection};
use crate::request::{Completion, Discard, Done, Flushed, Rejected, Request};
use crate::sector::Sector512;

/// What came of a request, and its memory: see [`Completion`].
type Answer<T, P> = (Result<T, IoError>, Buffer<P>);

/// Each request waits until there is room for it, below [`Options::depth`](crate::Options::depth), and then for its end. One without
/// an answer for [`Options::patience`](crate::Options::patience) is given up, with [`IoError::Abandoned`]; its memory stays with the
/// backend then.
impl<P: Platform> AsyncDisk<P> {
    /// Has a request done.
    pub async fn run(&self, request: Request<P>) -> Answer<Done, P> {
        let (mut request, mut seat) = (Some(request), Seat::new(self));
        match poll_fn(|context| self.poll_submit(&mut request, &mut seat, context)).await {
            Ok(ticket) => {
                let Completion { result, buffer, .. } = poll_fn(|context| ticket.poll(context)).await;
                (result, buffer)
            }
            Err(rejected) => (Err(rejected.reason.into()), rejected.request.into_buffer()),
        }
    }

    /// Reads the whole buffer from `at` on: the backend puts it there.
    pub async fn read_into(&self, at: Sector512, buffer: Buffer<P>) -> Answer<(), P> {
        transferred(self.run(Request::read(at, buffer)).await)
    }

    /// Writes the whole buffer at `at`: the backend takes it from there. Its success says that the backend has it: see
    /// [`flush`](Self::flush).
    pub async fn write_from(&self, at: Sector512, buffer: Buffer<P>) -> Answer<(), P> {
        transferred(self.run(Request::write(at, buffer)).await)
    }

    /// As [`write_from`](Self::write_from), after all earlier writes and before all later ones.
    pub async fn write_barrier_from(&self, at: Sector512, buffer: Buffer<P>) -> Answer<(), P> {
        transferred(self.run(Request::write_barrier(at, buffer)).await)
    }

    /// Reads from `at` on until `into` is full, with a copy. What was read before an error is there.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub async fn read(&self, at: Sector512, into: &mut [u8]) -> Result<(), IoError> {
        let (mut done, mut spare) = (0, None);
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty() || done == 0) {
            let (at, buffer) = (advanced(at, done)?, self.memory(&mut spare, rest.len())?);
            let (result, buffer) = self.read_into(at, buffer).await;
            result?;
            let copied = buffer.copy_out(0, rest);
            if copied == 0 {
                return Err(IoError::NoMemory);
            }
            (done, spare) = (done + copied, Some(buffer));
        }
        Ok(())
    }

    /// Writes `from` at `at`, with a copy. Its success says that the backend has it: see [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// Those of [`IoError`]. Pieces before the one that failed are written.
    pub async fn write(&self, at: Sector512, from: &[u8]) -> Result<(), IoError> {
        self.write_as(at, from, Request::write).await
    }

    /// As [`write`](Self::write), after all earlier writes and before all later ones.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub async fn write_barrier(&self, at: Sector512, from: &[u8]) -> Result<(), IoError> {
        self.write_as(at, from, Request::write_barrier).await
    }

    /// Has the backend make durable what was written, and says whether it did. It covers the writes that were asked for before.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`]: nothing is known then.
    pub async fn flush(&self) -> Result<Flushed, IoError> {
        match self.run(Request::flush()).await.0? {
            Done::Flushed(flushed) => Ok(flushed),
            _ => Err(IoError::OutcomeUnknown),
        }
    }

    /// Says that a range is of no use any more.
    ///
    /// # Errors
    ///
    /// Those of [`IoError`].
    pub async fn discard(&self, at: Sector512, sectors: u64, how: Discard) -> Result<(), IoError> {
        self.run(Request::discard(at, sectors, how)).await.0.map(drop)
    }

    async fn write_as(
        &self,
        at: Sector512,
        from: &[u8],
        request: fn(Sector512, Buffer<P>) -> Request<P>,
    ) -> Result<(), IoError> {
        let (mut done, mut spare) = (0, None);
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty() || done == 0) {
            let (at, mut buffer) = (advanced(at, done)?, self.memory(&mut spare, rest.len())?);
            let copied = buffer.copy_in(0, rest);
            let (result, buffer) = self.run(request(at, buffer)).await;
            result?;
            (done, spare) = (done + copied, Some(buffer));
        }
        Ok(())
    }

    pub(crate) fn memory(&self, spare: &mut Option<Buffer<P>>, bytes: usize) -> Result<Buffer<P>, IoError> {
        memory_for(self.0.store.platform(), spare, bytes)
    }

    /// Submits the request as soon as there is room.
    fn poll_submit(
        &self,
        request: &mut Option<Request<P>>,
        seat: &mut Seat<'_, P>,
        context: &Context<'_>,
    ) -> Poll<Result<Arc<Ticket<P>>, Rejected<P>>> {
        let Some(wanted) = request.take() else { return Poll::Pending };
        let now = self.0.store.now();
        let mut core = self.lock();
        let id = match core.disk.submit(wanted, now) {
            Ok(id) => id,
            Err(rejected) if rejected.reason == Rejection::Full => {
                *request = Some(rejected.request);
                let old = core.sleepers.sleep(seat, context);
                drop(core);
                drop(old);
                return Poll::Pending;
            }
            Err(rejected) => return Poll::Ready(Err(rejected)),
        };
        let ticket = Arc::new(Ticket::new());
        core.waiting.insert(id.serial, Arc::clone(&ticket));
        core.disk.flush_notifications(now);
        let is_answered = !core.disk.done.is_empty();
        drop(core);
        if is_answered {
            self.drive(now);
        }
        Poll::Ready(Ok(ticket))
    }
}

fn transferred<P: Platform>((result, buffer): Answer<Done, P>) -> Answer<(), P> {
    (result.map(drop), buffer)
}
