//! Disks by hand: a shell on the guest's console, by which scenarios try one request after the other.
//!
//! Each line is answered with `LINE: ` and what came of it. Numbers are sectors of 512 bytes, what is written is made from a seed:
//!
//! ```text
//! open DISK    read AT COUNT        barrier AT COUNT SEED    have
//! disk         write AT COUNT SEED  discard AT COUNT         round SEED
//! close        check AT COUNT SEED  flush                    end
//! ```
//!
//! `have` tells of grants, ports and watches that the guest has beyond those that it began with. `round` waits for a disk, uses it, and
//! waits until it is gone.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use test_guests::{Holdings, ensure, failed};
use xen_hypercall::abi::DomId;
use xen_rt::blkfront::{Blkfront, Discard, Options, Persistent, Sector512, Vanishing, Which};
use xen_rt::grant_table::{Account, GrantTable, Limits};
use xen_rt::xenbus::Store;
use xen_rt::{ExitCode, Guest, Xen, entry, println};

/// How often the console is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

#[entry]
fn main(guest: Guest) -> ExitCode {
    match run(&guest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("not ok: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(guest: &Guest) -> Result<(), String> {
    let store = guest.store().ok_or("there is no xenstore")?;
    // The first account lengthens the table for good.
    drop(Account::open(guest.xen(), DomId(0), Limits::exactly(1)).map_err(failed("account"))?);
    let mut shell = Shell { before: Holdings::count(&guest.xen(), &store), xen: guest.xen(), store, disk: None };
    println!("ready");
    let mut typed = String::new();
    loop {
        shell.poll()?;
        let mut bytes = [0; 64];
        let count = guest.console().try_read(&mut bytes).map_err(failed("console"))?;
        typed.push_str(&String::from_utf8_lossy(&bytes[..count]));
        while let Some((line, rest)) = typed.split_once(['\n', '\r']) {
            // What a terminal sends at the end of somebody's input is no part of a line.
            let (line, rest) = (line.trim_matches(char::is_control).to_string(), rest.to_string());
            typed = rest;
            if line == "end" {
                return Ok(());
            }
            println!("{line}: {}", shell.obey(&line).unwrap_or_else(|error| error));
        }
    }
}

struct Shell {
    xen: Xen,
    store: Store<Xen>,
    disk: Option<Blkfront<Xen>>,
    before: Holdings,
}

impl Shell {
    /// Lets time pass, and tells what happens to the disk meanwhile.
    fn poll(&mut self) -> Result<(), String> {
        let _ = GrantTable::reap(&self.xen, 16);
        let until = self.store.now() + TICK;
        let Some(disk) = &mut self.disk else {
            return self.store.wait_for_changes(until).map(drop).map_err(failed("xenstore"));
        };
        disk.wait(until).map_err(failed("wait"))?;
        while let Some(event) = disk.poll(self.store.now()) {
            println!("event: {event:?}");
        }
        Ok(())
    }

    fn obey(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number =
            |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok()).ok_or("a number is missing");
        match *words.first().unwrap_or(&"") {
            "open" => self.open(words.get(1).copied().unwrap_or("xvda")),
            "close" => self.close(),
            "have" => self.have(),
            "round" => self.round(number(1)?),
            "disk" => Ok(format!("{:?}", self.disk()?.disk())),
            "flush" => self.disk()?.flush().map(|flushed| format!("{flushed:?}")).map_err(refused),
            "discard" => {
                self.disk()?.discard(Sector512(number(1)?), number(2)?, Discard::Plain).map(done).map_err(refused)
            }
            "read" => self.read(number(1)?, number(2)?, None),
            "check" => self.read(number(1)?, number(2)?, Some(number(3)?)),
            "write" => {
                let bytes = pattern(number(2)?, number(3)?);
                self.disk()?.write(Sector512(number(1)?), &bytes).map(done).map_err(refused)
            }
            "barrier" => {
                let bytes = pattern(number(2)?, number(3)?);
                self.disk()?.write_barrier(Sector512(number(1)?), &bytes).map(done).map_err(refused)
            }
            _ => Err(format!("what is {line:?}?")),
        }
    }

    fn disk(&mut self) -> Result<&mut Blkfront<Xen>, String> {
        self.disk.as_mut().ok_or_else(|| "no disk is open".into())
    }

    fn open(&mut self, name: &str) -> Result<String, String> {
        // A disk that goes is not waited for.
        let options = Options { persistent: Persistent::IfOffered, vanished: Vanishing::Fail, ..Options::DEFAULT };
        let disk = Blkfront::find(&self.store, Which::Named(name), options, PATIENCE).map_err(failed("not found"))?;
        let text = disk.disk().map_or_else(String::new, |disk| disk.to_string());
        self.disk = Some(disk);
        Ok(text)
    }

    /// From the coming of a disk to its end, and what is left of it.
    fn round(&mut self, seed: u64) -> Result<String, String> {
        println!("opened {}", self.open("xvda")?);
        let bytes = pattern(120, seed);
        let disk = self.disk()?;
        disk.write(Sector512(seed), &bytes).map_err(refused)?;
        println!("used, {:?}", disk.flush().map_err(refused)?);
        println!("read {}", self.read(seed, 120, Some(seed))?);
        println!("holds {}", self.have().unwrap_or_else(|more| more));
        while !self.disk()?.is_ended() {
            self.poll()?;
        }
        self.close()?;
        // Xenstore takes a moment to forget a watch.
        for _ in 0..100 {
            if self.have().is_ok() {
                break;
            }
            self.poll()?;
        }
        self.have()
    }

    /// Drops the disk, whatever state it is in.
    fn close(&mut self) -> Result<String, String> {
        self.disk.take().map(|_| "done".into()).ok_or_else(|| "no disk is open".into())
    }

    /// What there is beyond what the guest began with, now.
    fn have(&mut self) -> Result<String, String> {
        let now = Holdings::count(&self.xen, &self.store);
        ensure(now == self.before, &format!("{now:?} instead of {:?}", self.before))?;
        Ok("as before".into())
    }

    fn read(&mut self, at: u64, count: u64, seed: Option<u64>) -> Result<String, String> {
        let mut bytes = vec![0; count as usize * 512];
        self.disk()?.read(Sector512(at), &mut bytes).map_err(refused)?;
        let Some(seed) = seed else {
            return Ok(if bytes.iter().all(|&byte| byte == 0) { "zeros".into() } else { "bytes".into() });
        };
        match pattern(count, seed).iter().zip(&bytes).position(|(wanted, found)| wanted != found) {
            None => Ok("right".into()),
            Some(place) => Err(format!("byte {place} is another one")),
        }
    }
}

fn done<T>(_: T) -> String {
    "done".into()
}

fn refused<E: core::fmt::Debug>(error: E) -> String {
    format!("refused, {error:?}")
}

/// Bytes for some sectors, different for each seed.
fn pattern(sectors: u64, seed: u64) -> Vec<u8> {
    let byte = |index: u64| ((index + seed) ^ (index >> 9).wrapping_mul(seed | 1)) as u8;
    (0..sectors * 512).map(byte).collect()
}
