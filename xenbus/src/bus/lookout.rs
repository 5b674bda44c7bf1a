//! Which devices of one kind there are.

use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::enumerate::kind_path;
use super::store::if_there;
use super::{Allowance, Backoff, Change, Device, Enumerator, SHORTEST_PAUSE};
use crate::store::{Call, Platform, Store, StoreError, Watch};

/// So many looks may follow each other at once; after them there is one every [`SHORTEST_PAUSE`].
const LOOKS_AT_ONCE: u32 = 8;

/// Follows the devices of one kind, with one watch: for who drives them as they come and go.
pub struct Lookout<P: Platform> {
    kind: &'static str,
    watch: Watch<P>,
    enumerator: Enumerator,
    /// Whether there is anything at all was asked.
    asked: Option<Call<P, Vec<String>>>,
    /// What came of it, where a task has had the answer first.
    answered: Option<Result<Vec<String>, StoreError>>,
    /// Something may have changed since the last look.
    due: bool,
    looks: Allowance,
    /// A look that failed is made again, and not before this time.
    look_after: Duration,
    look_retries: Backoff,
    /// What was found could not be taken, and is not tried before this time.
    try_after: Duration,
    try_retries: Backoff,
    /// Devices that have vanished are looked for at this time.
    search_at: Option<Duration>,
    search_after: Duration,
    searches: Backoff,
}

