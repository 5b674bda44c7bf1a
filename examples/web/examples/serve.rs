//! Serves the example's pages on 127.0.0.1, for a browser on this machine: every byte goes through the server's own network stack.
//!
//! ```text
//! cargo run --package xen-web-example --example serve -- 8080
//! ```
//!
//! Each connection of the browser is made again on a cable in this process, at whose other end the server is. Its figures of packets
//! and requests are real ones, those of the hypervisor are made up.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smoltcp::socket::tcp::State;
use support::client::{Client, Manners, Peer};
use support::wire::{self, Port};
use xen_web_example::{Level, MemoryFiles, Options, Snapshot, Stack, Traffic, Web};

/// How long this process sleeps where nothing happens.
const NAP: Duration = Duration::from_micros(200);

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    println!("http://{}/status", listener.local_addr()?);
    let (mut cable, other) = wire::pair();
    let mac = [2, 0, 0, 0, 0, 2];
    let mut stack = Stack::new(&mut cable, mac, support::fixed(), 2);
    let mut web =
        Web::new(&mut stack.sockets, MemoryFiles::new(&site()), figures as fn(&Port) -> Snapshot, Options::DEFAULT);
    let (mut client, mut bridges, start) = (Client::new(other), Vec::new(), Instant::now());
    loop {
        let now = start.elapsed();
        if let Ok((stream, _)) = listener.accept() {
            bridges.push(Bridge::new(stream, &mut client)?);
        }
        bridges.retain_mut(|bridge| bridge.carry(&mut client).unwrap_or(false) || bridge.end(&mut client));
        client.poll(now);
        stack.receive(&mut cable, now);
        web.poll(&mut stack.sockets, &cable, now);
        stack.transmit(&mut cable, now);
        if !cable.is_busy() {
            sleep(NAP);
        }
    }
}

/// A connection of the browser, and the same on the cable.
struct Bridge {
    stream: TcpStream,
    peer: Peer,
}

impl Bridge {
    fn new(stream: TcpStream, client: &mut Client) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, peer: client.connect_with(Manners::Stuck, 64 << 10) })
    }

    /// Carries what has come both ways; `false` where there will be no more.
    fn carry(&mut self, client: &mut Client) -> std::io::Result<bool> {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => client.close(self.peer),
            Ok(count) => client.say(self.peer, &bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        client.take(self.peer, bytes.len());
        let heard = client.heard(self.peer);
        while !heard.is_empty() {
            match self.stream.write(heard) {
                Ok(count) => drop(heard.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(!matches!(client.state(self.peer), State::Closed | State::CloseWait | State::TimeWait))
    }

    fn end(&self, client: &mut Client) -> bool {
        let _ = self.stream.shutdown(Shutdown::Both);
        client.abort(self.peer);
        false
    }
}

/// Figures that look like those of a guest.
fn figures(port: &Port) -> Snapshot {
    let ((packets_in, bytes_in), (packets_out, bytes_out)) = port.seen();
    Snapshot {
        wall: SystemTime::now().duration_since(UNIX_EPOCH).ok(),
        memory: Level { used: (5 << 20) + packets_out % 97 * 1024, of: 16 << 20 },
        hypercalls: 900 + packets_out / 3,
        events: 400 + packets_in / 4,
        grants: Level { used: 513 + packets_in % 5, of: 2048 },
        ring: Level { used: packets_out % 37, of: 256 },
        received: Traffic { packets: packets_in, bytes: bytes_in },
        sent: Traffic { packets: packets_out, bytes: bytes_out },
    }
}

/// The site that the scenario of the guest puts on a disk.
fn site() -> Vec<(&'static str, &'static [u8])> {
    let files = include_str!("../guest/web.sh").split("cat >$site").skip(1);
    let file = |text: &'static str| {
        let (name, rest) = text.split_once(" <<'END'\n")?;
        Some((name, rest.split_once("END\n")?.0.as_bytes()))
    };
    files.filter_map(file).collect()
}
