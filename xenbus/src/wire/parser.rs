//! From bytes to messages, in whatever pieces the bytes come.

use zerocopy::IntoBytes;

use super::{Header, PAYLOAD_MAX, Violation};

const HEADER: usize = size_of::<Header>();

/// Puts a message together from pieces of any size, in a buffer of fixed size. It never holds more than one message.
///
/// ```
/// use xen_xenbus::wire::{Header, MessageType, Parser};
/// use zerocopy::IntoBytes;
///
/// let header = Header { kind: MessageType::READ, req_id: 7, tx_id: 0, len: 2 };
/// let mut bytes = header.as_bytes().iter().chain(b"ok");
/// let mut parser = Parser::new();
/// let message = loop {
///     // A ring's `read` fills as much of it as there is.
///     parser.space()[0] = *bytes.next().unwrap();
///     if let Some(message) = parser.filled(1).unwrap() {
///         break message;
///     }
/// };
/// assert_eq!((message.header, message.payload), (header, &b"ok"[..]));
/// ```
#[derive(Debug)]
pub struct Parser {
    header: Header,
    payload: [u8; PAYLOAD_MAX],
    /// Bytes of the present message that have come, the header's included.
    filled: usize,
}

/// A whole message.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload, as long as the header says.
    pub payload: &'a [u8],
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the beginning of a message.
    #[must_use]
    pub fn new() -> Self {
        Self { header: Header::default(), payload: [0; PAYLOAD_MAX], filled: 0 }
    }

    /// Where the next bytes belong. Never empty; never beyond the end of the present message.
    pub fn space(&mut self) -> &mut [u8] {
        if self.is_whole() {
            self.filled = 0;
        }
        match self.filled.checked_sub(HEADER) {
            None => self.header.as_mut_bytes().get_mut(self.filled..).unwrap_or_default(),
            Some(start) => self.payload.get_mut(start..self.header.len as usize).unwrap_or_default(),
        }
    }

    /// Takes note of `count` bytes that were put at the start of [`space`](Self::space), and answers with the message if that
    /// was its end. It stands until the next call of `space`.
    ///
    /// # Errors
    ///
    /// [`Violation::TooLong`] when a header's length cannot be: where the next message begins is then unknown for good.
    pub fn filled(&mut self, count: usize) -> Result<Option<Received<'_>>, Violation> {
        let before = self.filled;
        self.filled += count.min(self.missing());
        if before < HEADER && self.filled == HEADER && self.header.len as usize > PAYLOAD_MAX {
            let len = self.header.len;
            self.reset();
            return Err(Violation::TooLong { len });
        }
        Ok(self.is_whole().then(|| Received { header: self.header, payload: self.body() }))
    }

    /// Whether a message has begun to come and has not ended.
    #[must_use]
    pub const fn is_within(&self) -> bool {
        self.filled > 0 && !self.is_whole()
    }

    /// Forgets the bytes of a message that has not come whole.
    pub const fn reset(&mut self) {
        self.filled = 0;
        self.header.len = 0;
    }

    const fn is_whole(&self) -> bool {
        self.filled >= HEADER && self.filled == HEADER + self.header.len as usize
    }

    /// How many bytes fit into the present space.
    const fn missing(&self) -> usize {
        match HEADER.checked_sub(self.filled) {
            Some(0) | None => (HEADER + self.header.len as usize).saturating_sub(self.filled),
            Some(of_header) => of_header,
        }
    }

    fn body(&self) -> &[u8] {
        self.payload.get(..self.header.len as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MessageType;
    use super::*;
    use alloc::vec::Vec;

    fn message(req_id: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header { kind: MessageType::READ, req_id, tx_id: 3, len: payload.len() as u32 };
        [header.as_bytes(), payload].concat()
    }

    /// Feeds pieces, and answers with the messages' numbers and payloads.
    fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<(u32, Vec<u8>)> {
        let mut parser = Parser::new();
        let mut messages = Vec::new();
        for mut piece in pieces {
            while !piece.is_empty() {
                let space = parser.space();
                let count = space.len().min(piece.len());
                space[..count].copy_from_slice(&piece[..count]);
                piece = &piece[count..];
                if let Some(message) = parser.filled(count).unwrap() {
                    messages.push((message.header.req_id, message.payload.to_vec()));
                }
            }
        }
        assert!(!parser.is_within());
        messages
    }

    #[test]
    fn hc_131_a_message_may_come_in_any_two_pieces_and_byte_by_byte() {
        let bytes = [message(1, b"hello"), message(2, b""), message(3, b"x")].concat();
        let expected = [(1, b"hello".to_vec()), (2, Vec::new()), (3, b"x".to_vec())];
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(feed(pieces.into_iter()), expected, "split at {first} and {second}");
            }
        }
        assert_eq!(feed(bytes.chunks(1)), expected);
    }

    #[test]
    fn the_longest_message_passes_and_one_byte_more_does_not() {
        let longest = message(1, &[7; PAYLOAD_MAX]);
        assert_eq!(feed([&longest[..]].into_iter()), [(1, [7; PAYLOAD_MAX].to_vec())]);
        for len in [PAYLOAD_MAX as u32 + 1, u32::MAX] {
            let mut parser = Parser::new();
            let header = Header { kind: MessageType::READ, req_id: 1, tx_id: 0, len };
            parser.space().copy_from_slice(header.as_bytes());
            assert_eq!(parser.filled(HEADER).unwrap_err(), Violation::TooLong { len }, "hc_130");
        }
    }

    #[test]
    fn more_than_there_is_space_for_is_not_believed() {
        let mut parser = Parser::new();
        assert!(parser.filled(usize::MAX).unwrap().is_some(), "an empty message of zeros");
        assert!(!parser.is_within());
    }
}
