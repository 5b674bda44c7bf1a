//! Interfaces that a loop drives and that stacks use.

use alloc::sync::Arc;
use core::fmt;
use core::task::Context;
use core::time::Duration;

use atomic_waker::AtomicWaker;
use spin::{Mutex, MutexGuard};
use xen_event_channel::WaitError;
use xen_xenbus::Store;
use xen_xenbus::control::{Epoch, Ready, Resumable};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::device::Netfront;
use crate::driver::Interfaces;
use crate::event::Event;
use crate::link::Link;
use crate::options::Options;

/// All interfaces of a domain, for several owners on one vCPU: a loop that polls them and sleeps, and tasks in it that send and receive.
/// A handle, cheap to clone.
///
/// The loop calls [`poll`](Self::poll) until there is nothing, runs the tasks that were woken, and [waits](Self::wait): no executor and
/// no timer is in here. Whoever uses the interfaces has them for himself meanwhile, and nobody does while the loop waits.
pub struct SharedInterfaces<P: Platform>(Arc<Inner<P>>);

struct Inner<P: Platform> {
    interfaces: Mutex<Interfaces<P>>,
    /// Who waits for packets or for room.
    user: AtomicWaker,
}

impl<P: Platform> SharedInterfaces<P> {
    /// None yet: [`poll`](Self::poll) finds them, and opens each with these options.
    ///
    /// Blocks for as long as xenstore takes to register a watch.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn new(store: &Store<P>, options: Options) -> Result<Self, StoreError> {
        let interfaces = Mutex::new(Interfaces::new(store, options)?);
        Ok(Self(Arc::new(Inner { interfaces, user: AtomicWaker::new() })))
    }

    /// Goes on with all interfaces, and answers with what happened to one of them, by its number. Wakes who waits for packets: it looks
    /// whether there are some. Does not wait, but for xenstore's answers where something is to be read or written there.
    #[must_use]
    pub fn poll(&self, now: Duration) -> Option<(u32, Event)> {
        let event = self.0.interfaces.lock().poll(now);
        // It is somebody else's code, and not to be run with the interfaces in hand.
        self.0.user.wake();
        event
    }

    /// Sleeps until something may have happened, or until a time. Blocks.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn wait(&self, until: Duration) -> Result<(), WaitError> {
        self.0.interfaces.lock().wait(until)
    }

    /// Does something with all interfaces. Within it they are not to be used by another handle: that would wait for ever.
    pub fn with<T>(&self, what: impl FnOnce(&mut Interfaces<P>) -> T) -> T {
        what(&mut self.lock())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Interfaces<P>> {
        self.0.interfaces.lock()
    }

    /// The same with one of them, if it is there.
    pub fn with_one<T>(&self, number: u32, what: impl FnOnce(&mut Netfront<P>) -> T) -> Option<T> {
        self.with(|interfaces| interfaces.get_mut(number).map(what))
    }

    /// What an interface is, while it is connected.
    #[must_use]
    pub fn link(&self, number: u32) -> Option<Link> {
        self.with_one(number, |interface| interface.link().copied()).flatten()
    }

    /// Has a task woken by [`poll`](Self::poll). There is one at a time: the last one that asked.
    pub fn register(&self, context: &Context<'_>) {
        self.0.user.register(context.waker());
    }
}

/// As the interfaces are.
impl<P: Platform> Resumable for SharedInterfaces<P> {
    fn prepare(&mut self, now: Duration) -> Ready {
        self.with(|interfaces| interfaces.prepare(now))
    }

    fn cancelled(&mut self, now: Duration) {
        self.with(|interfaces| interfaces.cancelled(now));
    }

    fn resumed(&mut self, epoch: Epoch, now: Duration) {
        self.with(|interfaces| interfaces.resumed(epoch, now));
    }
}

impl<P: Platform> Clone for SharedInterfaces<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> fmt::Debug for SharedInterfaces<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedInterfaces").field(&self.0.interfaces).finish()
    }
}
