//! A test's hold on a backend: faults by script and by chance, and what happens to the device.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::xenbus::State as DeviceState;

use crate::fault::{Rule, When, first_that_strikes};

/// What a kind of backend has of its own.
pub trait Kind: 'static {
    /// What it offers, and how it works.
    type Options: Clone + Send;
    /// Something that it does, and that can go wrong.
    type Work: Copy;
    /// Which of its work a fault is for.
    type Which: Clone + fmt::Debug + Send;
    /// What goes wrong.
    type Fault: Clone + fmt::Debug + Send;
    /// What only it can do.
    type Wish: fmt::Debug + Send;

    /// Whether a fault is for this work.
    fn is_for(which: &Self::Which, work: Self::Work) -> bool;

    /// What no honest backend does, by chance.
    fn misdeed(work: Self::Work, rng: &mut ChaCha8Rng) -> Self::Fault;
}

/// How a backend goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// It says `Closing`, waits for the front to close, says `Closed`, and then waits for a front again.
    Orderly,
    /// It lets go of everything and says `Closed`, with no word before; then it waits for a front again.
    Abrupt,
}

/// A hold on a backend, also while it serves in a run; its clones hold the same backend.
///
/// Nothing happens in the call itself. Faults are for requests that are taken from then on. What else the backend is to do it does in its
/// next steps, one thing in each, in the order in which it was asked; while it [hangs](Self::hang), that waits.
pub struct Control<K: Kind>(Arc<Mutex<Script<K>>>);

struct Script<K: Kind> {
    rules: Vec<Rule<(K::Which, K::Fault)>>,
    chaos: Option<Rule<()>>,
    hangs: bool,
    keeps: bool,
    wishes: VecDeque<Wish<K::Wish>>,
    keys: BTreeMap<String, Option<Vec<u8>>>,
    options: K::Options,
}

/// What a test wants done.
#[derive(Debug)]
pub(crate) enum Wish<W> {
    Restart(Restart),
    Close,
    Keys,
    GoOn,
    Storm(u32),
    State(DeviceState),
    Toggle(u32),
    Update,
    LetGo,
    Own(W),
}

/// Requests.
impl<K: Kind> Control<K> {
    /// Has certain requests go wrong. Of several faults for a request the first that was set and [strikes](When) has it; all count it.
    pub fn on(&self, which: K::Which, when: When, fault: K::Fault) {
        self.lock().rules.push(Rule::new((which, fault), when));
    }

    /// Has requests answered as no honest backend does, each time in another way, by the machine's seed.
    pub fn misbehave(&self, when: When) {
        self.lock().chaos = Some(Rule::new((), when));
    }

    /// Ends all that [`on`](Self::on) and [`misbehave`](Self::misbehave) have set. Requests that hang already do so until
    /// [`go_on`](Self::go_on).
    pub fn clear(&self) {
        let mut script = self.lock();
        script.rules.clear();
        script.chaos = None;
    }

    /// The backend does nothing any more, but keeps everything, until [`go_on`](Self::go_on).
    pub fn hang(&self) {
        self.lock().hangs = true;
    }

    /// It goes on, with the requests that hung, too.
    pub fn go_on(&self) {
        self.lock().hangs = false;
        self.wish(Wish::GoOn);
    }
}

/// The device.
impl<K: Kind> Control<K> {
    /// The backend starts anew.
    pub fn restart(&self, how: Restart) {
        self.wish(Wish::Restart(how));
    }

    /// The backend closes, and stays closed until a front initialises.
    pub fn close(&self) {
        self.wish(Wish::Close);
    }

    /// What the next connection offers.
    pub fn offer(&self, options: K::Options) {
        self.lock().options = options;
    }

    /// Changes the options at once, but for what was negotiated: how long requests take, when the front is signalled.
    pub fn update(&self, change: impl FnOnce(&mut K::Options)) {
        change(&mut self.lock().options);
        self.wish(Wish::Update);
    }

    /// A key of the backend's has this value now, and at each connection, whatever it should be.
    pub fn set_key(&self, key: &str, value: impl AsRef<[u8]>) {
        self.lock().keys.insert(key.to_owned(), Some(value.as_ref().to_vec()));
        self.wish(Wish::Keys);
    }

    /// A key of the backend's is not there from now on.
    pub fn remove_key(&self, key: &str) {
        self.lock().keys.insert(key.to_owned(), None);
        self.wish(Wish::Keys);
    }

    /// Keys are what they should be, from the next connection on.
    pub fn honest_keys(&self) {
        self.lock().keys.clear();
    }
}

/// Misbehaviour.
impl<K: Kind> Control<K> {
    /// Signals the front so often, for no reason, on all queues.
    pub fn storm(&self, events: u32) {
        self.wish(Wish::Storm(events));
    }

    /// From now on the backend keeps everything mapped when a connection ends: rings, and pages of requests that it was at or that
    /// are persistent. (075, 083, 084)
    pub fn keep_mappings(&self) {
        self.lock().keeps = true;
    }

    /// It lets go of what it kept, and keeps nothing more.
    pub fn let_go(&self) {
        self.lock().keeps = false;
        self.wish(Wish::LetGo);
    }

    /// Writes a state, and nothing else.
    pub fn write_state(&self, state: DeviceState) {
        self.wish(Wish::State(state));
    }

    /// Writes `Closing` and the state that there was, in turn, so often.
    pub fn toggle(&self, times: u32) {
        self.wish(Wish::Toggle(times));
    }
}

impl<K: Kind> Control<K> {
    pub(crate) fn new(options: K::Options) -> Self {
        let (rules, chaos, hangs, keeps) = (Vec::new(), None, false, false);
        let script = Script { rules, chaos, hangs, keeps, wishes: VecDeque::new(), keys: BTreeMap::new(), options };
        Self(Arc::new(Mutex::new(script)))
    }

    pub(crate) fn wish(&self, wish: Wish<K::Wish>) {
        self.lock().wishes.push_back(wish);
    }

    pub(super) fn next_wish(&self) -> Option<Wish<K::Wish>> {
        self.lock().wishes.pop_front()
    }

    pub(super) fn hangs(&self) -> bool {
        self.lock().hangs
    }

    pub(crate) fn keeps(&self) -> bool {
        self.lock().keeps
    }

    pub(crate) fn options(&self) -> K::Options {
        self.lock().options.clone()
    }

    /// What a key shall have in place of its value.
    pub(super) fn key(&self, key: &str) -> Option<Option<Vec<u8>>> {
        self.lock().keys.get(key).cloned()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.lock().keys.keys().cloned().collect()
    }

    /// What shall become of some work. Every rule that is for it counts it; the first that strikes has it.
    pub(crate) fn fault(&self, work: K::Work, rng: &mut ChaCha8Rng) -> Option<K::Fault> {
        let script = &mut *self.lock();
        if script.rules.is_empty() && script.chaos.is_none() {
            return None;
        }
        let of_this = |rule: &&mut Rule<(K::Which, K::Fault)>| K::is_for(&rule.fault.0, work);
        let found = first_that_strikes(script.rules.iter_mut().filter(of_this), rng).map(|(_, fault)| fault);
        let chaos = first_that_strikes(script.chaos.iter_mut(), rng);
        found.or_else(|| chaos.map(|()| K::misdeed(work, rng)))
    }

    fn lock(&self) -> MutexGuard<'_, Script<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kind> Clone for Control<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> fmt::Debug for Control<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = self.lock();
        f.debug_struct("Control")
            .field("rules", &script.rules)
            .field("hangs", &script.hangs)
            .field("wishes", &script.wishes)
            .finish_non_exhaustive()
    }
}
