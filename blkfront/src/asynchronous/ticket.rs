//! Who waits for the end of a request.

use core::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use spin::Mutex;
use xen_grant_table::Memory;

use crate::request::Completion;

/// Where a completion is left for the task that awaits it.
pub(super) struct Ticket<P: Memory> {
    completion: Mutex<Option<Completion<P>>>,
    waker: AtomicWaker,
}

impl<P: Memory> Ticket<P> {
    pub(super) const fn new() -> Self {
        Self { completion: Mutex::new(None), waker: AtomicWaker::new() }
    }

    /// Leaves the completion, and wakes who waits for it.
    pub(super) fn complete(&self, completion: Completion<P>) {
        *self.completion.lock() = Some(completion);
        self.waker.wake();
    }

    /// Takes it, once.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Completion<P>> {
        // Before the look: one that comes between the two wakes the task.
        self.waker.register(context.waker());
        self.completion.lock().take().map_or(Poll::Pending, Poll::Ready)
    }
}
