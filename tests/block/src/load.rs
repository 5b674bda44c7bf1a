//! Random requests, each followed to its one end.

use std::collections::HashMap;
use std::time::Duration;

use hostile_tests::Dice;
use xen_blkfront::{
    Blkfront, Completion, Discard, Done, Flushed, IoError, NotDurable, Rejection, Request, RequestId, Sector512,
};
use xen_sim::Domain;
use xen_sim::blkback::{BlockOracle, Flush, Flushed as Told, Outcome, Read, SECTOR, SimDisk, Write, Wrong};

use crate::Tally;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breakage {
    /// None.
    #[default]
    Nothing,
    /// The disk's flushes make nothing durable. (D1)
    IgnoresFlushes,
    /// The disk's writes change nothing. (D4)
    DropsWrites,
    /// The driver takes one of the writes that are under way for done when its backend is lost. (D3)
    ForgetsWrite,
    /// The driver says `Durable` where something was lost. (D2)
    HidesLoss,
    /// A request has two ends. (D3)
    EndsTwice,
    /// A request has no end. (D3)
    NeverEnds,
    /// A flush that was waiting when a loss was told of says `Durable`. (D1)
    TellsOne,
}

impl Breakage {
    /// All that break something.
    pub const ALL: [(&str, Self); 7] = [
        ("ignores-flushes", Self::IgnoresFlushes),
        ("drops-writes", Self::DropsWrites),
        ("forgets-write", Self::ForgetsWrite),
        ("hides-loss", Self::HidesLoss),
        ("ends-twice", Self::EndsTwice),
        ("never-ends", Self::NeverEnds),
        ("tells-one", Self::TellsOne),
    ];
}

/// Blocks that are used, of a sector each.
pub const BLOCKS: u32 = 2000;

/// A request that goes on.
#[derive(Debug)]
enum Open {
    Read(Read),
    Write(Write),
    /// With its number among all requests.
    Flush(Flush, u64),
}

/// What was asked of a disk.
#[derive(Debug)]
pub struct Load {
    oracle: BlockOracle,
    open: HashMap<RequestId, Open>,
    breakage: Breakage,
    /// Counts requests.
    number: u64,
    /// Flushes up to this request were submitted before the last loss was told.
    told_until: u64,
    /// Whether all that is asked is printed.
    pub traced: bool,
    /// There was a crash, and no flush has told of it yet: reads may return what was there before.
    pub untold: bool,
}

impl Load {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(disk: &SimDisk, breakage: Breakage) -> Self {
        let oracle = BlockOracle::new(disk, SECTOR);
        Self { oracle, open: HashMap::new(), breakage, number: 0, told_until: 0, traced: false, untold: false }
    }

    /// How many requests go on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none goes on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Submits any request. Says whether the disk has room for more.
    pub fn submit(&mut self, front: &mut Blkfront<Domain>, now: Duration, dice: &mut Dice, tally: &mut Tally) -> bool {
        let unit = front.last_known().map_or(1, |disk| disk.sector_size() / SECTOR as u32);
        let first = u64::from(dice.below(BLOCKS / unit) * unit);
        let most = dice.pick(&[1, 4, 8, 8, 40, 400]);
        let count = (u64::from((dice.below(most) + 1).next_multiple_of(unit))).min(u64::from(BLOCKS) - first);
        match dice.below(100) {
            0..35 => self.submit_read(front, now, (first, count), tally),
            35..76 => self.submit_write(front, now, (first, count), Request::write, tally),
            76..83 => self.submit_write(front, now, (first, count), Request::write_barrier, tally),
            83..90 => {
                let write = self.oracle.discard(first, count);
                let request = Request::discard(Sector512(first), count, Discard::Plain);
                self.take(front, now, request, Open::Write(write), tally)
            }
            _ => self.submit_flush(front, now, tally),
        }
    }

    /// Submits a flush.
    pub fn submit_flush(&mut self, front: &mut Blkfront<Domain>, now: Duration, tally: &mut Tally) -> bool {
        let flush = Open::Flush(self.oracle.flush(), self.number + 1);
        self.take(front, now, Request::flush(), flush, tally)
    }

    fn submit_read(
        &mut self,
        front: &mut Blkfront<Domain>,
        now: Duration,
        (first, count): (u64, u64),
        tally: &mut Tally,
    ) -> bool {
        let Some(mut buffer) = front.buffer(count as usize * SECTOR) else { return false };
        // So that what is not read is found.
        buffer.copy_in(0, &[0x5a; SECTOR]);
        let read = self.oracle.read(first);
        self.take(front, now, Request::read(Sector512(first), buffer), Open::Read(read), tally)
    }

    fn submit_write(
        &mut self,
        front: &mut Blkfront<Domain>,
        now: Duration,
        (first, count): (u64, u64),
        request: fn(Sector512, xen_blkfront::Buffer<Domain>) -> Request<Domain>,
        tally: &mut Tally,
    ) -> bool {
        let mut bytes = vec![0; count as usize * SECTOR];
        let Some(mut buffer) = front.buffer(bytes.len()) else { return false };
        let write = self.oracle.write(first, &mut bytes);
        buffer.copy_in(0, &bytes);
        self.take(front, now, request(Sector512(first), buffer), Open::Write(write), tally)
    }

