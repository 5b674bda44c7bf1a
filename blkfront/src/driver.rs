//! A disk as one of several.

use core::task::{Context, Poll};
use core::time::Duration;

use xen_event_channel::Channel;
use xen_xenbus::Store;
use xen_xenbus::bus::{Device, Driver, Drivers, News};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::device::Blkfront;
use crate::event::Event;
use crate::find::KIND;
use crate::options::Options;
use crate::queue::Queue;

/// All disks of a domain, as they come and go, each known by its number: see [`number`](crate::number).
///
/// A device that vanishes and whose number comes back within the time of [`Options::vanished`] is
/// [reattached](Blkfront::reattach): what it is owed is sent to it. After that time it is another disk.
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
pub type Disks<P> = Drivers<Blkfront<P>>;

impl<P: Platform> Driver for Blkfront<P> {
    type Platform = P;
    type Options = Options;
    type Event = Event<P>;
    const KIND: &'static str = KIND;

    fn open(store: &Store<P>, device: Device, options: Options) -> Result<Self, StoreError> {
        Self::open(store, device, options)
    }

    fn reattach(&mut self, device: Device) -> Result<(), StoreError> {
        Self::reattach(self, device)
    }

    fn poll(&mut self, now: Duration) -> Option<Event<P>> {
        Self::poll(self, now)
    }

    fn news(event: &Event<P>) -> News {
        match event {
            Event::Connected => News::Connected,
            Event::Ended(end) => News::Ended(*end),
            _ => News::Other,
        }
    }

    fn look_again(&mut self) {
        self.pilot.front_mut().look_again();
    }

    fn close(&mut self) {
        Self::close(self);
    }

    fn device(&self) -> &Device {
        Self::device(self)
    }

    fn is_detached(&self) -> bool {
        Self::is_detached(self)
    }

    fn is_ended(&self) -> bool {
        Self::is_ended(self)
    }

    fn flush_notifications(&mut self, now: Duration) {
        Self::flush_notifications(self, now);
    }

    fn prepare_to_wait(&mut self, now: Duration) -> bool {
        Self::prepare_to_wait(self, now)
    }

    fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.pilot.poll_changed(context)
    }

    fn next_deadline(&self) -> Option<Duration> {
        Self::next_deadline(self)
    }

    fn waits(&self) -> impl Iterator<Item = (&Channel<P>, u32)> + Clone {
        self.queues().map(Queue::waits)
    }
}
