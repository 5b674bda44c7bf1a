//! A disk, as its owner has hold of it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use xen_event_channel::Watchdog;
use xen_hypercall::abi::io::blkif::Segment;
use xen_shared_ring::PeerError;
use xen_xenbus::Store;
use xen_xenbus::bus::{Device, End, Pilot};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::buffer::Buffer;
use crate::cache::Cache;
use crate::connection::{Connection, Written};
use crate::disk::Disk;
use crate::error::{IoError, Rejection};
use crate::event::{Event, Statistics};
use crate::jobs::{Job, Jobs, NONE, Origin, Standing};
use crate::options::Options;
use crate::phase::{Life, Pause, Stop};
use crate::question::Question;
use crate::queue::Queue;
use crate::replay::Replay;
use crate::request::{Completion, Rejected, Request, RequestId};

/// How soon, and how late at the latest, the rings are looked at although no event came.
const WATCHDOG: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// So many events that are no completions are kept; the oldest ones go first.
const MOST_NOTES: usize = 64;

/// A disk that has more completions than this in a row looks at xenstore all the same.
const POLLS_BETWEEN_LOOKS: u32 = 64;

/// A disk, for its whole life: it connects, is connected again when its backend restarts, and sends again what was lost with it.
///
/// Nothing here blocks but what its documentation says so of. [`poll`](Self::poll) is to be called until it finds nothing: after
/// [`wait`](Self::wait), and at [`next_deadline`](Self::next_deadline).
pub struct Blkfront<P: Platform> {
    pub(crate) store: Store<P>,
    pub(crate) options: Options,
    pub(crate) pilot: Pilot<P, Question>,
    /// The device's number, as much of it as a request has room for; backends do not look at it.
    pub(crate) handle: u16,
    pub(crate) life: Life,
    /// Keys that were written once and have to be kept true.
    pub(crate) written: Written,
    pub(crate) connection: Option<Connection<P>>,
    /// The disk as it was last known.
    pub(crate) known: Option<Disk>,
    pub(crate) jobs: Jobs<P>,
    /// The first job of which something may be unsent.
    pub(crate) cursor: u32,
    /// Flushes that wait for changes.
    pub(crate) parked: Vec<RequestId>,
    /// The barrier behind which nothing is sent.
    pub(crate) barrier: u32,
    pub(crate) replay: Option<Replay>,
    pub(crate) replaying: u32,
    /// Jobs that have come to their ends, in that order.
    pub(crate) done: VecDeque<u32>,
    pub(crate) notes: VecDeque<Event<P>>,
    pub(crate) cache: Cache,
    pub(crate) watchdog: Watchdog,
    pub(crate) next_stall: Option<Duration>,
    /// There may be stalled requests of which the owner was not told.
    pub(crate) untold_stalls: bool,
    pub(crate) starved: Option<Duration>,
    /// Until when a device that has vanished, and came back without a backend, is waited for.
    pub(crate) held: Option<Duration>,
    pub(crate) pause: Pause,
    pub(crate) statistics: Statistics,
    /// The segments of the request that is being made.
    pub(crate) segments: Vec<Segment>,
    /// Memory of the calls that copy.
    pub(crate) spare: Option<Buffer<P>>,
    polls: u32,
}

