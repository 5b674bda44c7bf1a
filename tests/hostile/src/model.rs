//! What an end of a ring must answer, worked out from the rules alone.
//!
//! The model counts in 64 bits, which never wrap, and knows the memory as it is at the moment of a call. So each answer of a ring
//! has one right value, whatever the peer wrote.

use crate::memory::Peer;
use crate::tally::Tally;
use xen_shared_ring::PeerError;

/// The header's words, by their place. (`struct name_sring`, `public/io/ring.h`)
pub mod word {
    /// `req_prod`
    pub const REQ_PROD: usize = 0;
    /// `req_event`
    pub const REQ_EVENT: usize = 1;
    /// `rsp_prod`
    pub const RSP_PROD: usize = 2;
    /// `rsp_event`
    pub const RSP_EVENT: usize = 3;
    /// Where the first slot begins.
    pub const SLOTS: usize = 16;
}

/// Which end of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that asks.
    Front,
    /// The end that answers.
    Back,
}

/// An end of a ring as it must be.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which end.
    pub side: Side,
    /// Slots of the ring.
    pub entries: u32,
    /// The index at which all counts were 0.
    pub start: u32,
    /// Messages that the end put.
    pub pushed: u64,
    /// Messages that it showed to the peer.
    pub published: u64,
    /// Messages that it took.
    pub popped: u64,
    /// Messages of the peer's that it knows of.
    pub seen: u64,
    /// Why it is broken.
    pub broken: Option<PeerError>,
}

impl Model {
    /// A new end.
    #[must_use]
    pub const fn new(side: Side, entries: u32, start: u32) -> Self {
        Self { side, entries, start, pushed: 0, published: 0, popped: 0, seen: 0, broken: None }
    }

    /// The index that a count has.
    #[must_use]
    pub const fn index(&self, count: u64) -> u32 {
        self.start.wrapping_add(count as u32)
    }

    /// Where the end's producer index stands, and where the peer asks it for events.
    #[must_use]
    pub const fn out(&self) -> (usize, usize) {
        match self.side {
            Side::Front => (word::REQ_PROD, word::REQ_EVENT),
            Side::Back => (word::RSP_PROD, word::RSP_EVENT),
        }
    }

    /// Where the peer's producer index stands, and where the end asks for events.
    #[must_use]
    pub const fn incoming(&self) -> (usize, usize) {
        match self.side {
            Side::Front => (word::RSP_PROD, word::RSP_EVENT),
            Side::Back => (word::REQ_PROD, word::REQ_EVENT),
        }
    }

    /// How many messages the end may put.
    #[must_use]
    pub const fn room(&self) -> u64 {
        match (self.broken, self.side) {
            (Some(_), _) => 0,
            (None, Side::Front) => self.popped + self.entries as u64 - self.pushed,
            (None, Side::Back) => self.popped - self.pushed,
        }
    }

    /// How many messages more than it has seen the end may find.
    #[must_use]
    pub const fn reach(&self) -> u64 {
        match self.side {
            Side::Front => self.published - self.seen,
            Side::Back => self.published + self.entries as u64 - self.seen,
        }
    }

    /// What looking at the peer's index must come to: the first violation, or nothing.
    ///
    /// # Errors
    ///
    /// The violation that the end must report from now on.
    pub fn look(&mut self, memory: &Peer) -> Result<(), PeerError> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if self.popped < self.seen {
            return Ok(());
        }
        let (before, now, most) = (self.index(self.seen), memory.load(self.incoming().0), self.reach());
        let step = u64::from(now.wrapping_sub(before));
        if step > most {
            let violation = self.violation(before, now, most as u32);
            self.broken = Some(violation);
            return Err(violation);
        }
        self.seen += step;
        Ok(())
    }

    /// What attaching must come to: it looks at the peer's index once.
    pub fn attached(&mut self, memory: &Peer, tally: &mut Tally) {
        if let Err(violation) = self.look(memory) {
            tally.violation(violation);
        }
    }

    /// Whether the peer must be notified of what is published now: one of the new indices is the one that it asked for.
    #[must_use]
    pub fn must_notify(&self, memory: &Peer) -> bool {
        let event = memory.load(self.out().1);
        let steps = u64::from(event.wrapping_sub(self.index(self.published)).wrapping_sub(1)) + 1;
        steps <= self.pushed - self.published
    }

    const fn violation(&self, before: u32, now: u32, most: u32) -> PeerError {
        match self.side {
            Side::Front => PeerError::Responses { before, now, outstanding: most },
            Side::Back => PeerError::Requests { before, now, room: most },
        }
    }
}
