//! Typed rings: requests one way, responses the other, in the same slots.
//!
//! An end puts messages with [`push`](Ring::push), which the peer does not see, and shows them with
//! [`publish`](Ring::publish), which says whether the peer wants an event. It takes messages with [`pop`](Ring::pop), and
//! with [`pop_or_arm`](Ring::pop_or_arm) before it sleeps. Front and back are one type: a front's responses and a back's
//! requests come in at most as far as the indices below allow.
//!
//! | | may push up to | the peer may publish up to |
//! |---|---|---|
//! | front | responses popped + size | requests published |
//! | back | requests popped | responses published + size |
//!
//! # What a hostile peer can cause
//!
//! * Any bits in what is popped: a message is an [`Untrusted`] copy, made once, and bits that do not change any more.
//! * A ring that stays full or empty: every call returns at once, the caller decides how long to try.
//! * Needless events to itself, or none: [`publish`](Ring::publish) goes by an event index that the peer writes. And none to
//!   us, when it overwrites ours, or just never sends: whoever sleeps needs a deadline.
//! * At an index that it could not have reached, compared with the table above and not with the ring's size, the end
//!   breaks for good: it pops nothing, is full, publishes nothing, keeps the first [`PeerError`], and uses nothing of the
//!   shared memory any more. Only a new ring heals that.
//! * Nothing by changing *our* indices or slots: they are only written, from private copies.
//!
//! No call panics, waits or loops on what the peer wrote. A loop of `pop` without `push` or `publish` ends after at most
//! as many messages as were outstanding, whatever the peer publishes meanwhile.
//! (Tests `hc_001` to `hc_020` in `tests/`, for both ends and from starts at which the indices wrap; the models in
//! `tests/loom.rs`.)
//!
//! # Cost
//!
//! The calls are always inlined: each is a handful of instructions where it is used, about as many as ring.h's macros give C,
//! and no quick path asks whether the ring is broken. [`push_all`](Ring::push_all) and [`drain`](Ring::drain) keep the
//! indices in registers from message to message.
//!
//! # Example
//!
//! Both ends over the same memory, as in a test; in a kernel the other end is in another domain.
//!
//! ```
//! use std::ptr::NonNull;
//! use std::sync::atomic::AtomicU64;
//! use xen_shared_ring::{BackRing, FrontRing, Notify, OnePage, Protocol, SharedMem};
//!
//! enum Doubling {}
//! impl Protocol for Doubling {
//!     type Request = u32;
//!     type Response = u64;
//! }
//!
//! let page = [const { AtomicU64::new(0) }; 512];
//! // SAFETY: atomics, which outlive both ends.
//! let region = || unsafe { SharedMem::new(NonNull::from(&page).cast(), 4096) };
//! let mut front = FrontRing::<Doubling, _>::init(region(), OnePage).unwrap();
//! let mut back = BackRing::<Doubling, _>::attach(region(), OnePage).unwrap();
//!
//! front.push(21).unwrap();
//! assert_eq!(back.pop_or_arm().unwrap().map(|_| "a request"), None, "nothing was published yet");
//! assert_eq!(front.publish(), Notify::Needed);
//!
//! while let Some(request) = back.pop_or_arm().unwrap() {
//!     let number = request.into_unverified();
//!     back.push(2 * u64::from(number)).expect("a popped request leaves room for its response");
//! }
//! let _ = back.publish();
//! assert_eq!(front.pop().unwrap().unwrap().into_unverified(), 42);
//! ```

mod begin;

use core::fmt;
use core::hint::cold_path;
use core::marker::PhantomData;
use core::num::NonZeroU32;

use crate::drain::Drain;
use crate::error::{Full, PeerError};
use crate::law::Notify;
use crate::memory::Region;
use crate::page::RingPage;
use crate::protocol::{Entries, OnePage, Prefix, Protocol, check_prefix};
use crate::role::{Back, Front, Role};
use crate::untrusted::Untrusted;
use crate::{law, order};

/// The end that asks: pushes requests, pops responses.
pub type FrontRing<P, M, S = OnePage> = Ring<Front, P, M, S>;

/// The end that answers: pops requests, pushes responses.
pub type BackRing<P, M, S = OnePage> = Ring<Back, P, M, S>;

/// One end of a ring of protocol `P` in the memory of region `M`, with `S` slots.
pub struct Ring<R: Role, P: Protocol, M, S: Entries<P> = OnePage> {
    page: RingPage<P, S>,
    /// Up to where we filled slots.
    pushed: u32,
    /// Up to where the peer was told of them. The copy in shared memory is written and never read back.
    published: u32,
    /// Up to where we may fill slots, as the table above says.
    push_limit: u32,
    /// Up to where we took the peer's messages.
    popped: u32,
    /// Up to where the peer published messages, as last accepted.
    seen: u32,
    health: Result<(), PeerError>,
    region: M,
    role: PhantomData<R>,
}

