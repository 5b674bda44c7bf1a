//! The requests that wait for their response.
//!
//! A table of a fixed number of places, without allocation. [`insert`](InFlight::insert) keeps what belongs to a request and
//! answers with the id to write into it, [`complete`](InFlight::complete) gives it back for the id in a response. Ids are
//! places in the table, and in 64 bits also the count of the insertion, so that each is new; never addresses or grants.
//!
//! # What a hostile peer can cause
//!
//! * A request that is completed early, late, in another order than it was made, or never: [`abandon`](InFlight::abandon)
//!   is for the latter, and keeps the id from use until the answer is there.
//! * An id that is out of range, not in flight, stale, or of a request that was not yet published is refused as a
//!   [`PeerError`] and changes nothing. The caller then breaks the ring.
//! * 16-bit ids come again soon, and a second answer to the earlier request is then one to the later.
//!
//! (Tests `hc_018`, `hc_023` to `hc_026`, `hc_059`, `hc_060`, `hc_071`, `hc_072` in `tests/in_flight.rs`.)
//!
//! # Example
//!
//! ```
//! use xen_shared_ring::in_flight::{Entry, InFlight};
//!
//! let mut reads: InFlight<&str, u64, _> = InFlight::new([const { Entry::VACANT }; 32]);
//! let id = reads.insert("sector 7").unwrap();
//! assert!(reads.complete(id).is_err(), "the back cannot know of it");
//! reads.mark_published(); // after the ring's `publish`
//! assert_eq!(reads.complete(id), Ok(Some("sector 7")));
//! assert!(reads.complete(id).is_err(), "a second time");
//! ```

use core::marker::PhantomData;

use crate::error::{Full, PeerError};

/// No place: the end of the list of vacant ones.
const NONE: u32 = u32::MAX;

/// The stamp of a place in which nothing is in flight: higher than that of any published request.
const VACANT: u64 = u64::MAX;

/// Requests in flight, each with a `T`, by ids of type `I`, in the places of `S`: an array, a boxed slice, a vector.
#[derive(Debug)]
pub struct InFlight<T, I, S> {
    places: S,
    vacant: u32,
    /// The stamp of the next insertion; they count up and are never used twice.
    next: u64,
    /// Requests with a lower stamp were published.
    published: u64,
    len: u32,
    types: PhantomData<fn(I) -> T>,
}

/// A place of the table.
#[derive(Debug)]
pub struct Entry<T> {
    /// What the caller keeps; `None` also when it gave up the request.
    value: Option<T>,
    stamp: u64,
    /// The next vacant place, while this one is.
    next: u32,
}

impl<T> Entry<T> {
    /// A place with nothing in it, to make arrays of.
    pub const VACANT: Self = Self { value: None, stamp: VACANT, next: NONE };

    /// Empties this place, which is number `place`, and puts it in front of the list of vacant ones.
    #[inline]
    const fn vacate(&mut self, list: &mut u32, place: u32) -> Option<T> {
        self.stamp = VACANT;
        self.next = core::mem::replace(list, place);
        self.value.take()
    }
}

impl<T, I: Id, S: AsRef<[Entry<T>]> + AsMut<[Entry<T>]>> InFlight<T, I, S> {
    /// A table over these places, of which at most 65536 are used. What they hold is dropped.
    pub fn new(mut places: S) -> Self {
        let mut vacant = NONE;
        for (place, entry) in (0..=u16::MAX).zip(places.as_mut()).rev() {
            *entry = Entry { next: vacant, ..Entry::VACANT };
            vacant = u32::from(place);
        }
        Self { places, vacant, next: 0, published: 0, len: 0, types: PhantomData }
    }

