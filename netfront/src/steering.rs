//! Which packets come on which queue.

use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::time::Duration;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::{CtrlStatus, CtrlType, HashAlgorithm, HashTypes};

use crate::Platform;
use crate::control::{Answer, Control};
use crate::device::Netfront;
use crate::event::Event;

/// Bytes that the key of a hash has at most: as many as Linux's backend takes, and as the hash of the longest flow can make use of.
pub const MOST_KEY: usize = 40;

/// Entries that a mapping has at most: as many as there are in a page. Backends take fewer; Linux's takes 128.
pub const MOST_MAPPING: usize = PAGE_SIZE / size_of::<u32>();

/// Which packets come on which queue: the backend makes a hash of each packet's flow, by Toeplitz's matrix, and looks for its queue in
/// a table.
///
/// The default leaves all that to the backend, and no packet has a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// Over what hashes are made, as far as the backend can. None of it leaves the choice of a queue to the backend.
    pub types: HashTypes,
    /// The key of the hash, [`MOST_KEY`] bytes at most; what is missing is zeros. Nobody who does not know it can have packets come on
    /// one queue at will; with an empty one all hashes are 0.
    pub key: Vec<u8>,
    /// The queues, from 0 on: a packet comes on the one whose entry has the number of its hash, modulo how many entries there are,
    /// [`MOST_MAPPING`] at most. Of numbers that there are no queues for the remainder counts. An empty one has the remainder of the hash
    /// itself be the queue.
    pub mapping: Vec<u32>,
}

/// Why nobody is told of a [`Steering`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSteering {
    /// The key is longer than [`MOST_KEY`].
    Key,
    /// The mapping is longer than [`MOST_MAPPING`].
    Mapping,
}

/// Why a backend does not steer as it was told. What it was told before may be so in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsteered {
    /// It refused.
    Refused {
        /// What it was asked for.
        request: CtrlType,
        /// What it said; a hostile one says anything.
        status: CtrlStatus,
    },
    /// The mapping is longer than it takes.
    Mapping {
        /// So many entries it takes.
        most: u32,
    },
    /// It can make none of these hashes.
    Types,
    /// It has not answered for [`Options::patience`](crate::Options::patience). Where it does later, it is told the rest.
    Unanswered,
}

/// How packets are to be steered, and how far the backend was told of it.
#[derive(Debug, Default)]
pub(crate) struct Helm {
    wanted: Steering,
    /// What it is still to be asked for, one after the other.
    left: &'static [CtrlType],
    /// The first of it is under way.
    asked: bool,
    /// Since when an answer is waited for, and whether its owner was told.
    since: Option<Duration>,
    told: bool,
    /// The hashes that it can make of those that are wanted.
    types: HashTypes,
}

/// What a backend is told, in this order: not before all else is known hashes are made.
const MAPPED: &[CtrlType] = &[
    CtrlType::GET_HASH_MAPPING_SIZE,
    CtrlType::SET_HASH_KEY,
    CtrlType::SET_HASH_MAPPING_SIZE,
    CtrlType::SET_HASH_MAPPING,
    CtrlType::SET_HASH_ALGORITHM,
    CtrlType::GET_HASH_FLAGS,
    CtrlType::SET_HASH_FLAGS,
];

/// The same, without a mapping.
const UNMAPPED: &[CtrlType] = &[
    CtrlType::SET_HASH_KEY,
    CtrlType::SET_HASH_MAPPING_SIZE,
    CtrlType::SET_HASH_ALGORITHM,
    CtrlType::GET_HASH_FLAGS,
    CtrlType::SET_HASH_FLAGS,
];

/// Hashes are not made any more.
const OFF: &[CtrlType] = &[CtrlType::SET_HASH_ALGORITHM];

