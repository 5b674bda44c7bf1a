//! What tools, a backend and a store do to a front half: its nodes, and when they answer.

mod seeds;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_xenbus::bus::{
    Attempt, Backend, Device, End, Enumerator, Event, Frontend, Generation, KEY_LENGTH, Keys, Limits, Listing, Name,
    Nodes, Offer, Sight, State, Step, Switched, Vanished, Written, parse_state,
};

use self::tree::Tree;
use crate::script::Script;
use crate::{Tally, Target};

#[allow(dead_code, reason = "the tests of the crate use the rest")]
#[path = "../../../xenbus/src/bus/tree.rs"]
mod tree;

/// The life of a device.
pub const TARGET: Target = Target {
    name: "device",
    play,
    seeds: seeds::seeds,
    outcomes: &[
        "connects",
        "completes",
        "stops",
        "releases",
        "troubles",
        "reviews",
        "vanished",
        "closed",
        "bad keys",
        "good keys",
    ],
    weight: 2,
};

const DEVICE: &str = "device/vif/0";
const BACKEND: &str = "/local/domain/3/backend/vif/7/0";

/// The keys that a backend is asked for.
const NAMES: &[&str] = &["sectors", "info", "feature-barrier", "mac", "mode"];

/// The nodes that a script names by their numbers.
const NODES: [&str; 10] = [
    "device/vif/0/backend",
    "device/vif/0/backend-id",
    "device/vif/0/state",
    "/local/domain/3/backend/vif/7/0/state",
    "/local/domain/3/backend/vif/7/0/online",
    "/local/domain/3/backend/vif/7/0/sectors",
    "/local/domain/3/backend/vif/7/0/feature-barrier",
    "/local/domain/3/backend/vif/7/0/mac",
    "/local/domain/3/backend/vif/7/0/mode",
    "device/vif/1/backend",
];

/// The steps of a script: the lower three bits of a byte. What a driver answers next is in the upper five.
mod step {
    /// A node gets a value: which one, how many bytes, and those.
    pub(super) const SET: u8 = 0;
    /// A node goes, with all below it: which one; 254 and 255 are the directories of the two halves.
    pub(super) const REMOVE: u8 = 1;
    /// The backend's state gets a number.
    pub(super) const STATE: u8 = 2;
    /// So many times 100 ms pass.
    pub(super) const PASS: u8 = 3;
    /// The store answers from now on, or does not.
    pub(super) const SILENCE: u8 = 4;
    /// The owner asks for something: to close, to try again, to go on after a suspend or a cancelled one.
    pub(super) const OWNER: u8 = 5;
    /// The backend's keys, and all devices, are read.
    pub(super) const KEYS: u8 = 6;
    /// The driver answers an event that it has left without an answer.
    pub(super) const ANSWER: u8 = 7;
}

/// What a driver does when it is told something.
mod manner {
    pub(super) const ANSWERS: u8 = 0;
    pub(super) const REFUSES: u8 = 1;
    pub(super) const GIVES_UP: u8 = 2;
    pub(super) const LEAVES: u8 = 3;
}

/// Steps between two rests, at most.
const FUEL: u32 = 200;

/// Plays a script to its end, and closes the device.
///
/// # Panics
///
/// When the front half does what it must not, or does not come to an end.
#[must_use]
pub fn play(script: &[u8]) -> Tally {
    let mut player = Player::new();
    let mut rest = Script(script);
    player.drive();
    while let Some(first) = rest.next() {
        player.manners.push_back(first >> 3 & 3);
        player.step(first & 7, &mut rest);
        player.drive();
    }
    player.close();
    player.tally
}

struct Player {
    tree: Tree,
    front: Frontend,
    enumerator: Enumerator,
    now: Duration,
    manners: VecDeque<u8>,
    /// What was to be written since something was, and may be there.
    unanswered: Vec<State>,
    /// Events that have no answer yet.
    left: VecDeque<Event>,
    /// The connection of which the driver was told last, and whether it was to give it back.
    attempt: Attempt,
    released: bool,
    ended: Option<End>,
    tally: Tally,
}

