//! What went through an interface. Each number counts modulo 2^64, over all connections.

use crate::chain::{Dropped, REASONS};

/// All of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// What was sent.
    pub sent: Sent,
    /// What was received.
    pub received: Received,
    /// Signals to the backend.
    pub notifications: u64,
    /// Connections.
    pub connections: u64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets that were given to the backend.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests, of which a packet may have several, that the backend says it could not send.
    pub failed: u64,
    /// Of those: with a status that does not exist.
    pub unknown: u64,
    /// Answers of the backend's that name no request where they should.
    pub unnamed: u64,
    /// Packets that were not given to the backend because it would choke on them.
    pub refused: u64,
    /// Requests that were with a backend when it went away: whether their packets were sent is not known.
    pub lost: u64,
}

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times when memory or grants for packets were not to be had.
    pub starved: u64,
    /// Of those: dropped by an adapter because their checksum is wrong.
    pub wrong_checksum: u64,
    dropped: [u64; REASONS],
}

impl Received {
    /// Packets that were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets that were dropped.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: Dropped) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

impl Statistics {
    pub(crate) fn add(&mut self, sent: &Sent, received: &Received) {
        let all = &mut self.sent;
        all.packets += sent.packets;
        all.bytes += sent.bytes;
        all.failed += sent.failed;
        all.unknown += sent.unknown;
        all.unnamed += sent.unnamed;
        all.refused += sent.refused;
        all.lost += sent.lost;
        let all = &mut self.received;
        all.packets += received.packets;
        all.bytes += received.bytes;
        all.starved += received.starved;
        all.wrong_checksum += received.wrong_checksum;
        all.dropped.iter_mut().zip(received.dropped).for_each(|(all, more)| *all += more);
    }
}