    fn take(
        &mut self,
        front: &mut Blkfront<Domain>,
        now: Duration,
        request: Request<Domain>,
        open: Open,
        tally: &mut Tally,
    ) -> bool {
        match front.submit(request, now) {
            Ok(id) => {
                self.number += 1;
                tally.requests += 1;
                if self.traced {
                    println!("{now:?} {id:?} is {open:?}");
                }
                self.open.insert(id, open);
                true
            }
            Err(rejected) => {
                self.was_not_done(open);
                !matches!(rejected.reason, Rejection::Full | Rejection::NotConnected)
            }
        }
    }

    fn was_not_done(&mut self, open: Open) {
        match open {
            Open::Write(write) => self.oracle.ended(write, Outcome::Failed),
            Open::Read(read) => self.oracle.did_not_read(read),
            Open::Flush(..) => {}
        }
    }

    /// A request has come to its end.
    ///
    /// # Errors
    ///
    /// What is wrong with that.
    pub fn completed(
        &mut self,
        done: Completion<Domain>,
        front: &mut Blkfront<Domain>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let Completion { id, mut result, buffer } = done;
        if self.breakage == Breakage::NeverEnds && self.number % 100 == 7 {
            return Ok(());
        }
        let open = self.open.remove(&id).ok_or_else(|| format!("{id:?} has more than one end"))?;
        if self.breakage == Breakage::EndsTwice && self.number % 100 == 7 {
            self.open.remove(&id).ok_or_else(|| format!("{id:?} has more than one end"))?;
        }
        if self.breakage == Breakage::ForgetsWrite
            && matches!(open, Open::Write(_))
            && result == Err(IoError::Abandoned)
        {
            result = Ok(Done::Transferred);
        }
        tally.end(result.err());
        match open {
            Open::Write(write) => self.oracle.ended(write, outcome(result)),
            Open::Read(read) if result.is_err() => self.oracle.did_not_read(read),
            Open::Read(read) => {
                let mut bytes = vec![0; buffer.len()];
                let _ = buffer.copy_out(0, &mut bytes);
                self.did_read(read, &bytes)?;
            }
            Open::Flush(flush, number) => {
                if let Ok(Done::Flushed(flushed)) = result {
                    tally.flush(flushed);
                    self.flushed(flush, number, flushed)?;
                    if matches!(flushed, Flushed::NotDurable(NotDurable::Failed(_))) {
                        front.accept_loss();
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives up any request that goes on.
    ///
    /// # Errors
    ///
    /// What is wrong with its end.
    pub fn abandon(&mut self, front: &mut Blkfront<Domain>, dice: &mut Dice, tally: &mut Tally) -> Result<(), String> {
        let mut ids: Vec<RequestId> = self.open.keys().copied().collect();
        ids.sort_unstable_by_key(|id| format!("{id:?}"));
        if ids.is_empty() {
            return Ok(());
        }
        let id = dice.pick(&ids);
        // One that has come to its end already has it delivered.
        let Some(done) = front.abandon(id) else { return Ok(()) };
        tally.abandoned += 1;
        self.completed(done, front, tally)
    }

    /// The owner knows that what is not durable may be lost.
    pub fn lost_everything(&mut self) {
        self.oracle.cache_lost();
        self.untold = false;
    }

    /// Nothing that was given up will come any more.
    pub fn settle(&mut self) {
        self.oracle.settle();
    }

    /// Looks at the whole disk.
    ///
    /// # Errors
    ///
    /// The first things that are wrong.
    pub fn check(&mut self) -> Result<(), String> {
        let findings = self.oracle.check().err().unwrap_or_default();
        let findings =
            findings.into_iter().filter(|finding| !self.untold || !matches!(finding.what, Wrong::Lost { .. }));
        let texts: Vec<String> = findings.take(4).map(|finding| finding.to_string()).collect();
        if texts.is_empty() { Ok(()) } else { Err(texts.join("; ")) }
    }

    fn did_read(&mut self, read: Read, bytes: &[u8]) -> Result<(), String> {
        match self.oracle.did_read(read, bytes) {
            Err(finding) if !self.untold || !matches!(finding.what, Wrong::Lost { .. }) => {
                Err(format!("a read returned this: {finding}"))
            }
            _ => Ok(()),
        }
    }

    fn flushed(&mut self, flush: Flush, number: u64, flushed: Flushed) -> Result<(), String> {
        let lost = flushed == Flushed::NotDurable(NotDurable::CacheLost);
        let hidden =
            self.breakage == Breakage::HidesLoss || self.breakage == Breakage::TellsOne && number <= self.told_until;
        let told = match flushed {
            Flushed::Durable => Told::Durable,
            _ if lost && hidden => Told::Durable,
            _ if lost => Told::CacheLost,
            Flushed::NotDurable(_) => Told::NotDurable,
            Flushed::Unknown(_) => Told::Unknown,
        };
        if told == Told::Durable && number <= self.told_until {
            return Err("a flush was submitted before a loss was told of, and says that all is durable".to_owned());
        }
        self.oracle.flushed(flush, told);
        if told == Told::CacheLost {
            // One that was waiting when another one told of it tells nothing new.
            if number > self.told_until {
                self.told_until = self.number;
            }
            self.lost_everything();
        }
        Ok(())
    }
}

const fn outcome(result: Result<Done, IoError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(IoError::Failed | IoError::Unsupported | IoError::Status(_)) => Outcome::Failed,
        Err(IoError::NotSent | IoError::Rejected(_)) => Outcome::Failed,
        Err(_) => Outcome::Unknown,
    }
}
