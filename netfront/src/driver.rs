//! An interface as one of several.

use core::task::{Context, Poll};
use core::time::Duration;

use xen_event_channel::Channel;
use xen_xenbus::Store;
use xen_xenbus::bus::{Device, Driver, Drivers, News};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::device::Netfront;
use crate::event::Event;
use crate::find::KIND;
use crate::options::Options;

/// All network interfaces of a domain, as they come and go, each known by its number: the tools count from 0 on.
///
/// ```
/// use xen_netfront::{Event, Interfaces, Options, Platform};
/// use xen_xenbus::Store;
///
/// fn run<P: Platform>(store: &Store<P>) -> Result<(), Box<dyn core::error::Error>> {
///     let mut interfaces = Interfaces::new(store, Options::DEFAULT)?;
///     loop {
///         while let Some((number, event)) = interfaces.poll(store.now()) {
///             println!("interface {number}: {event:?}");
///         }
///         for (number, interface) in interfaces.iter_mut() {
///             while let Some(packet) = interface.receive() {
///                 println!("interface {number}: {} bytes", packet.len());
///                 packet.discard();
///             }
///         }
///         interfaces.wait(core::time::Duration::MAX)?;
///     }
/// }
/// ```
pub type Interfaces<P> = Drivers<Netfront<P>>;

impl<P: Platform> Driver for Netfront<P> {
    type Platform = P;
    type Options = Options;
    type Event = Event;
    const KIND: &'static str = KIND;

    fn open(store: &Store<P>, device: Device, options: Options) -> Result<Self, StoreError> {
        Self::open(store, device, options)
    }

    fn reattach(&mut self, device: Device) -> Result<(), StoreError> {
        Self::reattach(self, device)
    }

    fn poll(&mut self, now: Duration) -> Option<Event> {
        Self::poll(self, now)
    }

    fn news(event: &Event) -> News {
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

    fn flush_notifications(&mut self, _: Duration) {
        Self::flush_notifications(self);
    }

    fn prepare_to_wait(&mut self, now: Duration) -> bool {
        Self::prepare_to_wait(self, now)
    }

    fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (pilot, sentry) = (self.pilot.poll_changed(context), self.sentry.poll_changed(context));
        if pilot.is_ready() { pilot } else { sentry }
    }

    fn next_deadline(&self) -> Option<Duration> {
        Self::next_deadline(self)
    }

    fn waits(&self) -> impl Iterator<Item = (&Channel<P>, u32)> + Clone {
        Self::waits(self)
    }
}
