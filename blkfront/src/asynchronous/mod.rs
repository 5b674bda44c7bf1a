//! A disk for tasks.

mod follow;
mod requests;
mod serve;
mod sleepers;
mod ticket;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;

use atomic_waker::AtomicWaker;
use spin::{Mutex, MutexGuard};
use xen_xenbus::Store;
use xen_xenbus::bus::{Device, End};
use xen_xenbus::control::{Epoch, Ready, Resumable};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::buffer::Buffer;
use crate::device::Blkfront;
use crate::disk::Disk;
use crate::event::{Event, Statistics};
use sleepers::{Seat, Sleepers};
use ticket::Ticket;

/// So many events are kept that nobody has asked for; the oldest ones go first.
const MOST_EVENTS: usize = 64;

/// A disk for any number of tasks: a handle, cheap to clone.
///
/// One task [serves](Self::serve) the disk; that one and the executor's timer drive it. Everybody else asks something of it and
/// awaits the answer. There is neither an executor nor a timer in here:
///
/// ```
/// use core::time::Duration;
/// use xen_blkfront::{AsyncDisk, Flushed, IoError, Platform, Sector512};
/// use xen_xenbus::Store;
///
/// /// A task of its own, beside one of `store.serve()`.
/// async fn serve<P: Platform>(disk: AsyncDisk<P>) {
///     println!("the disk has ended: {:?}", disk.serve().await);
/// }
///
/// /// To be called by the executor at the latest at what this answered before; at any other time it does no harm.
/// fn timer<P: Platform>(store: &Store<P>, disk: &AsyncDisk<P>, now: Duration) -> Option<Duration> {
///     store.poll();
///     disk.poll(now);
///     [store.next_deadline(), disk.next_deadline()].into_iter().flatten().min()
/// }
///
/// /// Any number of these.
/// async fn work<P: Platform>(disk: AsyncDisk<P>) -> Result<Flushed, IoError> {
///     let mut sector = [0; 512];
///     disk.read(Sector512(0), &mut sector).await?;
///     disk.write(Sector512(1), &sector).await?;
///     disk.flush().await
/// }
/// ```
///
/// A future that is dropped forgets that anybody wants to know, and nothing else: the request goes on, and its memory is free when
/// it has come to its end. Nothing here blocks: what is to be read or written in xenstore is awaited by the task that serves. The
/// disk's lock is held for a look at the rings, never for a wait, and no waker is run meanwhile; it is not for the upcall.
pub struct AsyncDisk<P: Platform>(Arc<Shared<P>>);

struct Shared<P: Platform> {
    store: Store<P>,
    core: Mutex<Core<P>>,
    /// The task that serves.
    server: AtomicWaker,
    /// Xenstore is being asked for something.
    is_asking: AtomicBool,
    /// The same, for the device in the place of one that has vanished.
    is_searching: AtomicBool,
}

struct Core<P: Platform> {
    disk: Blkfront<P>,
    /// Who waits for the end of which request, by its serial number.
    waiting: BTreeMap<u64, Arc<Ticket<P>>>,
    events: VecDeque<Event<P>>,
    /// Who waits for something to change: room, an event, a connection.
    sleepers: Sleepers,
    end: Option<End>,
    /// When a device that has vanished is looked for again.
    search_at: Option<Duration>,
}

impl<P: Platform> AsyncDisk<P> {
    /// A disk that was [opened](Blkfront::open) or [found](Blkfront::find). Events that it has are told to
    /// [`event`](Self::event).
    #[must_use]
    pub fn new(disk: Blkfront<P>) -> Self {
        let end = disk.is_ended().then_some(End::Closed);
        Self(Arc::new(Shared {
            store: disk.store.clone(),
            core: Mutex::new(Core {
                disk,
                waiting: BTreeMap::new(),
                events: VecDeque::new(),
                sleepers: Sleepers::default(),
                end,
                search_at: None,
            }),
            server: AtomicWaker::new(),
            is_asking: AtomicBool::new(false),
            is_searching: AtomicBool::new(false),
        }))
    }

