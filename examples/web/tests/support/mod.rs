//! A network of two machines in one thread, whose time is an argument: the server, and a client that says what a test wants.

#![allow(dead_code, reason = "each file of tests uses a part")]

pub(crate) mod client;
pub(crate) mod dhcp;
pub(crate) mod wire;

use std::time::Duration;

use xen_web_example::{Address, Files, Level, MemoryFiles, Options, Snapshot, Stack, Traffic, Web};

use client::Client;
use wire::Port;

pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 2];
pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];

/// Where the figures come from in tests.
pub(crate) type Source = fn(&Port) -> Snapshot;

/// The figures of a test: what the wire has seen, and numbers that can be told from each other.
pub(crate) fn snapshot(port: &Port) -> Snapshot {
    let seen = port.seen();
    let traffic = |(packets, bytes)| Traffic { packets, bytes };
    Snapshot {
        wall: Some(Duration::from_secs(784_111_777)),
        memory: Level { used: 5 << 20, of: 16 << 20 },
        hypercalls: 1_000 + seen.0.0,
        events: 500 + seen.1.0,
        grants: Level { used: 513, of: 2_048 },
        ring: Level { used: 3, of: 256 },
        received: traffic(seen.0),
        sent: traffic(seen.1),
    }
}

pub(crate) const FILES: &[(&str, &[u8])] = &[
    ("/index.html", b"<!DOCTYPE html><title>Files</title><p>Hello from a file."),
    ("/style.css", b"p { color: teal }"),
    ("/folder/index.html", b"<!DOCTYPE html><title>Folder</title>"),
    ("/folder/a b.txt", b"with a blank"),
    ("/large.bin", &[0xa5; 1_000_000]),
];

/// The server, a client, and the time.
pub(crate) struct Lab<F: Files> {
    pub(crate) stack: Stack,
    pub(crate) web: Web<F, Source>,
    pub(crate) port: Port,
    pub(crate) client: Client,
    pub(crate) now: Duration,
    /// How often the server was polled.
    pub(crate) polls: usize,
}

impl Lab<MemoryFiles> {
    /// A server with the files of all tests, at its own address.
    pub(crate) fn new() -> Self {
        Self::with(Options::DEFAULT)
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::serving(MemoryFiles::new(FILES), fixed(), options)
    }
}

impl<F: Files> Lab<F> {
    pub(crate) fn serving(files: F, address: Address, options: Options) -> Self {
        let (mut port, other) = wire::pair();
        let mut stack = Stack::new(&mut port, [2, 0, 0, 0, 0, 2], address, 2);
        let web = Web::new(&mut stack.sockets, files, snapshot as Source, options);
        Self { stack, web, port, client: Client::new(other), now: Duration::from_secs(1000), polls: 0 }
    }

    /// Lets everything go on until something is so; `false` if it is not so within some time.
    pub(crate) fn until(&mut self, within: Duration, mut is_so: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + within;
        loop {
            self.client.poll(self.now);
            self.turn();
            if is_so(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            let due = self.client.next_deadline(self.now).min(self.next_deadline());
            // A packet takes a moment, so that nothing goes round for ever.
            let soon = self.now + Duration::from_micros(50);
            self.now = if self.port.is_busy() { soon } else { due.clamp(soon, end.max(soon)) };
        }
    }

    /// What a guest does in one turn.
    pub(crate) fn turn(&mut self) {
        self.polls += 1;
        self.stack.receive(&mut self.port, self.now);
        self.stack.take_lease();
        self.web.poll(&mut self.stack.sockets, &self.port, self.now);
        self.stack.transmit(&mut self.port, self.now);
    }

    /// When the next turn is due.
    pub(crate) fn next_deadline(&mut self) -> Duration {
        self.stack.next_deadline(self.now).into_iter().fold(self.web.next_deadline(self.now), Duration::min)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.until(time, |_| false);
    }

    /// One request on a connection of its own, and its answer.
    pub(crate) fn ask(&mut self, request: &str) -> Response {
        let peer = self.client.connect();
        self.client.say(peer, request.as_bytes());
        let response = self.response(peer, Duration::from_secs(60)).expect("there is an answer");
        self.client.abort(peer);
        self.pass(Duration::from_millis(1));
        response
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Waits for the next answer on a connection to a request that was not HEAD.
    pub(crate) fn response(&mut self, peer: client::Peer, within: Duration) -> Option<Response> {
        self.response_to(peer, within, Content::Whole)
    }

    pub(crate) fn response_to(&mut self, peer: client::Peer, within: Duration, content: Content) -> Option<Response> {
        let mut found = None;
        self.until(within, |lab| {
            found = Response::take(lab.client.heard(peer), content);
            found.is_some()
        });
        found
    }
}

pub(crate) fn fixed() -> Address {
    Address::read(Some("10.0.0.2/24"), Some("10.0.0.1")).unwrap()
}

/// What an answer's length stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// So much follows.
    Whole,
    /// So much would follow.
    None,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Takes an answer from the beginning of what was heard, once it is complete.
    pub(crate) fn take(heard: &mut Vec<u8>, content: Content) -> Option<Self> {
        let end = heard.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(heard[..end].to_vec()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("there is a status");
        let mut response = Self { status, head, body: Vec::new() };
        let length = response.field("content-length").map_or(0, |length| length.parse().expect("it is a number"));
        let length = if content == Content::None { 0 } else { length };
        if heard.len() < end + length {
            return None;
        }
        response.body = heard[end..end + length].to_vec();
        heard.drain(..end + length);
        Some(response)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }
}
