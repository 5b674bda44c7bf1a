//! The requests: which come next, which are under way, and what every block must hold.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use xen_rt::blkfront::{
    Blkfront, Buffer, Completion, Done, Flushed, IoError, NotDurable, Rejection, Request, RequestId, Sector512,
};
use xen_rt::{Xen, println};

use crate::arguments::{Arguments, Limit};
use crate::content::{SECTOR, Stamp};

/// How many mismatches are told one by one.
const TOLD: u64 = 20;

/// A disk's load, from the first write to the last check.
pub(crate) struct Load {
    arguments: Arguments,
    xen: Xen,
    phase: Phase,
    blocks: Vec<Block>,
    flight: Vec<(RequestId, Work)>,
    /// Memory of requests that are over.
    spare: Vec<Buffer<Xen>>,
    scratch: Vec<u8>,
    random: u64,
    since_flush: u64,
    pub(crate) counts: Counts,
}

/// What is done now. Each phase begins when the last request of the one before has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Every block is written, in order.
    Fill(u64),
    /// Blocks are read and written, whichever chance says.
    Load {
        sent: u64,
        since: Duration,
    },
    /// All that was written is made durable.
    Flush,
    /// Every block is read, in order.
    Verify(u64),
    Over,
}

/// What is known of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    generation: u32,
    /// A request for it is under way. Two at a time could overtake each other.
    busy: bool,
}

/// What a request is for.
#[derive(Clone, Copy, Debug)]
enum Work {
    Read(u64),
    Write(u64),
    /// The last look at a block.
    Verify(u64),
    Flush,
}

impl Work {
    /// The block that it is about.
    const fn number(self) -> Option<u64> {
        match self {
            Self::Read(number) | Self::Write(number) | Self::Verify(number) => Some(number),
            Self::Flush => None,
        }
    }
}

/// What came of all requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) flushes: u64,
    /// Flushes that made durable what was written, as the backend says.
    pub(crate) durable: u64,
    /// Those of which a backend was lost with what it had acknowledged.
    pub(crate) lost: u64,
    pub(crate) errors: u64,
    pub(crate) mismatches: u64,
    pub(crate) verified: u64,
    /// How long the load lasted, without the first writes and the last reads; and its requests.
    pub(crate) time: Duration,
    pub(crate) load: u64,
}

impl Load {
    pub(crate) fn new(arguments: Arguments, xen: Xen) -> Self {
        Self {
            xen,
            phase: Phase::Fill(0),
            blocks: vec![Block::default(); arguments.blocks as usize],
            flight: Vec::new(),
            spare: Vec::new(),
            scratch: vec![0; arguments.block],
            // Neighbours begin far from each other, and a state of zero would stay so.
            random: arguments.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            since_flush: 0,
            counts: Counts::default(),
            arguments,
        }
    }

    /// Sends what there is room for. The backend is told once.
    pub(crate) fn send(&mut self, disk: &mut Blkfront<Xen>, now: Duration) {
        while self.flight.len() < self.arguments.depth {
            let Some(work) = self.next(now) else { break };
            let Some(request) = self.request(work) else {
                self.refuse(&"no memory");
                break;
            };
            match disk.submit(request, now) {
                Ok(id) => self.sent(id, work),
                Err(rejected) => {
                    let reason = rejected.reason;
                    self.spare.push(rejected.request.into_buffer());
                    if reason != Rejection::Full {
                        self.refuse(&reason);
                    }
                    break;
                }
            }
        }
        disk.flush_notifications(now);
    }

    /// Takes the answer to a request.
    pub(crate) fn completed(&mut self, completion: Completion<Xen>) {
        let Completion { id, result, buffer } = completion;
        let Some(place) = self.flight.iter().position(|(sent, _)| *sent == id) else {
            self.counts.errors += 1;
            return println!("an answer to a request that nobody sent: {result:?}");
        };
        let (_, work) = self.flight.swap_remove(place);
        match (work, result) {
            (Work::Flush, Ok(Done::Flushed(flushed))) => self.flushed(flushed),
            (Work::Read(number) | Work::Verify(number), Ok(Done::Transferred)) => {
                self.counts.verified += u64::from(matches!(work, Work::Verify(_)));
                self.read(number, &buffer);
            }
            (Work::Write(number), Ok(Done::Transferred)) => self.written(number),
            (work, result) => self.failed(work, result),
        }
        // One that has lost pages to a backend does for no other request.
        if buffer.capacity() >= self.arguments.block {
            self.spare.push(buffer);
        }
    }

    /// Lets the load come to its end: what follows is the flush, and the last look at every block.
    pub(crate) fn end(&mut self, now: Duration) {
        if let Phase::Load { sent, since } = self.phase {
            (self.counts.time, self.counts.load) = (now - since, sent);
            self.phase = Phase::Flush;
        }
    }