impl<P: Platform> Netfront<P> {
    /// Says which packets are to come on which queue, from now on and over all connections.
    ///
    /// The backend is told where it has a control ring ([`Link::steers`](crate::Link::steers)), and what comes of it is
    /// [`Event::Steering`]; another one chooses by itself. It may break its word: a packet can come on any queue, with any hash or none.
    ///
    /// # Errors
    ///
    /// There is more of it than any backend can be told. What was said before stays.
    pub fn steer(&mut self, steering: Steering) -> Result<(), InvalidSteering> {
        steering.check()?;
        let course = steering.course(OFF);
        self.helm.wanted = steering;
        self.helm.begin(course);
        self.helm.begin_times_anew(self.store.now());
        Ok(())
    }

    /// A backend knows nothing of all that at first.
    pub(crate) const fn tell_of_steering(&mut self) {
        let course = self.helm.wanted.course(&[]);
        self.helm.begin(course);
        self.helm.since = None;
    }

    /// Takes the answer, and asks for what is next.
    pub(crate) fn go_on_steering(&mut self, now: Duration) {
        let (may_send, patience) = (self.may_send(), self.options.patience);
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.is_live()) else { return };
        let Some(control) = &mut connection.control else { return };
        let end = control.answer().and_then(|answer| self.helm.heed(answer));
        if may_send && control.is_free() {
            let queues = connection.queues.len() as u32;
            if self.helm.ask(control, queues, now) == Some(CtrlType::SET_HASH_FLAGS) {
                // The first may be there before the answer is.
                connection.queues.iter_mut().for_each(|queue| queue.receive.expect_hashes(self.helm.types));
            }
        }
        if let Some(end) = end.or_else(|| self.helm.lose_patience(now, patience)) {
            self.note(Event::Steering(end));
        }
    }
}

impl Helm {
    const fn begin(&mut self, course: &'static [CtrlType]) {
        // An answer that is still to come is to what was wanted before.
        (self.left, self.asked, self.told, self.types) = (course, false, false, self.wanted.types);
    }

    /// When its owner is told that there is no answer.
    pub(crate) fn deadline(&self, patience: Duration) -> Option<Duration> {
        self.since.filter(|_| !self.told).map(|since| since.saturating_add(patience))
    }

    /// It is not the backend's fault that so much time has passed.
    pub(crate) fn begin_times_anew(&mut self, now: Duration) {
        self.since = self.since.map(|_| now);
    }

    /// Heeds an answer; says what came of all, where that is known now.
    fn heed(&mut self, answer: Answer) -> Option<Result<HashTypes, Unsteered>> {
        (self.since, self.told) = (None, false);
        let (true, Some((request, left))) = (self.asked, self.left.split_first()) else { return None };
        (self.asked, self.left) = (false, left);
        if let Err(why) = self.judge(*request, answer) {
            self.left = &[];
            return Some(Err(why));
        }
        left.is_empty().then_some(Ok(self.types))
    }

