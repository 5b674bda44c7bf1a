//! The watches of a store: what the daemon was asked to tell about, and who wants to know.
//!
//! However often the daemon says that something has changed, here it is one bit. So a flood of events takes no memory, and who
//! looks after the bit was set sees the last state. (The models in `tests/loom.rs`; test `hc_139`.)

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::cell::Cell;
use super::error::Reason;
use super::path;
use super::wakers::Wakes;
use crate::connection::{CallId, Token};
use crate::wire::{MessageType, Refusal};

/// As many watches as the daemon lets a domain have by default.
const MOST: usize = 128;

/// Those included that the daemon was not yet heard to have forgotten.
const MOST_PLACES: usize = 2 * MOST;

/// All watches.
pub(super) struct Watches(Vec<Place>);

struct Place {
    generation: u32,
    entry: Option<Entry>,
}

struct Entry {
    path: String,
    cell: Arc<Cell>,
    state: State,
}

impl Entry {
    /// Whether somebody has the watch.
    const fn is_wanted(&self) -> bool {
        !matches!(self.state, State::Unwanted | State::Leaving(_))
    }

    fn stands(&mut self, refusal: Option<Refusal>) {
        self.cell.set_refusal(refusal);
        self.state = State::Standing;
    }

    /// The daemon does not know it any more.
    fn forgotten(&mut self, wakes: &mut Wakes) {
        let first = matches!(self.state, State::New | State::Missed);
        self.state = if first { State::Missed } else { State::Unknown };
        wakes.fire(&self.cell);
    }
}

/// What the daemon knows of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its first registration is under way, by a call of its own.
    New,
    /// So it is, or was: the daemon may have answered and forgotten it before that was noted.
    Missed,
    /// It has to be registered again.
    Unknown,
    /// That was asked for.
    Asked(CallId),
    /// The daemon has it.
    Standing,
    /// Nobody wants it any more, and the daemon has it.
    Unwanted,
    /// The daemon was asked to forget it.
    Leaving(CallId),
}

impl Watches {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Makes room for a watch, whose first registration is the caller's to ask for.
    pub(super) fn add(&mut self, path: &str) -> Result<(Token, Arc<Cell>), Reason> {
        if self.entries().filter(|entry| entry.is_wanted()).count() >= MOST {
            return Err(Reason::TooManyWatches);
        }
        let index = match self.0.iter().position(|place| place.entry.is_none()) {
            Some(index) => index,
            None if self.0.len() < MOST_PLACES => {
                self.0.push(Place { generation: 0, entry: None });
                self.0.len() - 1
            }
            None => return Err(Reason::TooManyWatches),
        };
        let place = self.0.get_mut(index).ok_or(Reason::TooManyWatches)?;
        place.generation = place.generation.wrapping_add(1);
        let cell = Arc::new(Cell::new());
        place.entry = Some(Entry { path: path.into(), cell: Arc::clone(&cell), state: State::New });
        Ok((Token { index: index as u16, generation: place.generation }, cell))
    }

    /// The first registration was answered; a watch that the daemon refused is none.
    pub(super) fn first_answer(&mut self, token: Token, refused: bool) {
        let Some(entry) = self.entry(token) else { return };
        entry.state = match entry.state {
            State::New => State::Standing,
            State::Missed => State::Unknown,
            _ => return,
        };
        if refused && let Some(place) = self.0.get_mut(usize::from(token.index)) {
            place.entry = None;
        }
    }

    /// Nobody wants the watch any more. The daemon may know it even where it never said so.
    /// Answers with the request of its registration, if that is under way: nobody else takes its result.
    pub(super) fn remove(&mut self, token: Token) -> Option<CallId> {
        let entry = self.entry(token)?;
        match core::mem::replace(&mut entry.state, State::Unwanted) {
            State::Asked(call) => Some(call),
            _ => None,
        }
    }

    /// Takes note of an event. `false` for one that is no watch's: an unknown token, or a path that is not below the watched one.
    pub(super) fn fire(&mut self, token: Token, event: &[u8], wakes: &mut Wakes) -> bool {
        let entry = self.entry(token).filter(|entry| path::is_within(event, &entry.path));
        entry.map(|entry| wakes.fire(&entry.cell)).is_some()
    }

