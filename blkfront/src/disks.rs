//! All disks of a domain, as they come and go.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use xen_event_channel::WaitError;
use xen_xenbus::Store;
use xen_xenbus::bus::{Change, Device, End, Lookout};
use xen_xenbus::control::{Epoch, Ready, Resumable};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::device::Blkfront;
use crate::event::Event;
use crate::find::KIND;
use crate::options::Options;
use crate::queue::Queue;

/// So many events of one disk in a row; then the others have their turn.
const TURN: u32 = 32;

/// All disks of a domain. It finds those that come, gives up those that go, and takes one that comes back for the one that it was.
///
/// Each disk is known by its number: see [`number`](crate::number). A device that vanishes and whose number comes back within the
/// time of [`Options::vanished`] is [reattached](Blkfront::reattach): what it is owed is sent to it. After that time it is another
/// disk. One that its owner has closed is not opened again before its device was replaced.
///
/// ```
/// use xen_blkfront::{Disks, Event, Options, Platform};
/// use xen_xenbus::Store;
///
/// fn run<P: Platform>(store: &Store<P>) -> Result<(), Box<dyn core::error::Error>> {
///     let mut disks = Disks::new(store, Options::DEFAULT)?;
///     loop {
///         match disks.poll(store.now()) {
///             Some((number, Event::Connected)) => println!("disk {number}: {:?}", disks.get(number)),
///             Some((number, Event::Completed(done))) => println!("disk {number}: {done:?}"),
///             Some((number, event)) => println!("disk {number}: {event:?}"),
///             None => disks.wait(core::time::Duration::MAX)?,
///         }
///     }
/// }
/// ```
///
/// A call of [`poll`](Self::poll) does a bounded amount of work: no more looks at xenstore than one each ten milliseconds, at no more
/// than [`MOST_DEVICES`](xen_xenbus::bus::MOST_DEVICES) devices. While one of a disk's calls that wait goes on, the disks do not: one
/// that vanishes during it comes back after it.
pub struct Disks<P: Platform> {
    store: Store<P>,
    options: Options,
    lookout: Lookout<P>,
    disks: BTreeMap<u32, Blkfront<P>>,
    /// Devices that were found, and are to be taken as soon as those before them are gone.
    next: BTreeMap<u32, Device>,
    /// Devices of disks that have ended because they vanished.
    lost: BTreeMap<u32, Device>,
    turn: Turn,
}

/// Whose events are told.
#[derive(Clone, Copy, Debug)]
struct Turn {
    number: u32,
    left: u32,
}

