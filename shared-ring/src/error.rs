//! What a peer did that its protocol forbids, and what there was no room for.

use core::fmt;

/// A violation of the ring protocol by the domain at the other end, with the numbers that show it.
///
/// Indices count bytes or messages since the ring was made and wrap at 2^32. They are kept as they were seen; nothing in
/// this type was corrected or clamped.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// The indices that a new end was to take over cannot belong to a ring of this size.
    Start {
        /// The consumer index in shared memory.
        consumed: u32,
        /// The producer index in shared memory.
        produced: u32,
        /// Bytes that the ring holds.
        size: u32,
    },
    /// The peer's consumer index went back, or past what we produced.
    Consumed {
        /// The last index that was accepted.
        before: u32,
        /// The index that was refused.
        now: u32,
        /// Bytes that we produced and the peer had not consumed: the most it could move.
        unread: u32,
    },
    /// The peer's producer index went back, or past the room that we left.
    Produced {
        /// The last index that was accepted.
        before: u32,
        /// The index that was refused.
        now: u32,
        /// Bytes of room that the peer had: the most it could move.
        room: u32,
    },
    /// The back's response index went back, or past the requests that it had to answer. (`rsp_prod`)
    Responses {
        /// The last index that was accepted.
        before: u32,
        /// The index that was refused.
        now: u32,
        /// Requests that were published and unanswered: the most it could move.
        outstanding: u32,
    },
    /// The front's request index went back, or past the slots that were free for requests. (`req_prod`)
    Requests {
        /// The last index that was accepted.
        before: u32,
        /// The index that was refused.
        now: u32,
        /// Slots that held neither a request nor an answer that was still to come: the most it could move.
        room: u32,
    },
    /// A response names a request that the table has no place for.
    IdOutOfRange {
        /// The id in the response.
        id: u64,
        /// Places that the table has; ids begin at zero.
        capacity: u32,
    },
    /// A response names a request that was never made, or was answered before.
    IdNotPending {
        /// The id in the response.
        id: u64,
    },
    /// A response names a request that was not published yet.
    IdNotPublished {
        /// The id in the response.
        id: u64,
    },
    /// A response names an earlier request than the one that has this place of the table now.
    IdStale {
        /// The id in the response.
        id: u64,
        /// The id of the request that is in flight.
        pending: u64,
    },
    /// The peer answered, and kept the page of the request mapped. Found by the driver.
    GrantStillInUse {
        /// The grant's reference.
        gref: u32,
    },
    /// The peer keeps more pages mapped that it should have given back than its device may lose. Found by the driver.
    PagesKept {
        /// How many pages it may keep.
        most: u32,
    },
    /// A message breaks a rule of its protocol. Found by the driver.
    Message {
        /// What the rule is about: the operation, the offset, the status.
        rule: &'static str,
        /// What the message had there.
        value: u64,
    },
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Start { consumed, produced, size } => write!(
                f,
                "the ring was found with consumer index {consumed:#x} and producer index {produced:#x}, \
                 which are {} bytes apart in a ring of {size}",
                produced.wrapping_sub(consumed)
            ),
            Self::Consumed { before, now, unread } => {
                write_move(f, "consumer", before, now)?;
                write!(f, "{unread} bytes were there to consume")
            }
            Self::Produced { before, now, room } => {
                write_move(f, "producer", before, now)?;
                write!(f, "there was room for {room} bytes")
            }
            Self::Responses { before, now, outstanding } => {
                write_move(f, "response", before, now)?;
                write!(f, "{outstanding} requests were outstanding")
            }
            Self::Requests { before, now, room } => {
                write_move(f, "request", before, now)?;
                write!(f, "there was room for {room} requests")
            }
            Self::IdOutOfRange { id, capacity } => {
                write!(f, "the peer answered request {id:#x}, of at most {capacity} that there can be")
            }
            Self::IdNotPending { id } => {
                write!(f, "the peer answered request {id:#x}, which is not in flight")
            }
            Self::IdNotPublished { id } => {
                write!(f, "the peer answered request {id:#x}, which it cannot have seen yet")
            }
            Self::IdStale { id, pending } => {
                write!(f, "the peer answered request {id:#x}, in whose place {pending:#x} is in flight")
            }
            Self::GrantStillInUse { gref } => {
                write!(f, "the peer answered, and still has the page of grant {gref} mapped")
            }
            Self::PagesKept { most } => {
                write!(f, "the peer still has more than {most} pages mapped that it should have given back")
            }
            Self::Message { rule, value } => write!(f, "the peer's message has the wrong {rule} {value:#x}"),
        }
    }
}

impl core::error::Error for PeerError {}

/// Describes the step of an index; a step back is printed as a negative number.
fn write_move(f: &mut fmt::Formatter<'_>, whose: &str, before: u32, now: u32) -> fmt::Result {
    let step = now.wrapping_sub(before).cast_signed();
    write!(f, "the peer moved its {whose} index from {before:#x} to {now:#x} ({step:+}) where ")
}

/// There was no place for the value, which comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no place for it")
    }
}

impl<T> core::error::Error for Full<T> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_message_says_what_was_seen_and_what_was_possible() {
        let back = PeerError::Consumed { before: 2, now: u32::MAX, unread: 7 };
        assert_eq!(
            back.to_string(),
            "the peer moved its consumer index from 0x2 to 0xffffffff (-3) where 7 bytes were there to consume"
        );
        let far = PeerError::Produced { before: 0xffff_fffe, now: 3, room: 4 };
        assert_eq!(
            far.to_string(),
            "the peer moved its producer index from 0xfffffffe to 0x3 (+5) where there was room for 4 bytes"
        );
        let start = PeerError::Start { consumed: 5, produced: 4, size: 1024 };
        assert!(start.to_string().contains("4294967295 bytes apart in a ring of 1024"));
    }

    #[test]
    fn a_message_about_typed_rings_says_which_end_and_which_request() {
        let back = PeerError::Responses { before: 2, now: 1, outstanding: 7 };
        assert_eq!(
            back.to_string(),
            "the peer moved its response index from 0x2 to 0x1 (-1) where 7 requests were outstanding"
        );
        let front = PeerError::Requests { before: u32::MAX, now: 8, room: 7 };
        assert_eq!(
            front.to_string(),
            "the peer moved its request index from 0xffffffff to 0x8 (+9) where there was room for 7 requests"
        );
        let ids = [
            (PeerError::IdOutOfRange { id: 300, capacity: 256 }, "0x12c, of at most 256"),
            (PeerError::IdNotPending { id: 3 }, "0x3, which is not in flight"),
            (PeerError::IdNotPublished { id: 3 }, "0x3, which it cannot have seen yet"),
            (PeerError::IdStale { id: 3, pending: 0x1_0003 }, "0x3, in whose place 0x10003 is in flight"),
            (PeerError::GrantStillInUse { gref: 9 }, "the page of grant 9 mapped"),
            (PeerError::PagesKept { most: 512 }, "more than 512 pages"),
            (PeerError::Message { rule: "status", value: 0x80 }, "the wrong status 0x80"),
        ];
        for (error, words) in ids {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
