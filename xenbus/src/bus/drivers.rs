//! All devices of one kind with their drivers, as they come and go.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use xen_event_channel::{Channel, WaitError};

use super::{Change, Device, End, Lookout};
use crate::control::{Epoch, Ready, Resumable};
use crate::store::{Platform, Store, StoreError};

/// A driver of one device, as far as [`Drivers`] have to do with it.
pub trait Driver: Resumable + Sized {
    /// What the kernel supplies.
    type Platform: Platform;
    /// What its owner decides.
    type Options: Clone + fmt::Debug;
    /// What it tells.
    type Event;
    /// The kind of its device.
    const KIND: &'static str;

    /// A driver for a device. May block for as long as xenstore takes to register a watch.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    fn open(store: &Store<Self::Platform>, device: Device, options: Self::Options) -> Result<Self, StoreError>;

    /// Goes on with another device in the place of the one that has vanished. May block as [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// Xenstore's; the driver is as before.
    fn reattach(&mut self, device: Device) -> Result<(), StoreError>;

    /// Goes on with everything, and answers with what happened, one thing at a time.
    fn poll(&mut self, now: Duration) -> Option<Self::Event>;

    /// What an event says of the device.
    fn news(event: &Self::Event) -> News;

    /// The device, or its backend, may be gone.
    fn look_again(&mut self);

    /// Closes the device.
    fn close(&mut self);

    /// The device.
    fn device(&self) -> &Device;

    /// Whether the device has vanished, and is waited for.
    fn is_detached(&self) -> bool;

    /// Whether it is of no use any more.
    fn is_ended(&self) -> bool;

    /// Shows the backend what is ready for it.
    fn flush_notifications(&mut self, now: Duration);

    /// Sees to it that an event ends the next wait, and answers whether there is nothing to do before.
    fn prepare_to_wait(&mut self, now: Duration) -> bool;

    /// Has the task woken when one of the driver's watches fires; takes note of those that have, and answers whether there was one.
    fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// When to poll at the latest.
    fn next_deadline(&self) -> Option<Duration>;

    /// What to wait for.
    fn waits(&self) -> impl Iterator<Item = (&Channel<Self::Platform>, u32)> + Clone;
}

/// What an event says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is connected.
    Connected,
    /// Its driver has ended.
    Ended(End),
    /// Nothing about that.
    Other,
}

/// So many events of one device in a row; then the others have their turn.
const TURN: u32 = 32;

/// All devices of one kind, each with its driver. It finds those that come, gives up those that go, and takes one that comes back for the
/// one that it was.
///
/// Each is known by its number. A device that vanishes and whose number comes back while its driver waits for it is
/// [reattached](Driver::reattach). After that it is another one. One that its owner has closed is not opened again before its device
/// was replaced.
///
/// A call of [`poll`](Self::poll) does a bounded amount of work: no more looks at xenstore than one each ten milliseconds, at no more
/// than [`MOST_DEVICES`](super::MOST_DEVICES) devices. While one of a driver's calls that wait goes on, the others do not: one that
/// vanishes during it comes back after it.
pub struct Drivers<D: Driver> {
    store: Store<D::Platform>,
    options: D::Options,
    lookout: Lookout<D::Platform>,
    drivers: BTreeMap<u32, D>,
    /// Devices that were found, and are to be taken as soon as those before them are gone.
    next: BTreeMap<u32, Device>,
    /// Devices of drivers that have ended because they vanished.
    lost: BTreeMap<u32, Device>,
    turn: Turn,
}

/// Whose events are told.
#[derive(Clone, Copy, Debug)]
struct Turn {
    number: u32,
    left: u32,
}

