//! Scripts of what a daemon and its guest do to a connection; [`play`] checks that it keeps its promises. For tests and for the fuzz
//! target.

use std::time::Duration;

use xen_xenbus::connection::{CallId, Connection, Failure, Incoming, SendError};
use xen_xenbus::wire::{Header, MESSAGE_MAX, MessageType, PAYLOAD_MAX};
use zerocopy::IntoBytes;

/// Requests in flight at a time: few, so that they run out.
const CALLS: usize = 4;

/// The steps of a script: the lower three bits of a byte. The upper five are the size of the pieces in which bytes come, 0 for all
/// at once. A byte or two follow that say what is meant, and the bytes themselves.
pub(crate) mod step {
    /// Bytes of the daemon: how many, and those.
    pub(crate) const BYTES: u8 = 0;
    /// A request: its type, and its transaction.
    pub(crate) const ASK: u8 = 1;
    /// An answer: to which request, and its payload: how many bytes, and those.
    pub(crate) const ANSWER: u8 = 2;
    /// The same as an error.
    pub(crate) const REFUSE: u8 = 3;
    /// An event: how many bytes, and those.
    pub(crate) const EVENT: u8 = 4;
    /// Nobody waits for a request any more: which.
    pub(crate) const ABANDON: u8 = 5;
    /// Time passes: so many seconds.
    pub(crate) const PASS: u8 = 6;
    /// The ring takes so many bytes; or, for 255, begins anew.
    pub(crate) const TAKE: u8 = 7;
}

/// What came of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) answers: u32,
    pub(crate) refusals: u32,
    pub(crate) bad: u32,
    pub(crate) late: u32,
    pub(crate) events: u32,
    pub(crate) nobodys: u32,
    pub(crate) expired: u32,
    pub(crate) violations: u32,
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
    numbers: u32,
    now: Duration,
    /// How many pieces may be taken in yet.
    fuel: usize,
    played: Played,
}

/// Plays a script to its end.
///
/// # Panics
///
/// When a connection does what it must not, or does not come to an end.
pub(crate) fn play(script: &[u8]) -> Played {
    let mut player = Player {
        connection: Connection::new(),
        asked: Vec::new(),
        numbers: 0,
        now: Duration::ZERO,
        // Each byte of a script brings one of a message at most, and each step a header besides.
        fuel: 17 * script.len() + 16,
        played: Played::default(),
    };
    let mut rest = Script(script);
    while let Some(first) = rest.byte() {
        player.step(first & 7, usize::from(first >> 3), &mut rest);
        player.check();
    }
    player.played
}

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number, and as many bytes as are left of that.
    fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }
}

impl Player {
    fn step(&mut self, step: u8, piece: usize, rest: &mut Script<'_>) {
        let mut byte = || rest.byte().unwrap_or(0);
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
            self.played.expired += 1;
        }
    }

    fn reset(&mut self) {
        self.connection.reset();
        self.asked.clear();
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
            bytes = later;
            if !self.received(now.len()) {
                self.played.violations += 1;
                return self.reset();
            }
        }
    }

    fn received(&mut self, count: usize) -> bool {
        let Ok(incoming) = self.connection.received(count) else { return false };
        match incoming {
            Incoming::Partial => {}
            Incoming::Answer { call, result } => {
                let counter = match result {
                    Ok(payload) if payload.len() <= PAYLOAD_MAX => &mut self.played.answers,
                    Err(Failure::Refused(_)) => &mut self.played.refusals,
                    _ => &mut self.played.bad,
                };
                *counter += 1;
                let place = self.asked.iter().position(|asked| asked.call == call).expect("it was asked");
                assert!(self.asked.remove(place).is_awaited, "nobody waits for it");
            }
            Incoming::Late { asked: kind, transaction, .. } => {
                self.played.late += 1;
                // Which of several that are alike, a late answer does not say.
                let meant =
                    |asked: &Asked| !asked.is_awaited && (asked.header.kind, asked.header.tx_id) == (kind, transaction);
                assert!(self.asked.iter().any(meant), "it was never asked, or is awaited");
            }
            Incoming::Watched { path, .. } => {
                self.played.events += 1;
                assert!(!path.contains(&0), "a path with an end in it");
            }
            Incoming::Nobodys(_) => self.played.nobodys += 1,
            other => panic!("{other:?}"),
        }
        true
    }

    fn check(&self) {
        let awaited = self.asked.iter().filter(|asked| asked.is_awaited);
        assert_eq!(self.connection.in_flight(), awaited.clone().count());
        assert_eq!(self.connection.next_deadline(), awaited.map(|asked| asked.deadline).min());
        assert_eq!(self.connection.dropped(), self.played.nobodys);
        assert!(self.connection.outgoing().len() <= 2 * MESSAGE_MAX);
    }
}
