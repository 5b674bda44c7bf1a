//! How long a guest takes to its first answers, seen from domain 0.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use bench_load::{END, Figures, HTTP, Traffic, What};

use super::domain0::{GUEST, tell};
use crate::domain0::Guest;

/// How long a guest may take to start.
const PATIENCE: Duration = Duration::from_secs(120);
/// Often enough, and so seldom that the guest is not kept from starting.
const SOON: Duration = Duration::from_millis(5);
/// How long a connection may take that the guest may not have heard of.
const CONNECT: Duration = Duration::from_secs(1);

/// Prints how long a guest took to its first answered ping, by when two files were written.
pub(crate) fn ping(start: &str, end: &str) -> Result<()> {
    told(What::Boot, start, written(end)?)
}

/// Prints how long a guest took to its first page, asked for from when the second file is written on, and ends it.
pub(crate) fn page(start: &str, answered: &str, console: &str) -> Result<()> {
    let begun = Instant::now();
    let is_there = || Path::new(answered).exists() && fetch().is_ok();
    while !is_there() {
        ensure!(begun.elapsed() < PATIENCE, "no page: {:#}", fetch().err().context("it came late")?);
        sleep(SOON);
    }
    told(What::Page, start, SystemTime::now())?;
    Guest::open(console)?.tell(END)
}

fn told(what: What, start: &str, end: SystemTime) -> Result<()> {
    let elapsed = end.duration_since(written(start)?)?.as_nanos() as u64;
    let traffic = Traffic { what, bytes: 0, burst: 1, count: 1 };
    tell(&traffic, &Figures { requests: 1, elapsed, ..Figures::default() }, 0);
    Ok(())
}

fn written(file: &str) -> Result<SystemTime> {
    fs::metadata(file).and_then(|it| it.modified()).with_context(|| format!("no file {file}"))
}

fn fetch() -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&(GUEST, HTTP).into(), CONNECT)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "it answers {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}
