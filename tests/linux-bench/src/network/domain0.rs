//! Domain 0's end.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use bench_load::{DISCARD, END, Figures, LISTENING, READY, SOURCE, STOP, Traffic, What};

use super::pktgen::{Copies, Generator};
use super::{counter, give, take};
use crate::domain0::{Guest, QUIET};
use crate::privcmd::Privcmd;

pub(super) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 15);
/// How long packets may be on their way.
const PATIENCE: Duration = Duration::from_secs(10);
/// Packets that nobody has asked for.
const FEW: u64 = 4;
const SOON: Duration = Duration::from_micros(100);

/// Has a guest do what the plan says, with domain 0 at the other end, and prints after each work its figures, and how long domain 0
/// ran for it.
pub(crate) fn meter(console: &str, plan: &str, interface: &str) -> Result<()> {
    let works = fs::read_to_string(plan).with_context(|| format!("cannot read {plan}"))?;
    let mut meter = Meter { guest: Guest::open(console)?, xen: Privcmd::open()?, interface };
    meter.guest.answer(READY)?;
    for work in works.lines() {
        let work: Traffic = work.parse().with_context(|| format!("the plan says {work:?}"))?;
        sleep(QUIET);
        let (figures, ran) = meter.measure(&work).with_context(|| format!("{work}"))?;
        tell(&work, &figures, ran);
    }
    meter.guest.tell(END)
}

pub(super) fn tell(work: &Traffic, figures: &Figures, ran: u64) {
    println!("{work}: {figures}; domain 0 {ran}");
}

struct Meter<'a> {
    guest: Guest,
    xen: Privcmd,
    interface: &'a str,
}

impl Meter<'_> {
    fn measure(&mut self, work: &Traffic) -> Result<(Figures, u64)> {
        let generator =
            (work.what == What::Receive).then(|| Generator::prepare(self.interface, work, Copies::One)).transpose()?;
        let passed = (counter(self.interface, "rx_packets")?, counter(self.interface, "tx_packets")?);
        let before = self.xen.running()?;
        self.guest.tell(&work.to_string())?;
        let elapsed = if work.listens() {
            self.guest.answer(LISTENING)?;
            let elapsed = self.play(work, generator.as_ref())?;
            self.guest.tell(STOP)?;
            Some(elapsed)
        } else {
            None
        };
        let figures: Figures = self.guest.answer("done")?.parse()?;
        let ran = self.xen.running()? - before;
        self.compare(work, &figures, passed)?;
        Ok((Figures { elapsed: elapsed.unwrap_or(figures.elapsed), ..figures }, ran))
    }

    /// Whether both sides have seen the same packets, `passed` being netback's counts before.
    fn compare(&self, work: &Traffic, figures: &Figures, passed: (u64, u64)) -> Result<()> {
        let (here, there) = match work.what {
            What::Transmit | What::Send => (counter(self.interface, "rx_packets")? - passed.0, figures.requests),
            What::Receive => (counter(self.interface, "tx_packets")? - passed.1, figures.requests),
            _ => return Ok(()),
        };
        // A system has packets of its own.
        ensure!(here.abs_diff(there) <= FEW, "netback has passed {here} packets on, and the guest says {there}");
        let lost = work.count.saturating_sub(here);
        ensure!(lost <= work.count / 10, "of {} packets {lost} were dropped", work.count);
        Ok(())
    }

    /// Plays the other side; answers how long it took, in nanoseconds.
    fn play(&self, work: &Traffic, generator: Option<&Generator>) -> Result<u64> {
        let start = Instant::now();
        match (work.what, generator) {
            (What::Receive, Some(generator)) => return self.flood(generator, work.count),
            (What::Ping, _) => return ping(work),
            (What::TcpIn, _) => send(work.total())?,
            (What::TcpOut, _) => receive(work.total())?,
            _ => bail!("that is nothing to be played"),
        }
        Ok(start.elapsed().as_nanos() as u64)
    }

    /// Sends packets, and waits until the guest has all but those that netback drops, as it does when its queue is full.
    fn flood(&self, generator: &Generator, count: u64) -> Result<u64> {
        let gone = || Ok::<_, Error>(counter(self.interface, "tx_packets")? + counter(self.interface, "tx_dropped")?);
        let before = gone()?;
        let (_, elapsed) = generator.run()?;
        let start = Instant::now();
        while gone()? - before < count {
            ensure!(start.elapsed() < PATIENCE, "the guest does not take its packets");
            sleep(SOON);
        }
        Ok(elapsed)
    }
}

/// Pings the guest, each time when it has answered; answers how long all round trips took together.
fn ping(work: &Traffic) -> Result<u64> {
    let (count, size) = (work.count.to_string(), work.bytes.to_string());
    let guest = GUEST.to_string();
    let output = Command::new("/bin/ping").args(["-A", "-q", "-c", &count, "-s", &size, "-W", "5", &guest]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains(&format!(" {count} packets received")), "ping says {said}");
    let average = || {
        let (_, times) = said.split_once("min/avg/max = ")?;
        times.split('/').nth(1)?.parse::<f64>().ok()
    };
    let milliseconds = average().with_context(|| format!("ping says {said}"))?;
    Ok((milliseconds * 1e6) as u64 * work.count)
}

fn send(bytes: u64) -> Result<()> {
    let mut peer = TcpStream::connect((GUEST, DISCARD))?;
    give(&mut peer, bytes)?;
    // Its end comes when it has taken all.
    ensure!(take(&mut peer)? == 0, "the guest said something");
    Ok(())
}

fn receive(bytes: u64) -> Result<()> {
    let came = take(&mut TcpStream::connect((GUEST, SOURCE))?)?;
    ensure!(came == bytes, "{came} of {bytes} bytes came");
    Ok(())
}