    /// All watches have something to tell.
    pub(super) fn fire_all(&mut self, wakes: &mut Wakes) {
        self.entries().for_each(|entry| wakes.fire(&entry.cell));
    }

    /// The next request that the watches need.
    pub(super) fn next_chore(&mut self) -> Option<(usize, MessageType, Vec<u8>)> {
        self.0.iter().enumerate().find_map(|(index, place)| {
            let entry = place.entry.as_ref()?;
            let kind = match entry.state {
                State::Unknown => MessageType::WATCH,
                State::Unwanted => MessageType::UNWATCH,
                _ => return None,
            };
            let token = Token { index: index as u16, generation: place.generation };
            Some((index, kind, payload(&entry.path, token)))
        })
    }

    /// The request for a chore is under way.
    pub(super) fn asked(&mut self, index: usize, call: CallId) {
        if let Some(entry) = self.0.get_mut(index).and_then(|place| place.entry.as_mut()) {
            entry.state = match entry.state {
                State::Unwanted => State::Leaving(call),
                _ => State::Asked(call),
            };
        }
    }

    /// Whether a request was for a chore.
    pub(super) fn expects(&self, call: CallId) -> bool {
        self.place_of(call).is_some()
    }

    /// Takes note of the answer to a chore's request.
    pub(super) fn answered(&mut self, call: CallId, result: &Result<Vec<u8>, Reason>, wakes: &mut Wakes) {
        let Some(place) = self.place_of(call).and_then(|index| self.0.get_mut(index)) else { return };
        let Some(entry) = &mut place.entry else { return };
        match (entry.state, result) {
            // Whatever the daemon says: it does not know the watch, or will not be asked again.
            (State::Leaving(_), _) => place.entry = None,
            (_, Ok(_)) => entry.stands(None),
            // It was asked before, and that was not answered in time: the token is ours, and this watch's only.
            (_, Err(Reason::Refused(refusal))) if refusal.is(Refusal::EXIST) => entry.stands(None),
            (_, Err(Reason::Refused(refusal))) => {
                entry.stands(Some(*refusal));
                wakes.fire(&entry.cell);
            }
            // No answer, or none that is one: it is asked again.
            (_, Err(_)) => entry.state = State::Unknown,
        }
    }

    /// The connection is a new one; the daemon has forgotten all watches. Each is registered again, and has fired: something may
    /// have changed meanwhile.
    pub(super) fn begin_anew(&mut self, wakes: &mut Wakes) {
        for place in &mut self.0 {
            match &mut place.entry {
                Some(Entry { state: State::Unwanted | State::Leaving(_), .. }) => place.entry = None,
                Some(entry) => entry.forgotten(wakes),
                None => {}
            }
        }
    }

    /// The daemon was asked to forget all watches, on this connection. What is being asked for comes after that.
    pub(super) fn register_again(&mut self, wakes: &mut Wakes) {
        let entries = self.0.iter_mut().filter_map(|place| place.entry.as_mut());
        entries
            .filter(|entry| matches!(entry.state, State::New | State::Standing))
            .for_each(|entry| entry.forgotten(wakes));
    }

    /// Whether one of them has fired, and nobody has taken that.
    pub(super) fn any_fired(&self) -> bool {
        self.entries().any(|entry| entry.is_wanted() && entry.cell.has_fired())
    }

    /// How many watches there are.
    pub(super) fn len(&self) -> usize {
        self.entries().count()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter_map(|place| place.entry.as_ref())
    }

    fn entry(&mut self, token: Token) -> Option<&mut Entry> {
        let place = self.0.get_mut(usize::from(token.index))?;
        place.entry.as_mut().filter(|_| place.generation == token.generation)
    }

    fn place_of(&self, call: CallId) -> Option<usize> {
        let asked = |entry: &Entry| matches!(entry.state, State::Asked(by) | State::Leaving(by) if by == call);
        self.0.iter().position(|place| place.entry.as_ref().is_some_and(asked))
    }
}

/// What `WATCH` and `UNWATCH` have as payload.
pub(super) fn payload(path: &str, token: Token) -> Vec<u8> {
    format!("{path}\0{token}\0").into_bytes()
}
