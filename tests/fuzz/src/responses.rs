//! What a disk's backend answers.

mod seeds;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use block_tests::rig::Rig;
use xen_blkfront::{Discard, Done, Event, Flushed, Options, Persistent, Request, RequestId, Sector512};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::blkif::{self, Operation, RequestDiscard, RequestIndirect, Response, Status};
use xen_sim::blkback::Options as Offer;
use xen_xenbus::bus::Problem;
use zerocopy::{FromBytes, IntoBytes};

use crate::raw::RawRing;
use crate::script::Script;
use crate::{Tally, Target};

/// The ring of a disk.
pub const TARGET: Target = Target {
    name: "responses",
    play,
    seeds: seeds::seeds,
    outcomes: &["transferred", "flushed", "discarded", "failed", "stalled", "violations"],
    weight: 100,
};

/// The steps of a script: the lower three bits of a byte. Its first byte says how the disk is used: bit 0 that pages stay granted, bit
/// 1 that requests are direct, bit 2 that writes are kept.
mod step {
    /// The guest asks for something: what, where, and how many pages.
    pub(super) const ASK: u8 = 0;
    /// An answer to a request that has none: to which, and a status.
    pub(super) const ANSWER: u8 = 1;
    /// An answer that differs from an honest one: to which request, and sixteen bytes that change it where they are not 0.
    pub(super) const FORGE: u8 = 2;
    /// The answers are shown.
    pub(super) const SHOW: u8 = 3;
    /// So many more answers are shown than there are, a number of four bytes.
    pub(super) const LIE: u8 = 4;
    /// The guest polls.
    pub(super) const POLL: u8 = 5;
    /// So many seconds pass.
    pub(super) const PASS: u8 = 6;
    /// The guest gives a request up: which.
    pub(super) const ABANDON: u8 = 7;
}

/// How many sectors the disk has.
const SECTORS: u64 = 1 << 20;

/// Requests that a script makes at most.
const MOST: usize = 48;

const SECOND: Duration = Duration::from_secs(1);

/// Bytes from one slot of the ring to the next.
const SLOT: usize = size_of::<blkif::Request>();

/// Plays a script to its end, and closes the disk.
///
/// # Panics
///
/// When the disk does what it must not, or does not come to an end.
#[must_use]
pub fn play(script: &[u8]) -> Tally {
    let mut rest = Script(script);
    let mut player = Player::new(rest.byte());
    while let Some(first) = rest.next() {
        player.step(first & 7, &mut rest);
        if player.rig.front.disk().is_none() {
            player.tally.count("violations");
            break;
        }
    }
    player.close();
    player.tally
}

/// What a request is for: pages of the disk, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    /// A barrier is a write here.
    operation: Operation,
    pages: Range<u64>,
}

/// What the guest asked for.
#[derive(Debug)]
struct Asked {
    work: Work,
    /// Flushes that were answered before.
    flushes: u32,
    /// How often it has ended.
    ends: u32,
}

/// A request in the ring.
#[derive(Clone, Debug)]
struct InRing {
    id: u64,
    /// What its answer repeats.
    operation: Operation,
    work: Work,
}

/// What answers have said to be done, and no request has ended by yet: pages, each as often as that; and flushes.
#[derive(Default)]
struct Good {
    pages: HashMap<(Operation, u64), u32>,
    flushes: u32,
}

impl Work {
    fn new(operation: Operation, sector: u64, sectors: u64) -> Self {
        let is_write = operation == Operation::WRITE_BARRIER;
        let operation = if is_write { Operation::WRITE } else { operation };
        Self { operation, pages: sector / 8..(sector + sectors).div_ceil(8) }
    }
}

impl Good {
    /// The backend has said that a request is done.
    fn add(&mut self, Work { operation, pages }: Work) {
        self.flushes += u32::from(operation == Operation::FLUSH_DISKCACHE);
        pages.for_each(|page| *self.pages.entry((operation, page)).or_default() += 1);
    }

    /// Takes what a request needs that is done; answers whether it was there.
    fn take(&mut self, asked: &Asked) -> bool {
        let Work { operation, pages } = asked.work.clone();
        if operation == Operation::FLUSH_DISKCACHE {
            return self.flushes > asked.flushes;
        }
        pages.into_iter().all(|page| {
            let left = self.pages.get_mut(&(operation, page)).and_then(|count| Some((count.checked_sub(1)?, count)));
            left.map(|(left, count)| *count = left).is_some()
        })
    }
}

