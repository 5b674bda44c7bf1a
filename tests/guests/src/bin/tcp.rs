//! Carries bytes over TCP, for scenarios: port 7 sends back what comes, 9 keeps it and tells its SHA-256, 19 sends bytes whose SHA-256
//! it tells, and 11 tells what the guest has of Xen.
//!
//! On the command line, beside the address: `bytes=` for port 19, and the [options](interface_options) of the interface.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use core::error::Error;

use sha2::{Digest as _, Sha256};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use test_guests::Holdings;
use xen_examples::{Network, Turn, interface_options};
use xen_rt::netfront::Options;
use xen_rt::{Guest, entry, println};

/// RFC 862, 866, 863, 864.
const ECHO: u16 = 7;
const SYSTAT: u16 = 11;
const DISCARD: u16 = 9;
const CHARGEN: u16 = 19;

/// Bytes of a socket's buffer, each way.
const BUFFER: usize = 256 * 1024;

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let line = guest.boot().command_line;
    let bytes = line.value("bytes").map_or(Ok(1 << 20), str::parse)?;
    let mut network = Network::up(&guest, interface_options(line, Options::DEFAULT)?)?;
    if let Some(link) = network.interface().and_then(|interface| interface.link()) {
        println!("link: {link:?}");
    }
    let mut services = [
        Service::new(&mut network, ECHO, Work::Echo),
        Service::new(&mut network, DISCARD, Work::Keep { came: 0, hash: Sha256::new() }),
        Service::new(&mut network, CHARGEN, Work::Make { bytes, left: bytes, hash: Sha256::new() }),
        Service::new(&mut network, SYSTAT, Work::Tell),
    ];
    println!("ready");
    while network.turn(|_| ())? == Turn::Work {
        let store = guest.store().ok_or("xenstore is gone")?;
        let holdings = || Holdings::count(&guest.xen(), &store);
        services.iter_mut().for_each(|service| service.go_on(network.sockets(), &holdings));
        network.rest()?;
    }
    if let Some(interface) = network.interface() {
        println!("{:?}", interface.statistics());
    }
    Ok(())
}

/// A port, with one connection at a time.
struct Service {
    port: u16,
    handle: SocketHandle,
    work: Work,
}

/// What is done with the bytes.
enum Work {
    Echo,
    Keep { came: u64, hash: Sha256 },
    Make { bytes: u64, left: u64, hash: Sha256 },
    Tell,
}

impl Service {
    fn new(network: &mut Network<'_>, port: u16, work: Work) -> Self {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let handle = network.sockets().add(Socket::new(buffer(), buffer()));
        Self { port, handle, work }
    }

    fn go_on(&mut self, sockets: &mut SocketSet<'_>, holdings: &impl Fn() -> Holdings) {
        let socket = sockets.get_mut::<Socket<'_>>(self.handle);
        if socket.state() == State::TimeWait {
            // The next one is not to wait for that.
            socket.abort();
        }
        if socket.state() == State::Closed {
            // It is closed, so that it can listen.
            let _ = socket.listen(self.port);
            self.work.begin_anew();
        }
        let is_over = match &mut self.work {
            Work::Echo => echo(socket),
            Work::Keep { came, hash } => keep(socket, came, hash),
            Work::Make { left, hash, .. } => socket.may_send() && make(socket, left, hash),
            Work::Tell => socket.may_send() && tell(socket, holdings()),
        };
        if is_over && socket.state() != State::Listen && socket.may_send() {
            self.work.report();
            socket.close();
        }
    }
}

impl Work {
    fn begin_anew(&mut self) {
        match self {
            Self::Keep { came, hash } => (*came, *hash) = (0, Sha256::new()),
            Self::Make { bytes, left, hash } => (*left, *hash) = (*bytes, Sha256::new()),
            Self::Echo | Self::Tell => {}
        }
    }

    fn report(&self) {
        match self {
            Self::Keep { came, hash } => println!("received {came} bytes: {}", hex(hash)),
            Self::Make { bytes, hash, .. } => println!("sent {bytes} bytes: {}", hex(hash)),
            Self::Echo | Self::Tell => {}
        }
    }
}

fn hex(hash: &Sha256) -> alloc::string::String {
    hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the other side has no more to say: it has closed, and all that it said was taken.
fn has_ended(socket: &Socket<'_>) -> bool {
    socket.state() == State::CloseWait && !socket.can_recv()
}

fn echo(socket: &mut Socket<'_>) -> bool {
    while socket.can_recv() && socket.can_send() {
        let room = socket.send_capacity() - socket.send_queue();
        let piece = socket.recv(|bytes| {
            let taken = bytes.len().min(room);
            (taken, bytes.get(..taken).unwrap_or_default().to_vec())
        });
        let Ok(piece) = piece else { break };
        let _ = socket.send_slice(&piece);
    }
    has_ended(socket)
}

fn keep(socket: &mut Socket<'_>, came: &mut u64, hash: &mut Sha256) -> bool {
    while socket.can_recv() {
        let taken = socket.recv(|bytes| {
            hash.update(&bytes);
            (bytes.len(), bytes.len())
        });
        *came += taken.unwrap_or(0) as u64;
    }
    has_ended(socket)
}

fn make(socket: &mut Socket<'_>, left: &mut u64, hash: &mut Sha256) -> bool {
    while *left > 0 && socket.can_send() {
        let sent = socket.send(|bytes| {
            let count = bytes.len().min(*left as usize);
            let piece = bytes.get_mut(..count).unwrap_or_default();
            // Each byte depends on its place in all.
            (0..)
                .zip(&mut *piece)
                .for_each(|(at, byte): (u64, _)| *byte = ((*left - at).wrapping_mul(0x9e37_79b9) >> 13) as u8);
            hash.update(piece);
            (count, count)
        });
        *left -= sent.unwrap_or(0) as u64;
    }
    *left == 0
}

fn tell(socket: &mut Socket<'_>, holdings: Holdings) -> bool {
    let _ = socket.send_slice(format!("{holdings:?}\n").as_bytes());
    true
}
