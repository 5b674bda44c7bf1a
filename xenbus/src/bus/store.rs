//! The device model on a [`Store`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::device::Look;
use super::enumerate::{Plan, kind_path};
use super::{Change, Device, Enumerator, Frontend, Keys, Listing, Nodes, Sight, Step, Switch, Switched, Written};
use crate::store::{Call, PATIENCE, Platform, Reason, Store, StoreError};
use crate::wire::Refusal;

/// Within a transaction, all of it is of one moment; outside of one, it is not.
impl<P: Platform> Nodes for Store<P> {
    type Error = StoreError;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if_there(Self::read(self, path).wait())
    }

    fn list(&self, path: &str) -> Result<Option<Vec<String>>, StoreError> {
        if_there(self.directory(path).wait())
    }

    fn write(&self, path: &str, value: &[u8]) -> Result<(), StoreError> {
        Self::write(self, path, value).wait()
    }

    fn read_all(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let calls: Vec<_> = (1..).zip(paths).map(|(place, path)| patient(Self::read(self, path), place)).collect();
        calls.into_iter().map(|call| if_there(call.wait())).collect()
    }

    fn write_all(&self, values: &[(String, &[u8])]) -> Result<(), StoreError> {
        let calls = (1..).zip(values).map(|(place, (path, value))| patient(Self::write(self, path, value), place));
        let calls: Vec<_> = calls.collect();
        calls.into_iter().try_for_each(Call::wait)
    }
}

impl Keys {
    /// [`read`](Self::read), in a transaction of its own, for tasks.
    ///
    /// # Errors
    ///
    /// The store's. A key that is missing is none.
    pub async fn read_async<P: Platform>(
        store: &Store<P>,
        directory: &str,
        names: &[&'static str],
    ) -> Result<Self, StoreError> {
        let paths = Self::paths(directory, names);
        let values = store.transaction_async(async |t| read_all(t, &paths).await).await?;
        Ok(Self::of(directory, names, values))
    }
}

impl Enumerator {
    /// Looks at the devices, and tells what changed. Blocks for as long as the store's answers take.
    ///
    /// # Errors
    ///
    /// The store's; nothing has changed then, and the next look finds it.
    pub fn look<P: Platform>(&mut self, store: &Store<P>) -> Result<Vec<Change>, StoreError> {
        let listing = store.transaction(|t| Listing::read(t, self))?;
        Ok(self.update(listing))
    }

    /// [`look`](Self::look), for tasks.
    ///
    /// # Errors
    ///
    /// As for [`look`](Self::look).
    pub async fn look_async<P: Platform>(&mut self, store: &Store<P>) -> Result<Vec<Change>, StoreError> {
        let listing = store.transaction_async(async |t| list(t, self).await).await?;
        Ok(self.update(listing))
    }
}

async fn list<P: Platform>(store: &Store<P>, enumerator: &Enumerator) -> Result<Listing, StoreError> {
    let mut plan = match enumerator.kind() {
        Some(kind) => Plan::of_kind(kind),
        None => Plan::new(if_there(store.directory("device").await)?),
    };
    for kind in plan.kinds() {
        plan.add(&kind, if_there(store.directory(&kind_path(&kind)).await)?);
    }
    let (names, too_many) = plan.choose(enumerator);
    let mut listing = Listing::empty(too_many);
    for name in names {
        let paths = Look::paths(&name.path());
        let look = Look::of_values(&paths, read_all(store, &paths).await?);
        listing.add(name, look);
    }
    Ok(listing)
}

/// Something that a front half wants done in the store, apart from it: for owners who cannot lend the front half while they wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Its owner is to look at both halves of this device.
    Look(Device),
    /// This is to be written.
    Write(Switch),
}

/// What came of an [`Errand`]: for [`Frontend::took`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// What was seen; `None` where the store did not answer.
    Sight(Option<Sight>),
    /// What became of what was to be written.
    Written(Written),
}

impl Step {
    /// What it wants done in the store for this device; `None` where it is for somebody else.
    #[must_use]
    pub fn errand(&self, device: &Device) -> Option<Errand> {
        match self {
            Self::Look => Some(Errand::Look(device.clone())),
            Self::Write(switch) => Some(Errand::Write(switch.clone())),
            Self::Tell(_) | Self::Rest | Self::Ended(_) => None,
        }
    }
}