impl<P: Platform> Lookout<P> {
    /// Follows devices of this kind. Blocks for as long as xenstore takes to register a watch.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn new(store: &Store<P>, kind: &'static str) -> Result<Self, StoreError> {
        Ok(Self {
            kind,
            watch: store.watch(&kind_path(kind)).wait()?,
            enumerator: Enumerator::of_kind(kind),
            asked: None,
            answered: None,
            due: true,
            looks: Allowance::new(LOOKS_AT_ONCE, SHORTEST_PAUSE),
            look_after: Duration::ZERO,
            look_retries: Backoff::new(),
            try_after: Duration::ZERO,
            try_retries: Backoff::new(),
            search_at: None,
            search_after: Duration::ZERO,
            searches: Backoff::new(),
        })
    }

    /// What has changed since the last look, if something may have. Blocks for as long as xenstore's answers take where there are
    /// devices, and not while there are none. What it does not answer is asked again after a pause.
    pub fn look(&mut self, store: &Store<P>, now: Duration) -> Vec<Change> {
        self.due |= self.watch.take();
        let is_time = self.asked.is_some() || self.due && now >= self.look_after && self.looks.take(now);
        if !is_time || self.is_empty(store) {
            return Vec::new();
        }
        self.look_now(store).unwrap_or_else(|_| {
            self.due = true;
            self.look_after = now.saturating_add(self.look_retries.next_pause());
            Vec::new()
        })
    }

    /// As [`look`](Self::look), whether something may have changed or not.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn look_now(&mut self, store: &Store<P>) -> Result<Vec<Change>, StoreError> {
        (self.asked, self.answered) = (None, None);
        let changes = self.enumerator.look(store)?;
        (self.due, self.look_retries) = (false, Backoff::new());
        Ok(changes)
    }

    /// Those that there were at the last look.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.enumerator.devices()
    }

    /// Waits for a change; answers whether there was one until then.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn wait(&self, until: Duration) -> Result<bool, StoreError> {
        self.watch.wait(until)
    }

    /// Waits until one of the wanted devices is there, and answers with that of the lowest number; with `None` if there is none
    /// by `until` (by [`Store::now`]), however often something else changes: whoever may write below `device` cannot prolong it. Blocks
    /// for as long as xenstore's last answers take besides.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn find(
        &mut self,
        store: &Store<P>,
        is_wanted: impl Fn(&Device) -> bool,
        until: Duration,
    ) -> Result<Option<Device>, StoreError> {
        loop {
            self.look_now(store)?;
            let wanted = self.devices().filter(|device| is_wanted(device)).min_by_key(|device| device.name().id);
            if wanted.is_some() || store.now() >= until || !self.wait(until)? {
                return Ok(wanted.cloned());
            }
        }
    }

    /// Has the task woken when there is to be a look; answers whether there is already.
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut has_changed = self.watch.poll_changed(context).is_ready();
        self.due |= has_changed;
        if let Some(asked) = self.asked.as_mut().filter(|_| self.answered.is_none())
            && let Poll::Ready(answer) = Pin::new(asked).poll(context)
        {
            (self.answered, has_changed) = (Some(answer), true);
        }
        if has_changed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// These devices' front halves have found that they are not there any more. What stands in their places are others,
    /// also where they look the same: the next look finds them.
    pub fn search<'d>(&mut self, vanished: impl Iterator<Item = &'d Device>, now: Duration) {
        self.search_at = None;
        for device in vanished {
            if !self.knows(device) {
                continue;
            }
            if now < self.search_after {
                self.search_at = Some(self.search_after);
                return;
            }
            self.enumerator.forget(device);
            self.due = true;
        }
        if self.due {
            // They may stand there without a backend, for as long as they like.
            self.search_after = now.saturating_add(self.searches.next_pause());
        }
    }

    /// Whether the device was there at the last look, and no other has replaced it since.
    #[must_use]
    pub fn knows(&self, device: &Device) -> bool {
        self.enumerator.devices().any(|known| known == device)
    }

    /// A device is connected: the next one that vanishes is looked for soon.
    pub const fn went_well(&mut self) {
        (self.search_after, self.searches) = (Duration::ZERO, Backoff::new());
    }

    /// Whether what was found may be taken now.
    #[must_use]
    pub fn may_try(&self, now: Duration) -> bool {
        now >= self.try_after
    }

    /// Something was taken, or not; answers whether to try again.
    pub fn tried(&mut self, result: &Result<(), StoreError>, now: Duration) -> bool {
        match result {
            Ok(()) => self.try_retries = Backoff::new(),
            Err(_) => self.try_after = now.saturating_add(self.try_retries.next_pause()),
        }
        result.is_err()
    }

    /// When there is something to do at the latest; `tries` says whether something waits to be taken.
    #[must_use]
    pub fn next_deadline(&self, tries: bool) -> Option<Duration> {
        // An answer ends a wait by itself.
        let look = (self.due && self.asked.is_none()).then(|| self.looks.next().max(self.look_after));
        let try_at = tries.then_some(self.try_after);
        [look, try_at, self.search_at].into_iter().flatten().min()
    }

    /// The domain was suspended, and is another one now.
    pub const fn resumed(&mut self) {
        self.enumerator.resumed();
        self.begin_times_anew();
    }

    /// The clock may have gone on meanwhile.
    pub const fn begin_times_anew(&mut self) {
        self.due = true;
        self.looks = Allowance::new(LOOKS_AT_ONCE, SHORTEST_PAUSE);
        (self.look_after, self.try_after, self.search_at) = (Duration::ZERO, Duration::ZERO, None);
        self.went_well();
    }

    /// Whether no device is known, and there is none as far as xenstore has answered by now.
    fn is_empty(&mut self, store: &Store<P>) -> bool {
        if self.enumerator.devices().next().is_some() {
            return false;
        }
        let asked = self.asked.get_or_insert_with(|| {
            // What is heard from now on may be later than the answer.
            self.due = false;
            store.directory(&kind_path(self.kind))
        });
        match self.answered.take().or_else(|| asked.try_wait()).map(if_there) {
            None => true,
            Some(Ok(None)) => {
                (self.asked, self.look_retries) = (None, Backoff::new());
                true
            }
            Some(_) => false,
        }
    }
}

impl<P: Platform> core::fmt::Debug for Lookout<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lookout")
            .field("kind", &self.kind)
            .field("enumerator", &self.enumerator)
            .finish_non_exhaustive()
    }
}
