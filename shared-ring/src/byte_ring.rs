//! One direction of a byte ring: a producer and a consumer that do not trust each other.
//!
//! The console page and the xenstore page each hold two such directions: a power of two of bytes, an index up
//! to which they were produced and one up to which they were consumed. Both indices run freely and wrap at
//! 2^32. (`xencons_interface`, public/io/console.h; `xenstore_domain_interface`, public/io/xs_wire.h)
//!
//! # What a hostile peer can cause
//!
//! * Any bytes in what is read, and none of what is written to arrive: the bytes are the peer's.
//! * A full or an empty ring for ever: every call returns at once, the caller decides how long to try.
//! * An index that it could not have reached, compared with what is outstanding and not with the ring's size,
//!   breaks this direction for good: each later call returns the first [`PeerError`] and uses nothing of
//!   the shared memory any more. Only a new end, made by [`Producer::attach`] or [`Consumer::attach`], heals it.
//! * Nothing by changing *our* index: it is kept in private memory, and the shared one is only written.
//!
//! No call panics, waits or loops on what the peer wrote, and none reads an index twice.
//! (Tests `hc_001` to `hc_013` and `hc_150` in `tests/`, each run from starts at which the indices wrap.)
//!
//! # Example
//!
//! Both ends over the same memory, as in a test; in a kernel the other end is another domain.
//!
//! ```
//! use std::ptr::NonNull;
//! use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
//! use xen_shared_ring::{ByteRing, Consumer, PeerError, Producer, SharedMem};
//!
//! let bytes = [const { AtomicU8::new(0) }; 16];
//! let (consumed, produced) = (AtomicU32::new(0), AtomicU32::new(0));
//! // SAFETY: atomics, which outlive both ends.
//! let part = |start: NonNull<u8>, len| unsafe { SharedMem::new(start, len) };
//! let index = |word| part(NonNull::<AtomicU32>::from(word).cast(), 4);
//! let ring = || ByteRing::new(part(NonNull::from(&bytes).cast(), 16), index(&consumed), index(&produced)).unwrap();
//! let (mut producer, mut consumer) = (Producer::attach(ring()), Consumer::attach(ring()));
//!
//! assert_eq!(producer.write(b"more than sixteen bytes"), Ok(16));
//! let mut copy = [0; 4];
//! assert_eq!(consumer.read(&mut copy), Ok(4));
//! assert_eq!(&copy, b"more");
//!
//! produced.store(99, Relaxed); // no room for so many bytes
//! let error = PeerError::Produced { before: 16, now: 99, room: 4 };
//! assert_eq!(consumer.read(&mut copy), Err(error));
//! produced.store(16, Relaxed);
//! assert_eq!(consumer.read(&mut copy), Err(error), "too late");
//! ```

use crate::error::PeerError;
use crate::memory::{SharedMem, SharedWord};
use crate::{law, order};

/// The shared memory of one direction: the bytes and both indices.
#[derive(Debug)]
pub struct ByteRing {
    bytes: SharedMem,
    size: u32,
    consumed: SharedWord,
    produced: SharedWord,
}

impl ByteRing {
    /// A ring of the bytes and the two indices, such as [`SharedMem::split_at`] makes of a page. Nothing is read yet.
    ///
    /// `None` where the bytes are not a power of two, so that wrapping indices would not stay in step with them, or an index
    /// is not an aligned word of four bytes.
    #[must_use]
    pub fn new(bytes: SharedMem, consumed: SharedMem, produced: SharedMem) -> Option<Self> {
        let size = u32::try_from(bytes.len()).ok().filter(|size| size.is_power_of_two())?;
        Some(Self { bytes, size, consumed: consumed.into_word()?, produced: produced.into_word()? })
    }

    fn write(&self, index: u32, bytes: &[u8]) {
        let first = self.bytes.write(self.position(index), bytes);
        let rest = bytes.get(first..).unwrap_or_default();
        let _wrapped = self.bytes.write(0, rest);
    }

    fn read(&self, index: u32, into: &mut [u8]) {
        let first = self.bytes.read(self.position(index), into);
        let rest = into.get_mut(first..).unwrap_or_default();
        let _wrapped = self.bytes.read(0, rest);
    }

    /// Where in the ring the byte with this index lies.
    const fn position(&self, index: u32) -> usize {
        (index & (self.size - 1)) as usize
    }
}

/// The end that writes.
#[derive(Debug)]
pub struct Producer(End);

impl Producer {
    /// Takes over the producing end at the indices that the shared memory holds.
    ///
    /// Impossible indices make an end that is broken from the start.
    #[must_use]
    pub fn attach(ring: ByteRing) -> Self {
        Self(End::attach(ring))
    }

