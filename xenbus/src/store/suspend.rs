//! A store while the domain is suspended.

use core::time::Duration;

use xen_event_channel::Channel;
use xen_shared_ring::SharedMem;

use super::core::Link;
use super::error::{Reason, StoreError};
use super::ring::Ring;
use super::{NoRing, Platform, Store};

/// A store on whose ring nothing happens, so that the domain can be suspended. Dropped, it goes on as before: for a suspend that
/// was cancelled.
#[must_use = "dropped, the store goes on"]
#[derive(Debug)]
pub struct Quiet<P: Platform> {
    store: Store<P>,
    resumed: bool,
}

impl<P: Platform> Store<P> {
    /// Waits until no transaction is open and nothing is in flight, lets nothing new begin, and stops. New calls end as
    /// [`Reason::Suspending`] meanwhile; calls inside of open transactions go on.
    ///
    /// # Errors
    ///
    /// [`Reason::TimedOut`] when that takes longer than `within`, because a transaction stays open or the daemon does not answer.
    /// [`Reason::Suspending`] when somebody else has the store come to rest already. Everything goes on as before then.
    pub fn quiesce(&self, within: Duration) -> Result<Quiet<P>, StoreError> {
        const QUIESCE: &str = "come to rest";
        let deadline = self.now().saturating_add(within);
        if !self.core().claim_rest() {
            return Err(StoreError::new(QUIESCE, "", Reason::Suspending));
        }
        let quiet = Quiet { store: self.outside(), resumed: false };
        loop {
            // Again each time: a connection that was made anew meanwhile is open.
            self.core().close();
            let channel = self.channel();
            let seen = channel.count();
            self.poll();
            if self.core().come_to_rest() {
                return Ok(quiet);
            }
            if self.now() >= deadline {
                return Err(StoreError::new(QUIESCE, "", Reason::TimedOut(within)));
            }
            self.pause(&channel, seen, deadline).map_err(|error| StoreError::new(QUIESCE, "", error))?;
        }
    }
}

impl<P: Platform> Quiet<P> {
    /// Goes on after a resume, with the ring and the channel that the domain has now. Watches are registered again, and have all
    /// fired.
    ///
    /// # Errors
    ///
    /// [`NoRing`]; the store is of no use then.
    pub fn resume(self, page: SharedMem, channel: Channel<P>) -> Result<(), NoRing> {
        self.go_on(Ring::attach(page).ok_or(NoRing)?, channel);
        Ok(())
    }

    pub(super) fn go_on(mut self, ring: Ring, channel: Channel<P>) {
        self.store.core().replace(ring, channel);
        self.resumed = true;
        self.store.poll();
    }

    #[cfg(loom)]
    pub(super) fn store(&self) -> Store<P> {
        self.store.clone()
    }
}

impl<P: Platform> Drop for Quiet<P> {
    fn drop(&mut self) {
        if !self.resumed {
            self.store.core().reopen();
            self.store.poll();
        }
    }
}

impl<P: Platform> Store<P> {
    /// Whether the store is at rest, for a suspend.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.core().link() == Link::Suspended
    }
}