    fn judge(&mut self, request: CtrlType, answer: Answer) -> Result<(), Unsteered> {
        let number = answer.map_err(|status| Unsteered::Refused { request, status })?;
        match request {
            CtrlType::GET_HASH_MAPPING_SIZE if self.wanted.mapping.len() as u64 > number.into() => {
                Err(Unsteered::Mapping { most: number })
            }
            CtrlType::GET_HASH_FLAGS => {
                self.types &= HashTypes::from_bits_retain(number);
                if self.types.is_empty() { Err(Unsteered::Types) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Asks for what is next, if there is something.
    fn ask<P: Platform>(&mut self, control: &mut Control<P>, queues: u32, now: Duration) -> Option<CtrlType> {
        let request = *self.left.first()?;
        let data = self.data(request, control, queues);
        control.ask(request, data);
        (self.asked, self.since) = (true, Some(now));
        Some(request)
    }

    /// What a request says. (`XEN_NETIF_CTRL_TYPE_*`, public/io/netif.h)
    fn data<P: Platform>(&self, request: CtrlType, control: &mut Control<P>, queues: u32) -> [u32; 3] {
        let Steering { types, key, mapping } = &self.wanted;
        let entries = mapping.len() as u32;
        match request {
            CtrlType::SET_HASH_ALGORITHM if types.is_empty() => [HashAlgorithm::NONE.0, 0, 0],
            CtrlType::SET_HASH_ALGORITHM => [HashAlgorithm::TOEPLITZ.0, 0, 0],
            CtrlType::SET_HASH_FLAGS => [self.types.bits(), 0, 0],
            CtrlType::SET_HASH_KEY => [control.lay_out(key.iter().copied()).0, key.len() as u32, 0],
            CtrlType::SET_HASH_MAPPING_SIZE => [entries, 0, 0],
            CtrlType::SET_HASH_MAPPING => {
                let bytes = mapping.iter().flat_map(|queue| (queue % queues.max(1)).to_ne_bytes());
                [control.lay_out(bytes).0, entries, 0]
            }
            _ => [0; 3],
        }
    }

    /// Whether the answer has been waited for too long. Said once.
    fn lose_patience(&mut self, now: Duration, patience: Duration) -> Option<Result<HashTypes, Unsteered>> {
        self.deadline(patience).filter(|due| *due <= now)?;
        self.told = true;
        Some(Err(Unsteered::Unanswered))
    }
}

impl Steering {
    /// The hash of a flow: what an honest backend makes of these bytes of a packet, which are the source's address, the destination's, and
    /// with ports the source's and the destination's. Which queue it comes on is known by that beforehand.
    ///
    /// ```
    /// use xen_netfront::Steering;
    /// let key = vec![0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d];
    /// let steering = Steering { key, ..Steering::default() };
    /// assert_eq!(steering.hash(&[66, 9, 149, 187, 161, 142, 100, 80]), 0x323e_8fc2);
    /// ```
    #[must_use]
    pub fn hash(&self, flow: &[u8]) -> u32 {
        let mut key = self.key.iter().copied().chain(iter::repeat(0));
        let first = key.by_ref().take(8);
        // The upper half is what counts for the next bit; the lower one follows. (`xen_netif_toeplitz_hash`, public/io/netif.h)
        let mut window = first.fold(0_u64, |window, byte| window << 8 | u64::from(byte));
        let mut hash = 0;
        for (byte, next) in flow.iter().zip(key) {
            for bit in (0..8).rev() {
                hash ^= if byte >> bit & 1 == 1 { window >> 32 } else { 0 };
                window <<= 1;
            }
            window |= u64::from(next);
        }
        hash as u32
    }

    const fn check(&self) -> Result<(), InvalidSteering> {
        match self {
            Self { key, .. } if key.len() > MOST_KEY => Err(InvalidSteering::Key),
            Self { mapping, .. } if mapping.len() > MOST_MAPPING => Err(InvalidSteering::Mapping),
            _ => Ok(()),
        }
    }

    /// What a backend is to be told; `off` where it is to choose by itself.
    const fn course(&self, off: &'static [CtrlType]) -> &'static [CtrlType] {
        match self {
            Self { types, .. } if types.is_empty() => off,
            Self { mapping, .. } if mapping.is_empty() => UNMAPPED,
            _ => MAPPED,
        }
    }
}

impl fmt::Display for InvalidSteering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => write!(f, "the key has more than {MOST_KEY} bytes"),
            Self::Mapping => write!(f, "the mapping has more than {MOST_MAPPING} entries"),
        }
    }
}

impl core::error::Error for InvalidSteering {}

impl fmt::Display for Unsteered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { request, status } => write!(f, "the backend answered {request:?} with {status:?}"),
            Self::Mapping { most } => write!(f, "the backend takes a mapping of {most} entries at most"),
            Self::Types => f.write_str("the backend can make none of these hashes"),
            Self::Unanswered => f.write_str("the backend has not answered"),
        }
    }
}

impl core::error::Error for Unsteered {}
