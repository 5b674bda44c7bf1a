//! A watch, as its owner sees it.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

use xen_event_channel::{Channel, WaitError, wait_any};

use super::cell::Cell;
use super::error::StoreError;
use super::{Platform, Store};
use crate::connection::Token;
use crate::wire::Refusal;

/// Tells when a node, or something below it, may have changed. Dropped, it is taken back.
///
/// However many changes there are, a watch holds one bit: [`take`](Self::take) it, then look at the nodes. Whatever changes
/// during the look sets the bit again. It is set when the watch is new, and when the connection was made anew or the domain
/// resumed: the watch is then registered again, and something may have been missed. It may also be set for no reason.
pub struct Watch<P: Platform> {
    store: Store<P>,
    token: Token,
    path: String,
    cell: Arc<Cell>,
}

impl<P: Platform> Watch<P> {
    pub(super) fn new(store: &Store<P>, token: Token, path: &str, cell: Arc<Cell>) -> Self {
        Self { store: store.outside(), token, path: path.into(), cell }
    }

    /// What is watched.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether something may have changed since the last time. Looks at what has come, and never waits.
    #[must_use]
    pub fn take(&self) -> bool {
        self.store.poll();
        self.cell.take()
    }

    /// Waits until something may have changed, or until `deadline` (by [`Store::now`]), and says which it was.
    ///
    /// # Errors
    ///
    /// [`Reason::Wait`](super::Reason::Wait) where Xen does not let the guest wait; [`Reason::Broken`](super::Reason::Broken) when
    /// the connection is broken for good.
    pub fn wait(&self, deadline: Duration) -> Result<bool, StoreError> {
        self.store.wait_until(deadline, "wait for a change of", &self.path, || self.cell.take())
    }

    /// Ready when something may have changed. One task at a time: the last one that asked is woken.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        self.cell.poll(context)
    }

    /// Waits until something may have changed, while somebody [serves](Store::serve) the store.
    /// When the connection breaks for good, it fires once more, and what is asked then tells why.
    pub async fn changed(&self) {
        poll_fn(|context| self.poll_changed(context)).await;
    }

    /// Why xenstore did not take the watch again, after a new connection or a resume. It tells of nothing then.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.cell.refusal()
    }
}

impl<P: Platform> Store<P> {
    /// Waits until one of the store's watches has fired and was not [taken](Watch::take), or until `deadline` (by [`Store::now`]); says
    /// which it was. For a loop that looks at several watches.
    ///
    /// # Errors
    ///
    /// [`Reason::Wait`](super::Reason::Wait) where Xen does not let the guest wait; [`Reason::Broken`](super::Reason::Broken) when
    /// the connection is broken for good.
    pub fn wait_for_changes(&self, deadline: Duration) -> Result<bool, StoreError> {
        self.wait_until(deadline, "wait for changes", "", || self.core().watches.any_fired())
    }

    /// Waits until one of the store's watches has fired and was not [taken](Watch::take), until a [call](super::Call) has a result that was
    /// not taken, until one of `others` has another count than was seen, or until `deadline` (by [`Store::now`]). For a driver, which waits
    /// for its own channels too. May return early; and does so each time while somebody keeps a call whose result is never taken.
    ///
    /// A store that is broken for good is left out: what is asked of it then tells why.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait, or one of `others` is stale.
    pub fn wait_with<'c>(
        &self,
        others: impl Iterator<Item = (&'c Channel<P>, u32)> + Clone,
        deadline: Duration,
    ) -> Result<(), WaitError>
    where
        P: 'c,
    {
        let channel = self.channel();
        let seen = channel.count();
        self.poll();
        let has_news = {
            let core = self.core();
            core.watches.any_fired() || core.has_results()
        };
        if has_news {
            return Ok(());
        }
        let (dead, next) = {
            let mut core = self.core();
            core.tell();
            (core.is_dead().is_some(), core.next_deadline())
        };
        let own = (!dead).then_some((&*channel, seen));
        let until = next.map_or(deadline, |next| deadline.min(next));
        let others = others.map(|(channel, seen): (&Channel<P>, u32)| (channel, seen));
        wait_any(self.platform(), own.into_iter().chain(others), until, || self.now()).map(drop)
    }

    /// Waits until something has come that makes `is_over` hold, or until `deadline`.
    fn wait_until(
        &self,
        deadline: Duration,
        operation: &'static str,
        path: &str,
        is_over: impl Fn() -> bool,
    ) -> Result<bool, StoreError> {
        loop {
            let channel = self.channel();
            let seen = channel.count();
            self.poll();
            if is_over() {
                return Ok(true);
            }
            if let Some(violation) = self.core().is_dead() {
                return Err(StoreError::new(operation, path, violation));
            }
            if self.now() >= deadline {
                return Ok(false);
            }
            self.pause(&channel, seen, deadline).map_err(|error| StoreError::new(operation, path, error))?;
        }
    }
}

impl<P: Platform> Drop for Watch<P> {
    fn drop(&mut self) {
        self.store.core().unwatch(self.token);
        self.store.poll();
    }
}

impl<P: Platform> fmt::Debug for Watch<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("path", &self.path).field("token", &self.token).finish_non_exhaustive()
    }
}
