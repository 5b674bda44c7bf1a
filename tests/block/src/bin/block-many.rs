//! Very many requests on one disk, over the ends of the rings' indices.
//!
//! ```text
//! block-many [--requests N] [--queues Q] [--broken yes]
//! ```
//!
//! Each block is written and read in turn, with the rings as full as they get. Every request has one end, which is a success; every
//! read returns what was written last, of which the first eight bytes are compared each time and all of them once in 64. The indices
//! begin shortly before 2^32, and again so with each connection: there is another one every million requests. With `--broken`, the
//! disk changes a block half way, and not to find that is the failure.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use block_tests::rig::Rig;
use xen_blkfront::{Buffer, Completion, Done, Event, Options, Persistent, Request, RequestId, Sector512};
use xen_sim::Domain;
use xen_sim::blkback::{Options as Offer, Restart, SECTOR};

const USAGE: &str = "usage: block-many [--requests N] [--queues Q] [--broken yes]";

/// A prime, so that a stride goes through all of them and no two that follow each other are adjacent.
const BLOCKS: u64 = 4093;
const STRIDE: u64 = 1021;

/// Requests of one connection.
const EPISODE: u64 = 1_000_000;

/// So many messages before the indices wrap.
const BEFORE_WRAP: u32 = 1000;

/// A disk that has many requests.
struct Many {
    rig: Rig,
    open: HashMap<RequestId, u64>,
    spare: Vec<Buffer<Domain>>,
    next: u64,
    done: u64,
    last: u64,
    depth: usize,
}

fn main() -> ExitCode {
    let Some((requests, queues, broken)) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("block-many --requests {requests} --queues {queues}");
    let (mut many, start) = (Many::new(queues, requests), Instant::now());
    let result = many.run(broken);
    let statistics = many.rig.front.statistics();
    let (seconds, connections) = (start.elapsed().as_secs_f64(), statistics.connections);
    let wraps = connections * u64::from(queues);
    println!("{} requests, {connections} connections, {wraps} indices over their ends", many.done);
    println!("{seconds:.1} s, {:.2} million requests per second", many.done as f64 / seconds / 1e6);
    match (result, broken) {
        (Ok(()), false) => ExitCode::SUCCESS,
        (Err(what), true) => {
            println!("found: {what}");
            ExitCode::SUCCESS
        }
        (Ok(()), true) => fail("a block was changed, and that was not found"),
        (Err(what), false) => fail(&what),
    }
}

fn fail(what: &str) -> ExitCode {
    eprintln!("FINDING: {what}");
    ExitCode::FAILURE
}

impl Many {
    fn new(queues: u32, requests: u64) -> Self {
        let options = Options {
            queues,
            persistent: Persistent::IfOffered,
            depth: 32 * queues as usize,
            first_index: BEFORE_WRAP.wrapping_neg(),
            ..Options::DEFAULT
        };
        let depth = options.depth;
        let rig = Rig::new(1, options, Offer::DEFAULT, BLOCKS);
        rig.disk.set_cache(0);
        Self { rig, open: HashMap::new(), spare: Vec::new(), next: 0, done: 0, last: requests, depth }
    }

    fn run(&mut self, broken: bool) -> Result<(), String> {
        let mut episode = EPISODE;
        while self.done < self.last {
            self.fill(episode.min(self.last))?;
            self.turn()?;
            if self.done >= episode {
                self.restart()?;
                episode += EPISODE;
            }
            if broken && self.done >= self.last / 2 {
                (0..BLOCKS).for_each(|block| self.rig.disk.corrupt(block, &[1; SECTOR]));
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err(format!("{} requests have no end", self.open.len())) }
    }

    /// Submits as much as there is room for, up to this request.
    fn fill(&mut self, until: u64) -> Result<(), String> {
        let now = self.rig.now();
        if self.rig.front.disk().is_none() {
            return Ok(());
        }
        while self.next < until && self.open.len() < self.depth {
            let request = self.request(self.next)?;
            match self.rig.front.submit(request, now) {
                Ok(id) => {
                    self.open.insert(id, self.next);
                    self.next += 1;
                }
                Err(rejected) => return Err(format!("request {} was not taken: {rejected}", self.next)),
            }
        }
        self.rig.front.flush_notifications(now);
        Ok(())
    }

    fn request(&mut self, number: u64) -> Result<Request<Domain>, String> {
        let (block, pass) = place(number);
        let buffer = self.spare.pop().or_else(|| self.rig.front.buffer(SECTOR));
        let mut buffer = buffer.ok_or("there is no memory")?;
        if pass % 2 == 1 {
            return Ok(Request::read(Sector512(block), buffer));
        }
        buffer.copy_in(0, &content(block, pass));
        Ok(Request::write(Sector512(block), buffer))
    }

    /// Lets both halves do what they can.
    fn turn(&mut self) -> Result<(), String> {
        let mut worked = false;
        if let Some(back) = &mut self.rig.back {
            back.step();
        }
        let now = self.rig.now();
        while let Some(event) = self.rig.front.poll(now) {
            worked = true;
            if let Event::Completed(done) = event {
                self.completed(done)?;
            }
        }
        if !worked {
            let until = now + Duration::from_millis(1);
            self.rig.front.wait(until).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn completed(&mut self, Completion { id, result, buffer }: Completion<Domain>) -> Result<(), String> {
        let number = self.open.remove(&id).ok_or_else(|| format!("{id:?} has more than one end"))?;
        if result != Ok(Done::Transferred) {
            return Err(format!("request {number}: {result:?}"));
        }
        let (block, pass) = place(number);
        if pass % 2 == 1 {
            let (expected, mut found) = (content(block, pass - 1), [0; SECTOR]);
            let compared = if number % 64 == 0 { SECTOR } else { 8 };
            let _ = buffer.copy_out(0, &mut found[..compared]);
            if found[..compared] != expected[..compared] {
                return Err(format!("request {number}, block {block}: {:?}", &found[..8]));
            }
        }
        self.spare.push(buffer);
        self.done += 1;
        Ok(())
    }

    /// Another connection, whose indices wrap, too.
    fn restart(&mut self) -> Result<(), String> {
        let before = self.rig.front.statistics().connections;
        self.rig.control().ok_or("there is no backend")?.restart(Restart::Orderly);
        for _ in 0..100_000 {
            self.turn()?;
            if self.rig.front.statistics().connections > before && self.rig.front.disk().is_some() {
                return Ok(());
            }
        }
        Err("it is not connected again".to_owned())
    }
}

/// The block of a request, and how often all blocks were gone through before.
const fn place(number: u64) -> (u64, u64) {
    (number % BLOCKS * STRIDE % BLOCKS, number / BLOCKS)
}

/// What a block holds after a pass.
fn content(block: u64, pass: u64) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    let word = (block.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ pass.rotate_left(20)) | 1;
    bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|chunk| *chunk = word.to_le_bytes());
    bytes
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(u64, u32, bool)> {
    let (mut requests, mut queues, mut broken) = (EPISODE, 2, false);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?.replace('_', "");
        match name.as_str() {
            "--requests" => requests = value.parse().ok()?,
            "--queues" => queues = value.parse().ok().filter(|queues| (1..=4).contains(queues))?,
            "--broken" => broken = value == "yes",
            _ => return None,
        }
    }
    Some((requests, queues, broken))
}