    /// Waits until the disk is connected, and answers with what it is; `None` where it has ended.
    pub async fn connected(&self) -> Option<Disk> {
        self.once(|core| match core.disk.disk() {
            Some(disk) => Some(Some(disk.clone())),
            None if core.end.is_some() => Some(None),
            None => None,
        })
        .await
    }

    /// The next event that is no completion. Each is told once, to one task; some are dropped where nobody asks for them.
    pub async fn event(&self) -> Event<P> {
        self.once(|core| core.events.pop_front()).await
    }

    /// The disk as its backend describes it, while it is connected.
    #[must_use]
    pub fn disk(&self) -> Option<Disk> {
        self.lock().disk.disk().cloned()
    }

    /// The disk as it was last connected.
    #[must_use]
    pub fn last_known(&self) -> Option<Disk> {
        self.lock().disk.last_known().cloned()
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Device {
        self.lock().disk.device().clone()
    }

    /// What went through the disk.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.lock().disk.statistics()
    }

    /// How many requests wait or are under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().disk.pending()
    }

    /// Memory for a request; `None` where there is not so much.
    #[must_use]
    pub fn buffer(&self, bytes: usize) -> Option<Buffer<P>> {
        Buffer::alloc(self.0.store.platform(), bytes)
    }

    /// As [`Blkfront::accept_loss`].
    pub fn accept_loss(&self) {
        self.lock().disk.accept_loss();
    }

    /// Closes the disk, as [`Blkfront::close`]: [`serve`](Self::serve) ends when that is done.
    pub fn close(&self) {
        self.lock().disk.close();
        self.poll(self.0.store.now());
    }

    /// Goes on with another device in the place of one that has vanished: see [`Blkfront::reattach`].
    ///
    /// # Errors
    ///
    /// Xenstore's; the disk is as before.
    pub async fn reattach(&self, device: Device) -> Result<(), StoreError> {
        let watch = self.0.store.watch(&device.backend_key("state")).await?;
        let old = self.lock().disk.replace(device, watch);
        // Outside of the lock: it tells xenstore.
        drop(old);
        self.0.server.wake();
        Ok(())
    }

    /// Waits until there is an answer. It is asked again whenever something has happened to the disk.
    async fn once<T>(&self, mut answer: impl FnMut(&mut Core<P>) -> Option<T>) -> T {
        let mut seat = Seat::new(self);
        poll_fn(|context| {
            let mut core = self.lock();
            if let Some(answer) = answer(&mut core) {
                return Poll::Ready(answer);
            }
            let old = core.sleepers.sleep(&mut seat, context);
            drop(core);
            drop(old);
            Poll::Pending
        })
        .await
    }

    /// Everybody looks again.
    fn wake_all(&self) {
        self.0.server.wake();
        let sleepers = self.lock().sleepers.take();
        sleepers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn lock(&self) -> MutexGuard<'_, Core<P>> {
        self.0.core.lock()
    }

    fn is_asking(&self) -> bool {
        self.0.is_asking.load(Ordering::Relaxed)
    }
}

impl<P: Platform> Core<P> {
    fn keep(&mut self, event: Event<P>) {
        if let Event::Ended(end) = event {
            self.end = Some(end);
        }
        if self.events.len() >= MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// As a disk is. The task that serves has to be run in between, for what is asked of xenstore to come to its end.
impl<P: Platform> Resumable for AsyncDisk<P> {
    fn prepare(&mut self, now: Duration) -> Ready {
        let ready = self.lock().disk.prepare(now);
        self.drive(now);
        if self.is_asking() || self.0.is_searching.load(Ordering::Relaxed) { Ready::NotYet } else { ready }
    }

    fn cancelled(&mut self, now: Duration) {
        self.lock().disk.cancelled(now);
        self.wake_all();
    }

    fn resumed(&mut self, epoch: Epoch, now: Duration) {
        self.lock().disk.resumed(epoch, now);
        self.wake_all();
    }
}

impl<P: Platform> Clone for AsyncDisk<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> fmt::Debug for AsyncDisk<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.lock();
        f.debug_struct("AsyncDisk").field("disk", &core.disk).field("waiting", &core.waiting.len()).finish()
    }
}
