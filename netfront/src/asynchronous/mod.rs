//! An interface for tasks.

mod bench;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};

pub(crate) use bench::{Bench, Benches, Seat, Want};
use xen_xenbus::bus::End;

use crate::Platform;
use crate::device::Netfront;
use crate::error::{Ended, SendError};
use crate::link::{Carrier, Link};
use crate::packet::ETHERNET_HEADER;
use crate::rx_token::RxToken;
use crate::shared::SharedInterfaces;
use crate::tx_token::TxToken;

/// One of [all interfaces](SharedInterfaces), for any number of tasks: a handle, cheap to clone.
///
/// The loop that has the interfaces drives it, and runs the tasks that were woken; there is neither an executor nor a timer in here:
///
/// ```
/// use core::time::Duration;
/// use xen_netfront::{AsyncInterface, Platform, SendError, SharedInterfaces};
/// use xen_xenbus::Store;
///
/// /// Any number of these.
/// async fn echo<P: Platform>(interface: AsyncInterface<P>) -> Result<(), SendError> {
///     println!("{}", interface.link_up().await?);
///     loop {
///         let packet = interface.receive().await?;
///         interface.send(&packet).await?;
///     }
/// }
///
/// /// Beside an executor, one turn of which this calls.
/// fn run<P: Platform>(interfaces: &SharedInterfaces<P>, store: &Store<P>, mut turn: impl FnMut()) {
///     loop {
///         while let Some((number, event)) = interfaces.poll(store.now()) {
///             println!("interface {number}: {event:?}");
///         }
///         turn();
///         let _ = interfaces.wait(Duration::MAX);
///     }
/// }
/// ```
///
/// A future that is dropped forgets that anybody waits, and nothing else: a packet is taken, or sent, at the moment when the future is
/// ready. While the backend is away, or has vanished and is [waited for](crate::Options::hold), tasks wait; when the interface has
/// ended they are told, and this handle is of no use any more. Another interface with the same number is another handle's.
///
/// A task that always finds packets has no more than a ring of them in a row. Then it waits for the loop to poll again, so that no
/// backend keeps the tasks from the loop. Closures are run with the interfaces in hand, which are not to be used within; no waker is.
pub struct AsyncInterface<P: Platform> {
    interfaces: SharedInterfaces<P>,
    bench: Arc<Bench>,
    /// How many interfaces with this number had ended before this one.
    ends: u64,
}

impl<P: Platform> AsyncInterface<P> {
    /// The interface that has this number, or will have it next.
    #[must_use]
    pub fn new(interfaces: &SharedInterfaces<P>, number: u32) -> Self {
        let bench = interfaces.bench(number);
        let ends = bench.ends();
        Self { interfaces: interfaces.clone(), bench, ends }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.bench.number()
    }

    /// Waits until the interface is connected.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub async fn connected(&self) -> Result<Link, Ended> {
        self.until(|interface| interface.link().copied()).await
    }

    /// Waits until the interface is connected, and its backend has a link.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub async fn link_up(&self) -> Result<Link, Ended> {
        self.until(|interface| interface.link().copied().filter(|link| link.carrier() == Carrier::Up)).await
    }

    /// Waits until there is an answer. It is asked again whenever something has happened to the interface: at each of its
    /// [events](crate::Event).
    ///
    /// # Errors
    ///
    /// The interface has ended.
    pub async fn until<T>(&self, answer: impl FnMut(&mut Netfront<P>) -> Option<T>) -> Result<T, Ended> {
        self.once(Want::Event, answer).await
    }

    /// The next packet, copied.
    ///
    /// # Errors
    ///
    /// The interface has ended.
    pub async fn receive(&self) -> Result<Vec<u8>, Ended> {
        self.receive_with(|packet| packet.consume(<[u8]>::to_vec)).await
    }

    /// The same without a copy: hands out the next packet as it came.
    ///
    /// # Errors
    ///
    /// The interface has ended.
    pub async fn receive_with<T>(&self, take: impl FnOnce(RxToken<'_, P>) -> T) -> Result<T, Ended> {
        let mut take = Some(take);
        self.once(Want::Packet, |interface| interface.receive().and_then(|packet| Some(take.take()?(packet)))).await
    }

    /// Sends a packet as soon as there is room for it. The backend sees it when the interfaces are polled or waited for the next time:
    /// all that was sent meanwhile is one burst.
    ///
    /// # Errors
    ///
    /// Those of [`SendError`].
    pub async fn send(&self, packet: &[u8]) -> Result<(), SendError> {
        self.send_with(|room| {
            let (len, most) = (packet.len(), room.capacity());
            if !(ETHERNET_HEADER..=most).contains(&len) {
                return Err(SendError::BadLength { len, most });
            }
            room.consume(len, |into| into.copy_from_slice(packet));
            Ok(())
        })
        .await?
    }

    /// The same without a copy: hands out room for a packet of the MTU.
    ///
    /// # Errors
    ///
    /// The interface has ended.
    pub async fn send_with<T>(&self, write: impl FnOnce(TxToken<'_, P>) -> T) -> Result<T, Ended> {
        let mut write = Some(write);
        self.once(Want::Room, |interface| interface.transmit().and_then(|room| Some(write.take()?(room)))).await
    }

    /// The same with room for a TCP packet that is to be cut: see [`Netfront::transmit_to_cut`].
    ///
    /// # Errors
    ///
    /// The interface has ended.
    pub async fn send_to_cut_with<T>(&self, write: impl FnOnce(TxToken<'_, P>) -> T) -> Result<T, Ended> {
        let mut write = Some(write);
        self.once(Want::RoomToCut, |interface| interface.transmit_to_cut().and_then(|room| Some(write.take()?(room))))
            .await
    }

    /// Does something with the interface, if it is there. Within it the interfaces are not to be used by another handle: that would
    /// wait for ever.
    pub fn with<T>(&self, what: impl FnOnce(&mut Netfront<P>) -> T) -> Option<T> {
        self.interfaces.with_one(self.number(), |interface| self.end().is_none().then(|| what(interface))).flatten()
    }

    /// Waits until there is an answer.
    async fn once<T>(&self, want: Want, mut answer: impl FnMut(&mut Netfront<P>) -> Option<T>) -> Result<T, Ended> {
        let seat = self.bench.seat();
        poll_fn(|context| self.poll_once(&seat, want, &mut answer, context)).await
    }

    fn poll_once<T>(
        &self,
        seat: &Seat,
        want: Want,
        answer: impl FnOnce(&mut Netfront<P>) -> Option<T>,
        context: &Context<'_>,
    ) -> Poll<Result<T, Ended>> {
        let answer = |interface: &mut Netfront<P>| self.end().is_none().then(|| answer(interface)).flatten();
        match self.interfaces.look(seat, want, context, answer) {
            Some(answer) => Poll::Ready(Ok(answer)),
            None => self.end().map_or(Poll::Pending, |end| Poll::Ready(Err(Ended(end)))),
        }
    }

    fn end(&self) -> Option<End> {
        self.bench.end_after(self.ends)
    }
}

impl<P: Platform> Clone for AsyncInterface<P> {
    fn clone(&self) -> Self {
        Self { interfaces: self.interfaces.clone(), bench: Arc::clone(&self.bench), ends: self.ends }
    }
}

impl<P: Platform> fmt::Debug for AsyncInterface<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncInterface").field("number", &self.number()).finish_non_exhaustive()
    }
}
