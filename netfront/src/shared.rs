//! Interfaces that a loop drives and that stacks use.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use atomic_waker::AtomicWaker;
use spin::{Mutex, MutexGuard};
use xen_event_channel::WaitError;
use xen_xenbus::Store;
use xen_xenbus::control::{Epoch, Ready, Resumable};
use xen_xenbus::store::StoreError;

use crate::Platform;
use crate::asynchronous::{Bench, Benches, Seat, Want};
use crate::device::Netfront;
use crate::driver::Interfaces;
use crate::event::Event;
use crate::link::Link;
use crate::options::Options;

/// So many events are told at a time; then other tasks have their turn.
const BURST: usize = 256;

/// All interfaces of a domain, for several owners on one vCPU: a loop that polls them and sleeps, and tasks in it that send and receive.
/// A handle, cheap to clone.
///
/// The loop calls [`poll`](Self::poll) until there is nothing, runs the tasks that were woken, and [waits](Self::wait); or a task
/// [serves](Self::serve), in a kernel whose loop has other drivers to wait for: no executor and no timer is in here. Tasks have an
/// [`AsyncInterface`](crate::AsyncInterface) each, or share some. Whoever uses the interfaces has them for himself meanwhile, and nobody
/// does while the loop waits.
pub struct SharedInterfaces<P: Platform>(Arc<Inner<P>>);

struct Inner<P: Platform> {
    store: Store<P>,
    /// The task that serves, if one does.
    server: AtomicWaker,
    interfaces: Mutex<Interfaces<P>>,
    /// The tasks that wait for something. Locked after the interfaces, where both are.
    benches: Benches,
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
        let (store, server) = (store.clone(), AtomicWaker::new());
        Ok(Self(Arc::new(Inner { store, server, interfaces, benches: Benches::default() })))
    }

    /// Goes on with all interfaces, and answers with what happened to one of them, by its number. Wakes the tasks that have what they
    /// wait for. Does not wait, but for xenstore's answers where something is to be read or written there.
    #[must_use]
    pub fn poll(&self, now: Duration) -> Option<(u32, Event)> {
        let mut interfaces = self.lock();
        let event = interfaces.poll(now);
        let woken = self.0.benches.review(&mut interfaces, event.as_ref());
        drop(interfaces);
        // They are somebody else's code, and not to be run with the interfaces in hand.
        woken.into_iter().for_each(Waker::wake);
        event
    }

    /// Sleeps until something may have happened, or until a time. Blocks. Where tasks receive, a packet that none of them waits for
    /// does not end it.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn wait(&self, until: Duration) -> Result<(), WaitError> {
        let mut interfaces = self.lock();
        if self.may_rest(&mut interfaces) { interfaces.wait(until) } else { Ok(()) }
    }

    /// Does what the loop does, in a task: polls at the interfaces' events, and tells `heed` what happened to each. To be run beside one
    /// that [serves the store](Store::serve); deadlines are the executor's business, by [`next_deadline`](Self::next_deadline) and
    /// [`look_again`](Self::look_again). Never ends. As [`poll`](Self::poll), it waits for xenstore's answers.
    ///
    /// A second task that serves waits for nothing and does no good.
    pub async fn serve(&self, mut heed: impl FnMut(u32, Event)) -> Infallible {
        poll_fn(|context| {
            self.0.server.register(context.waker());
            for _ in 0..BURST {
                let Some((number, event)) = self.poll(self.0.store.now()) else { break };
                heed(number, event);
            }
            if self.arm(context).is_ready() {
                // Others have their turn first.
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Has the task that [serves](Self::serve) look at everything. For the executor's timer.
    pub fn look_again(&self) {
        self.0.server.wake();
    }

    /// When to poll, or to [look again](Self::look_again), at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.lock().next_deadline()
    }

    /// Does something with all interfaces. Within it they are not to be used by another handle: that would wait for ever. Tasks do not
    /// hear of events that are polled for in there.
    pub fn with<T>(&self, what: impl FnOnce(&mut Interfaces<P>) -> T) -> T {
        let answer = what(&mut self.lock());
        // There may be something to show to a backend.
        self.0.server.wake();
        answer
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
        self.lock().get(number)?.link().copied()
    }

    /// Looks for what the owner of a seat wants of its interface, and has him woken when it is there.
    pub(crate) fn look<T>(
        &self,
        seat: &Seat,
        want: Want,
        context: &Context<'_>,
        answer: impl FnOnce(&mut Netfront<P>) -> Option<T>,
    ) -> Option<T> {
        let (bench, mut interfaces) = (seat.bench(), self.lock());
        let interface = interfaces.get_mut(bench.number()).filter(|_| bench.may_have(want));
        let answer = interface.and_then(answer);
        if answer.is_some() {
            bench.had(want);
            drop(interfaces);
            self.0.server.wake();
            return answer;
        }
        // With the interfaces in hand: nobody looks at the seats between the look and this.
        let old = seat.wait(want, context);
        drop(interfaces);
        // A waker that goes may take a task along, and all that it has.
        drop(old);
        // What was left alone, as nobody wanted it, is to be heard of now.
        self.0.server.wake();
        None
    }

    /// Has the task that serves woken at the next event; ready where there is something to do before.
    fn arm(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut interfaces = self.lock();
        if self.may_rest(&mut interfaces) { interfaces.poll_wait(context) } else { Poll::Ready(()) }
    }

    /// Whether nobody's turn was over. What nobody wants is left alone then.
    fn may_rest(&self, interfaces: &mut Interfaces<P>) -> bool {
        if self.0.benches.are_due() {
            return false;
        }
        self.0.benches.leave_packets(interfaces);
        true
    }

    /// Where tasks wait for the interface with this number.
    pub(crate) fn bench(&self, number: u32) -> Arc<Bench> {
        let interfaces = self.lock();
        self.0.benches.of(number, interfaces.get(number).is_some())
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
