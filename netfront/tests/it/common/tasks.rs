//! Tasks, and the smallest executor that there can be.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use xen_netfront::{AsyncInterface, Event, Options};
use xen_sim::Domain;
use xen_sim::netback::Packet;

use crate::common::SECOND;
use crate::perils::MS;
use crate::shared::{NUMBER, Shared};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Whether a task is to be run, and how often it was woken.
#[derive(Default)]
pub(crate) struct Flag {
    is_woken: AtomicBool,
    pub(crate) wakes: AtomicUsize,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

/// A guest, and its tasks.
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) interface: AsyncInterface<Domain>,
    tasks: Vec<(Task, Arc<Flag>)>,
    pub(crate) events: Vec<(u32, Event)>,
}

impl World {
    /// An interface that is connected.
    pub(crate) fn new(options: Options) -> Self {
        Self::of(Shared::new(options))
    }

    pub(crate) fn of(shared: Shared) -> Self {
        let interface = AsyncInterface::new(&shared.interfaces, NUMBER);
        Self { shared, interface, tasks: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) -> Arc<Flag> {
        let flag = Arc::<Flag>::default();
        Arc::clone(&flag).wake();
        self.tasks.push((Box::pin(task), Arc::clone(&flag)));
        flag
    }

    /// Spawns a task, and says where its answer will be.
    pub(crate) fn ask<T: 'static>(
        &mut self,
        task: impl AsyncFnOnce(AsyncInterface<Domain>) -> T + 'static,
    ) -> Answer<T> {
        let (answer, interface) = (Answer::default(), self.interface.clone());
        let place = Rc::clone(&answer);
        self.spawn(async move {
            let answer = task(interface).await;
            *place.borrow_mut() = Some(answer);
        });
        answer
    }

    /// Runs each task that was woken.
    pub(crate) fn run_tasks(&mut self) {
        self.tasks.retain_mut(|(task, flag)| {
            if !flag.is_woken.swap(false, Ordering::AcqRel) {
                return true;
            }
            let waker = Waker::from(Arc::clone(flag));
            task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
    }

    /// The loop of a kernel: tasks, the backend, the interfaces, and time.
    pub(crate) fn turn(&mut self) {
        self.run_tasks();
        self.events.extend(self.shared.turn(MS));
    }

    #[track_caller]
    pub(crate) fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.shared.now() + 100 * SECOND;
        while !done(self) {
            assert!(self.shared.now() < end, "it does not end: {:?} {:?}", self.shared.interfaces, self.events);
            self.turn();
        }
    }

    /// Goes on until a task has answered.
    #[track_caller]
    pub(crate) fn answer<T>(&mut self, answer: &Answer<T>) -> T {
        self.until(|_| answer.borrow().is_some());
        answer.take().expect("it was just there")
    }

    pub(crate) fn turns(&mut self, count: u32) {
        (0..count).for_each(|_| self.turn());
    }

    /// What was sent and nobody has looked at.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        let port = self.shared.back().port();
        std::iter::from_fn(|| port.receive()).map(|packet| packet.data).collect()
    }

    pub(crate) fn come(&self, packet: Vec<u8>) {
        self.shared.back().push_packet(Packet::new(packet));
    }
}

pub(crate) type Answer<T> = Rc<RefCell<Option<T>>>;

/// Polls a future once, with a waker that does nothing.
pub(crate) fn poll_once<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
