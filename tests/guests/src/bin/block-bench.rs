//! Reads its disk as it is told at the console, and tells what that took: our side of `cargo xtask bench block`.
//!
//! Options of the driver stand on the command line: `queues`, `ring`, `segments` with a number, `persistent` and `trusted` with
//! `yes` or `no`.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bench_load::{END, FAILED, Figures, MARK, Places, READY, STAMPED, Work, stamp};
use test_guests::{ensure, failed};
use xen_hypercall::abi::VcpuId;
use xen_hypercall::vcpu::get_runstate_info;
use xen_rt::blkfront::{
    Blkfront, Buffer, Completion, Event, Options, Persistent, Request, RequestId, Sector512, Trust, Which,
};
use xen_rt::{CommandLine, ExitCode, Guest, Xen, entry, println};

/// How long a disk, or a line at the console, may take.
const PATIENCE: Duration = Duration::from_secs(600);

#[entry]
fn main(guest: Guest) -> ExitCode {
    match serve(&guest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("{MARK} {FAILED} {what}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the console says, a line at a time.
fn serve(guest: &Guest) -> Result<(), String> {
    let store = guest.store().ok_or("there is no xenstore")?;
    let options = options(&guest.boot().command_line)?;
    let disk = Blkfront::find(&store, Which::First, options, PATIENCE).map_err(failed("no disk"))?;
    let size = disk.disk().ok_or("the disk is gone")?.sectors() * 512;
    let mut bench = Bench { guest, disk, size };
    println!("{MARK} {READY} {size}");
    let (mut typed, mut buffer) = (Vec::new(), [0; 128]);
    loop {
        let until = guest.clock().now() + PATIENCE;
        let count = guest.console().read(&mut buffer, until).map_err(failed("read the console"))?;
        ensure(count > 0, "nothing was typed")?;
        typed.extend_from_slice(&buffer[..count]);
        while let Some(line) = take_line(&mut typed) {
            if line == END {
                return Ok(());
            }
            println!("{MARK} {}", bench.measure(&line.parse().map_err(failed(&line))?)?);
        }
    }
}

fn take_line(typed: &mut Vec<u8>) -> Option<String> {
    let end = typed.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let line = String::from_utf8_lossy(&typed[..end]).trim().to_string();
    typed.drain(..=end);
    Some(line)
}

/// One queue, a ring of one page, and a backend that is trusted, as Linux's driver has it; and persistent grants, with which ours
/// is quickest.
fn options(words: &CommandLine) -> Result<Options, String> {
    let number =
        |name: &str, otherwise: u32| words.value(name).map_or(Ok(otherwise), |word| word.parse().map_err(failed(name)));
    let choice = |name: &str, otherwise: bool| match words.value(name) {
        None => Ok(otherwise),
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        Some(other) => Err(format!("{name}={other} is neither yes nor no")),
    };
    Ok(Options {
        queues: number("queues", 1)?,
        ring_order: number("ring", 0)?,
        segments: number("segments", 256)?,
        persistent: if choice("persistent", true)? { Persistent::IfOffered } else { Persistent::Never },
        trust: if choice("trusted", true)? { Trust::Trusted } else { Trust::Untrusted },
        ..Options::DEFAULT
    })
}

/// A disk that is read.
struct Bench<'a> {
    guest: &'a Guest,
    disk: Blkfront<Xen>,
    size: u64,
}

/// What a work has under way, and memory that is free.
struct Flight {
    flying: VecDeque<(RequestId, u64)>,
    free: Vec<Buffer<Xen>>,
}

impl Bench<'_> {
    fn measure(&mut self, work: &Work) -> Result<Figures, String> {
        let places = Places::new(work, self.size).ok_or("the disk is too small")?;
        let buffers = (0..work.depth).map(|_| self.disk.buffer(work.bytes as usize).ok_or("no memory"));
        let depth = work.depth as usize;
        let mut flight = Flight { free: buffers.collect::<Result<_, _>>()?, flying: VecDeque::with_capacity(depth) };
        let (clock, ran) = (self.guest.clock().now(), self.running()?);
        self.read(work.requests, places, &mut flight)?;
        let (running, elapsed) = (self.running()? - ran, self.guest.clock().now() - clock);
        Ok(Figures { requests: work.requests, elapsed: elapsed.as_nanos() as u64, running, hypercalls: None })
    }

    /// How long this processor ran until now, with what Xen did on its behalf.
    fn running(&self) -> Result<u64, String> {
        let info = get_runstate_info(&self.guest.xen(), VcpuId(0)).map_err(failed("no run state"))?;
        Ok(info.time[0])
    }

    fn read(&mut self, requests: u64, mut places: Places, flight: &mut Flight) -> Result<(), String> {
        let (mut left, mut now) = (requests, self.guest.clock().now());
        while left > 0 || !flight.flying.is_empty() {
            while left > 0
                && let Some(buffer) = flight.free.pop()
            {
                let at = places.place();
                let id = self.disk.submit(Request::read(Sector512(at / 512), buffer), now);
                flight.flying.push_back((id.map_err(failed("submit"))?, at));
                left -= 1;
            }
            self.disk.flush_notifications(now);
            self.disk.wait(now + PATIENCE).map_err(failed("wait"))?;
            now = self.guest.clock().now();
            self.take_answers(now, flight)?;
        }
        Ok(())
    }

    fn take_answers(&mut self, now: Duration, flight: &mut Flight) -> Result<(), String> {
        while !flight.flying.is_empty() {
            match self.disk.poll(now) {
                Some(Event::Completed(completion)) => flight.land(completion)?,
                Some(event) => println!("{event:?}"),
                None => break,
            }
        }
        Ok(())
    }
}

impl Flight {
    /// Takes an answer; most come in the order of the requests.
    fn land(&mut self, completion: Completion<Xen>) -> Result<(), String> {
        let Completion { id, result, buffer } = completion;
        result.map_err(failed("read"))?;
        let index = self.flying.iter().position(|(known, _)| *known == id).ok_or("nobody asked for that")?;
        let (_, at) = self.flying.swap_remove_front(index).ok_or("nobody asked for that")?;
        check(&buffer, at)?;
        self.free.push(buffer);
        Ok(())
    }
}

/// Checks what was read from byte `at`: by its first and its last piece.
fn check(buffer: &Buffer<Xen>, at: u64) -> Result<(), String> {
    let last = buffer.len() - STAMPED as usize;
    let good = |offset: usize| stamp_in(buffer, offset) == stamp(at + offset as u64);
    if good(0) && good(last) { Ok(()) } else { Err(format!("what was read at {at} is not what is there")) }
}

fn stamp_in(buffer: &Buffer<Xen>, offset: usize) -> u64 {
    let mut bytes = [0; 8];
    let _ = buffer.copy_out(offset, &mut bytes);
    u64::from_le_bytes(bytes)
}
