//! What xenstored and its guest do to a connection.

use std::time::Duration;

use xen_xenbus::connection::{CallId, Connection, Failure, Incoming, SendError};
use xen_xenbus::wire::{Header, MESSAGE_MAX, MessageType, PAYLOAD_MAX};
use zerocopy::{FromBytes, IntoBytes};

use crate::script::{Script, with_bytes};
use crate::{Seed, Tally, Target};

/// The connection to xenstored.
pub const TARGET: Target = Target {
    name: "connection",
    play,
    seeds,
    outcomes: &["answers", "refusals", "bad", "late", "events", "nobody's", "expired", "violations"],
    weight: 1,
};

/// Requests in flight at a time: few, so that they run out.
const CALLS: usize = 4;

/// The steps of a script: the lower three bits of a byte. The upper five are the size of the pieces in which bytes come, 0 for all
/// at once. A byte or two follow that say what is meant, and the bytes themselves.
mod step {
    /// Bytes of the daemon: how many, and those.
    pub(super) const BYTES: u8 = 0;
    /// A request: its type, and its transaction.
    pub(super) const ASK: u8 = 1;
    /// An answer: to which request, and its payload: how many bytes, and those.
    pub(super) const ANSWER: u8 = 2;
    /// The same as an error.
    pub(super) const REFUSE: u8 = 3;
    /// An event: how many bytes, and those.
    pub(super) const EVENT: u8 = 4;
    /// Nobody waits for a request any more: which.
    pub(super) const ABANDON: u8 = 5;
    /// Time passes: so many seconds.
    pub(super) const PASS: u8 = 6;
    /// The ring takes so many bytes; or, for 255, begins anew.
    pub(super) const TAKE: u8 = 7;
}

/// A request, as the script knows it.
struct Asked {
    call: CallId,
    header: Header,
    deadline: Duration,
    is_awaited: bool,
}

struct Player {
    connection: Connection<CALLS>,
    asked: Vec<Asked>,
    /// What came since the last whole message.
    message: Vec<u8>,
    numbers: u32,
    now: Duration,
    /// How many pieces may be taken in yet.
    fuel: usize,
    tally: Tally,
}

/// Plays a script to its end.
///
/// # Panics
///
/// When a connection does what it must not, or does not come to an end.
#[must_use]
pub fn play(script: &[u8]) -> Tally {
    let mut player = Player {
        connection: Connection::new(),
        asked: Vec::new(),
        message: Vec::new(),
        numbers: 0,
        now: Duration::ZERO,
        // Each byte of a script brings one of a message at most, and each step a header besides.
        fuel: 17 * script.len() + 16,
        tally: Tally::default(),
    };
    let mut rest = Script(script);
    while let Some(first) = rest.next() {
        player.step(first & 7, usize::from(first >> 3), &mut rest);
        player.check();
    }
    player.tally
}

impl Player {
    fn step(&mut self, step: u8, piece: usize, rest: &mut Script<'_>) {
        let mut byte = || rest.byte();
        match step {
            step::ASK => self.ask(u32::from(byte()), u32::from(byte())),
            step::ANSWER | step::REFUSE => {
                let asked = self.nth(byte()).map(|asked| asked.header);
                let unasked = Header { kind: MessageType::READ, req_id: 77, tx_id: 0, len: 0 };
                let header = asked.unwrap_or(unasked);
                let kind = if step == step::REFUSE { MessageType::ERROR } else { header.kind };
                self.message(Header { kind, ..header }, rest.bytes(), piece);
            }
            step::EVENT => {
                let header = Header { kind: MessageType::WATCH_EVENT, req_id: 0, tx_id: 0, len: 0 };
                self.message(header, rest.bytes(), piece);
            }
            step::ABANDON => {
                let place = byte();
                if let Some(asked) = self.nth(place) {
                    asked.is_awaited = false;
                    let call = asked.call;
                    self.connection.abandon(call);
                }
            }
            step::PASS => self.pass(byte()),
            step::TAKE => match byte() {
                u8::MAX => self.reset(),
                count => self.connection.sent(usize::from(count)),
            },
            _ => {
                assert_eq!(step, step::BYTES);
                self.feed(rest.bytes(), piece);
            }
        }
    }

