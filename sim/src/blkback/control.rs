//! A test's hold on a backend: faults by script and by chance, and what happens to the device.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_hypercall::abi::io::xenbus::State as DeviceState;

use super::hostile::Misdeed;
use super::options::Options;
use crate::fault::{Rule, When, first_that_strikes};

/// Which requests a fault is for. An indirect request counts as what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those of one operation.
    Of(Operation),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not done, and answered so. Flushes and barriers that are refused with `EOPNOTSUPP` lose their key, too.
    Refuse(Status),
    /// It is done, and answered so.
    Fail(Status),
    /// It is not done or answered, and its pages stay mapped, until [`Control::go_on`].
    Hang,
    /// It is done and answered so much later.
    Late(Duration),
    /// It is answered as no honest backend answers.
    Misdeed(Misdeed),
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

/// A hold on a backend, also while it [serves](super::Blkback::serve) in a run. What is asked for is done at the backend's next
/// step.
#[derive(Clone)]
pub struct Control(Arc<Mutex<Script>>);

struct Script {
    rules: Vec<Rule<(Which, Fault)>>,
    chaos: Option<Rule<()>>,
    hangs: bool,
    keeps: bool,
    wishes: VecDeque<Wish>,
    keys: BTreeMap<String, Option<Vec<u8>>>,
    options: Options,
}

/// What a test wants done.
#[derive(Debug)]
pub(super) enum Wish {
    Restart(Restart),
    Close,
    Resize(u64),
    Keys,
    GoOn,
    Storm(u32),
    State(DeviceState),
    Toggle(u32),
    Update,
    LetGo,
}

/// Requests.
impl Control {
    /// Has certain requests go wrong.
    pub fn on(&self, which: Which, when: When, fault: Fault) {
        self.lock().rules.push(Rule::new((which, fault), when));
    }

    /// Has requests answered as no honest backend does, each time in another way, by the machine's seed.
    pub fn misbehave(&self, when: When) {
        self.lock().chaos = Some(Rule::new((), when));
    }

    /// Ends all that [`on`](Self::on) and [`misbehave`](Self::misbehave) have set.
    pub fn clear(&self) {
        let mut script = self.lock();
        script.rules.clear();
        script.chaos = None;
    }

    /// The backend does nothing any more, but keeps everything.
    pub fn hang(&self) {
        self.lock().hangs = true;
    }

    /// It goes on, with the requests that [hung](Fault::Hang), too.
    pub fn go_on(&self) {
        self.lock().hangs = false;
        self.wish(Wish::GoOn);
    }
}

/// The device.
impl Control {
    /// The backend starts anew.
    pub fn restart(&self, how: Restart) {
        self.wish(Wish::Restart(how));
    }

    /// The backend closes, and stays closed until a front initialises.
    pub fn close(&self) {
        self.wish(Wish::Close);
    }

    /// The disk gets another size while it is used: as Linux's backend does, `sectors` is written, then the state again.
    pub fn resize(&self, sectors: u64) {
        self.wish(Wish::Resize(sectors));
    }

    /// What the next connection offers.
    pub fn offer(&self, options: Options) {
        self.lock().options = options;
    }

    /// Changes the options at once, but for what was negotiated: how long requests take, when the front is signalled.
    pub fn update(&self, change: impl FnOnce(&mut Options)) {
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
impl Control {
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

impl Control {
    pub(super) fn new(options: Options) -> Self {
        let (rules, chaos, hangs, keeps) = (Vec::new(), None, false, false);
        let script = Script { rules, chaos, hangs, keeps, wishes: VecDeque::new(), keys: BTreeMap::new(), options };
        Self(Arc::new(Mutex::new(script)))
    }

    fn wish(&self, wish: Wish) {
        self.lock().wishes.push_back(wish);
    }

    pub(super) fn next_wish(&self) -> Option<Wish> {
        self.lock().wishes.pop_front()
    }

    pub(super) fn hangs(&self) -> bool {
        self.lock().hangs
    }

    pub(super) fn keeps(&self) -> bool {
        self.lock().keeps
    }

    pub(super) fn options(&self) -> Options {
        self.lock().options.clone()
    }

    /// What a key shall have in place of its value.
    pub(super) fn key(&self, key: &str) -> Option<Option<Vec<u8>>> {
        self.lock().keys.get(key).cloned()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.lock().keys.keys().cloned().collect()
    }

    /// What shall become of a request. Every rule that is for it counts it; the first that strikes has it.
    pub(super) fn fault(&self, operation: Operation, rng: &mut ChaCha8Rng) -> Option<Fault> {
        let script = &mut *self.lock();
        if script.rules.is_empty() && script.chaos.is_none() {
            return None;
        }
        let of_this = |rule: &&mut Rule<(Which, Fault)>| match rule.fault.0 {
            Which::All => true,
            Which::Of(wanted) => wanted == operation,
        };
        let found = first_that_strikes(script.rules.iter_mut().filter(of_this), rng).map(|(_, fault)| fault);
        let chaos = first_that_strikes(script.chaos.iter_mut(), rng);
        found.or_else(|| chaos.map(|()| Fault::Misdeed(Misdeed::any(rng))))
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = self.lock();
        f.debug_struct("Control")
            .field("rules", &script.rules)
            .field("hangs", &script.hangs)
            .field("wishes", &script.wishes)
            .finish_non_exhaustive()
    }
}