impl<P: Protocol, M: Region, S: Entries<P>> FrontRing<P, M, S> {
    /// Requests that were published and whose responses were not popped yet; none of a broken ring.
    #[inline]
    #[must_use]
    pub const fn outstanding(&self) -> u32 {
        self.published.wrapping_sub(self.popped)
    }
}

impl<R: Role, P: Protocol, M: Region, S: Entries<P>> Ring<R, P, M, S> {
    /// Fills a slot, which the peer does not see before [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// The message comes back when there is no room, or the ring is broken.
    #[inline(always)]
    pub fn push<T: Prefix<R::Out<P>>>(&mut self, message: T) -> Result<(), Full<T>> {
        const { check_prefix::<T, R::Out<P>>() };
        if self.room() == 0 {
            cold_path();
            return Err(Full(message));
        }
        self.page.slot(self.pushed).store(&message);
        self.pushed = self.pushed.wrapping_add(1);
        Ok(())
    }

    /// Fills slots with the messages of an iterator for as long as there is room, and answers how many they were. That costs
    /// less than to push them one by one.
    #[inline(always)]
    pub fn push_all<T: Prefix<R::Out<P>>>(&mut self, messages: impl IntoIterator<Item = T>) -> u32 {
        const { check_prefix::<T, R::Out<P>>() };
        let (page, mut place, mut count) = (self.page, self.page.place(self.pushed), 0);
        messages.into_iter().take(self.room() as usize).for_each(|message| {
            page.slot(place).store(&message);
            place = page.place(place.wrapping_add(1));
            count += 1;
        });
        self.pushed = self.pushed.wrapping_add(count);
        count
    }

    /// Shows the peer what was pushed, and answers whether it wants an event for that.
    ///
    /// It costs a full barrier when anything was pushed: call it once for a batch.
    /// (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`, `RING_PUSH_RESPONSES_AND_CHECK_NOTIFY`, public/io/ring.h)
    #[inline(always)]
    pub fn publish(&mut self) -> Notify {
        let (old, new) = (self.published, self.pushed);
        if old == new {
            cold_path();
            return Notify::NotNeeded;
        }
        self.published = new;
        let event = order::publish_then_look(&self.page.word(R::OUT_INDEX), new, &self.page.word(R::OUT_EVENT));
        law::notify(old, new, event)
    }

    /// Takes the next message, if there is one.
    ///
    /// The peer's index is read once when what was known of is used up, and not at all otherwise.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    #[inline(always)]
    pub fn pop(&mut self) -> Result<Option<Untrusted<R::In<P>>>, PeerError> {
        let popped = self.popped;
        if self.known(popped)? == popped {
            return Ok(None);
        }
        Ok(Some(self.take(popped)))
    }

    /// Takes the next message; when there is none, asks the peer for an event at the next one, and looks once more.
    ///
    /// After `None` the caller may sleep: the peer owes it an event. A hostile one may never send it.
    /// (`RING_FINAL_CHECK_FOR_REQUESTS`, `RING_FINAL_CHECK_FOR_RESPONSES`, public/io/ring.h)
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    #[inline(always)]
    pub fn pop_or_arm(&mut self) -> Result<Option<Untrusted<R::In<P>>>, PeerError> {
        self.pop_or_arm_for(NonZeroU32::MIN)
    }

    /// As [`pop_or_arm`](Self::pop_or_arm), but asks for an event only when `count` more messages are there, or as many as
    /// the peer can put.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    #[inline(always)]
    pub fn pop_or_arm_for(&mut self, count: NonZeroU32) -> Result<Option<Untrusted<R::In<P>>>, PeerError> {
        let popped = self.popped;
        if self.known_or_arm(popped, count)? == popped {
            return Ok(None);
        }
        Ok(Some(self.take(popped)))
    }

