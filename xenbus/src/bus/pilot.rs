//! A front half on its way through a store: what all drivers have in common.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use super::store::{Brought, Errand};
use super::{Device, End, Event, Frontend, Keys, Limits, Step};
use crate::store::{Platform, Store, StoreError, Watch};

/// What a driver wants to know of its device.
pub trait Question: Copy {
    /// In which directories, and which keys of each.
    fn keys(self, device: &Device) -> Vec<(String, &'static [&'static str])>;

    /// A node whose whole value is wanted besides, whatever its bytes and its length are.
    fn whole(self, _: &Device) -> Option<String> {
        None
    }
}

/// A front half with the watch of its backend's state, for a driver that asks questions of type `Q`.
///
/// Nothing here waits. What is to be read or written in the store is a [`Chore`], which is done apart from the driver, and whose
/// [`Outcome`] goes back to [`took`](Self::took). One that comes too late, for a front half that has ended meanwhile, changes
/// nothing.
pub struct Pilot<P: Platform, Q> {
    front: Frontend,
    watch: Watch<P>,
    /// Counts the front halves.
    era: u32,
    asked: Option<Q>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Turn<Q> {
    /// Something in the store. It is said again until its outcome is there.
    Chore(Chore<Q>),
    /// The driver is told something.
    Told(Event),
    /// Nothing, until something changes.
    Rest,
    /// Nothing for ever.
    Ended(End),
}

/// Something to be read or written in the store.
#[derive(Clone, Debug)]
pub struct Chore<Q> {
    era: u32,
    what: What<Q>,
}

#[derive(Clone, Debug)]
enum What<Q> {
    Front(Errand),
    Question(Q, Vec<(String, &'static [&'static str])>, Option<String>),
}

/// What came of a [`Chore`].
#[derive(Debug)]
pub struct Outcome<Q> {
    era: u32,
    what: Got<Q>,
}

#[derive(Debug)]
enum Got<Q> {
    Front(Brought),
    Answer(Answer<Q>),
}

/// A question, and the keys of each of its directories, all of one moment; or why there was no answer.
#[derive(Debug)]
pub struct Answer<Q> {
    /// What was asked.
    pub question: Q,
    /// What stands there.
    pub keys: Result<Vec<Keys>, String>,
    /// What stands in the node whose [whole](Question::whole) value was wanted, if it is there.
    pub whole: Option<Vec<u8>>,
}

