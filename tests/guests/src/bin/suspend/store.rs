//! As much of xenstore as a guest needs to be asked for a suspend: read a node, write a node.

use alloc::string::String;
use alloc::vec;
use core::time::Duration;

use test_guests::failed;
use xen_hypercall::abi::io::xs_wire::{Header, MessageType};
use xen_rt::event_channel::Channel;
use xen_rt::{Guest, Xen};
use xen_shared_ring::{ByteRing, Consumer, Producer, SharedMem};
use zerocopy::{FromBytes, IntoBytes};

/// How long the daemon may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Store<'a> {
    guest: &'a Guest,
    channel: Channel<Xen>,
    requests: Producer,
    answers: Consumer,
}

impl<'a> Store<'a> {
    /// Takes over the ring that the toolstack made.
    ///
    /// # Safety
    ///
    /// Nothing else uses the ring.
    pub(crate) unsafe fn attach(guest: &'a Guest) -> Result<Self, String> {
        let shared = guest.boot().store.ok_or("no xenstore")?;
        let channel = Channel::adopt(&guest.xen(), shared.port).map_err(failed("no channel"))?;
        // SAFETY: the runtime vouches for the page; the caller answers for the rest.
        let page = unsafe { SharedMem::new(shared.page, 4096) };
        let mut rest = Some(page);
        let mut part = |size| {
            let (part, behind) = rest.take()?.split_at(size)?;
            rest = Some(behind);
            Some(part)
        };
        let parts = (|| Some((part(1024)?, part(1024)?, [part(4)?, part(4)?, part(4)?, part(4)?])))();
        let (requests, answers, [request_cons, request_prod, answer_cons, answer_prod]) = parts.ok_or("no room")?;
        Ok(Self {
            guest,
            channel,
            requests: Producer::attach(ByteRing::new(requests, request_cons, request_prod).ok_or("no ring")?),
            answers: Consumer::attach(ByteRing::new(answers, answer_cons, answer_prod).ok_or("no ring")?),
        })
    }

    /// What a node holds.
    pub(crate) fn read(&mut self, path: &str) -> Result<String, String> {
        let text = [path.as_bytes(), b"\0"].concat();
        self.call(MessageType::READ, &text)
    }

    /// Writes a node.
    pub(crate) fn write(&mut self, path: &str, value: &str) -> Result<(), String> {
        let text = [path.as_bytes(), b"\0", value.as_bytes()].concat();
        self.call(MessageType::WRITE, &text).map(drop)
    }

    fn call(&mut self, kind: MessageType, payload: &[u8]) -> Result<String, String> {
        let header = Header { kind, req_id: 1, tx_id: 0, len: payload.len() as u32 };
        let message = [header.as_bytes(), payload].concat();
        let written = self.requests.write(&message).map_err(failed("the ring is broken"))?;
        if written != message.len() {
            return Err("the ring is full".into());
        }
        self.channel.notify().map_err(failed("not told"))?;
        let mut header = [0; size_of::<Header>()];
        self.take(&mut header)?;
        let header = Header::read_from_bytes(&header).map_err(|_| "no header")?;
        let mut answer = vec![0; header.len.min(4096) as usize];
        self.take(&mut answer)?;
        let text = String::from_utf8(answer).map_err(failed("no text"))?;
        if header.kind == MessageType::ERROR { Err(text) } else { Ok(text) }
    }

    fn take(&mut self, mut into: &mut [u8]) -> Result<(), String> {
        let deadline = self.guest.clock().now() + PATIENCE;
        while !into.is_empty() {
            let seen = self.channel.count();
            let count = self.answers.read(into).map_err(failed("the ring is broken"))?;
            into = &mut into[count..];
            if count > 0 {
                let _ = self.channel.notify();
            } else if self.guest.clock().now() >= deadline {
                return Err("no answer".into());
            } else {
                let _ = self.guest.events().wait(&self.channel, seen, deadline).map_err(failed("no wait"))?;
            }
        }
        Ok(())
    }
}
