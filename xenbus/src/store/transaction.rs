//! Several operations at once, or none of them.

use core::time::Duration;

use xen_hypercall::sched;

use super::ask::{self, Ask};
use super::call::Call;
use super::error::{Reason, StoreError};
use super::{Platform, Store, Transaction};
use crate::wire::{BadReply, MessageType, Refusal};

/// How often a transaction is tried that meets others.
pub const ATTEMPTS: u32 = 32;

/// How long all attempts take at most.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

impl<P: Platform> Store<P> {
    /// Does several operations as one: others see all of them or none, and the reads are of one moment.
    ///
    /// `body` gets a store whose operations belong to the transaction, and may run several times: when xenstore finds that others
    /// have changed what it has read or written, it is tried again, after a pause by chance, [`ATTEMPTS`] times at most. When it
    /// answers with an error, nothing was done.
    ///
    /// # Errors
    ///
    /// The error of `body` or of one of the transaction's ends; [`Reason::Contended`] after all attempts;
    /// [`Reason::TimedOut`] when they took longer than a minute.
    pub fn transaction<T>(&self, mut body: impl FnMut(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let end = self.now() + LONGEST;
        for attempt in 0..ATTEMPTS {
            let open = Open::new(self, self.begin().wait()?);
            let value = body(&open.inside)?;
            if open.commit(Call::wait)? {
                return Ok(value);
            }
            self.sleep_by_chance(attempt);
            if self.now() >= end {
                return Err(StoreError::new(COMMIT, "", Reason::TimedOut(LONGEST)));
            }
        }
        Err(StoreError::new(COMMIT, "", Reason::Contended { attempts: ATTEMPTS }))
    }

    /// As [`transaction`](Self::transaction), for tasks. Attempts follow each other without a pause: others run during each.
    ///
    /// # Errors
    ///
    /// As for [`transaction`](Self::transaction).
    pub async fn transaction_async<T>(
        &self,
        mut body: impl AsyncFnMut(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let end = self.now().saturating_add(LONGEST);
        for _ in 0..ATTEMPTS {
            let mut open = Open::new(self, self.begin().await?);
            let value = body(&open.inside).await?;
            let ended = open.end().await;
            if open.is_committed(ended)? {
                return Ok(value);
            }
            if self.now() >= end {
                return Err(StoreError::new(COMMIT, "", Reason::TimedOut(LONGEST)));
            }
        }
        Err(StoreError::new(COMMIT, "", Reason::Contended { attempts: ATTEMPTS }))
    }

    fn begin(&self) -> Call<P, Transaction> {
        let answer = |payload: alloc::vec::Vec<u8>, epoch| {
            let bad = BadReply::Payload(MessageType::TRANSACTION_START);
            let id = ask::transaction_id(&payload).ok_or(bad)?;
            Ok(Transaction { id, epoch })
        };
        const START: &str = "start a transaction";
        let ask = Ask::plain(START, MessageType::TRANSACTION_START, b"\0".to_vec(), answer);
        Call::new(&self.outside(), START, "", Ok(ask))
    }

    fn sleep_by_chance(&self, attempt: u32) {
        let longest = Duration::from_millis(1 << attempt.min(6)).min(LONGEST_PAUSE);
        let end = self.now() + self.core().chance(longest);
        // An event of any port ends a poll before its time.
        for _ in 0..16 {
            if self.now() >= end || sched::poll(self.platform(), &[], Some(self.platform().system_time(end))).is_err() {
                return;
            }
        }
    }
}

const COMMIT: &str = "commit a transaction";

/// A transaction that the daemon keeps open for us. Dropped, it is given up.
struct Open<P: Platform> {
    inside: Store<P>,
    ended: bool,
}

impl<P: Platform> Open<P> {
    fn new(store: &Store<P>, transaction: Transaction) -> Self {
        let mut inside = store.clone();
        inside.transaction = transaction;
        Self { inside, ended: false }
    }

    /// Commits, and says whether that was done or others were in the way.
    fn commit(mut self, wait: impl FnOnce(Call<P, ()>) -> Result<(), StoreError>) -> Result<bool, StoreError> {
        let ended = wait(self.end());
        self.is_committed(ended)
    }

    fn end(&self) -> Call<P, ()> {
        let ask = Ask::plain(COMMIT, MessageType::TRANSACTION_END, b"T\0".to_vec(), |_, _| Ok(()));
        Call::new(&self.inside, COMMIT, "", Ok(ask))
    }

    fn is_committed(&mut self, ended: Result<(), StoreError>) -> Result<bool, StoreError> {
        // The daemon knows it no more, whatever it has answered. An answer that did not come leaves that open.
        self.ended = !matches!(&ended, Err(error) if matches!(error.reason, Reason::TimedOut(_)));
        match ended {
            Ok(()) => Ok(true),
            Err(error) if error.is_refused(Refusal::AGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl<P: Platform> Drop for Open<P> {
    fn drop(&mut self) {
        let now = self.inside.now();
        let mut core = self.inside.core();
        // The daemon has ended those of an earlier connection itself.
        if core.epoch != self.inside.transaction.epoch {
            return;
        }
        if !self.ended {
            core.give_up(self.inside.transaction.id);
            core.pump(now);
            core.tell();
        }
        core.transaction_is_over();
    }
}