struct Player {
    rig: Rig,
    ring: RawRing,
    /// Requests that the guest made.
    asked: HashMap<RequestId, Asked>,
    order: Vec<RequestId>,
    /// Requests of the ring that have no answer, and the last one of each id.
    waiting: VecDeque<InRing>,
    sent: HashMap<u64, InRing>,
    good: Good,
    honest: bool,
    /// Whether the answers are those of the script alone.
    raw: bool,
    tally: Tally,
}

impl Player {
    fn new(used: u8) -> Self {
        let mut rig = Rig::new(1, options(used), Offer::DEFAULT, SECTORS);
        let connected = (0..10_000).any(|_| {
            turn(&mut rig);
            rig.front.disk().is_some()
        });
        assert!(connected, "an honest backend connects");
        let gref = rig.machine.xenstore().read_text(&format!("{}/ring-ref", rig.device.front_path()));
        let gref = GrantRef(gref.and_then(|text| text.parse().ok()).expect("there is one"));
        let ring = RawRing::new(&rig.machine, &rig.domain, gref, SLOT);
        let (asked, order, waiting, sent) = (HashMap::new(), Vec::new(), VecDeque::new(), HashMap::new());
        let (good, tally) = (Good::default(), Tally::default());
        Self { rig, ring, asked, order, waiting, sent, good, honest: true, raw: true, tally }
    }

    fn step(&mut self, step: u8, rest: &mut Script<'_>) {
        match step {
            step::ASK => self.ask(rest.byte(), rest.byte(), rest.byte()),
            step::ANSWER => {
                let which = rest.byte();
                let status = Status(rest.u16().cast_signed());
                self.answer(which, |honest| Response { status, ..honest });
            }
            step::FORGE => {
                let which = rest.byte();
                let change: u128 = u128::from_ne_bytes(rest.array());
                self.honest &= change == 0;
                self.answer(which, |honest| {
                    let bytes: u128 = zerocopy::transmute!(honest);
                    zerocopy::transmute!(bytes ^ change)
                });
            }
            step::SHOW => self.ring.show(&self.rig.machine),
            step::LIE => {
                let by = rest.u32();
                self.honest &= by == 0;
                self.ring.lie(&self.rig.machine, by);
            }
            step::POLL => self.poll(),
            step::PASS => self.rig.machine.advance(u32::from(rest.byte()) * SECOND),
            _ => self.abandon(rest.byte()),
        }
    }

    fn ask(&mut self, what: u8, at: u8, pages: u8) {
        if self.order.len() >= MOST {
            return;
        }
        let (at, bytes) = (Sector512(u64::from(at) * 8), (usize::from(pages) % 40 + 1) * 4096);
        let Some(buffer) = self.rig.front.buffer(bytes) else { return };
        let sectors = bytes as u64 / 512;
        let (request, operation) = match what % 5 {
            0 => (Request::read(at, buffer), Operation::READ),
            1 => (Request::write(at, buffer), Operation::WRITE),
            2 => (Request::flush(), Operation::FLUSH_DISKCACHE),
            3 => (Request::discard(at, sectors, Discard::Plain), Operation::DISCARD),
            _ => (Request::write_barrier(at, buffer), Operation::WRITE_BARRIER),
        };
        let now = self.rig.now();
        if let Ok(id) = self.rig.front.submit(request, now) {
            let (work, flushes) = (Work::new(operation, at.0, sectors), self.good.flushes);
            self.asked.insert(id, Asked { work, flushes, ends: 0 });
            self.order.push(id);
        }
        self.rig.front.flush_notifications(now);
    }

    /// Answers one of the requests that are in the ring.
    fn answer(&mut self, which: u8, change: impl FnOnce(Response) -> Response) {
        while let Some(request) = self.ring.request(&self.rig.machine) {
            let request = in_ring(&request);
            self.sent.insert(request.id, request.clone());
            self.waiting.push_back(request);
        }
        if self.waiting.is_empty() {
            return;
        }
        let place = usize::from(which) % self.waiting.len();
        let Some(InRing { id, operation, .. }) = self.waiting.remove(place) else { return };
        let answer = change(Response { id, operation, ..Response::default() });
        let meant = self.sent.get(&answer.id).filter(|sent| sent.operation == answer.operation);
        if let Some(sent) = meant.filter(|_| answer.status == Status::OKAY) {
            self.good.add(sent.work.clone());
        }
        self.ring.put(&self.rig.machine, answer.as_bytes());
    }