    fn nth(&mut self, place: u8) -> Option<&mut Asked> {
        let count = self.asked.len().max(1);
        self.asked.get_mut(usize::from(place) % count)
    }

    fn ask(&mut self, kind: u32, transaction: u32) {
        let (kind, deadline) = (MessageType(kind), self.now + Duration::from_secs(5));
        match self.connection.send(kind, transaction, &[b"data/", b"x\0"], deadline) {
            Ok(call) => {
                // A place that is used again is that of an answer which was not awaited any more.
                self.asked.retain(|other| other.is_awaited || other.call.slot != call.slot);
                self.numbers += 1;
                let header = Header { kind, req_id: self.numbers, tx_id: transaction, len: 0 };
                self.asked.push(Asked { call, header, deadline, is_awaited: true });
            }
            Err(SendError::Full) => {
                let awaited = self.asked.iter().filter(|asked| asked.is_awaited).count();
                assert!(awaited == CALLS || self.connection.outgoing().len() > MESSAGE_MAX, "there is room");
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn pass(&mut self, seconds: u8) {
        self.now += Duration::from_secs(seconds.into());
        while let Some(call) = self.connection.expire(self.now) {
            let asked = self.asked.iter_mut().find(|asked| asked.call == call).expect("it was asked");
            assert!(asked.is_awaited && asked.deadline <= self.now, "its time is not over");
            asked.is_awaited = false;
            self.tally.count("expired");
        }
    }

    fn reset(&mut self) {
        self.connection.reset();
        self.asked.clear();
        self.message.clear();
    }

    fn message(&mut self, header: Header, payload: &[u8], piece: usize) {
        let header = Header { len: payload.len() as u32, ..header };
        self.feed(&[header.as_bytes(), payload].concat(), piece);
    }

    /// Feeds bytes in pieces. After a violation the rest belongs to a connection that is no more.
    fn feed(&mut self, mut bytes: &[u8], piece: usize) {
        while !bytes.is_empty() {
            self.fuel = self.fuel.checked_sub(1).expect("more pieces than bytes");
            let space = self.connection.space();
            assert!(!space.is_empty() && space.len() <= PAYLOAD_MAX);
            let most = if piece == 0 { bytes.len() } else { piece.min(bytes.len()) };
            let (now, later) = bytes.split_at(most.min(space.len()));
            space[..now.len()].copy_from_slice(now);
            self.message.extend_from_slice(now);
            bytes = later;
            if !self.received(now.len()) {
                self.tally.count("violations");
                return self.reset();
            }
        }
    }

    fn received(&mut self, count: usize) -> bool {
        let Ok(incoming) = self.connection.received(count) else { return false };
        if matches!(incoming, Incoming::Partial) {
            return true;
        }
        let message = std::mem::take(&mut self.message);
        let (header, came) = Header::read_from_prefix(&message).expect("a whole message has a header");
        match incoming {
            Incoming::Answer { call, result } => {
                let outcome = match result {
                    Ok(payload) => {
                        assert!(payload == came && came.len() <= PAYLOAD_MAX, "it is not what came");
                        "answers"
                    }
                    Err(Failure::Refused(_)) => "refusals",
                    Err(_) => "bad",
                };
                self.tally.count(outcome);
                let place = self.asked.iter().position(|asked| asked.call == call).expect("it was asked");
                let asked = self.asked.remove(place);
                assert!(asked.is_awaited, "nobody waits for it");
                assert_eq!(asked.header.req_id, header.req_id, "it is another one's");
            }
            Incoming::Late { asked: kind, transaction, .. } => {
                self.tally.count("late");
                // Which of several that are alike, a late answer does not say.
                let meant =
                    |asked: &Asked| !asked.is_awaited && (asked.header.kind, asked.header.tx_id) == (kind, transaction);
                assert!(self.asked.iter().any(meant), "it was never asked, or is awaited");
            }
            Incoming::Watched { path, .. } => {
                self.tally.count("events");
                assert!(!path.contains(&0), "a path with an end in it");
            }
            Incoming::Nobodys(_) => self.tally.count("nobody's"),
            other => panic!("{other:?}"),
        }
        true
    }

    fn check(&self) {
        let awaited = self.asked.iter().filter(|asked| asked.is_awaited);
        assert_eq!(self.connection.in_flight(), awaited.clone().count());
        assert_eq!(self.connection.next_deadline(), awaited.map(|asked| asked.deadline).min());
        assert_eq!(self.connection.dropped(), self.tally.of("nobody's"));
        assert!(self.connection.outgoing().len() <= 2 * MESSAGE_MAX);
    }
}

fn ask(kind: MessageType, transaction: u8) -> Vec<u8> {
    vec![step::ASK, kind.0 as u8, transaction]
}

fn answer(which: u8, payload: &[u8]) -> Vec<u8> {
    with_bytes(&[step::ANSWER, which], payload)
}

fn raw(header: Header, payload: &[u8]) -> Vec<u8> {
    with_bytes(&[step::BYTES], &[header.as_bytes(), payload].concat())
}

/// Where a fuzzer begins: each kind of step, and what comes of it.
fn seeds() -> Vec<Seed> {
    let read = || ask(MessageType::READ, 0);
    let header = Header { kind: MessageType::READ, req_id: 1, tx_id: 0, len: 0 };
    let mut many: Vec<u8> = (0..5).flat_map(|_| read()).collect();
    many.extend([2, 0, 1, 0].into_iter().flat_map(|which| answer(which, b"value")));
    let event = |payload: &[u8]| with_bytes(&[step::EVENT], payload);
    let byte_by_byte = with_bytes(&[step::ANSWER | 1 << 3, 0], b"value");
    vec![
        Seed::new("answer", [read(), vec![step::TAKE, 40], answer(0, b"value")].concat(), &[("answers", 1)]),
        Seed::new("byte-by-byte", [read(), byte_by_byte].concat(), &[("answers", 1)]),
        Seed::new("any-order", many, &[("answers", 4)]),
        Seed::new("refusal", [read(), with_bytes(&[step::REFUSE, 0], b"ENOENT\0")].concat(), &[("refusals", 1)]),
        Seed::new(
            "other-type",
            [read(), raw(Header { kind: MessageType::WRITE, ..header }, b"")].concat(),
            &[("bad", 1)],
        ),
        Seed::new("other-transaction", [read(), raw(Header { tx_id: 9, ..header }, b"")].concat(), &[("bad", 1)]),
        Seed::new("unknown-number", [read(), raw(Header { req_id: 9, ..header }, b"")].concat(), &[("nobody's", 1)]),
        Seed::new("late", [read(), vec![step::PASS, 6], answer(0, b"x")].concat(), &[("expired", 1), ("late", 1)]),
        Seed::new("abandoned", [read(), vec![step::ABANDON, 0], answer(0, b"x")].concat(), &[("late", 1)]),
        Seed::new(
            "late-transaction",
            [ask(MessageType::TRANSACTION_START, 0), vec![step::PASS, 6], answer(0, b"7\0")].concat(),
            &[("expired", 1), ("late", 1)],
        ),
        Seed::new("event", event(b"device/vbd\x003-ab\0"), &[("events", 1)]),
        Seed::new("event-odd", [event(b"device\0"), event(b"device\x003-AB\0")].concat(), &[("nobody's", 2)]),
        Seed::new("too-long", raw(Header { len: 4097, ..header }, b"abc"), &[("violations", 1)]),
        Seed::new(
            "cut-and-reset",
            [read(), raw(Header { len: 9, ..header }, b"abc"), vec![step::TAKE, 255], read(), answer(0, b"x")].concat(),
            &[("answers", 1)],
        ),
    ]
}
