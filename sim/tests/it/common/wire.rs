//! A guest that speaks with xenstored byte by byte, so that the simulator is tested apart from the crates above it.

use std::time::Duration;

use xen_event_channel::Channel;
use xen_hypercall::abi::io::xs_wire::{Header, MessageType};
use xen_shared_ring::SharedMem;
use xen_sim::{Domain, Machine, Message, Word};

const REQ_CONS: usize = 2048;
const REQ_PROD: usize = 2052;
const RSP_CONS: usize = 2056;
const RSP_PROD: usize = 2060;
const CONNECTION: usize = 2068;

/// How long a guest waits.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    pub(crate) domain: Domain,
    pub(crate) page: SharedMem,
    pub(crate) channel: Channel<Domain>,
    read: Vec<u8>,
    next_id: u32,
    /// Events that came while an answer was waited for: path and token.
    pub(crate) events: Vec<(String, String)>,
}

/// A machine with one domain that xenstored knows.
pub(crate) fn guest(seed: u64) -> (Machine, Client) {
    let machine = Machine::new(seed);
    let domain = machine.domain();
    machine.xenstore().introduce(&domain);
    let client = Client::new(&domain);
    (machine, client)
}

impl Client {
    pub(crate) fn new(domain: &Domain) -> Self {
        let (page, port) = domain.store().expect("introduced");
        let channel = Channel::adopt(domain, port).expect("open");
        Self { domain: domain.clone(), page, channel, read: Vec::new(), next_id: 1, events: Vec::new() }
    }

    pub(crate) fn word(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        assert_eq!(self.page.read(offset, &mut bytes), 4);
        u32::from_ne_bytes(bytes)
    }

    pub(crate) fn set(&self, offset: usize, value: u32) {
        assert_eq!(self.page.write(offset, &value.to_ne_bytes()), 4);
    }

    /// Waits for an event, or a while.
    pub(crate) fn wait(&self, seen: u32, deadline: Duration) {
        let next = deadline.min(self.domain.now() + Duration::from_millis(100));
        let _ = self.channel.wait_poll(seen, next, || self.domain.now()).unwrap();
    }