impl Errand {
    /// Does it. Blocks for as long as the store's answers take.
    #[must_use]
    pub fn run<P: Platform>(&self, store: &Store<P>) -> Brought {
        match self {
            Self::Look(device) => Brought::Sight(Sight::take(store, device).ok()),
            Self::Write(switch) => Brought::Written(written(store.transaction(|t| switch.apply(t)))),
        }
    }

    /// [`run`](Self::run), for tasks.
    pub async fn run_async<P: Platform>(&self, store: &Store<P>) -> Brought {
        match self {
            Self::Look(device) => {
                let values = read_all(store, &Sight::paths(device)).await;
                Brought::Sight(values.ok().map(|values| Sight::of(device, values)))
            }
            Self::Write(switch) => {
                let result = store.transaction_async(async |t| apply(t, switch).await).await;
                Brought::Written(written(result))
            }
        }
    }
}

impl Frontend {
    /// [`poll`](Self::poll), with what is to be looked at or written done: what is left is [`Step::Tell`], [`Step::Rest`] or
    /// [`Step::Ended`]. Blocks for as long as the store's answers take.
    pub fn drive<P: Platform>(&mut self, store: &Store<P>) -> Step {
        loop {
            // Bounded: each look and each write that fails is followed by a pause, and one that succeeds by another phase.
            let step = self.poll(store.now());
            let Some(errand) = step.errand(self.device()) else { return step };
            self.took(errand.run(store), store.now());
        }
    }

    /// [`drive`](Self::drive), for tasks.
    pub async fn drive_async<P: Platform>(&mut self, store: &Store<P>) -> Step {
        loop {
            let step = self.poll(store.now());
            let Some(errand) = step.errand(self.device()) else { return step };
            self.took(errand.run_async(store).await, store.now());
        }
    }

    /// Takes what came of an [`Errand`] of this very front half, which was not told of a resume meanwhile.
    pub fn took(&mut self, brought: Brought, now: Duration) {
        match brought {
            Brought::Sight(Some(sight)) => self.saw(sight, now),
            Brought::Sight(None) => self.look_failed(now),
            Brought::Written(written) => self.wrote(written, now),
        }
    }
}

async fn apply<P: Platform>(store: &Store<P>, switch: &Switch) -> Result<Switched, StoreError> {
    let values = read_all(store, &switch.paths()).await?;
    if let Err(how) = switch.check(values) {
        return Ok(Switched::Vanished(how));
    }
    let calls = (1..).zip(switch.values()).map(|(place, (path, value))| patient(store.write(&path, value), place));
    let calls: Vec<_> = calls.collect();
    for call in calls {
        call.await?;
    }
    Ok(Switched::Done)
}

async fn read_all<P: Platform>(store: &Store<P>, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let calls: Vec<_> = (1..).zip(paths).map(|(place, path)| patient(store.read(path), place)).collect();
    let mut values = Vec::with_capacity(calls.len());
    for call in calls {
        values.push(if_there(call.await)?);
    }
    Ok(values)
}

/// A daemon takes one request at a time: who stands further back in the queue waits longer.
fn patient<P: Platform, T>(call: Call<P, T>, place: u32) -> Call<P, T> {
    call.within(PATIENCE.saturating_mul(place))
}

/// What may not be seen is not there.
pub(super) fn if_there<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() || error.is_refused(Refusal::ACCES) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Xenstore's refusals are for good, but for those that say to try again.
fn written(result: Result<Switched, StoreError>) -> Written {
    match result {
        Ok(switched) => Written::Answered(switched),
        Err(error) if is_for_good(&error) => Written::Refused(error.to_string()),
        Err(_) => Written::Unanswered,
    }
}

fn is_for_good(error: &StoreError) -> bool {
    let passing = [Refusal::AGAIN, Refusal::BUSY, Refusal::NOMEM, Refusal::IO, Refusal::NOENT];
    match &error.reason {
        Reason::Refused(_) => !passing.iter().any(|name| error.is_refused(name)),
        reason => matches!(reason, Reason::BadPath(_) | Reason::TooLong { .. }),
    }
}