    /// Writes and publishes as many of `bytes` as there is room for, and returns how many that was.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        let count = self.room()?.min(bytes.len());
        if count > 0 {
            let end = &mut self.0;
            end.ring.write(end.produced, &bytes[..count]);
            end.produced = end.produced.wrapping_add(count as u32);
            order::publish(&end.ring.produced, end.produced);
        }
        Ok(count)
    }

    /// How many bytes can be written now; the peer can only make it more.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    pub fn room(&mut self) -> Result<usize, PeerError> {
        let unread = self.unread()?;
        Ok(self.0.ring.size as usize - unread)
    }

    /// How many bytes the peer has not consumed yet.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    pub fn unread(&mut self) -> Result<usize, PeerError> {
        let end = &mut self.0;
        let now = order::peer_index(&end.ring.consumed);
        end.consumed = end.check(end.consumed, now, end.produced, |before, unread| {
            // The peer may have consumed up to all that was unread.
            PeerError::Consumed { before, now, unread }
        })?;
        Ok(end.unread() as usize)
    }

    /// The violation that broke this direction, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<PeerError> {
        self.0.violation()
    }

    /// Takes over the indices that the shared memory holds now, as [`attach`](Self::attach) does, and forgets a violation. For when
    /// both sides agreed to begin anew in the same memory.
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// Gives the shared memory back, for a new end after the peer was replaced.
    #[must_use]
    pub const fn detach(self) -> ByteRing {
        self.0.ring
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct Consumer(End);

impl Consumer {
    /// Takes over the consuming end at the indices that the shared memory holds.
    ///
    /// Impossible indices make an end that is broken from the start.
    #[must_use]
    pub fn attach(ring: ByteRing) -> Self {
        Self(End::attach(ring))
    }

    /// Reads as many bytes as there are and `into` holds, gives their room back to the peer, and returns how
    /// many they were.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, PeerError> {
        let count = self.available()?.min(into.len());
        if count > 0 {
            let end = &mut self.0;
            end.ring.read(end.consumed, &mut into[..count]);
            end.consumed = end.consumed.wrapping_add(count as u32);
            order::publish(&end.ring.consumed, end.consumed);
        }
        Ok(count)
    }

    /// How many bytes can be read now; the peer can only make it more.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    pub fn available(&mut self) -> Result<usize, PeerError> {
        let end = &mut self.0;
        let now = order::peer_index(&end.ring.produced);
        let full = end.consumed.wrapping_add(end.ring.size);
        end.produced = end.check(end.produced, now, full, |before, room| {
            // The peer may have filled up to all the room that we left.
            PeerError::Produced { before, now, room }
        })?;
        Ok(end.unread() as usize)
    }

    /// The violation that broke this direction, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<PeerError> {
        self.0.violation()
    }

    /// Takes over the indices that the shared memory holds now, as [`attach`](Self::attach) does, and forgets a violation. For when
    /// both sides agreed to begin anew in the same memory.
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// Gives the shared memory back, for a new end after the peer was replaced.
    #[must_use]
    pub const fn detach(self) -> ByteRing {
        self.0.ring
    }
}

/// What both ends are made of.
#[derive(Debug)]
struct End {
    ring: ByteRing,
    /// One index is ours: its copy in shared memory is written and never read back. The other is the peer's, as last accepted.
    produced: u32,
    consumed: u32,
    health: Result<(), PeerError>,
}

impl End {
    /// An end at the indices that the shared memory holds. A new ring need not start at zero: a boot loader or an earlier
    /// kernel may have used it.
    fn attach(ring: ByteRing) -> Self {
        let mut end = Self { ring, produced: 0, consumed: 0, health: Ok(()) };
        end.restart();
        end
    }

    fn restart(&mut self) {
        let (consumed, produced, size) = (self.ring.consumed.load(), self.ring.produced.load(), self.ring.size);
        let possible = law::may_move(consumed, produced, consumed.wrapping_add(size));
        self.health = if possible { Ok(()) } else { Err(PeerError::Start { consumed, produced, size }) };
        (self.consumed, self.produced) = (consumed, produced);
    }

    const fn unread(&self) -> u32 {
        self.produced.wrapping_sub(self.consumed)
    }

    /// The index `now` if the peer could go there from `before`, where `limit` is the furthest.
    fn check(
        &mut self,
        before: u32,
        now: u32,
        limit: u32,
        violation: impl FnOnce(u32, u32) -> PeerError,
    ) -> Result<u32, PeerError> {
        self.health?;
        if !law::may_move(before, now, limit) {
            self.health = Err(violation(before, limit.wrapping_sub(before)));
        }
        self.health.map(|()| now)
    }

    const fn violation(&self) -> Option<PeerError> {
        match self.health {
            Ok(()) => None,
            Err(error) => Some(error),
        }
    }
}