    /// Puts bytes into the ring as there is room.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        let deadline = self.domain.now() + PATIENCE;
        while !bytes.is_empty() {
            let seen = self.channel.count();
            let (cons, prod) = (self.word(REQ_CONS), self.word(REQ_PROD));
            let room = 1024 - prod.wrapping_sub(cons) as usize;
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            if now.is_empty() {
                assert!(self.domain.now() < deadline, "no room");
                self.wait(seen, deadline);
                continue;
            }
            self.put_unsignalled(now);
            self.channel.notify().unwrap();
            bytes = rest;
        }
    }

    /// Puts bytes into the ring, for which there is room, and tells nobody.
    pub(crate) fn put_unsignalled(&self, bytes: &[u8]) {
        let prod = self.word(REQ_PROD);
        for (byte, at) in bytes.iter().zip(0u32..) {
            assert_eq!(self.page.write(prod.wrapping_add(at) as usize % 1024, &[*byte]), 1);
        }
        self.set(REQ_PROD, prod.wrapping_add(bytes.len() as u32));
    }

    /// Takes what stands in the ring, as bytes.
    pub(crate) fn take_raw(&mut self) -> Vec<u8> {
        self.take();
        std::mem::take(&mut self.read)
    }

    /// Takes what stands in the ring.
    pub(crate) fn take(&mut self) {
        let (cons, prod) = (self.word(RSP_CONS), self.word(RSP_PROD));
        let count = prod.wrapping_sub(cons);
        assert!(count <= 1024, "the daemon's index is impossible");
        for at in 0..count {
            let mut byte = [0];
            assert_eq!(self.page.read(1024 + cons.wrapping_add(at) as usize % 1024, &mut byte), 1);
            self.read.push(byte[0]);
        }
        if count > 0 {
            self.set(RSP_CONS, prod);
            self.channel.notify().unwrap();
        }
    }

    /// The next whole message that has come.
    pub(crate) fn parse(&mut self) -> Option<Message> {
        let words = self.read.get(..size_of::<Header>())?.as_chunks::<4>().0;
        let [kind, req_id, tx_id, len] = std::array::from_fn(|index| u32::from_ne_bytes(words[index]));
        let payload = self.read.get(16..16 + len as usize)?.to_vec();
        self.read.drain(..16 + len as usize);
        Some(Message { kind: MessageType(kind), req_id, tx_id, payload })
    }

    /// The next message; `None` where there is none for so long.
    pub(crate) fn receive_within(&mut self, time: Duration) -> Option<Message> {
        let deadline = self.domain.now() + time;
        loop {
            let seen = self.channel.count();
            self.take();
            if let Some(message) = self.parse() {
                return Some(message);
            }
            if self.domain.now() >= deadline {
                return None;
            }
            self.wait(seen, deadline);
        }
    }

    /// Sends a request without waiting; answers with its number.
    pub(crate) fn send(&mut self, kind: MessageType, tx_id: u32, payload: &[u8]) -> u32 {
        let req_id = self.next_id;
        self.next_id += 1;
        self.put(&Message { kind, req_id, tx_id, payload: payload.to_vec() }.to_bytes());
        req_id
    }

    /// The answer to a request; events are put aside.
    pub(crate) fn answer(&mut self, req_id: u32) -> Option<Message> {
        loop {
            let message = self.receive_within(PATIENCE)?;
            if message.kind == MessageType::WATCH_EVENT {
                self.events.push(texts(&message));
            } else {
                assert_eq!(message.req_id, req_id);
                return Some(message);
            }
        }
    }

    /// A request and its answer: the payload, or the error's name.
    pub(crate) fn ask_in(&mut self, tx_id: u32, kind: MessageType, payload: &[u8]) -> Result<Vec<u8>, String> {
        let id = self.send(kind, tx_id, payload);
        let answer = self.answer(id).expect("an answer in time");
        assert_eq!(answer.tx_id, tx_id);
        if answer.kind == MessageType::ERROR {
            assert_eq!(answer.payload.last(), Some(&0));
            return Err(String::from_utf8_lossy(&answer.payload[..answer.payload.len() - 1]).into_owned());
        }
        assert_eq!(answer.kind, kind);
        Ok(answer.payload)
    }

    pub(crate) fn ask(&mut self, kind: MessageType, payload: &[u8]) -> Result<Vec<u8>, String> {
        self.ask_in(0, kind, payload)
    }

    pub(crate) fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.ask(MessageType::READ, &ended(path))
    }

    pub(crate) fn write(&mut self, path: &str, value: &str) -> Result<Vec<u8>, String> {
        self.ask(MessageType::WRITE, &[&ended(path), value.as_bytes()].concat())
    }

    pub(crate) fn watch(&mut self, path: &str, token: &str) -> Result<Vec<u8>, String> {
        self.ask(MessageType::WATCH, &[ended(path), ended(token)].concat())
    }

    /// The next event: path and token.
    pub(crate) fn event(&mut self) -> Option<(String, String)> {
        if self.events.is_empty() {
            let message = self.receive_within(Duration::from_millis(500))?;
            assert_eq!((message.kind, message.req_id, message.tx_id), (MessageType::WATCH_EVENT, 0, 0));
            return Some(texts(&message));
        }
        Some(self.events.remove(0))
    }

    pub(crate) fn start(&mut self) -> u32 {
        let id = self.ask(MessageType::TRANSACTION_START, &[0]).unwrap();
        String::from_utf8(id).unwrap().trim_end_matches('\0').parse().unwrap()
    }

    /// Asks for a reconnect and waits for it.
    pub(crate) fn reconnect(&mut self) {
        self.set(CONNECTION, 1);
        self.channel.notify().unwrap();
        self.await_connection();
    }

    pub(crate) fn await_connection(&mut self) {
        let deadline = self.domain.now() + PATIENCE;
        while self.word(CONNECTION) != 0 {
            assert!(self.domain.now() < deadline, "no connection");
            let seen = self.channel.count();
            self.wait(seen, deadline);
        }
        self.read.clear();
    }
}

pub(crate) fn ended(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn texts(message: &Message) -> (String, String) {
    let payload = message.payload.strip_suffix(&[0]).expect("a NUL at the end");
    let texts: Vec<String> =
        payload.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into()).collect();
    assert_eq!(texts.len(), 2);
    (texts[0].clone(), texts[1].clone())
}

/// A word's place in the page, as the header has it.
pub(crate) const fn offset(word: Word) -> usize {
    match word {
        Word::RequestConsumer => REQ_CONS,
        Word::RequestProducer => REQ_PROD,
        Word::ResponseConsumer => RSP_CONS,
        Word::ResponseProducer => RSP_PROD,
        Word::ServerFeatures => 2064,
        Word::Connection => CONNECTION,
        _ => 2072,
    }
}
