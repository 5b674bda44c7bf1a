//! A guest's connection to the daemon.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::Port;
use xen_hypercall::abi::io::xs_wire::{ConnectionState, MessageType, PAYLOAD_MAX, RING_SIZE, RingError};

use super::message::{HEADER, Message, header};
use super::ring::{Ring, Word};
use super::tree::Transaction;
use super::watch::Watch;
use crate::memory::Page;

/// As many answers may wait to be read; then no further request is read.
const MOST_ANSWERS: usize = 20;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ring: Ring,
    /// The guest's end of the channel; none while nothing leads to the daemon.
    pub(super) port: Option<Port>,
    pub(super) standing: Standing,
    pub(super) watches: Vec<Watch>,
    pub(super) transactions: BTreeMap<u32, Transaction>,
    input: Vec<u8>,
    pub(super) output: VecDeque<Outgoing>,
    /// Answers that come later than others.
    pub(super) later: Vec<(Duration, Outgoing)>,
    /// The step at which the daemon turns to this connection.
    pub(super) due: Option<u64>,
}

/// Whether the daemon serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// It has given the ring up, until the guest asks for a reconnect.
    GivenUp,
    /// A reconnect that somebody else has asked for lasts until then.
    Reconnecting(Duration),
}

/// Something on its way to the guest.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Answer,
    Event,
    Raw,
}

impl Outgoing {
    pub(super) const fn raw(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0, what: What::Raw }
    }

    pub(super) const fn answer(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0, what: What::Answer }
    }

    fn of(message: &Message) -> Self {
        let what = if message.kind == MessageType::WATCH_EVENT { What::Event } else { What::Answer };
        Self { bytes: message.to_bytes(), sent: 0, what }
    }

    fn waits(&self, what: What) -> bool {
        self.sent == 0 && self.what == what
    }
}

/// How much is moved at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// As much as the seed says.
    #[default]
    Usual,
    /// One byte.
    Dribble,
}

impl Connection {
    pub(super) fn new(page: Page, port: Port) -> Self {
        Self {
            ring: Ring::attach(page),
            port: Some(port),
            standing: Standing::Open,
            watches: Vec::new(),
            transactions: BTreeMap::new(),
            input: Vec::new(),
            output: VecDeque::new(),
            later: Vec::new(),
            due: None,
        }
    }

    /// Forgets everything that has been asked, and all answers.
    pub(super) fn forget(&mut self) {
        self.watches.clear();
        self.transactions.clear();
        self.input.clear();
        self.output.clear();
        self.later.clear();
    }

    /// Begins anew with empty rings.
    pub(super) fn reset(&mut self) {
        self.forget();
        self.ring.clear();
        self.ring.put(Word::Error, RingError::NONE.0);
        self.ring.put(Word::Connection, ConnectionState::CONNECTED.0);
        self.standing = Standing::Open;
    }

    pub(super) fn give_up(&mut self, error: Option<RingError>) {
        self.forget();
        self.standing = Standing::GivenUp;
        if let Some(error) = error {
            self.ring.put(Word::Error, error.0);
        }
    }

    /// Reads some of what the guest has written; says whether there was something.
    pub(super) fn read(&mut self, pace: Pace, rng: &mut ChaCha8Rng) -> Result<bool, RingError> {
        let unread = self.ring.unread().ok_or(RingError::RINGIDX)?;
        let answers = self.output.iter().filter(|outgoing| outgoing.what == What::Answer).count();
        if unread == 0 || answers >= MOST_ANSWERS || self.is_complete() {
            return Ok(false);
        }
        let bytes = self.ring.read(unread.min(pace.portion(rng)));
        self.input.extend(bytes);
        Ok(true)
    }

    fn is_complete(&self) -> bool {
        header(&self.input).is_some_and(|(_, len)| self.input.len() >= HEADER + (len as usize).min(PAYLOAD_MAX))
    }

    /// Whether a request waits to be carried out.
    pub(super) fn request(&self) -> Result<bool, RingError> {
        match header(&self.input) {
            Some((_, len)) if len as usize > PAYLOAD_MAX => Err(RingError::PROTO),
            _ => Ok(self.is_complete()),
        }
    }

    /// Takes the request that waits.
    pub(super) fn take_request(&mut self) -> Option<Message> {
        let (message, len) = header(&self.input)?;
        let end = HEADER + len as usize;
        let payload = self.input.get(HEADER..end)?.to_vec();
        self.input.drain(..end);
        Some(Message { payload, ..message })
    }

    /// Has a message go out. An event of which there is one already is not sent twice.
    pub(super) fn send(&mut self, message: &Message) {
        let outgoing = Outgoing::of(message);
        let same = |other: &Outgoing| other.waits(What::Event) && other.bytes == outgoing.bytes;
        if outgoing.what != What::Event || !self.output.iter().any(same) {
            self.output.push_back(outgoing);
        }
    }

    /// Changes the places of the last answer and another one.
    pub(super) fn shuffle(&mut self, rng: &mut ChaCha8Rng) {
        let waiting: Vec<usize> = (0..self.output.len()).filter(|at| self.output[*at].waits(What::Answer)).collect();
        if let Some(last) = waiting.last() {
            self.output.swap(*last, waiting[rng.random_range(0..waiting.len())]);
        }
    }

    /// Writes some of what goes out; says whether there was something, and room.
    pub(super) fn write(&mut self, pace: Pace, rng: &mut ChaCha8Rng) -> Result<bool, RingError> {
        let room = self.ring.room().ok_or(RingError::RINGIDX)?;
        let mut portion = room.min(pace.portion(rng));
        let wrote = portion > 0 && !self.output.is_empty();
        while portion > 0
            && let Some(first) = self.output.front_mut()
        {
            let count = portion.min(first.bytes.len() - first.sent);
            self.ring.write(&first.bytes[first.sent..first.sent + count]);
            first.sent += count;
            portion -= count;
            if first.sent == first.bytes.len() {
                self.output.pop_front();
            }
        }
        Ok(wrote)
    }

    /// Sends the answers whose time has come.
    pub(super) fn send_later(&mut self, now: Duration) {
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        let due: Vec<(Duration, Outgoing)> = due;
        self.output.extend(due.into_iter().map(|(_, outgoing)| outgoing));
    }
}

impl Pace {
    fn portion(self, rng: &mut ChaCha8Rng) -> usize {
        match self {
            Self::Usual => rng.random_range(1..=RING_SIZE),
            Self::Dribble => 1,
        }
    }
}