impl Player {
    fn new() -> Self {
        let tree = Tree::of(&[("device/vif/0/backend", BACKEND), ("device/vif/0/backend-id", "3")]);
        tree.set(NODES[2], "1");
        tree.set(NODES[3], "1");
        let backend = Backend { domain: DomId(3), path: BACKEND.into() };
        let device = Device::new(Name::new("vif", 0).expect("it is one"), backend, Generation(1));
        Self {
            tree,
            front: Frontend::new(device, Limits::DEFAULT),
            enumerator: Enumerator::new(),
            now: Duration::from_secs(1),
            manners: VecDeque::new(),
            unanswered: Vec::new(),
            left: VecDeque::new(),
            attempt: Attempt(0),
            released: true,
            ended: None,
            tally: Tally::default(),
        }
    }

    fn step(&mut self, step: u8, rest: &mut Script<'_>) {
        match step {
            step::SET => {
                let place = usize::from(rest.byte()) % NODES.len();
                self.tree.set(NODES[place], rest.bytes());
            }
            step::REMOVE => self.tree.remove(match rest.byte() {
                254 => DEVICE,
                255 => BACKEND,
                place => NODES[usize::from(place) % NODES.len()],
            }),
            step::STATE => self.tree.set(NODES[3], rest.byte().to_string()),
            step::PASS => self.now += Duration::from_millis(u64::from(rest.byte()) * 100),
            step::SILENCE => self.tree.silent.set(!self.tree.silent.get()),
            step::OWNER => match rest.byte() % 4 {
                0 => self.front.close(),
                1 => self.front.retry(self.now),
                2 => self.front.resumed(),
                _ => self.front.rearm(self.now),
            },
            step::KEYS => self.read(),
            _ => {
                if let Some(event) = self.left.pop_front() {
                    self.answer(event, manner::ANSWERS);
                }
            }
        }
        self.front.look_again();
    }

    /// Goes on until there is nothing to do.
    fn drive(&mut self) {
        for _ in 0..FUEL {
            match self.front.poll(self.now) {
                Step::Look => match Sight::take(&self.tree, self.front.device()) {
                    Ok(sight) => self.front.saw(sight, self.now),
                    Err(_) => self.front.look_failed(self.now),
                },
                Step::Write(switch) => {
                    let before = self.tree.all();
                    let applied = switch.apply(&self.tree);
                    self.check_write(&before, switch.to(), applied);
                    self.front.wrote(applied.map_or(Written::Unanswered, Written::Answered), self.now);
                }
                Step::Tell(event) => self.tell(event),
                Step::Rest => {
                    let due = self.front.next_deadline();
                    assert!(due.is_none_or(|due| due > self.now), "it rests, and has something to do");
                    return;
                }
                Step::Ended(end) => return self.end(end),
            }
        }
        panic!("it does not come to rest");
    }

    /// Only what is in our directory changes, if it is ours: the backend is the device's, and our state is one that we have written.
    fn check_write(&mut self, before: &BTreeMap<String, Vec<u8>>, to: State, applied: Result<Switched, tree::Silence>) {
        let done = applied == Ok(Switched::Done);
        let stood = |node: usize| before.get(NODES[node]).map_or(&b""[..], Vec::as_slice);
        self.unanswered.push(to);
        if done {
            let ours = parse_state(stood(2));
            assert!(
                ours == self.front.state() || self.unanswered.contains(&ours),
                "another device's directory is written"
            );
            assert_eq!((stood(0), stood(1)), (BACKEND.as_bytes(), &b"3"[..]), "another device's directory is written");
            self.unanswered.clear();
        }
        assert!(self.ended.is_none() && self.front.state() != State::UNKNOWN, "nobody's directory is written");
        let after = self.tree.all();
        let is_kept = |path: &String| after.contains_key(path) || path.starts_with("device/vif/0/");
        assert!(before.keys().all(is_kept), "a node was removed");
        for (path, value) in after {
            let same = before.get(&path) == Some(&value);
            assert!(same || (done && path.starts_with("device/vif/0/")), "{path} was written");
        }
    }