impl<P: Platform> Disks<P> {
    /// No disk yet: [`poll`](Self::poll) finds them, and opens each with these options.
    ///
    /// Blocks for as long as xenstore takes to register a watch.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn new(store: &Store<P>, options: Options) -> Result<Self, StoreError> {
        Ok(Self {
            store: store.clone(),
            options,
            lookout: Lookout::new(store, KIND)?,
            disks: BTreeMap::new(),
            next: BTreeMap::new(),
            lost: BTreeMap::new(),
            turn: Turn { number: 0, left: TURN },
        })
    }

    /// Goes on with all disks, and answers with what happened to one of them, by its number. Does not wait, but for xenstore's
    /// answers where something is to be read or written there.
    ///
    /// After [`Event::Ended`] the disk is not there any more.
    pub fn poll(&mut self, now: Duration) -> Option<(u32, Event<P>)> {
        self.look(now);
        self.take_next(now);
        let event = self.next_event(now);
        if event.is_none() {
            self.follow(now);
        }
        event
    }

    /// A disk, if it is there.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Blkfront<P>> {
        self.disks.get(&number)
    }

    /// A disk, if it is there, to ask something of it.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Blkfront<P>> {
        self.disks.get_mut(&number)
    }

    /// All disks, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Blkfront<P>)> {
        self.disks.iter().map(|(number, disk)| (*number, disk))
    }

    /// The same, to ask something of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Blkfront<P>)> {
        self.disks.iter_mut().map(|(number, disk)| (*number, disk))
    }

    /// Sends what was submitted to all disks.
    pub fn flush_notifications(&mut self, now: Duration) {
        self.disks.values_mut().for_each(|disk| disk.flush_notifications(now));
    }

    /// Closes all disks. Those that come later are opened.
    pub fn close(&mut self) {
        self.next.clear();
        self.disks.values_mut().for_each(Blkfront::close);
    }

    /// Sleeps until something may have happened, or until a time. Blocks; a kernel with other things to do waits for its events
    /// itself.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn wait(&mut self, until: Duration) -> Result<(), WaitError> {
        let now = self.store.now();
        let ready = self.disks.values_mut().fold(true, |ready, disk| disk.prepare_to_wait(now) & ready);
        if !ready {
            return Ok(());
        }
        let until = self.next_deadline().map_or(until, |next| until.min(next));
        match self.store.wait_with(self.disks.values().flat_map(Blkfront::queues).map(Queue::waits), until) {
            // The domain was suspended: the front halves hear of it.
            Err(WaitError::Stale) => Ok(()),
            waited => waited,
        }
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let disks = self.disks.values().filter_map(Blkfront::next_deadline);
        disks.chain(self.lookout.next_deadline(self.has_next())).min()
    }

    /// Looks which devices there are, where that may have changed.
    fn look(&mut self, now: Duration) {
        for change in self.lookout.look(&self.store, now) {
            match change {
                Change::Added(device) => self.found(device),
                Change::Removed(device) => self.removed(&device),
                Change::Replaced { old, new } => {
                    self.removed(&old);
                    self.found(new);
                }
                _ => {}
            }
        }
    }

    fn found(&mut self, device: Device) {
        self.next.insert(device.name().id, device);
    }

    fn removed(&mut self, device: &Device) {
        let number = device.name().id;
        self.next.remove(&number);
        if let Some(disk) = self.disks.get_mut(&number) {
            disk.look_again();
        }
    }

    /// Whether a device is to be taken that could be.
    fn has_next(&self) -> bool {
        self.next.keys().any(|number| self.disks.get(number).is_none_or(Blkfront::is_detached))
    }

    /// Takes the devices whose predecessors are gone. What xenstore does not answer is tried again after a pause.
    fn take_next(&mut self, now: Duration) {
        if self.next.is_empty() || !self.lookout.may_try(now) {
            return;
        }
        let (disks, lookout) = (&mut self.disks, &mut self.lookout);
        self.next.retain(|number, device| {
            let taken = match disks.get_mut(number) {
                // It has not ended.
                Some(disk) if !disk.is_detached() => return true,
                Some(disk) => disk.reattach(device.clone()),
                None => Blkfront::open(&self.store, device.clone(), self.options).map(|disk| {
                    disks.insert(*number, disk);
                }),
            };
            lookout.tried(&taken, now)
        });
    }

    /// The next event: of the disk whose turn it is, or of those behind it.
    fn next_event(&mut self, now: Duration) -> Option<(u32, Event<P>)> {
        let Turn { number, left } = self.turn;
        if left > 0
            && let Some(event) = self.event_of(number, now)
        {
            self.turn.left -= 1;
            return Some((number, event));
        }
        let next = number.saturating_add(1);
        let order: Vec<u32> =
            self.disks.range(next..).chain(self.disks.range(..next)).map(|(number, _)| *number).collect();
        let (number, event) = order.into_iter().find_map(|number| Some((number, self.event_of(number, now)?)))?;
        self.turn = Turn { number, left: TURN };
        Some((number, event))
    }

    fn event_of(&mut self, number: u32, now: Duration) -> Option<Event<P>> {
        let event = self.disks.get_mut(&number)?.poll(now)?;
        match event {
            Event::Connected => self.lookout.went_well(),
            Event::Ended(end) => self.ended(number, end),
            _ => {}
        }
        Some(event)
    }

    fn ended(&mut self, number: u32, end: End) {
        let Some(disk) = self.disks.remove(&number) else { return };
        if end != End::Closed {
            self.lost.insert(number, disk.device().clone());
        }
    }

    /// All is told: devices that have vanished are looked for.
    fn follow(&mut self, now: Duration) {
        // An owner who has polled a disk himself has had its end.
        self.disks.retain(|_, disk| !disk.is_ended());
        self.lost.retain(|_, device| self.lookout.knows(device));
        let detached = self.disks.values().filter(|disk| disk.is_detached()).map(Blkfront::device);
        self.lookout.search(detached.chain(self.lost.values()), now);
    }
}

/// All disks, as each of them. After a resume every device is another one, and is found anew: also those that their owner had closed.
impl<P: Platform> Resumable for Disks<P> {
    fn prepare(&mut self, now: Duration) -> Ready {
        // Each gets on with it, and not only those until the first that is not ready.
        let is_ready = |disk: &mut Blkfront<P>| disk.prepare(now) == Ready::Yes;
        let ready = self.disks.values_mut().fold(true, |ready, disk| is_ready(disk) & ready);
        if ready { Ready::Yes } else { Ready::NotYet }
    }

    fn cancelled(&mut self, now: Duration) {
        self.lookout.begin_times_anew();
        self.disks.values_mut().for_each(|disk| disk.cancelled(now));
    }

    fn resumed(&mut self, epoch: Epoch, now: Duration) {
        self.lookout.resumed();
        self.next.clear();
        self.lost.clear();
        self.disks.values_mut().for_each(|disk| disk.resumed(epoch, now));
    }
}

impl<P: Platform> fmt::Debug for Disks<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disks").field("disks", &self.disks).field("next", &self.next).finish_non_exhaustive()
    }
}
