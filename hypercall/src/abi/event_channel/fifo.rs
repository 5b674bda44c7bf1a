//! The FIFO form: a word per port, queues by priority.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most urgent priority.
///
/// `EVTCHN_FIFO_PRIORITY_MAX`, public/event_channel.h
pub const FIFO_PRIORITY_MAX: u32 = 0;

/// The priority of a port that nobody has set.
///
/// `EVTCHN_FIFO_PRIORITY_DEFAULT`, public/event_channel.h
pub const FIFO_PRIORITY_DEFAULT: u32 = 7;

/// The least urgent priority.
///
/// `EVTCHN_FIFO_PRIORITY_MIN`, public/event_channel.h
pub const FIFO_PRIORITY_MIN: u32 = 15;

/// How many queues a vCPU has, one per priority.
///
/// `EVTCHN_FIFO_MAX_QUEUES`, public/event_channel.h
pub const FIFO_MAX_QUEUES: usize = 16;

/// One port's state in the FIFO form: the four bits below and a link to the next port of its queue.
///
/// `event_word_t`, public/event_channel.h
pub type EventWord = u32;

/// Bit number: an event has happened.
///
/// `EVTCHN_FIFO_PENDING`, public/event_channel.h
pub const FIFO_PENDING: u32 = 31;

/// Bit number: the port does not notify.
///
/// `EVTCHN_FIFO_MASKED`, public/event_channel.h
pub const FIFO_MASKED: u32 = 30;

/// Bit number: the port is in a queue.
///
/// `EVTCHN_FIFO_LINKED`, public/event_channel.h
pub const FIFO_LINKED: u32 = 29;

/// Bit number: Xen is about to unlink the port.
///
/// `EVTCHN_FIFO_BUSY`, public/event_channel.h
pub const FIFO_BUSY: u32 = 28;

/// How many bits of an event word link to the next port.
///
/// `EVTCHN_FIFO_LINK_BITS`, public/event_channel.h
pub const FIFO_LINK_BITS: u32 = 17;

/// The bits of an event word that link to the next port.
///
/// `EVTCHN_FIFO_LINK_MASK`, public/event_channel.h
pub const FIFO_LINK_MASK: u32 = (1 << FIFO_LINK_BITS) - 1;

/// How many ports the FIFO form has.
///
/// `EVTCHN_FIFO_NR_CHANNELS`, public/event_channel.h
pub const FIFO_NR_CHANNELS: u32 = 1 << FIFO_LINK_BITS;

/// A vCPU's control block, which Xen and the guest both write.
///
/// `struct evtchn_fifo_control_block`, public/event_channel.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FifoControlBlock {
    /// A bit per queue that has events.
    pub ready: u32,
    /// Unused.
    ///
    /// C: `_rsvd`
    pub _rsvd: u32,
    /// The first port of each queue.
    pub head: [u32; FIFO_MAX_QUEUES],
}

const_assert_eq!(size_of::<FifoControlBlock>(), 72);