impl<D: Driver> Drivers<D> {
    /// None yet: [`poll`](Self::poll) finds them, and opens each with these options.
    ///
    /// Blocks for as long as xenstore takes to register a watch.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn new(store: &Store<D::Platform>, options: D::Options) -> Result<Self, StoreError> {
        Ok(Self {
            store: store.clone(),
            options,
            lookout: Lookout::new(store, D::KIND)?,
            drivers: BTreeMap::new(),
            next: BTreeMap::new(),
            lost: BTreeMap::new(),
            turn: Turn { number: 0, left: TURN },
        })
    }

    /// Goes on with all drivers, and answers with what happened to one of them, by its number. Does not wait, but for xenstore's
    /// answers where something is to be read or written there.
    ///
    /// After the end of a driver ([`News::Ended`]) the driver is not there any more.
    pub fn poll(&mut self, now: Duration) -> Option<(u32, D::Event)> {
        self.look(now);
        self.take_next(now);
        let event = self.next_event(now);
        if event.is_none() {
            self.follow(now);
        }
        event
    }

    /// A driver, if it is there.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&D> {
        self.drivers.get(&number)
    }

    /// A driver, if it is there, to ask something of it.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut D> {
        self.drivers.get_mut(&number)
    }

    /// All drivers, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &D)> {
        self.drivers.iter().map(|(number, driver)| (*number, driver))
    }

    /// The same, to ask something of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut D)> {
        self.drivers.iter_mut().map(|(number, driver)| (*number, driver))
    }

    /// Shows all backends what is ready for them.
    pub fn flush_notifications(&mut self, now: Duration) {
        self.drivers.values_mut().for_each(|driver| driver.flush_notifications(now));
    }

    /// Closes all devices. Those that come later are opened.
    pub fn close(&mut self) {
        self.next.clear();
        self.drivers.values_mut().for_each(D::close);
    }

    /// Sleeps until something may have happened, or until a time. Blocks; a kernel with other things to do waits for its events
    /// itself.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn wait(&mut self, until: Duration) -> Result<(), WaitError> {
        let now = self.store.now();
        let ready = self.drivers.values_mut().fold(true, |ready, driver| driver.prepare_to_wait(now) & ready);
        if !ready {
            return Ok(());
        }
        let until = self.next_deadline().map_or(until, |next| until.min(next));
        match self.store.wait_with(self.drivers.values().flat_map(D::waits), until) {
            // The domain was suspended: the front halves hear of it.
            Err(WaitError::Stale) => Ok(()),
            waited => waited,
        }
    }

    /// As [`wait`](Self::wait), for a task: ready where there is something to do at once; otherwise it is woken when something may have
    /// happened, while somebody [serves](Store::serve) the store. Deadlines are the executor's business.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = self.store.now();
        let mut is_quiet = true;
        for driver in self.drivers.values_mut() {
            is_quiet &= driver.prepare_to_wait(now) & driver.poll_changed(context).is_pending();
            // A stale channel is one of before a resume: the front half hears of that.
            let has_come =
                |(channel, seen): (&Channel<_>, u32)| matches!(channel.poll_event(context, seen), Poll::Ready(Ok(_)));
            is_quiet &= !driver.waits().map(has_come).fold(false, |any, has_come| any | has_come);
        }
        is_quiet &= self.lookout.poll_changed(context).is_pending();
        if is_quiet { Poll::Pending } else { Poll::Ready(()) }
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let drivers = self.drivers.values().filter_map(D::next_deadline);
        drivers.chain(self.lookout.next_deadline(self.has_next())).min()
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
            }
        }
    }

    fn found(&mut self, device: Device) {
        self.next.insert(device.name().id, device);
    }

    fn removed(&mut self, device: &Device) {
        let number = device.name().id;
        self.next.remove(&number);
        if let Some(driver) = self.drivers.get_mut(&number) {
            driver.look_again();
        }
    }

    /// Whether a device is to be taken that could be.
    fn has_next(&self) -> bool {
        self.next.keys().any(|number| self.drivers.get(number).is_none_or(D::is_detached))
    }

    /// Takes the devices whose predecessors are gone. What xenstore does not answer is tried again after a pause.
    fn take_next(&mut self, now: Duration) {
        if self.next.is_empty() || !self.lookout.may_try(now) {
            return;
        }
        let (drivers, lookout) = (&mut self.drivers, &mut self.lookout);
        self.next.retain(|number, device| {
            let taken = match drivers.get_mut(number) {
                // It has not ended.
                Some(driver) if !driver.is_detached() => return true,
                Some(driver) => driver.reattach(device.clone()),
                None => D::open(&self.store, device.clone(), self.options.clone()).map(|driver| {
                    drivers.insert(*number, driver);
                }),
            };
            lookout.tried(&taken, now)
        });
    }

    /// The next event: of the driver whose turn it is, or of those behind it.
    fn next_event(&mut self, now: Duration) -> Option<(u32, D::Event)> {
        let Turn { number, left } = self.turn;
        if left > 0
            && let Some(event) = self.event_of(number, now)
        {
            self.turn.left -= 1;
            return Some((number, event));
        }
        let next = number.saturating_add(1);
        let order: Vec<u32> =
            self.drivers.range(next..).chain(self.drivers.range(..next)).map(|(number, _)| *number).collect();
        let (number, event) = order.into_iter().find_map(|number| Some((number, self.event_of(number, now)?)))?;
        self.turn = Turn { number, left: TURN };
        Some((number, event))
    }

    fn event_of(&mut self, number: u32, now: Duration) -> Option<D::Event> {
        let event = self.drivers.get_mut(&number)?.poll(now)?;
        match D::news(&event) {
            News::Connected => self.lookout.went_well(),
            News::Ended(end) => self.ended(number, end),
            News::Other => {}
        }
        Some(event)
    }

    fn ended(&mut self, number: u32, end: End) {
        let Some(driver) = self.drivers.remove(&number) else { return };
        if end != End::Closed {
            self.lost.insert(number, driver.device().clone());
        }
    }

    /// All is told: devices that have vanished are looked for.
    fn follow(&mut self, now: Duration) {
        // An owner who has polled a driver himself has had its end.
        self.drivers.retain(|_, disk| !disk.is_ended());
        self.lost.retain(|_, device| self.lookout.knows(device));
        let detached = self.drivers.values().filter(|driver| driver.is_detached()).map(D::device);
        self.lookout.search(detached.chain(self.lost.values()), now);
    }
}

/// All drivers, as each of them. After a resume every device is another one, and is found anew: also those that their owner had closed.
impl<D: Driver> Resumable for Drivers<D> {
    fn prepare(&mut self, now: Duration) -> Ready {
        // Each gets on with it, and not only those until the first that is not ready.
        let is_ready = |driver: &mut D| driver.prepare(now) == Ready::Yes;
        let ready = self.drivers.values_mut().fold(true, |ready, driver| is_ready(driver) & ready);
        if ready { Ready::Yes } else { Ready::NotYet }
    }

    fn cancelled(&mut self, now: Duration) {
        self.lookout.begin_times_anew();
        self.drivers.values_mut().for_each(|driver| driver.cancelled(now));
    }

    fn resumed(&mut self, epoch: Epoch, now: Duration) {
        self.lookout.resumed();
        self.next.clear();
        self.lost.clear();
        self.drivers.values_mut().for_each(|driver| driver.resumed(epoch, now));
    }
}

impl<D: Driver + fmt::Debug> fmt::Debug for Drivers<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drivers").field("drivers", &self.drivers).field("next", &self.next).finish_non_exhaustive()
    }
}