    fn poll(&mut self) {
        for _ in 0..1000 {
            let Some(event) = self.rig.front.poll(self.rig.now()) else { return };
            match event {
                Event::Completed(done) => self.ended(done.id, done.result.ok()),
                Event::Stalled(id) => {
                    let ends = self.asked.get(&id).map(|asked| asked.ends);
                    assert_eq!(ends, Some(0), "a request that has ended does not stall");
                    self.tally.count("stalled");
                }
                Event::Trouble(error) => {
                    let accused = matches!(error.problem, Problem::Broken(_));
                    assert!(!accused || !self.honest, "an honest backend is accused: {error}");
                }
                _ => {}
            }
        }
        panic!("events without end");
    }

    /// A request has ended: it was asked for, has not ended before, and where it is done, answers have said so of all of it.
    fn ended(&mut self, id: RequestId, done: Option<Done>) {
        let asked = self.asked.get_mut(&id).expect("it was asked for");
        asked.ends += 1;
        assert_eq!(asked.ends, 1, "it ends once");
        let outcome = match done {
            Some(Done::Transferred) => "transferred",
            Some(Done::Discarded) => "discarded",
            Some(Done::Flushed(Flushed::Durable)) => "flushed",
            _ => "failed",
        };
        if self.raw {
            assert!(outcome == "failed" || self.good.take(asked), "nobody has said that it is done: {asked:?}");
            self.tally.count(outcome);
        }
    }

    fn abandon(&mut self, which: u8) {
        let Some(id) = self.order.get(usize::from(which) % self.order.len().max(1)).copied() else { return };
        if let Some(completion) = self.rig.front.abandon(id) {
            self.ended(completion.id, completion.result.ok());
        }
    }

    /// The disk ends in time, whatever its backend has done, and so has each request, once.
    fn close(&mut self) {
        // What was written over requests, the backend takes for some.
        (self.raw, self.honest) = (false, false);
        self.rig.front.close();
        let end = self.rig.now() + 30 * SECOND;
        while !self.rig.front.is_ended() {
            assert!(self.rig.now() < end, "it does not end: {:?}", self.rig.front);
            if let Some(back) = &mut self.rig.back {
                back.step();
            }
            self.poll();
            self.rig.machine.advance(Duration::from_millis(1));
        }
        self.poll();
        assert!(self.asked.values().all(|asked| asked.ends == 1), "each request ends: {:?}", self.asked);
    }
}

fn turn(rig: &mut Rig) {
    if let Some(back) = &mut rig.back {
        back.step();
    }
    while rig.front.poll(rig.now()).is_some() {}
    rig.machine.advance(Duration::from_micros(100));
}

const fn options(used: u8) -> Options {
    Options {
        persistent: if used & 1 == 0 { Persistent::Never } else { Persistent::IfOffered },
        segments: if used & 2 == 0 { 256 } else { 11 },
        journal: if used & 4 == 0 { 0 } else { 1 << 16 },
        ..Options::DEFAULT
    }
}

/// A request in the ring. Those of this guest have segments of whole pages.
fn in_ring(slot: &[u8]) -> InRing {
    let request = blkif::Request::read_from_bytes(slot).expect("it is as long");
    let blkif::Request { id, operation, sector_number: sector, .. } = request;
    let (operation, sectors) = match operation {
        Operation::INDIRECT => {
            let (request, _) = RequestIndirect::read_from_prefix(slot).expect("it is shorter");
            (request.indirect_op, u64::from(request.nr_segments) * 8)
        }
        Operation::DISCARD => {
            let (request, _) = RequestDiscard::read_from_prefix(slot).expect("it is shorter");
            (operation, request.nr_sectors)
        }
        _ => (operation, u64::from(request.nr_segments) * 8),
    };
    InRing { id, operation, work: Work::new(operation, sector, sectors) }
}