impl<P: Platform> Blkfront<P> {
    /// A disk for a device that an [`Enumerator`](xen_xenbus::bus::Enumerator) has found. It begins to connect as it is polled.
    ///
    /// Blocks for as long as xenstore takes to register a watch.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn open(store: &Store<P>, device: Device, options: Options) -> Result<Self, StoreError> {
        let options = options.bounded();
        Ok(Self {
            store: store.clone(),
            options,
            handle: device.name().id as u16,
            pilot: Pilot::new(store, device, options.limits)?,
            life: Life::New,
            written: Written::default(),
            connection: None,
            known: None,
            jobs: Jobs::new(),
            cursor: NONE,
            parked: Vec::new(),
            barrier: NONE,
            replay: None,
            replaying: NONE,
            done: VecDeque::new(),
            notes: VecDeque::new(),
            cache: Cache::new(options.journal),
            watchdog: Watchdog::new(WATCHDOG.0, WATCHDOG.1),
            next_stall: None,
            untold_stalls: false,
            starved: None,
            held: None,
            pause: Pause::NONE,
            statistics: Statistics::default(),
            segments: Vec::new(),
            spare: None,
            polls: 0,
        })
    }

    /// The disk as its backend describes it, while it is connected.
    #[must_use]
    pub fn disk(&self) -> Option<&Disk> {
        self.connection.as_ref().filter(|connection| connection.broken.is_none())?.disk.as_ref()
    }

    /// The disk as it was last connected.
    #[must_use]
    pub const fn last_known(&self) -> Option<&Disk> {
        self.known.as_ref()
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        self.pilot.front().device()
    }

    /// Takes a request. The backend sees it after [`flush_notifications`](Self::flush_notifications), or the next
    /// [`poll`](Self::poll). While the disk is being connected again, requests wait.
    ///
    /// # Errors
    ///
    /// The request comes back, with the reason.
    pub fn submit(&mut self, request: Request<P>, now: Duration) -> Result<RequestId, Rejected<P>> {
        if let Err(reason) = self.check(&request) {
            return Err(Rejected { reason, request });
        }
        self.statistics.taken += 1;
        let Request { kind, at, buffer } = request;
        Ok(self.insert(Job::new(kind, at.0, buffer, now, Origin::Owner)))
    }

    /// Sends what was submitted: one signal to the backend for all of it, or none where it is at work already.
    pub fn flush_notifications(&mut self, now: Duration) {
        self.send(now);
        self.publish(now);
    }

    /// Goes on with everything, and answers with what happened, one thing at a time. Does not wait, but for xenstore's answers where
    /// something is to be read or written there.
    pub fn poll(&mut self, now: Duration) -> Option<Event<P>> {
        if let Some(completion) = self.next_done() {
            return Some(Event::Completed(completion));
        }
        self.go_on(now);
        self.next_event()
    }

    /// As [`poll`](Self::poll), without a look at xenstore: there are [chores](Self::next_chore) then.
    pub(crate) fn poll_rings(&mut self, now: Duration) -> Option<Event<P>> {
        if let Some(completion) = self.next_done() {
            return Some(Event::Completed(completion));
        }
        self.reap(now);
        self.mind_the_clock(now);
        self.flush_notifications(now);
        self.next_event()
    }

    fn next_event(&mut self) -> Option<Event<P>> {
        let completed = self.next_done().map(Event::Completed);
        completed.or_else(|| self.notes.pop_front()).or_else(|| self.next_stalled().map(Event::Stalled))
    }

    /// Goes on with everything.
    pub(crate) fn go_on(&mut self, now: Duration) {
        self.reap(now);
        self.polls = self.polls.wrapping_add(1);
        if self.done.is_empty() || self.polls.is_multiple_of(POLLS_BETWEEN_LOOKS) {
            self.tend(now);
        }
        self.flush_notifications(now);
    }

    /// Gives a request up: its end comes at once. Its pages stay with the backend until that has answered, or is gone; until then
    /// they count as a request of the [`depth`](Options::depth). `None` where there is no such request any more.
    ///
    /// What was asked for may still be done.
    pub fn abandon(&mut self, id: RequestId) -> Option<Completion<P>> {
        let place = self.jobs.find(id)?;
        let job = self.jobs.get_mut(place).filter(|job| job.standing == Standing::Live)?;
        self.statistics.completed += 1;
        self.statistics.failed += 1;
        let buffer = if job.open > 0 {
            job.fail(IoError::Abandoned);
            job.standing = Standing::GivenUp;
            self.jobs.change_is_over(place);
            if self.barrier == place {
                self.barrier = NONE;
            }
            Buffer::empty()
        } else {
            let buffer = core::mem::replace(&mut job.buffer, Buffer::empty());
            self.take_out(place);
            buffer
        };
        Some(Completion { id, result: Err(IoError::Abandoned), buffer })
    }

    /// The owner knows of what was not made durable, and goes on: flushes that failed do not count against later ones.
    pub const fn accept_loss(&mut self) {
        self.cache.accept_loss();
    }

    /// Closes the disk: what was submitted is finished, and flushed where the backend offers that, as far as the
    /// [`limits`](Options::limits) allow. [`Event::Ended`] comes last.
    pub fn close(&mut self) {
        self.pilot.front_mut().close();
        self.life = match self.life {
            Life::Detached(..) => {
                self.end(End::Closed);
                Life::Ended
            }
            Life::Ended => Life::Ended,
            _ => Life::Closing,
        };
    }

    /// Whether it is of no use any more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.life == Life::Ended
    }

    /// Whether every write that was acknowledged is durable, and every loss was told by a flush. To be asked at the end, when no
    /// flush can be submitted any more.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.cache.is_clean()
    }

    /// Ends the connection, and has another one made: for a backend that has not answered for too long. What is under way is sent
    /// again on the next one.
    pub fn reset(&mut self, now: Duration) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.broken.is_none()) else {
            return;
        };
        // Not that it is one: it is told to nobody.
        connection.set_broken(PeerError::Message { rule: "number of answers", value: 0 });
        let attempt = connection.attempt;
        // Where the connection has ended already, another one is on its way.
        let _ = self.pilot.front_mut().give_up(attempt, "the owner wants another connection", now);
        self.note(Event::Disconnected);
    }

    /// Whether its device has vanished, and is waited for: see [`Event::Detached`].
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        matches!(self.life, Life::Detached(..))
    }

    /// How many requests wait or are under way.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.jobs.owned()
    }

    /// What went through the disk.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Memory for a request; `None` where there is not so much.
    #[must_use]
    pub fn buffer(&self, bytes: usize) -> Option<Buffer<P>> {
        Buffer::alloc(self.store.platform(), bytes)
    }

    /// Adds a job to those that are to be sent.
    pub(crate) fn insert(&mut self, job: Job<P>) -> RequestId {
        // Those that were taken before are due before.
        if self.next_stall.is_none() {
            self.next_stall = Some(job.since.saturating_add(self.options.patience));
        }
        let id = self.jobs.insert(job);
        if self.cursor == NONE {
            self.cursor = id.place;
        }
        id
    }

    /// Whether the backend may be asked for something new.
    pub(crate) fn may_send(&self) -> bool {
        let goes_on = matches!(self.pause.stop, Stop::No | Stop::Draining(_)) && self.pause.suspend.is_none();
        goes_on && self.disk().is_some()
    }

    /// Keeps an event that is no completion.
    pub(crate) fn note(&mut self, event: Event<P>) {
        if self.notes.len() >= MOST_NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(event);
    }

    pub(crate) fn queue_count(&self) -> usize {
        self.connection.as_ref().map_or(0, |connection| connection.queues.len())
    }

    #[inline]
    pub(crate) fn queue_mut(&mut self, index: usize) -> Option<&mut Queue<P>> {
        self.connection.as_mut()?.queues.get_mut(index)
    }

    fn check(&self, request: &Request<P>) -> Result<(), Rejection> {
        let disk = self.known.as_ref().ok_or(Rejection::NotConnected)?;
        if !matches!(self.life, Life::Up | Life::Detached(..)) {
            return Err(Rejection::NotConnected);
        }
        if self.jobs.owned() >= self.options.depth {
            return Err(Rejection::Full);
        }
        disk.check(request.kind, request.extent(), request.buffer.len())
    }
}

impl<P: Platform> fmt::Debug for Blkfront<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut disk = f.debug_struct("Blkfront");
        disk.field("device", self.device()).field("life", &self.life).field("disk", &self.disk());
        disk.field("pending", &self.pending()).field("statistics", &self.statistics).finish_non_exhaustive()
    }
}