    fn tell(&mut self, event: Event) {
        assert_eq!(self.ended, None, "nothing comes after the end");
        match &event {
            Event::Connect(attempt) => {
                assert!(*attempt > self.attempt && self.released, "the connection before it was not given back");
                (self.attempt, self.released) = (*attempt, false);
                self.tally.count("connects");
            }
            Event::Complete(attempt) | Event::Review(attempt) => {
                assert!(*attempt == self.attempt && !self.released, "it is of no connection");
                self.tally.count(if matches!(event, Event::Complete(_)) { "completes" } else { "reviews" });
            }
            Event::Stop(_, until) => {
                assert!(!self.released && *until <= self.now + Limits::DEFAULT.stop);
                self.tally.count("stops");
            }
            Event::Release(_) => {
                assert!(!self.released, "it was given back before");
                self.released = true;
                self.tally.count("releases");
            }
            Event::Trouble(error) => {
                assert!(error.to_string().is_ascii());
                return self.tally.count("troubles");
            }
        }
        match self.manners.pop_front().unwrap_or(manner::ANSWERS) {
            manner::LEAVES => self.left.push_back(event),
            manner => self.answer(event, manner),
        }
    }

    /// An answer that comes too late is refused, and changes nothing.
    fn answer(&mut self, event: Event, manner: u8) {
        let (front, now) = (&mut self.front, self.now);
        let answered = match (event, manner) {
            (Event::Connect(attempt) | Event::Complete(attempt), manner::REFUSES) => front.refuse(attempt, "no", now),
            (Event::Connect(attempt) | Event::Complete(attempt), manner::GIVES_UP) => front.give_up(attempt, "no", now),
            (Event::Connect(attempt), _) => front.offer(attempt, Offer::initialised().with("ring-ref", 8), now),
            (Event::Complete(attempt), _) => front.ready(attempt, now),
            (Event::Stop(..), _) => front.stopped(now),
            (Event::Release(_), _) => front.released(now),
            _ => Ok(()),
        };
        if answered.is_err() {
            self.tally.count("too late");
        }
    }

    fn end(&mut self, end: End) {
        assert!(self.released || matches!(end, End::Closed), "a connection was not given back");
        assert!(self.ended.is_none_or(|before| before == end), "an end is for good");
        assert_eq!(self.front.next_deadline(), None);
        if self.ended.replace(end).is_none() {
            self.tally.count(match end {
                End::Vanished(Vanished::Replaced) => "replaced",
                End::Vanished(_) => "vanished",
                End::Suspended => "suspended",
                _ => "closed",
            });
        }
    }

    /// The store answers, and so does the driver: the device ends within its limits.
    fn close(&mut self) {
        self.tree.silent.set(false);
        self.manners.clear();
        while let Some(event) = self.left.pop_front() {
            self.answer(event, manner::ANSWERS);
        }
        self.front.close();
        // A write or a look may wait for its turn after a silence.
        let latest = self.now + Limits::DEFAULT.stop + Limits::DEFAULT.close + Duration::from_secs(20);
        self.drive();
        while self.ended.is_none() {
            self.now = self.front.next_deadline().expect("it waits for something");
            assert!(self.now <= latest, "it does not close in time");
            self.drive();
        }
        assert!(self.released, "the last connection was not given back");
    }

    fn read(&mut self) {
        let Ok(keys) = Keys::read(&self.tree, BACKEND, NAMES) else { return };
        let raw = |name: &str| self.tree.get(&format!("{BACKEND}/{name}"));
        let results = [
            keys.u64("sectors").map(|value| check(value.map(|value| value.to_string()), raw("sectors"))),
            keys.u32("info").map(|value| check(value.map(|value| value.to_string()), raw("info"))),
            keys.flag("feature-barrier")
                .map(|value| check(value.map(|value| u8::from(value).to_string()), raw("feature-barrier"))),
            keys.mac("mac").map(|value| {
                assert!(value.is_none_or(|mac| mac[0] & 1 == 0 && mac != [0; 6]), "it is one station's");
            }),
            keys.text("mode").map(|value| {
                assert!(value.is_none_or(|text| text.len() <= KEY_LENGTH && !text.chars().any(char::is_control)));
            }),
        ];
        for result in results {
            if let Err(error) = &result {
                let text = error.to_string();
                assert!(text.len() < 400 && text.is_ascii(), "{text}");
            }
            self.tally.count(if result.is_ok() { "good keys" } else { "bad keys" });
        }
        if let Ok(listing) = Listing::read(&self.tree, &self.enumerator) {
            let changes = self.enumerator.update(listing);
            assert!(changes.len() <= 2, "there are two devices: {changes:?}");
        }
    }
}

/// What was understood says the same as what stands there.
fn check(understood: Option<String>, raw: Option<String>) {
    assert_eq!(understood, raw);
}
