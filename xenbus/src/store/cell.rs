//! What the daemon's side and the owner of a watch have in common: one bit, and who waits for it.

use core::task::{Context, Poll, Waker};

use crate::sync::{AtomicBool, AtomicWaker, Mutex, Ordering};
use crate::wire::Refusal;

/// The bit of a watch.
pub(crate) struct Cell {
    fired: AtomicBool,
    waker: AtomicWaker,
    /// Why the daemon does not have the watch any more.
    refused: Mutex<Option<Refusal>>,
}

impl Cell {
    #[cfg_attr(not(loom), expect(clippy::missing_const_for_fn, reason = "loom's atomics are not made at compile time"))]
    pub(crate) fn new() -> Self {
        Self { fired: AtomicBool::new(false), waker: AtomicWaker::new(), refused: Mutex::new(None) }
    }

    /// Something has changed; the answer is whom to wake. Release: who takes the bit sees all that was done before.
    #[must_use]
    pub(crate) fn fire(&self) -> Option<Waker> {
        self.fired.store(true, Ordering::Release);
        self.waker.take()
    }

    /// The daemon has the watch, or has refused it.
    pub(crate) fn set_refusal(&self, refusal: Option<Refusal>) {
        *self.refused.lock() = refusal;
    }

    /// Takes the bit, before the owner looks at what has changed: a change during the look sets it again.
    pub(crate) fn take(&self) -> bool {
        self.fired.swap(false, Ordering::Acquire)
    }

    /// Whether the bit is set; it stays so.
    pub(crate) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::Acquire)
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        *self.refused.lock()
    }

    /// Ready when the bit was set; it is taken then.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }
}