    /// All messages that are there now, as an iterator; what is left of it when it is dropped can be taken later.
    ///
    /// That costs less than to pop them one by one. The peer's index is read once at most, and there are never more messages
    /// than were outstanding.
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    #[inline(always)]
    pub fn drain(&mut self) -> Result<Drain<'_, R, P, S>, PeerError> {
        let popped = self.popped;
        let seen = self.known(popped)?;
        Ok(Drain::new(self.page, &mut self.popped, &mut self.push_limit, seen))
    }

    /// As [`drain`](Self::drain); when there is nothing, asks the peer for an event at the next message, and looks once
    /// more, like [`pop_or_arm`](Self::pop_or_arm).
    ///
    /// # Errors
    ///
    /// The peer's first violation, for good.
    #[inline(always)]
    pub fn drain_or_arm(&mut self) -> Result<Option<Drain<'_, R, P, S>>, PeerError> {
        let popped = self.popped;
        let seen = self.known_or_arm(popped, NonZeroU32::MIN)?;
        if seen == popped {
            return Ok(None);
        }
        Ok(Some(Drain::new(self.page, &mut self.popped, &mut self.push_limit, seen)))
    }

    /// How many messages can be pushed now. None when the ring is broken.
    #[inline]
    #[must_use]
    pub const fn room(&self) -> u32 {
        self.push_limit.wrapping_sub(self.pushed)
    }

    /// How many messages were pushed and not published yet; none of a broken ring.
    #[inline]
    #[must_use]
    pub const fn unpublished(&self) -> u32 {
        self.pushed.wrapping_sub(self.published)
    }

    /// The index of the next message that is pushed; its slot is this index modulo the number of slots.
    #[inline]
    #[must_use]
    pub const fn next_push(&self) -> u32 {
        self.pushed
    }

    /// The index of the next message that is popped; its slot is this index modulo the number of slots. Where answers have
    /// the place of their request, as in the network's receive ring, this tells which one the next answer belongs to.
    #[inline]
    #[must_use]
    pub const fn next_pop(&self) -> u32 {
        self.popped
    }

    /// The violation that broke the ring, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<PeerError> {
        match self.health {
            Ok(()) => None,
            Err(error) => Some(error),
        }
    }

    /// Breaks the ring because of a violation that was found in a message. An earlier one stays the reason.
    ///
    /// What was pushed and not published never will be.
    #[inline(always)]
    pub fn set_broken(&mut self, violation: PeerError) {
        cold_path();
        self.health = self.health.and(Err(violation));
        // No message to pop, no index to which the peer may go, nothing to publish, no room: the quick paths need not ask.
        self.seen = self.popped;
        self.published = self.popped.wrapping_sub(R::peer_ahead(self.page.entries()));
        self.pushed = self.published;
        self.push_limit = self.published;
    }

    /// How many slots there are.
    #[inline]
    #[must_use]
    pub fn size(&self) -> u32 {
        self.page.entries()
    }

    /// The region, to tell the peer of.
    #[must_use]
    pub const fn region(&self) -> &M {
        &self.region
    }

    /// Gives the region back, to end its grants or its mapping, or for a new ring.
    #[must_use]
    pub fn into_region(self) -> M {
        self.region
    }

    /// Takes the next message that is known of.
    #[inline(always)]
    fn take(&mut self, popped: u32) -> Untrusted<R::In<P>> {
        let message = self.page.slot(popped).load();
        self.popped = popped.wrapping_add(1);
        self.push_limit = self.push_limit.wrapping_add(1);
        Untrusted::new(message)
    }

    /// Up to where messages are known to be there, after a look if that is as far as we `popped`.
    #[inline(always)]
    fn known(&mut self, popped: u32) -> Result<u32, PeerError> {
        if popped != self.seen {
            return Ok(self.seen);
        }
        let now = order::peer_index(&self.page.word(R::IN_INDEX));
        if now != popped {
            return self.accept(popped, now);
        }
        self.health?;
        Ok(now)
    }

    /// As [`known`](Self::known), and asks for an event before a last look if there is nothing.
    #[inline(always)]
    fn known_or_arm(&mut self, popped: u32, count: NonZeroU32) -> Result<u32, PeerError> {
        let known = self.known(popped)?;
        if known != popped {
            return Ok(known);
        }
        let most = self.reach().wrapping_sub(popped).max(1);
        let event = popped.wrapping_add(count.get().min(most));
        let now = order::arm_then_look(&self.page.word(R::IN_EVENT), event, &self.page.word(R::IN_INDEX));
        if now != popped {
            return self.accept(popped, now);
        }
        Ok(now)
    }

    #[inline(always)]
    fn accept(&mut self, popped: u32, now: u32) -> Result<u32, PeerError> {
        let limit = self.reach();
        if !law::may_move(popped, now, limit) {
            self.set_broken(R::violation(popped, now, limit.wrapping_sub(popped)));
            self.health?;
        }
        self.seen = now;
        Ok(now)
    }

    /// Up to where the peer may publish.
    #[inline(always)]
    fn reach(&self) -> u32 {
        self.published.wrapping_add(R::peer_ahead(self.page.entries()))
    }
}

impl<R: Role, P: Protocol, M, S: Entries<P>> fmt::Debug for Ring<R, P, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ring = f.debug_struct("Ring");
        ring.field("pushed", &self.pushed).field("published", &self.published);
        ring.field("popped", &self.popped).field("seen", &self.seen);
        ring.field("health", &self.health).finish_non_exhaustive()
    }
}
