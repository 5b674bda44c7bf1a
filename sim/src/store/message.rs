//! Messages, as they stand on the wire.

use xen_hypercall::Errno;
use xen_hypercall::abi::io::xs_wire::{Header, MessageType};

/// A request, an answer or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageType,
    /// The request's number, which the answer repeats; zero in events.
    pub req_id: u32,
    /// The transaction; zero for none.
    pub tx_id: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// Bytes of a header.
pub(super) const HEADER: usize = size_of::<Header>();

impl Message {
    /// The message as bytes, with the payload's true length in its header.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_with_len(self.payload.len() as u32)
    }

    /// The message as bytes, with another length in its header than the payload's.
    #[must_use]
    pub fn to_bytes_with_len(&self, len: u32) -> Vec<u8> {
        let words = [self.kind.0, self.req_id, self.tx_id, len];
        words.iter().flat_map(|word| word.to_ne_bytes()).chain(self.payload.iter().copied()).collect()
    }

    /// A watch event.
    #[must_use]
    pub fn event(path: &str, token: &[u8]) -> Self {
        let payload = [path.as_bytes(), &[0], token, &[0]].concat();
        Self { kind: MessageType::WATCH_EVENT, req_id: 0, tx_id: 0, payload }
    }

    /// The same request's answer.
    #[must_use]
    pub fn answer(&self, payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..*self }
    }

    /// The same request's refusal: an error's name, to which a NUL is added.
    #[must_use]
    pub fn refusal(&self, name: &str) -> Self {
        let payload = [name.as_bytes(), &[0]].concat();
        Self { kind: MessageType::ERROR, payload, ..*self }
    }

    /// The strings of the payload that a NUL ends.
    pub(super) fn strings(&self) -> Vec<&[u8]> {
        let ended = self.payload.iter().rposition(|byte| *byte == 0);
        ended.map_or_else(Vec::new, |ended| self.payload[..ended].split(|byte| *byte == 0).collect())
    }

    /// The request's path, or what else stands first in it.
    pub(super) fn first(&self) -> String {
        let first = self.payload.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(first).into_owned()
    }
}

/// The header of what has been read so far: the message without its payload, and that one's length.
pub(super) fn header(bytes: &[u8]) -> Option<(Message, u32)> {
    let words = bytes.get(..HEADER)?.as_chunks::<4>().0;
    let word = |index: usize| u32::from_ne_bytes(words[index]);
    let message = Message { kind: MessageType(word(0)), req_id: word(1), tx_id: word(2), payload: Vec::new() };
    Some((message, word(3)))
}

/// An error as the wire names it.
pub(super) fn name(errno: Errno) -> String {
    match errno.name() {
        Some(name) if errno == Errno::E2BIG => name.to_owned(),
        Some(name) => format!("E{name}"),
        None => "EINVAL".to_owned(),
    }
}