    /// How its end comes, if not by itself.
    pub(crate) const fn until(&self) -> &'static str {
        match self.arguments.limit {
            Limit::Asked => ", until the guest is asked to end (xl shutdown)",
            Limit::Count(_) | Limit::Time(_) => "",
        }
    }

    /// Whether the disk was filled, and the load has begun.
    pub(crate) const fn is_under_load(&self) -> bool {
        matches!(self.phase, Phase::Load { .. })
    }

    /// Whether everything was done, and answered.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.flight.is_empty()
    }

    /// When the load's time is over.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match (self.phase, self.arguments.limit) {
            (Phase::Load { since, .. }, Limit::Time(time)) => Some(since + time),
            _ => None,
        }
    }

    fn next(&mut self, now: Duration) -> Option<Work> {
        match self.phase {
            Phase::Fill(number) if number == self.arguments.blocks => {
                self.phase = Phase::Load { sent: 0, since: now };
                self.next(now)
            }
            Phase::Fill(number) => Some(self.advance(Phase::Fill(number + 1), Work::Write(number))),
            Phase::Load { sent, since } if self.is_enough(sent, now - since) => {
                self.end(now);
                self.next(now)
            }
            Phase::Load { sent, since } => {
                let work = self.choose()?;
                Some(self.advance(Phase::Load { sent: sent + 1, since }, work))
            }
            Phase::Flush => Some(self.advance(Phase::Verify(0), Work::Flush)),
            Phase::Verify(number) if number == self.arguments.blocks => {
                self.phase = Phase::Over;
                None
            }
            Phase::Verify(number) if self.blocks[number as usize].busy => None,
            Phase::Verify(number) => Some(self.advance(Phase::Verify(number + 1), Work::Verify(number))),
            Phase::Over => None,
        }
    }

    const fn advance(&mut self, phase: Phase, work: Work) -> Work {
        self.phase = phase;
        work
    }

    fn is_enough(&self, sent: u64, time: Duration) -> bool {
        match self.arguments.limit {
            Limit::Count(count) => sent >= count,
            Limit::Time(limit) => time >= limit,
            Limit::Asked => false,
        }
    }

    /// A flush if it is time for one; else a block that chance names, unless it names busy ones only.
    fn choose(&mut self) -> Option<Work> {
        self.since_flush += 1;
        if self.arguments.flush > 0 && self.since_flush > self.arguments.flush {
            self.since_flush = 0;
            return Some(Work::Flush);
        }
        let number = self.idle_block()?;
        let writes = self.chance(100) < self.arguments.writes;
        Some(if writes { Work::Write(number) } else { Work::Read(number) })
    }

    fn idle_block(&mut self) -> Option<u64> {
        for _ in 0..8 {
            let number = self.chance(self.arguments.blocks);
            if !self.blocks[number as usize].busy {
                return Some(number);
            }
        }
        None
    }

    /// A number below the bound: xorshift64*.
    const fn chance(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn request(&mut self, work: Work) -> Option<Request<Xen>> {
        let Some(number) = work.number() else { return Some(Request::flush()) };
        let mut buffer = self.spare.pop().or_else(|| Buffer::alloc(&self.xen, self.arguments.block))?;
        let at = Sector512(self.arguments.from + number * (self.arguments.block / SECTOR) as u64);
        if !matches!(work, Work::Write(_)) {
            return Some(Request::read(at, buffer));
        }
        let Stamp { seed, block, generation } = self.stamp(number);
        Stamp { seed, block, generation: generation + 1 }.fill(&mut self.scratch);
        buffer.copy_in(0, &self.scratch);
        Some(Request::write(at, buffer))
    }

    fn sent(&mut self, id: RequestId, work: Work) {
        if let Some(number) = work.number() {
            self.blocks[number as usize].busy = true;
        }
        self.flight.push((id, work));
    }

    fn read(&mut self, number: u64, buffer: &Buffer<Xen>) {
        let wanted = self.stamp(number);
        self.blocks[number as usize].busy = false;
        self.counts.reads += 1;
        self.scratch.fill(0);
        let _ = buffer.copy_out(0, &mut self.scratch);
        if let Err(mismatch) = wanted.check(&self.scratch) {
            self.counts.mismatches += 1;
            if self.counts.mismatches <= TOLD {
                println!("mismatch: {mismatch}");
            }
        }
    }

    fn written(&mut self, number: u64) {
        let block = &mut self.blocks[number as usize];
        *block = Block { generation: block.generation + 1, busy: false };
        self.counts.writes += 1;
    }

    fn flushed(&mut self, flushed: Flushed) {
        self.counts.flushes += 1;
        match flushed {
            Flushed::Durable => self.counts.durable += 1,
            Flushed::NotDurable(NotDurable::CacheLost) => self.counts.lost += 1,
            Flushed::NotDurable(why) => self.refuse(&why),
            Flushed::Unknown(_) => {}
        }
    }

    fn failed(&mut self, work: Work, result: Result<Done, IoError>) {
        if let Some(number) = work.number() {
            self.blocks[number as usize].busy = false;
        }
        self.counts.errors += 1;
        match result {
            Ok(done) => println!("{work:?} was answered as {done:?}"),
            Err(error) => println!("{work:?} failed: {error}"),
        }
    }

    /// Gives up: what is under way is waited for.
    fn refuse(&mut self, why: &dyn core::fmt::Display) {
        self.counts.errors += 1;
        println!("gives up: {why}");
        self.phase = Phase::Over;
    }

    fn stamp(&self, number: u64) -> Stamp {
        let generation = self.blocks[number as usize].generation;
        Stamp { seed: self.arguments.seed, block: number, generation }
    }
}
