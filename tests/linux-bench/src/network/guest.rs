//! The guest's end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bench_load::{DISCARD, END, Figures, HTTP, LISTENING, READY, SOURCE, STOP, Traffic, What};
use rustix::mount::{MountFlags, mount};

use super::pktgen::{Copies, Generator};
use super::{counter, give, interface, socket, take};
use crate::guest::{answer, load, next_line, now, say, variable};
use crate::privcmd::Privcmd;

const INTERFACE: &str = "eth0";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 15);
/// How often, and how long after each time, the interface is looked for.
const LOOKS: (u32, Duration) = (1000, Duration::from_millis(5));

/// What a page of Linux's is: as little as there can be.
const PAGE: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nLinux\n";

pub(crate) fn serve() -> Result<()> {
    start()?;
    load("pktgen", "")?;
    let bench = Bench { discard: listen(DISCARD)?, source: listen(SOURCE)?, xen: Privcmd::open()? };
    say(READY);
    answer(|line| bench.measure(&line.parse()?))
}

/// Serves pages until the console says that it is over.
pub(crate) fn serve_pages() -> Result<()> {
    start()?;
    let port = listen(HTTP)?;
    thread::spawn(move || port.incoming().flatten().try_for_each(serve_page));
    ensure!(next_line()? == END, "told something else than to end");
    Ok(())
}

fn serve_page(mut peer: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(peer.try_clone()?).lines();
    // Up to the end of its head.
    while !lines.next().context("the request ends early")??.is_empty() {}
    Ok(peer.write_all(PAGE.as_bytes())?)
}

fn start() -> Result<()> {
    mount("proc", "/proc", "proc", MountFlags::empty(), None).context("cannot mount /proc")?;
    load("xen-netfront", &variable("netfront", "").replace(',', " "))?;
    let (looks, pause) = LOOKS;
    let there = (0..looks).any(|_| {
        let there = interface::exists(INTERFACE);
        if !there {
            sleep(pause);
        }
        there
    });
    ensure!(there, "there is no interface {INTERFACE}");
    interface::up(INTERFACE, ADDRESS)
}

fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("no port {port}"))
}

struct Bench {
    discard: TcpListener,
    source: TcpListener,
    xen: Privcmd,
}

impl Bench {
    fn measure(&self, traffic: &Traffic) -> Result<Figures> {
        let generator = (traffic.what == What::Transmit).then(|| Generator::prepare(INTERFACE, traffic, Copies::All));
        let generator = generator.transpose()?;
        let came = counter(INTERFACE, "rx_packets")?;
        let (clock, ran) = (now(), self.xen.running()?);
        if traffic.listens() {
            say(LISTENING);
        }
        let mut sent = None;
        match (traffic.what, generator) {
            (What::Transmit, Some(generator)) => sent = Some(generator.run()?),
            (What::Send, _) => socket::send(INTERFACE, traffic)?,
            (What::TcpIn, _) => {
                take(&mut self.discard.accept()?.0)?;
            }
            (What::TcpOut, _) => give(&mut self.source.accept()?.0, traffic.total())?,
            // The kernel does it.
            _ => {}
        }
        if traffic.listens() {
            let line = next_line()?;
            ensure!(line == STOP, "told {line:?}");
        }
        let (running, elapsed) = (self.xen.running()? - ran, now() - clock);
        let came = counter(INTERFACE, "rx_packets")? - came;
        let requests = if traffic.what == What::Receive { came } else { traffic.count };
        let (requests, elapsed) = sent.unwrap_or((requests, elapsed));
        Ok(Figures { requests, elapsed, running, hypercalls: None })
    }
}
