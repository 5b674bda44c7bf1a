//! What tells the two ends of a typed ring apart.

use crate::error::PeerError;
use crate::page::Word;
use crate::protocol::{Protocol, Slot};

/// The role of the end that asks.
#[derive(Clone, Copy, Debug)]
pub enum Front {}

/// The role of the end that answers.
#[derive(Clone, Copy, Debug)]
pub enum Back {}

/// One of the two roles, [`Front`] and [`Back`].
pub trait Role: sealed::Role {
    /// What this end pushes.
    type Out<P: Protocol>: Slot;
    /// What this end pops.
    type In<P: Protocol>: Slot;
}

impl Role for Front {
    type Out<P: Protocol> = P::Request;
    type In<P: Protocol> = P::Response;
}

impl Role for Back {
    type Out<P: Protocol> = P::Response;
    type In<P: Protocol> = P::Request;
}

pub(crate) mod sealed {
    use super::{Back, Front, PeerError, Word};

    /// The table of `ring`'s documentation, and the words of the header.
    pub trait Role {
        #[doc(hidden)]
        const OUT_INDEX: Word;
        #[doc(hidden)]
        const OUT_EVENT: Word;
        #[doc(hidden)]
        const IN_INDEX: Word;
        #[doc(hidden)]
        const IN_EVENT: Word;

        /// How far ahead of what we popped we may push.
        fn push_ahead(entries: u32) -> u32;
        /// How far ahead of what we published the peer may publish.
        fn peer_ahead(entries: u32) -> u32;
        /// What the peer did when its index went further than `most` from `before`.
        fn violation(before: u32, now: u32, most: u32) -> PeerError;
    }

    impl Role for Front {
        const OUT_INDEX: Word = Word::ReqProd;
        const OUT_EVENT: Word = Word::ReqEvent;
        const IN_INDEX: Word = Word::RspProd;
        const IN_EVENT: Word = Word::RspEvent;

        #[inline]
        fn push_ahead(entries: u32) -> u32 {
            entries
        }

        #[inline]
        fn peer_ahead(_: u32) -> u32 {
            0
        }

        fn violation(before: u32, now: u32, outstanding: u32) -> PeerError {
            PeerError::Responses { before, now, outstanding }
        }
    }

    impl Role for Back {
        const OUT_INDEX: Word = Word::RspProd;
        const OUT_EVENT: Word = Word::RspEvent;
        const IN_INDEX: Word = Word::ReqProd;
        const IN_EVENT: Word = Word::ReqEvent;

        #[inline]
        fn push_ahead(_: u32) -> u32 {
            0
        }

        #[inline]
        fn peer_ahead(entries: u32) -> u32 {
            entries
        }

        fn violation(before: u32, now: u32, room: u32) -> PeerError {
            PeerError::Requests { before, now, room }
        }
    }
}
