//! Bytes that wait for room in the ring.

use zerocopy::IntoBytes;

use super::SendError;
use crate::wire::{Header, MESSAGE_MAX};

/// Room for two of the longest messages: while one goes out in pieces, others can be put. (The stacks of models are small.)
const SIZE: usize = if cfg!(loom) { 512 } else { 2 * MESSAGE_MAX };

/// Whole messages in the order in which they were put.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: [u8; SIZE],
    start: usize,
    end: usize,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; SIZE], start: 0, end: 0 }
    }

    /// Puts a message, or nothing of it.
    pub(super) fn put(&mut self, header: Header, parts: &[&[u8]]) -> Result<(), SendError> {
        let len = size_of::<Header>() + parts.iter().map(|part| part.len()).sum::<usize>();
        if SIZE - self.end < len {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if SIZE - self.end < len {
            return Err(SendError::Full);
        }
        self.append(header.as_bytes());
        parts.iter().for_each(|part| self.append(part));
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops bytes from the front.
    pub(super) fn take(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
        if self.start == self.end {
            self.clear();
        }
    }

    pub(super) const fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    fn append(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.end..end) {
            room.copy_from_slice(bytes);
            self.end = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{MessageType, PAYLOAD_MAX};

    const fn header(len: u32) -> Header {
        Header { kind: MessageType::WRITE, req_id: 1, tx_id: 0, len }
    }

    #[test]
    fn two_of_the_longest_fit_and_a_third_goes_in_when_one_is_out() {
        let mut outbox = Outbox::new();
        let payload = [7; PAYLOAD_MAX];
        let put = |outbox: &mut Outbox| outbox.put(header(PAYLOAD_MAX as u32), &[&payload]);
        put(&mut outbox).unwrap();
        put(&mut outbox).unwrap();
        outbox.take(MESSAGE_MAX - 1);
        assert_eq!(put(&mut outbox), Err(SendError::Full));
        assert_eq!(outbox.bytes().len(), MESSAGE_MAX + 1, "nothing of what did not fit");
        outbox.take(1);
        put(&mut outbox).unwrap();
        assert_eq!(outbox.bytes().len(), 2 * MESSAGE_MAX);
        outbox.take(usize::MAX);
        assert_eq!(outbox.bytes(), b"");
        put(&mut outbox).unwrap();
        outbox.take(1);
        outbox.take(usize::MAX);
        put(&mut outbox).unwrap();
        assert_eq!(outbox.bytes().len(), MESSAGE_MAX, "no more was taken than there was");
    }
}