    /// Keeps `value` for a request that is to be pushed, and answers with the request's id.
    ///
    /// # Errors
    ///
    /// The value comes back when all places are taken.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<I, Full<T>> {
        let place = self.vacant;
        let Some(entry) = self.places.as_mut().get_mut(place as usize) else {
            return Err(Full(value));
        };
        self.vacant = entry.next;
        entry.value = Some(value);
        entry.stamp = self.next;
        self.next += 1;
        self.len += 1;
        Ok(I::new(place, entry.stamp))
    }

    /// Says that all requests so far were published. Call it after the ring's `publish`; before, no answer is accepted.
    #[inline]
    pub const fn mark_published(&mut self) {
        self.published = self.next;
    }

    /// Takes out what belongs to the request that a response names, and makes its id free again. `None` when the request had
    /// been abandoned.
    ///
    /// # Errors
    ///
    /// The peer's violation, when no request of this id can have been answered.
    #[inline]
    pub fn complete(&mut self, id: I) -> Result<Option<T>, PeerError> {
        match self.places.as_mut().get_mut(id.place() as usize) {
            Some(entry) if entry.stamp < self.published && id.belongs_to(entry.stamp) => {
                let value = entry.vacate(&mut self.vacant, id.place());
                self.len -= 1;
                Ok(value)
            }
            _ => Err(self.refusal(id)),
        }
    }

    /// Gives up waiting: takes out what belongs to the request, whose id stays in use until the answer comes. `None` when
    /// no such request is in flight.
    ///
    /// The peer may still write to what it was granted.
    pub fn abandon(&mut self, id: I) -> Option<T> {
        self.entry(id)?.value.take()
    }

    /// Takes back a request that was not published, and makes its id free again. `None` when no such request is in flight,
    /// or the peer knows of it.
    pub fn withdraw(&mut self, id: I) -> Option<T> {
        let published = self.published;
        self.entry(id).filter(|entry| entry.stamp >= published)?;
        self.release(id.place())
    }

    /// How many ids are in use, those of abandoned requests included.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no id is in use.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The requests in the order in which they were inserted, without those that were abandoned.
    ///
    /// Each step searches the table: this is for a reconnect, not for every packet.
    pub fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        let mut after = None;
        core::iter::from_fn(move || {
            let (place, entry) = self.first(|stamp| after.is_none_or(|after| stamp > after))?;
            after = Some(entry.stamp);
            Some((place, entry))
        })
        .filter_map(|(place, entry)| Some((I::new(place, entry.stamp), entry.value.as_ref()?)))
    }

    /// Takes out the request that was inserted first, answered or not, and makes its id free again: to make it anew on
    /// another ring, or to tell its owner that its outcome is unknown. Abandoned ones are let go on the way.
    ///
    /// For when the ring is gone; the peer could still answer on it.
    pub fn take_oldest(&mut self) -> Option<T> {
        loop {
            let (place, _) = self.first(|_| true)?;
            if let Some(value) = self.release(place) {
                return Some(value);
            }
        }
    }

    /// The place of this id, if the request is in flight.
    fn entry(&mut self, id: I) -> Option<&mut Entry<T>> {
        let entry = self.places.as_mut().get_mut(id.place() as usize)?;
        (entry.stamp != VACANT && id.belongs_to(entry.stamp)).then_some(entry)
    }

    /// The place in use with the lowest stamp of those that are `wanted`.
    fn first(&self, wanted: impl Fn(u64) -> bool) -> Option<(u32, &Entry<T>)> {
        let in_use = (0..).zip(self.places.as_ref()).filter(|(_, entry)| entry.stamp != VACANT && wanted(entry.stamp));
        in_use.min_by_key(|(_, entry)| entry.stamp)
    }

    fn release(&mut self, place: u32) -> Option<T> {
        let value = self.places.as_mut().get_mut(place as usize)?.vacate(&mut self.vacant, place);
        self.len -= 1;
        value
    }

    /// Why no request of this id can have been answered.
    #[cold]
    fn refusal(&self, id: I) -> PeerError {
        let places = self.places.as_ref();
        let capacity = u32::try_from(places.len()).unwrap_or(u32::MAX);
        match places.get(id.place() as usize) {
            None => PeerError::IdOutOfRange { id: id.into(), capacity },
            Some(entry) if entry.stamp == VACANT => PeerError::IdNotPending { id: id.into() },
            Some(entry) if !id.belongs_to(entry.stamp) => {
                PeerError::IdStale { id: id.into(), pending: I::new(id.place(), entry.stamp).into() }
            }
            Some(_) => PeerError::IdNotPublished { id: id.into() },
        }
    }
}

/// The type that a protocol has for ids: `u16`, as the network's, or `u64`, as the block device's.
pub trait Id: Copy + Into<u64> + sealed::Id {}

impl Id for u16 {}

impl Id for u64 {}

mod sealed {
    pub trait Id {
        fn new(place: u32, stamp: u64) -> Self;

        /// The place in the table, which need not exist.
        fn place(self) -> u32;

        /// Whether the request with this stamp can have had this id, if it is in the id's place.
        fn belongs_to(self, stamp: u64) -> bool;
    }

    impl Id for u16 {
        #[inline]
        fn new(place: u32, _: u64) -> Self {
            place as Self
        }

        #[inline]
        fn place(self) -> u32 {
            u32::from(self)
        }

        #[inline]
        fn belongs_to(self, _: u64) -> bool {
            true
        }
    }

    /// The place in the low 16 bits, and above it as much of the stamp as there is room for.
    impl Id for u64 {
        #[inline]
        fn new(place: u32, stamp: u64) -> Self {
            stamp << 16 | Self::from(place)
        }

        #[inline]
        fn place(self) -> u32 {
            (self & 0xffff) as u32
        }

        #[inline]
        fn belongs_to(self, stamp: u64) -> bool {
            self >> 16 == stamp & (Self::MAX >> 16)
        }
    }
}
