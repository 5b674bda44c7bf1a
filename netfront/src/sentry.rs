//! Looking after the backend's link.

use core::task::{Context, Poll};
use core::time::Duration;

use xen_xenbus::Store;
use xen_xenbus::bus::{Allowance, Backoff, Device, SHORTEST_PAUSE};
use xen_xenbus::store::{StoreError, Watch};

use crate::Platform;

/// So often in a row the link is looked at; after that once every [`SHORTEST_PAUSE`].
const LOOKS_AT_ONCE: u32 = 8;

/// Knows when the link is to be looked at: when it may have changed, and not more often than is good.
pub(crate) struct Sentry<P: Platform> {
    watch: Watch<P>,
    due: bool,
    looks: Allowance,
    /// A look that failed is made again, and not before this time.
    after: Duration,
    retries: Backoff,
}

impl<P: Platform> Sentry<P> {
    /// Blocks for as long as xenstore takes to register a watch.
    pub(crate) fn new(store: &Store<P>, device: &Device) -> Result<Self, StoreError> {
        let watch = store.watch(&device.backend_key("carrier")).wait()?;
        let looks = Allowance::new(LOOKS_AT_ONCE, SHORTEST_PAUSE);
        Ok(Self { watch, due: false, looks, after: Duration::ZERO, retries: Backoff::new() })
    }

    /// Heeds the watch.
    pub(crate) fn heed(&mut self) {
        self.due |= self.watch.take();
    }

    /// The same for a task, which is woken when the watch fires; answers whether it had.
    pub(crate) fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let changed = self.watch.poll_changed(context);
        self.due |= changed.is_ready();
        changed
    }

    /// The link may have changed.
    pub(crate) const fn look_again(&mut self) {
        self.due = true;
    }

    /// Whether to look now; it is looked, if so.
    pub(crate) fn looks(&mut self, now: Duration) -> bool {
        let looks = self.due && now >= self.after && self.looks.take(now);
        self.due &= !looks;
        looks
    }

    /// The look went well.
    pub(crate) const fn saw(&mut self) {
        self.retries = Backoff::new();
    }

    /// Xenstore did not answer, and the watch does not fire again for that.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.due = true;
        self.after = now.saturating_add(self.retries.next_pause());
    }

    /// When to look.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.due.then(|| self.looks.next().max(self.after))
    }

    /// The clock may have gone on meanwhile, or back.
    pub(crate) const fn begin_times_anew(&mut self) {
        self.looks = Allowance::new(LOOKS_AT_ONCE, SHORTEST_PAUSE);
        self.after = Duration::ZERO;
    }
}