impl<P: Platform, Q: Question> Pilot<P, Q> {
    /// A front half for a device that an [`Enumerator`](super::Enumerator) has found.
    ///
    /// Blocks for as long as the store takes to register a watch.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn new(store: &Store<P>, device: Device, limits: Limits) -> Result<Self, StoreError> {
        let watch = store.watch(&device.backend_key("state")).wait()?;
        Ok(Self { front: Frontend::new(device, limits), watch, era: 0, asked: None })
    }

    /// Goes on with another device, from its first sight on. Blocks as [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// The store's; all is as before.
    pub fn replace(&mut self, store: &Store<P>, device: Device, limits: Limits) -> Result<(), StoreError> {
        let watch = store.watch(&device.backend_key("state")).wait()?;
        drop(self.replace_with(watch, device, limits));
        Ok(())
    }

    /// The same with the watch of its backend's state, for tasks. The one that is of no use any more comes back.
    pub fn replace_with(&mut self, watch: Watch<P>, device: Device, limits: Limits) -> Watch<P> {
        self.front = Frontend::new(device, limits);
        self.forget();
        core::mem::replace(&mut self.watch, watch)
    }

    /// The front half: its answers, its deadlines, its end.
    #[must_use]
    pub const fn front(&self) -> &Frontend {
        &self.front
    }

    /// The same, to answer.
    pub const fn front_mut(&mut self) -> &mut Frontend {
        &mut self.front
    }

    /// The watch of the backend's state, for tasks to wait for.
    #[must_use]
    pub const fn watch(&self) -> &Watch<P> {
        &self.watch
    }

    /// The driver wants to know something. One question at a time: a later one takes the place of one before it.
    pub const fn ask(&mut self, question: Q) {
        self.asked = Some(question);
    }

    /// Whether a question waits for its answer.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Heeds the watch. Also for a device that is gone: a watch that has fired ends every wait for the store.
    pub fn heed(&mut self) {
        if self.watch.take() {
            self.front.look_again();
        }
    }

    /// The same for a task, which is woken when it fires; answers whether it had.
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let changed = self.watch.poll_changed(context);
        if changed.is_ready() {
            self.front.look_again();
        }
        changed
    }

    /// What is to be done next. To be called until there is a chore, or nothing.
    pub fn next(&mut self, now: Duration) -> Turn<Q> {
        self.heed();
        if let Some(question) = self.asked {
            let device = self.front.device();
            return Turn::Chore(self.chore(What::Question(question, question.keys(device), question.whole(device))));
        }
        let step = self.front.poll(now);
        match (step.errand(self.front.device()), step) {
            (Some(errand), _) => Turn::Chore(self.chore(What::Front(errand))),
            (None, Step::Tell(event)) => Turn::Told(event),
            (None, Step::Ended(end)) => Turn::Ended(end),
            (None, _) => Turn::Rest,
        }
    }

    /// Here is what came of a chore: an answer is for the driver.
    pub fn took(&mut self, outcome: Outcome<Q>, now: Duration) -> Option<Answer<Q>> {
        if outcome.era != self.era {
            return None;
        }
        match outcome.what {
            Got::Front(brought) => {
                self.front.took(brought, now);
                None
            }
            Got::Answer(answer) => {
                self.asked = None;
                Some(answer)
            }
        }
    }

    /// When there is something to do at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.asked.is_some() { Some(Duration::ZERO) } else { self.front.next_deadline() }
    }

    /// The domain was suspended, and has resumed: the front half ends, and what is under way is for nobody.
    pub fn resumed(&mut self) {
        self.forget();
        self.front.resumed();
    }

    const fn forget(&mut self) {
        (self.era, self.asked) = (self.era.wrapping_add(1), None);
    }

    const fn chore(&self, what: What<Q>) -> Chore<Q> {
        Chore { era: self.era, what }
    }
}

impl<Q: Question> Chore<Q> {
    /// Does it. Blocks for as long as the store's answers take.
    #[must_use]
    pub fn run<P: Platform>(&self, store: &Store<P>) -> Outcome<Q> {
        let what = match &self.what {
            What::Front(errand) => Got::Front(errand.run(store)),
            What::Question(question, places, whole) => {
                let keys =
                    store.transaction(|t| places.iter().map(|(path, names)| Keys::read(t, path, names)).collect());
                let whole = whole.as_ref().and_then(|path| store.read(path).wait().ok());
                Got::Answer(Answer::of(*question, keys, whole))
            }
        };
        Outcome { era: self.era, what }
    }

    /// [`run`](Self::run), for tasks. What stands in one directory is of one moment.
    pub async fn run_async<P: Platform>(&self, store: &Store<P>) -> Outcome<Q> {
        let what = match &self.what {
            What::Front(errand) => Got::Front(errand.run_async(store).await),
            What::Question(question, places, whole) => {
                let mut keys = Ok(Vec::with_capacity(places.len()));
                for (path, names) in places {
                    let read = Keys::read_async(store, path, names).await;
                    keys = keys.and_then(|mut keys: Vec<_>| read.map(|read| keys.push(read)).map(|()| keys));
                }
                let whole = match whole {
                    Some(path) => store.read(path).await.ok(),
                    None => None,
                };
                Got::Answer(Answer::of(*question, keys, whole))
            }
        };
        Outcome { era: self.era, what }
    }
}

impl<Q> Answer<Q> {
    fn of(question: Q, keys: Result<Vec<Keys>, StoreError>, whole: Option<Vec<u8>>) -> Self {
        Self { question, keys: keys.map_err(|error| error.to_string()), whole }
    }
}

impl<P: Platform, Q> fmt::Debug for Pilot<P, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pilot").field("front", &self.front).field("era", &self.era).finish_non_exhaustive()
    }
}
